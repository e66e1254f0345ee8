"""The last lines of a log and those that come, through rotations of every kind."""

import gzip
import random

import pytest

from forkcluster.logger.rotation import compress, rotate
from forkcluster.manager.tail import BLOCK, Follower, last_lines
from forkcluster.wire.rotated import rotated


@pytest.fixture
def log(tmp_path):
    """The path of a log."""
    return tmp_path / "a.log"


def numbered(first, last):
    return [b"%d" % number for number in range(first, last)]


def write(log, lines, mode="ab"):
    with log.open(mode) as file:
        file.write(b"".join(line + b"\n" for line in lines))


def test_the_last_lines_are_found_however_long_they_are(log):
    """Longer than a block, empty, or short."""
    chosen = random.Random(3)
    lines = [b"x" * chosen.choice([0, 1, 50, BLOCK - 1, BLOCK, 2 * BLOCK + 3]) for _ in range(60)]
    write(log, lines)
    for wanted in (0, 1, 7, 59, 60, 100):
        assert lines[len(lines) - min(wanted, 60) :] == last_lines(str(log), wanted)[0]
    assert log.stat().st_size == last_lines(str(log), 5)[1]


def test_a_line_without_its_end_is_not_given_yet(log):
    """It comes whole to whoever follows from there."""
    log.write_bytes(b"one\ntw")
    lines, end = last_lines(str(log), 5)
    follower = Follower(str(log), end)
    assert ([b"one"], []) == (lines, list(follower.look()))
    write(log, [b"o"])
    assert [b"two"] == list(follower.look())
    follower.close()


def test_lines_are_taken_from_rotated_files_as_far_as_needed(log):
    """Compressed or not, and none twice."""
    for number in range(5):
        write(log, numbered(10 * number, 10 * number + 10))
        rotate(str(log), 10)
        if number < 3:
            compress(f"{log}.{number + 1}")
    write(log, numbered(50, 53))
    for wanted in (3, 4, 13, 25, 53, 80):
        assert numbered(max(0, 53 - wanted), 53) == last_lines(str(log), wanted)[0]


def test_a_log_that_is_not_there_has_no_lines(log):
    """And may come."""
    assert ([], 0) == last_lines(str(log), 5)
    follower = Follower(str(log), 0)
    assert [] == list(follower.look())
    write(log, [b"one"])
    assert [b"one"] == list(follower.look())
    follower.close()


@pytest.mark.parametrize("rotations", [1, 2, 5])
def test_no_line_is_missed_or_doubled_by_rotations_between_two_looks(log, rotations):
    """However many, and whatever was compressed meanwhile."""
    write(log, numbered(0, 10))
    follower = Follower(str(log), 0)
    found, at = list(follower.look()), 10
    for _ in range(4):
        for number in range(rotations):
            write(log, numbered(at, at + 3))
            rotate(str(log), 100)
            at += 3
            if number:
                compress(rotated(str(log))[-1][1])
        write(log, numbered(at, at + 2))
        at += 2
        found += follower.look()
    assert numbered(0, at) == found
    follower.close()


def test_a_log_can_be_followed_from_its_first_line(log):
    """Through what was rotated before the first look."""
    write(log, numbered(0, 3))
    rotate(str(log), 10)
    write(log, numbered(3, 5))
    follower = Follower(str(log), None)
    assert numbered(0, 5) == list(follower.look())
    write(log, [b"5"])
    assert [b"5"] == list(follower.look())
    follower.close()


def test_a_file_moved_by_others_is_read_to_its_end(log, tmp_path):
    """As by mv and USR1."""
    write(log, [b"one"])
    follower = Follower(str(log), 4)
    write(log, [b"two"])
    log.rename(tmp_path / "moved")
    write(log, [b"three"])
    assert [b"two", b"three"] == list(follower.look())
    follower.close()


def test_a_file_that_was_emptied_is_read_from_its_beginning(log):
    """As by flush."""
    write(log, [b"one", b"two"])
    follower = Follower(str(log), 8)
    write(log, [b"x"], "wb")
    assert [b"x"] == list(follower.look())
    follower.close()


def test_a_number_that_is_there_both_ways_is_read_once(log):
    """A compression that is just ending."""
    (log.parent / "a.log.1").write_bytes(b"one\n")
    (log.parent / "a.log.1.gz").write_bytes(gzip.compress(b"one\n"))
    assert [b"one"] == last_lines(str(log), 5)[0]

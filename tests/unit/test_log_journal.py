"""Kills at every step between a pipe and a file: what a successor finds, and how it goes on."""

import gzip
import os

import pytest

from forkcluster.logger.journal import SLOT, Batch, Journal, regions
from forkcluster.logger.records import PLAIN, Form
from forkcluster.logger.rotation import compress, prune, rotate, tidy, uncompressed
from forkcluster.logger.source import DEAD, MOST_HELD, TAIL, Source
from forkcluster.logger.target import Target
from forkcluster.logger.writer import Writer
from forkcluster.wire.capture import Label
from forkcluster.wire.rotated import rotated

LINES = b"one\ntwo\nthree\n"
LABEL = Label(1, "0", 1, "out")


@pytest.fixture
def memfd():
    """Make memfds, closed at the end."""
    made = []

    def make():
        made.append(os.memfd_create("test"))
        return made[-1]

    yield make
    for each in made:
        os.close(each)


@pytest.fixture
def pipe():
    """A pipe; its reading end is given away as a copy."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    yield reader, writer
    os.close(reader)
    os.close(writer)


def batch_of(path):
    info = path.stat()
    return Batch(str(path), info.st_dev, info.st_ino, info.st_size)


# -- the journal


def test_an_entry_is_read_back(memfd):
    """By a successor, from the memfd alone."""
    fd = memfd()
    Journal(fd, 0).begin(Batch("/a/b", 1, 2, 3), LINES, {5: (6, 7), 8: (9, 4)})
    entry = Journal(fd, 0).entry
    assert (Batch("/a/b", 1, 2, 3, len(LINES), 1), {5: (6, 7), 8: (9, 4)}) == (entry.batch, entry.places)
    assert LINES == Journal(fd, 0).lines()


def test_a_torn_slot_leaves_the_entry_before(memfd):
    """Wherever the kill has torn it."""
    fd = memfd()
    journal = Journal(fd, 0)
    journal.begin(Batch("/a"), LINES, {1: (1, 0)})
    journal.begin(Batch("/a"), LINES, {1: (2, 0)})
    whole = os.pread(fd, 200, 0)
    for at in range(0, 80, 7):
        os.pwrite(fd, bytes([whole[at] ^ 0xFF]), at)
        assert {1: (1, 0)} == Journal(fd, 0).entry.places
        os.pwrite(fd, whole, 0)
    assert {1: (2, 0)} == Journal(fd, 0).entry.places


def test_places_change_while_lines_are_on_their_way(memfd):
    """They still are, for a successor."""
    fd = memfd()
    Journal(fd, 0).begin(Batch("/a"), LINES, {})
    Journal(fd, 0).keep({1: (10, 0)})
    assert (LINES, {1: (10, 0)}) == (Journal(fd, 0).lines(), Journal(fd, 0).entry.places)
    Journal(fd, 0).done("/a")
    assert b"" == Journal(fd, 0).lines()


def test_regions_are_found_in_order(memfd):
    """Each file has one; the first unused one ends the list."""
    fd = memfd()
    for number in range(3):
        Journal(fd, number).done(f"/{number}")
    assert ["/0", "/1", "/2"] == [each.entry.batch.path for each in regions(fd)]


def test_lines_that_were_overwritten_are_not_taken_for_the_batchs(memfd):
    """A kill between the next payload and its entry: the batch was written, or there would be no next."""
    fd = memfd()
    journal = Journal(fd, 0)
    journal.begin(Batch("/a"), LINES, {})
    os.pwrite(fd, (99).to_bytes(8, "little") + b"x" * len(LINES), 2 * SLOT)
    assert b"" == Journal(fd, 0).lines()


# -- the file


@pytest.mark.parametrize("written", range(len(LINES) + 1))
def test_a_batch_is_finished_to_the_byte(memfd, tmp_path, written):
    """A kill after any number of its bytes."""
    fd, path = memfd(), tmp_path / "a.log"
    path.write_bytes(b"zero\n")
    Journal(fd, 0).begin(batch_of(path), LINES, {})
    with path.open("ab") as file:
        file.write(LINES[:written])
    for _ in range(2):  # and again, when the successor is killed
        Target(str(path), Journal(fd, 0)).close()
        assert b"zero\n" + LINES == path.read_bytes()


def test_a_batch_is_finished_in_the_file_that_was_moved_meanwhile(memfd, tmp_path):
    """By logrotate, or by ourselves."""
    fd, path = memfd(), tmp_path / "a.log"
    path.write_bytes(b"")
    Journal(fd, 0).begin(batch_of(path), LINES, {})
    path.write_bytes(LINES[:5])
    path.rename(tmp_path / "a.log.1")
    Target(str(path), Journal(fd, 0)).close()
    assert (LINES, b"") == ((tmp_path / "a.log.1").read_bytes(), path.read_bytes())


def test_a_batch_beside_lines_of_others_is_not_written_twice(memfd, tmp_path):
    """Somebody else appends to the file, too."""
    fd, path = memfd(), tmp_path / "a.log"
    path.write_bytes(b"")
    Journal(fd, 0).begin(batch_of(path), LINES, {})
    path.write_bytes(b"theirs\n" + LINES + b"theirs\n")
    Target(str(path), Journal(fd, 0)).close()
    assert b"theirs\n" + LINES + b"theirs\n" == path.read_bytes()


def test_a_file_that_cannot_be_opened_says_why_and_is_tried_again(memfd, tmp_path):
    """A directory in its place, then none."""
    path = tmp_path / "a.log"
    path.mkdir()
    target = Target(str(path), Journal(memfd(), 0))
    assert "Is a directory" == target.why
    path.rmdir()
    target.retry(target.retry_at)
    target.write(LINES)
    target.close()
    assert ("", LINES) == (target.why, path.read_bytes())


def test_a_file_that_was_removed_is_made_anew(memfd, tmp_path):
    """And its directory."""
    path = tmp_path / "logs" / "a.log"
    target = Target(str(path), Journal(memfd(), 0))
    path.unlink()
    path.parent.rmdir()
    target.check()
    target.write(LINES)
    target.close()
    assert LINES == path.read_bytes()


def test_a_full_disk_drops_counts_and_tells(memfd, pipe, tmp_path):
    """What fits is held; the file says what was dropped as soon as it can."""
    reader, writer = pipe
    path = tmp_path / "a.log"
    path.symlink_to("/dev/full")
    target = Target(str(path), Journal(memfd(), 0))
    source = target.adopt(LABEL, os.dup(reader), os.dup(memfd()))
    lines_written, work = 0, Writer(Form("shop"))
    while not target.dropped:
        while True:
            try:
                os.write(writer, b"%d\n" % lines_written)
            except BlockingIOError:
                break
            lines_written += 1
        source.pull(0.0)
        target.retry(target.retry_at)
        while not target.why and work.write(target, 0.0):
            pass
        if target.why:
            work.hold(target)
    assert "No space left on device" == target.why
    path.unlink()
    target.reopen()
    assert "" == target.why
    while source.pull(0.0) or work.write(target, 0.0, final=True):
        pass
    target.close()
    found = path.read_bytes().splitlines()
    (note,) = [line for line in found if b"logger" in line]
    assert b"%d lines dropped: No space left on device" % target.dropped == note.partition(b" | ")[2]
    numbers = [int(line.rpartition(b" ")[2]) for line in found if b"logger" not in line]
    assert (0, lines_written - target.dropped) == (numbers[0], len(numbers))
    assert sorted(set(numbers)) == numbers


# -- the pipe


def test_compacting_may_be_killed_at_any_step(memfd, pipe):
    """Before or after the memfd was cut, before or after the journal knew: no byte is lost or doubled."""
    reader, writer = pipe
    data = b"".join(b"%07d\n" % number for number in range(DEAD // 8 + 100))
    os.set_blocking(writer, True)
    spool = memfd()
    source = Source(LABEL, os.dup(reader), os.dup(spool))
    for at in range(0, len(data), 4096):
        os.write(writer, data[at : at + 4096])
        source.pull(0.0)
    before = (DEAD + 8, PLAIN)
    source.taken = before[0]
    assert source.compact()
    for place in (before, source.place):  # what the journal may say
        successor = Source(LABEL, os.dup(reader), os.dup(spool), place)
        assert data[DEAD + 8 :] == os.pread(spool, successor.pending, successor.taken)
        successor.close()
    source.close()


def test_a_pipes_end_is_known(memfd, pipe):
    """When nobody has its writing end any more."""
    reader, writer = os.pipe()
    source = Source(LABEL, reader, os.dup(memfd()))
    os.write(writer, b"last")
    os.close(writer)
    assert (4, 0, True) == (source.pull(0.0), source.pull(0.0), source.ended)
    found = source.cut(Form("shop", "raw"), 0.0, 0.0)
    assert b"last\n" == found.text
    source.close()


def test_a_pipe_holds_no_more_than_it_may(memfd, pipe):
    """What is dropped ends with a line."""
    reader, writer = pipe
    source = Source(LABEL, os.dup(reader), os.dup(memfd()))
    while source.pending <= MOST_HELD:
        os.write(writer, b"0123456\n" * 500)
        os.write(writer, b"torn")
        source.pull(0.0)
    assert source.drop() > MOST_HELD // 5000
    assert 4 == source.pending
    source.close()


# -- rotation


def test_the_oldest_rotated_files_go(tmp_path):
    """By their number, compressed or not; files of others stay."""
    path = tmp_path / "a.log"
    for name in ("a.log.8.gz", "a.log.9", "a.log.10", "a.log.old", "b.log.1", "a.log.1x"):
        (tmp_path / name).touch()
    path.touch()
    rotate(str(path), keep=3)
    names = {each.name for each in tmp_path.iterdir()}
    assert {"a.log.9", "a.log.10", "a.log.11", "a.log.old", "b.log.1", "a.log.1x"} == names
    prune(str(path), 0)
    assert [] == rotated(str(path))


def test_what_a_killed_compression_left_is_tidied(tmp_path):
    """A part is removed; a file that is there both ways was complete."""
    path = str(tmp_path / "a.log")
    for name in ("a.log.1", "a.log.1.gz", "a.log.2", "a.log.2.gz.part"):
        (tmp_path / name).touch()
    tidy(path)
    assert {"a.log.1.gz", "a.log.2"} == {each.name for each in tmp_path.iterdir()}
    assert [f"{path}.2"] == uncompressed(path)


def test_compression_keeps_content_time_and_mode(tmp_path):
    """And removes the plain file last."""
    path = tmp_path / "a.log.1"
    path.write_bytes(LINES * 100000)
    path.chmod(0o640)
    os.utime(path, (1000, 2000))
    compress(str(path))
    packed = tmp_path / "a.log.1.gz"
    assert (2000, 0o640) == (packed.stat().st_mtime, packed.stat().st_mode & 0o777)
    assert LINES * 100000 == gzip.decompress(packed.read_bytes())
    assert [packed] == list(tmp_path.iterdir())


def test_the_last_lines_are_remembered(memfd, pipe):
    """Whole ones, as many as fit, whatever became of the memfd."""
    reader, writer = pipe
    source = Source(LABEL, os.dup(reader), os.dup(memfd()))
    for number in range(40):
        os.write(writer, b"".join(b"%07d\n" % (number * 512 + each) for each in range(512)))
        source.pull(0.0)
        assert source.skip()
        source.compact()
    os.write(writer, b"the end")
    source.pull(0.0)
    assert source.skip()
    lines = source.last_words.split("\n")
    assert ["0020479", "the end"] == lines[-2:]
    assert TAIL - 8 < len(source.last_words) <= TAIL
    assert 7 == len(lines[0])
    source.close()

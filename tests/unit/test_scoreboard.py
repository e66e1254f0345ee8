"""forkcluster._scoreboard: one process writes, another reads, and nobody can take the memory away."""

import errno
import itertools
import os
import re

import pytest

from forkcluster import _scoreboard
from forkcluster._scoreboard import CLASSES, SEATS, STATES, Scoreboard


@pytest.fixture
def board_fd():
    """A new scoreboard of the app "api"."""
    fd = _scoreboard.create("api")
    yield fd
    os.close(fd)


@pytest.fixture
def board(board_fd):
    """The scoreboard as the master maps it."""
    return Scoreboard(board_fd, writable=True)


def test_a_new_board_is_empty_and_knows_its_app(board):
    """Every word of the first and the last line is zero and every list has its length."""
    assert (board.app, board.generation) == ("api", 0)
    for seat in (0, SEATS - 1):
        line = board.line(seat)
        assert line.pop("state") == "empty"
        assert line.pop("oldest") is None
        assert line.pop("requests") == [0] * len(CLASSES)
        assert line.pop("duration") == [0] * (len(_scoreboard.bucket_bounds()) + 1)
        assert {0} == set(line.values())


def test_a_board_cannot_be_resized(board_fd):
    """It is sealed: no process can take the memory from under the others."""
    for size in (0, 4096, 2**30):
        with pytest.raises(PermissionError):
            os.ftruncate(board_fd, size)


def test_a_board_costs_only_the_lines_in_use(board_fd, board):
    """The file is sparse: a claimed seat costs its page, an untouched one nothing."""
    board.claim(500, 1, 0, 1)
    assert os.fstat(board_fd).st_blocks * 512 <= 3 * 4096


def test_a_claim_says_who_and_since_when(board):
    """The new owner is there before its first instruction, and only on its own line."""
    board.claim(3, 7, 2, 9)
    line = board.line(3)
    assert {"epoch": 7, "slot": 2, "generation": 9, "pid": 0, "state": "booting"} == {
        name: line[name] for name in ("epoch", "slot", "generation", "pid", "state")
    }
    assert line["started_ns"] > 0
    assert board.line(2)["state"] == board.line(4)["state"] == "empty"


def test_another_process_sees_what_is_written(board_fd, board):
    """A child's write is seen by the parent, and the parent's by the child, through maps of their own."""
    board.claim(1, 1, 0, 1)
    child = os.fork()
    if child == 0:
        mine = Scoreboard(board_fd, writable=True)
        seen = mine.line(1)["state"] == "booting"
        mine.set_state(1, "ready")
        os._exit(0 if seen else 1)
    assert os.waitpid(child, 0) == (child, 0)
    assert board.line(1)["state"] == "ready"


@pytest.mark.parametrize(
    "write",
    [
        lambda board: board.claim(0, 1, 0, 1),
        lambda board: board.reset(0),
        lambda board: board.set_state(0, "ready"),
        lambda board: setattr(board, "generation", 1),
    ],
)
def test_a_reader_cannot_write(board_fd, write):
    """A read-only map refuses by PermissionError instead of by a fault."""
    reader = Scoreboard(board_fd)
    with pytest.raises(PermissionError):
        write(reader)
    assert reader.line(0)["state"] == "empty"


def test_every_state_has_its_name(board):
    """What set_state takes is what line gives."""
    for state in STATES:
        board.set_state(0, state)
        assert board.line(0)["state"] == state
    with pytest.raises(ValueError, match="asleep"):
        board.set_state(0, "asleep")


def test_reset_makes_the_seat_empty(board):
    """After a death the master gives the seat back."""
    board.claim(0, 1, 0, 1)
    board.reset(0)
    assert board.line(0)["state"] == "empty"


@pytest.mark.parametrize("seat", [-1, SEATS, 2**70])
def test_a_seat_that_is_not_there_is_an_index_error(board, seat):
    """No number reaches memory outside the board."""
    with pytest.raises(IndexError):
        board.line(seat)
    with pytest.raises(IndexError):
        board.reset(seat)


def test_a_closed_board_is_refused(board):
    """Nothing is read through a map that is gone; closing again does nothing."""
    board.close()
    board.close()
    for use in (lambda: board.line(0), lambda: board.app, lambda: board.set_state(0, "ready")):
        with pytest.raises(ValueError, match="closed"):
            use()


def test_a_file_that_is_no_board_is_refused():
    """An ordinary memfd is not mapped."""
    fd = os.memfd_create("other")
    with pytest.raises(OSError) as caught:
        Scoreboard(fd)
    os.close(fd)
    assert caught.value.errno == errno.EINVAL


def test_a_board_of_another_layout_is_refused(board_fd):
    """A worker of another build says EPROTO instead of reading the wrong words."""
    with open(os.dup(board_fd), "r+b") as file:
        file.seek(8)
        file.write(b"0123456789abcdef")
    with pytest.raises(OSError) as caught:
        Scoreboard(board_fd)
    assert caught.value.errno == errno.EPROTO


def test_the_layout_hash_is_sixteen_digits_and_stands_in_the_board(board_fd):
    """What the mold's first message says is what the board says."""
    assert re.fullmatch(r"[0-9a-f]{16}", _scoreboard.layout_hash())
    assert os.pread(board_fd, 17, 8) == _scoreboard.layout_hash().encode() + b"\0"


def test_bucket_bounds_rise():
    """From 65.536 us to 68.719 s, each at most a quarter above the one before."""
    bounds = _scoreboard.bucket_bounds()
    assert (bounds[0], bounds[-1]) == (2**16, 2**36)
    assert all(low < high <= low * 1.25 for low, high in itertools.pairwise(bounds))


def test_totals_are_sums_over_all_seats_that_ever_had_an_owner(board):
    """By class, by bucket, and by seat, an empty seat's past included."""
    for seat in range(3):
        board.claim(seat, 1, seat, 1)
    board.reset(1)
    requests, durations, by_seat = board.totals()
    assert [0] * len(CLASSES) == requests
    assert [0] * (len(_scoreboard.bucket_bounds()) + 1) == durations
    assert [0, 0, 0] == by_seat


def test_readiness_and_the_time_of_former_owners_are_the_masters_to_write(board_fd, board):
    """A reader sees them and cannot write them."""
    board.claim(0, 1, 0, 1)
    board.ready = True
    board.add_cpu(0, 5)
    board.add_cpu(0, 6)
    reader = Scoreboard(board_fd)
    assert (True, 11) == (reader.ready, reader.line(0)["cpu_ns"])
    with pytest.raises(PermissionError):
        reader.ready = False
    with pytest.raises(PermissionError):
        reader.add_cpu(0, 1)

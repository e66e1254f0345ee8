"""Records, stamps and marks of captured lines; pure."""

import json
import random

import pytest

from forkcluster.logger.records import (
    AFTER,
    ALL,
    BROKEN,
    INSIDE,
    LONGEST,
    PLAIN,
    SOON,
    WAIT,
    Form,
    Stamp,
    cut,
    whole_characters,
)
from forkcluster.wire.capture import Label

NOW = 1700000000.25
TIME = "2023-11-14T22:13:20.250Z"
TRACEBACK = b'Traceback (most recent call last):\n  File "a.py", line 1, in f\n    g()\nValueError: no\n'


def stamp(kind="text", worker="0", date_format=""):
    return Stamp(Form("shop", kind, date_format), Label(3, worker, 7, "out"), NOW)


def marks(data, state=PLAIN, urgency=WAIT):
    """The marks of the lines that were taken, the number of bytes, and the state behind."""
    found = cut(data, state, stamp(), urgency)
    lines = found.text.decode().splitlines()
    assert all(line.startswith(f"{TIME} 0 ") for line in lines)
    return "".join(line[len(TIME) + 3] for line in lines), found.taken, found.state


def test_every_line_says_when_and_whose_it_is():
    """The first example of the module's docstring."""
    found = cut(b"one\ntwo\n\n", PLAIN, stamp(worker="12"))
    assert f"{TIME} 12 | one\n{TIME} 12 | two\n{TIME} 12 | \n".encode() == found.text
    assert (9, PLAIN) == (found.taken, found.state)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"one\n two\nthree\n", "|:|"),
        (b"\ttab\n", ":"),
        (b"ERROR:root:bad\n" + TRACEBACK + b"next\n", "|::::|"),
        (TRACEBACK + b"next\n", "|:::|"),
        (
            TRACEBACK
            + b"\nDuring handling of the above exception, another exception occurred:\n\n"
            + TRACEBACK,
            "|" + ":" * 10,
        ),
        (b"error worker\n    " + TRACEBACK.replace(b"\n", b"\n    ")[:-4] + b"next\n", "|::::|"),
        (b"  + Exception Group Traceback (most recent call last):\n  | File\n  +----\nnext\n", ":::|"),
    ],
)
def test_what_belongs_together_is_marked(data, expected):
    """Indented lines, and tracebacks with what logging and chaining put around them."""
    assert expected == marks(data, urgency=SOON)[0]


def test_a_line_without_its_end_is_waited_for():
    """Only whole lines are taken."""
    assert ("|", 4, PLAIN) == marks(b"one\ntw")
    assert ("", 0, PLAIN) == marks(b"tw")


def test_a_traceback_without_its_last_line_is_waited_for_with_what_it_belongs_to():
    """Lines before its record are taken; when it is urgent, all are."""
    opened = b"before\nERROR bad\n" + TRACEBACK[:-15]
    assert ("|", 7, PLAIN) == marks(opened)
    assert ("||:::", len(opened), INSIDE) == marks(opened, urgency=SOON)
    assert (":", 15, AFTER) == marks(TRACEBACK[-15:], state=INSIDE)


def test_a_line_too_long_goes_in_pieces():
    """The pieces are marked, and together they are the line."""
    line = bytes(random.Random(1).choices(b"abc", k=2 * LONGEST + 5))
    found = cut(line[:-10], PLAIN, stamp())
    assert (len(line) - 10, PLAIN | BROKEN) == (found.taken, found.state)
    rest = cut(line[-10:] + b"\nnext\n", found.state, stamp())
    expected = [
        f"{TIME} 0 | ".encode() + line[:-10],
        f"{TIME} 0 + ".encode() + line[-10:],
        f"{TIME} 0 | next".encode(),
    ]
    assert expected == (found.text + rest.text).splitlines()


def test_no_piece_tears_a_character():
    """In UTF-8; other bytes are left alone."""
    for text in ("aß", "a€", "a😀"):
        data = text.encode()
        for cut_off in range(1, len(data) - 1):
            assert b"a" == whole_characters(data[:-cut_off])
        assert data == whole_characters(data)
    assert b"a\x80" == whole_characters(b"a\x80")


def test_at_the_end_everything_is_taken():
    """A line without its end gets one."""
    assert ("||", 6, PLAIN | BROKEN) == marks(b"one\ntw", urgency=ALL)


@pytest.mark.parametrize("urgency", [WAIT, SOON, ALL])
def test_nothing_is_lost_however_the_bytes_come(urgency):
    """Cut in random steps, the lines are those of one step."""
    chosen = random.Random(7)
    data = b"".join(chosen.choices([b"plain\n", b" indented\n", b"\n", TRACEBACK, b"caf\xc3\xa9\n"], k=200))
    for _ in range(50):
        held, state, text = b"", PLAIN, b""
        for at in range(0, len(data), step := chosen.randrange(1, 40)):
            held += data[at : at + step]
            found = cut(held, state, stamp(), WAIT if urgency == ALL else urgency)
            held, state, text = held[found.taken :], found.state, text + found.text
        text += cut(held, state, stamp(), ALL).text
        assert data.splitlines() == [line[len(TIME) + 5 :] for line in text.splitlines()]


def test_raw_lines_stay_as_they_are():
    """Only whole ones are written."""
    assert (b'{"a": 1}\n  b\n', 13) == (cut(b'{"a": 1}\n  b\nc', PLAIN, stamp("raw")).text, 13)
    assert b"c\n" == cut(b"c", PLAIN, stamp("raw"), ALL).text


def test_json_has_one_object_for_a_record():
    """With all that is known; bytes that are no text are escaped."""
    found = cut(b"bad\n" + TRACEBACK + b"\xff\n", PLAIN, stamp("json"))
    first, second = map(json.loads, found.text.splitlines())
    assert first == {
        "time": TIME, "app": "shop", "worker": "0", "generation": 7, "stream": "out",
        "message": (b"bad\n" + TRACEBACK).decode().rstrip("\n"),
    }  # fmt: skip
    assert "\\xff" == second["message"]


def test_json_says_when_a_record_began_before():
    """The rest of a line, or of a traceback that was not waited for."""
    (found,) = map(json.loads, cut(b"rest\n", BROKEN, stamp("json")).text.splitlines())
    assert (True, "rest") == (found["continues"], found["message"])


def test_a_date_format_may_have_milliseconds():
    """%f is three digits; the time is local."""
    assert b":20.250 0 | one\n" == cut(b"one\n", PLAIN, stamp(date_format="%H:%M:%S.%f")).text[5:]

"""What lines of captured output say, and how they are shown."""

import json

import pytest

from forkcluster.cli.logs import printable
from forkcluster.logger.records import PLAIN, Form, Stamp, cut
from forkcluster.manager.output import File, joined, parse
from forkcluster.wire.capture import Label

FILE = File("shop", "out", "/x")
PRINTED = b"one\nERROR bad\nTraceback (most recent call last):\n  File x\nKeyError: 1\n 2026 0 | forged\n"


@pytest.mark.parametrize(("kind", "date_format"), [("text", ""), ("text", "%d.%m. %H:%M:%S"), ("json", "")])
def test_what_the_logger_writes_is_understood(kind, date_format):
    """The records, whose they are and when."""
    form = Form("shop", kind, date_format)
    text = cut(PRINTED, PLAIN, Stamp(form, Label(1, "12", 3, "out"), 1700000000.0)).text.decode()
    records = list(joined(parse(FILE, line) for line in text.splitlines()))
    expected = ["one", PRINTED[4:].decode().rstrip("\n")]
    assert expected == [record.text for record in records]
    assert {(form.time(1700000000.0), "12")} == {(record.time, record.worker) for record in records}


def test_pieces_of_a_line_are_put_together():
    """What was too long for one."""
    lines = ["T 0 | aaa", "T 0 + bbb", "T 1 | ccc"]
    assert ["aaabbb", "ccc"] == [record.text for record in joined(parse(FILE, line) for line in lines)]


@pytest.mark.parametrize("line", ["", "plain", "{not json", json.dumps({"message": 3}), "a | b", "x 0 ? y"])
def test_a_line_that_is_not_the_loggers_is_a_record(line):
    """As of --log-type raw."""
    assert (line, "", None) == (parse(FILE, line).text, parse(FILE, line).worker, parse(FILE, line).joint)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("tab\tß €", "tab\tß €"),
        ("\x1b]0;title\x07\x1b[2J\r\x00", "\\x1b]0;title\\x07\\x1b[2J\\r\\x00"),
        ("\x1b[31mred", "\x1b[31mred\x1b[0m"),
        ("\x9b31m", "\\x9b31m"),
    ],
)
def test_nothing_printed_steers_the_terminal(line, expected):
    """All but colours, which end with the line."""
    assert expected == printable(line)

"""Cuts bytes into whole records and stamps their lines. Pure.

A record is a line with those that belong to it: indented ones, and a traceback to its last line. In a file
every line says when and whose it is, and its mark says what it is:

    2026-11-28T03:05:06.123Z 0 | the first line of a record
    2026-11-28T03:05:06.123Z 0 : a further line of it
    2026-11-28T03:05:06.123Z 0 + the rest of a line that was too long to wait for its end

An application cannot forge a stamp, since every line gets one. Bytes stay as they are: control characters are
for whoever shows them to escape.
"""

import json
import time
from collections.abc import Iterator
from typing import NamedTuple

from forkcluster.wire.capture import FIRST, FURTHER, REST, Label

LONGEST = 64 * 1024  # bytes of a line that are waited for; what is longer goes in pieces
HEADER = b"Traceback (most recent call last):"
CHAINED = (b"During handling of the above exception", b"The above exception was the direct cause")

PLAIN, INSIDE, AFTER = 0, 1, 2  # not in a traceback; in one; behind its last line
BROKEN = 4  # added to it: a piece of a line was written, and what comes next is its rest

WAIT, SOON, ALL = 0, 1, 2  # take what is whole; a traceback without its end, too; everything


class Form(NamedTuple):
    """How lines are written: `kind` is text, json or raw; `date_format` as in LogOrder."""

    app: str
    kind: str = "text"
    date_format: str = ""

    def time(self, now: float) -> str:
        """Give `now` (seconds since the epoch) as it stands in the file."""
        thousandths = f"{int(now * 1000) % 1000:03d}"
        if self.date_format:
            return time.strftime(self.date_format.replace("%f", thousandths), time.localtime(now))
        return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now))}.{thousandths}Z"


class Stamp(NamedTuple):
    """What every line of one cut says: when it came, and whose it is."""

    form: Form
    label: Label
    now: float

    def head(self) -> bytes:
        """Give what stands before the mark."""
        return f"{self.form.time(self.now)} {self.label.worker}".encode()


class Cut(NamedTuple):
    """How many bytes were taken, what they look like in the file, and the state behind them."""

    taken: int
    text: bytes
    state: int


def cut(data: bytes, state: int, stamp: Stamp, urgency: int = WAIT) -> Cut:
    """Take the whole records at the beginning of `data` and stamp them.

    `state` is that of the cut before. What is not whole yet stays: a line without its end (up to LONGEST),
    and a traceback without its last line.
    """
    end = data.rfind(b"\n") + 1
    piece = data[end:] if urgency == ALL or len(data) - end >= LONGEST else b""
    if urgency != ALL:
        piece = whole_characters(piece)
    if piece:
        return _with_piece(data[:end], piece, state, stamp)
    block = data[:end]
    if stamp.form.kind == "raw" or not block:
        return Cut(end, block, PLAIN if block else state)
    if stamp.form.kind == "text" and state == PLAIN and _is_plain(block):
        first = stamp.head() + FIRST
        return Cut(end, first + block[:-1].replace(b"\n", b"\n" + first) + b"\n", PLAIN)
    return _marked(block, state, stamp, urgency)


def _with_piece(block: bytes, piece: bytes, state: int, stamp: Stamp) -> Cut:
    """Take everything, also a line without its end."""
    taken = len(block) + len(piece)
    if stamp.form.kind == "raw":
        return Cut(taken, block + piece + b"\n", PLAIN)
    made = _marked(block + piece + b"\n", state, stamp, ALL)
    return Cut(taken, made.text, made.state | BROKEN)


def _is_plain(block: bytes) -> bool:
    """Tell whether every line is a record of its own."""
    return block[0] not in b" \t" and b"\n " not in block and b"\n\t" not in block and HEADER not in block


def _marked(block: bytes, state: int, stamp: Stamp, urgency: int) -> Cut:
    """Stamp line by line; hold back the last record if a traceback in it has no end yet."""
    lines = block[:-1].split(b"\n")
    marks: list[bytes] = []
    start, at_end = -1, state
    for mark, after in _marks(lines, state):
        if mark is FIRST:
            start = len(marks)
        marks.append(mark)
        at_end = after
    if at_end == INSIDE and urgency == WAIT and start >= 0:
        del lines[start:], marks[start:]
        at_end = PLAIN if start else state
    taken = sum(map(len, lines)) + len(lines)
    if stamp.form.kind == "json":
        return Cut(taken, b"".join(_objects(lines, marks, stamp)), at_end)
    head = stamp.head()
    return Cut(
        taken,
        b"".join([b"".join((head, m, each, b"\n")) for m, each in zip(marks, lines, strict=True)]),
        at_end,
    )


def _marks(lines: list[bytes], state: int) -> Iterator[tuple[bytes, int]]:
    """Give each line's mark, and the state behind it."""
    alone = True
    for line in lines:
        mark, state = _mark(line, state, alone=alone)
        alone = False
        yield mark, state


def _mark(line: bytes, state: int, *, alone: bool) -> tuple[bytes, int]:
    if state & BROKEN:
        return REST, state & ~BROKEN
    if line[:1] in (b" ", b"\t"):
        return FURTHER, state
    if line.startswith(HEADER):  # logging writes it below its message
        return FIRST if alone and state == PLAIN else FURTHER, INSIDE
    if state == INSIDE:
        return FURTHER, AFTER if line else INSIDE
    if state == AFTER and (not line or line.startswith(CHAINED)):
        return FURTHER, AFTER
    return FIRST, PLAIN


def _objects(lines: list[bytes], marks: list[bytes], stamp: Stamp) -> Iterator[bytes]:
    """One JSON object in a line for each record; a record that began in an earlier cut says so."""
    starts = [index for index, mark in enumerate(marks) if not index or mark is not FURTHER]
    label = stamp.label
    known: dict[str, str | int] = {"time": stamp.form.time(stamp.now), "app": stamp.form.app}
    known |= {"worker": label.worker, "generation": label.generation, "stream": label.stream}
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        message = b"\n".join(lines[start:end]).decode("utf-8", "backslashreplace")
        more = {} if marks[start] is FIRST else {"continues": True}
        yield json.dumps({**known, "message": message, **more}, ensure_ascii=False).encode() + b"\n"


def whole_characters(piece: bytes) -> bytes:
    """Leave out the beginning of a UTF-8 character at the end, so that no piece of a line tears one."""
    for back in range(1, min(4, len(piece)) + 1):
        byte = piece[-back]
        if byte & 0xC0 != 0x80:
            needs = 4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2 if byte >= 0xC0 else 1
            return piece[:-back] if needs > back else piece
    return piece

"""JSON with the line of every value; comments and commas before a closing bracket are let pass, as in PM2's
files.

The structure is read here, since the standard library's reader keeps no positions; strings and numbers are
its own.
"""

import json
import re
from typing import Final

from forkcluster.options.formats.document import MOST_DEPTH, FaultError, Lines, Path

SPACE: Final = re.compile(r"(?:[ \t\r\n]+|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
SCALAR: Final = re.compile(r'["\-0-9tfn]')
DECODER: Final = json.JSONDecoder()


def parse(text: str) -> tuple[object, Lines]:
    """Read the text: its value, and the line of each value in it. Raises FaultError."""
    reader = _Reader(text.removeprefix("\ufeff"))
    value = reader.value((), reader.space(0))
    end = reader.space(reader.at)
    if end < len(reader.text):
        raise reader.fault("more text after the end of the value", end)
    return value, reader.lines


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0  # the end of the value read last
        self.lines: Lines = {}
        self._counted = (0, 1)  # a position and its line, to count on from

    def fault(self, text: str, at: int) -> FaultError:
        return FaultError(text, self.text.count("\n", 0, at) + 1)

    def space(self, at: int) -> int:
        """Give the position of what comes after blanks and comments."""
        found = SPACE.match(self.text, at)
        return found.end() if found else at

    def value(self, path: Path, at: int) -> object:
        """Read the value that begins at `at`."""
        if len(path) > MOST_DEPTH:
            raise self.fault(f"values more than {MOST_DEPTH} deep", at)
        self.lines[path] = self._line(at)
        first = self.text[at : at + 1]
        if first == "{":
            return self._object(path, at + 1)
        if first == "[":
            return self._array(path, at + 1)
        return self._scalar(at)

    def _line(self, at: int) -> int:
        before, line = self._counted
        line += self.text.count("\n", before, at)
        self._counted = (at, line)
        return line

    def _object(self, path: Path, at: int) -> dict[str, object]:
        found: dict[str, object] = {}
        at = self.space(at)
        while self.text[at : at + 1] != "}":
            key_at, key = at, self._scalar(at)
            if not isinstance(key, str):
                raise self.fault("a key must stand in double quotes", key_at)
            if key in found:
                raise self.fault(f"{key} stands here twice", key_at)
            at = self.space(self.at)
            if self.text[at : at + 1] != ":":
                raise self.fault(f"a colon is missing after {key}", at)
            line, here = self._line(key_at), (*path, key)
            found[key] = self.value(here, self.space(at + 1))
            self.lines[here] = line
            at = self._next("}", self.at)
        self.at = at + 1
        return found

    def _array(self, path: Path, at: int) -> list[object]:
        found: list[object] = []
        at = self.space(at)
        while self.text[at : at + 1] != "]":
            found.append(self.value((*path, len(found)), at))
            at = self._next("]", self.at)
        self.at = at + 1
        return found

    def _next(self, closing: str, at: int) -> int:
        """Give the position of the next member, or of the closing bracket."""
        at = self.space(at)
        here = self.text[at : at + 1]
        if here == ",":
            return self.space(at + 1)
        if here != closing:
            raise self.fault(f"expected a comma or {closing}" if here else "the text ends too early", at)
        return at

    def _scalar(self, at: int) -> object:
        if not SCALAR.match(self.text, at):
            word = self.text[at : at + 12].split("\n")[0]
            raise self.fault(f"expected a value, not {word!r}" if word else "the text ends too early", at)
        try:
            value, self.at = DECODER.raw_decode(self.text, at)
        except json.JSONDecodeError as error:
            raise FaultError(error.msg, error.lineno) from None
        except ValueError as error:  # a number of thousands of digits
            raise self.fault(str(error), at) from None
        if isinstance(value, float) and value in (float("inf"), float("-inf")):
            raise self.fault("a number that is too large", at)
        return value

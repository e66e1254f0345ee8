"""TOML: tomllib's values, and the lines of tables and keys, which it does not tell.

The lines come from a second look at a text that is known to be good: headers and keys at the beginning of a
statement, values skipped. What stands inside an inline table has the line of the statement.
"""

import json
import re
import sys
from typing import Final

from forkcluster.options.formats.document import FaultError, Lines, Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

KEY: Final = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*')"""
DOTTED: Final = rf"{KEY}(?:[ \t]*\.[ \t]*{KEY})*"
BLANK: Final = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
HEADER: Final = re.compile(rf"(\[\[?)[ \t]*({DOTTED})[ \t]*\]\]?")
STATEMENT: Final = re.compile(rf"({DOTTED})[ \t]*=")
PIECE: Final = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}'
    r"|'''.*?'{3,5}"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'"
    r"|\#[^\n]*"
    r"|(?P<open>[\[{])|(?P<close>[\]}])|(?P<end>\n)|.",
    re.DOTALL,
)


def parse(text: str) -> tuple[object, Lines]:
    """Read the text: its tables, and the lines of tables and keys. Raises FaultError."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"\(at line (\d+), column \d+\)", str(error))
        raise FaultError(
            str(error).replace(f" {found[0]}", "") if found else str(error), found and int(found[1])
        ) from None
    except (RecursionError, ValueError) as error:
        raise FaultError(str(error) or "values too deep in each other") from None
    return data, locate(text)


def locate(text: str) -> Lines:
    """Find the lines of tables and keys in a good text."""
    lines: Lines = {}
    counts: dict[Path, int] = {}
    table: Path = ()
    at = _blank(text, 0)
    while at < len(text):
        line = text.count("\n", 0, at) + 1
        header, statement = HEADER.match(text, at), STATEMENT.match(text, at)
        if header:
            table = _table(header[2], counts, several=header[1] == "[[")
            lines.setdefault(table[:-1] if header[1] == "[[" else table, line)
            lines.setdefault(table, line)
            at = _blank(text, header.end())
        elif statement:
            path = (*table, *_keys(statement[1]))
            for length in range(len(table) + 1, len(path) + 1):
                lines.setdefault(path[:length], line)
            at = _blank(text, _skip(text, statement.end()))
        else:  # not for a good text
            at = _skip(text, at + 1)
    return lines


def _table(dotted: str, counts: dict[Path, int], *, several: bool) -> Path:
    """The path of a header's table; every part that is an array of tables means its latest member."""
    path: Path = ()
    keys = _keys(dotted)
    for number, key in enumerate(keys, 1):
        path = (*path, key)
        if several and number == len(keys):
            counts[path] = counts.get(path, -1) + 1
        if path in counts:
            path = (*path, counts[path])
    return path


def _keys(dotted: str) -> list[str]:
    return [_unquoted(key) for key in re.findall(KEY, dotted)]


def _unquoted(key: str) -> str:
    if key.startswith('"'):
        try:
            return str(json.loads(key))
        except ValueError:  # \U0001F600 is TOML's alone
            return key[1:-1]
    return key.strip("'")


def _blank(text: str, at: int) -> int:
    found = BLANK.match(text, at)
    return found.end() if found else at


def _skip(text: str, at: int) -> int:
    """Give the position after the value that begins at `at`: the end of its last line."""
    depth = 0
    for piece in PIECE.finditer(text, at):
        depth += (piece["open"] is not None) - (piece["close"] is not None)
        if piece["end"] and depth <= 0:
            return piece.end()
    return len(text)

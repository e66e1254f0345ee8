"""A configuration file as data: plain values, and the line on which each of them stands. Pure."""

import reprlib
from collections.abc import Mapping
from typing import Final

from forkcluster.dataclass import dataclass, field

Path = tuple[str | int, ...]
"""The way to a value from the root: ("apps", 0, "env", "PORT")."""

Lines = dict[Path, int]

MOST_DEPTH: Final = 64
MOST_SHOWN: Final = 120


TABLES: Final = ("app", "apps", "deploy")
"""What a file may have at its root."""


@dataclass(frozen=True, slots=True)
class Left:
    """A value of a Python module that JSON cannot carry: what it is, in place of it."""

    kind: str

    def __repr__(self) -> str:
        return f"a {self.kind}"


class FaultError(ValueError):
    """The text is not of its format. `line` counts from 1; None if it cannot be told."""

    def __init__(self, text: str, line: int | None = None) -> None:
        super().__init__(text)
        self.text = text
        self.line = line


@dataclass(frozen=True)
class Document:
    """What a file says. `path` is how errors name it, `format` is toml, json, yaml or python."""

    path: str
    format: str
    data: object
    lines: Mapping[Path, int] = field(default_factory=dict)

    def line(self, *path: str | int) -> int | None:
        """Give the line of the value at the path, else of what it is in; None if the format has no lines."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.lines:
                return self.lines[path[:length]]
        return None

    def where(self, *path: str | int) -> str:
        """Say in words where the value at the path stands."""
        line = self.line(*path)
        return f"{self.path}, line {line}" if line else self.path

    @property
    def of_pm2(self) -> bool:
        """Whether PM2 would read a file of this format: plain numbers of its keys are then milliseconds."""
        return self.format in ("json", "yaml")


def kind_of(value: object) -> str:
    """Give what a value is, for an error that must not show it."""
    return value.kind if isinstance(value, Left) else type(value).__name__


def shown(value: object) -> str:
    """Give a value in few words, for an error, however large it is."""
    text = _SHORT.repr(value)
    return text if len(text) <= MOST_SHOWN else f"{text[: MOST_SHOWN - 1]}…"


_SHORT: Final = reprlib.Repr()
_SHORT.maxlevel = 3
_SHORT.maxstring = _SHORT.maxother = 60

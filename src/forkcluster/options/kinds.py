"""What a value may be. A kind reads it from text (flag, variable) and from a TOML value.

Every reader either returns the frozen value or raises ValueError with what was expected, as the end of a
sentence: "expected a duration such as 30, 500ms or 2m". Who names the option and the source is the caller
(`read`).
"""

import math
import re
import shlex
from collections.abc import Callable, Mapping
from typing import cast

from forkcluster.dataclass import dataclass
from forkcluster.options.formats.document import kind_of

Pairs = tuple[tuple[str, str], ...]
Value = None | bool | int | float | str | tuple[str, ...] | Pairs


@dataclass(frozen=True)
class Kind:
    """The root: plain text. `noun` says in words what a value is; `metavar` stands for it in --help."""

    noun: str = "text"
    metavar: str = "TEXT"
    check: Callable[[str], None] | None = None

    def from_text(self, text: str) -> Value:
        """Read the text of one flag or of a default. Raises ValueError."""
        if self.check is not None:
            self.check(text)
        return text

    def from_texts(self, texts: list[str]) -> Value:
        """Read a flag as often as it was given: the last one counts."""
        return self.from_text(texts[-1])

    def from_variable(self, text: str) -> Value:
        """Read an environment variable's text."""
        return self.from_text(text)

    def from_toml(self, value: object) -> Value:
        """Read a TOML value. Raises ValueError."""
        if not isinstance(value, str):
            raise ValueError(f"expected {self.noun}")
        return self.from_text(value)

    def show(self, value: Value) -> str:
        """`value` as a person would write it."""
        return str(value)


@dataclass(frozen=True)
class Secret(Kind):
    """Text that is never shown."""

    def show(self, value: Value) -> str:
        """Only that there is one."""
        return "…"


@dataclass(frozen=True)
class TextOrZero(Kind):
    """Text, or 0 for nothing at all."""

    def from_text(self, text: str) -> Value:
        return None if text == "0" else super().from_text(text)


@dataclass(frozen=True)
class Word(Kind):
    """Text that may be a number: in a file it may stand without quotes."""

    def from_toml(self, value: object) -> Value:
        whole = isinstance(value, int) and not isinstance(value, bool)
        return super().from_toml(str(value) if whole else value)


@dataclass(frozen=True)
class Switch(Kind):
    """True or false."""

    noun: str = "true or false"
    metavar: str = ""

    def from_text(self, text: str) -> bool:
        word = text.strip().lower()
        if word in ("1", "true", "yes", "on"):
            return True
        if word in ("0", "false", "no", "off"):
            return False
        raise ValueError(f"expected {self.noun}")

    def from_toml(self, value: object) -> bool:
        if not isinstance(value, bool):
            raise ValueError(f"expected {self.noun}")
        return value

    def show(self, value: Value) -> str:
        return "true" if value else "false"


@dataclass(frozen=True)
class Choice(Kind):
    """One word of a few."""

    words: tuple[str, ...] = ()

    def from_text(self, text: str) -> str:
        if text not in self.words:
            raise ValueError(f"expected {self.noun}")
        return text


def choice(*words: str) -> Choice:
    """A Choice among `words`."""
    return Choice(f"{', '.join(words[:-1])} or {words[-1]}", "|".join(words), None, words)


@dataclass(frozen=True)
class Count(Kind):
    """A whole number between `low` and `high`, both included."""

    noun: str = "a whole number"
    metavar: str = "N"
    low: int = 0
    high: int = 2**31 - 1
    base: int = 10

    @property
    def expected(self) -> str:
        return f"expected {self.noun} from {self.show(self.low)} to {self.show(self.high)}"

    def from_text(self, text: str) -> int:
        if not re.fullmatch(r"-?[0-9]+", text.strip()):
            raise ValueError(self.expected)
        try:
            value = int(text, self.base)
        except ValueError:
            raise ValueError(self.expected) from None
        return self.bounded(value)

    def from_toml(self, value: object) -> int:
        if isinstance(value, str):
            return self.from_text(value)
        if self.base == 8:
            raise ValueError(f'{self.expected}, as a string such as "660"')
        return self.bounded(value)

    def bounded(self, value: object) -> int:
        """The number, if it is one and neither too small nor too large. Raises ValueError."""
        if not isinstance(value, int) or isinstance(value, bool) or not self.low <= value <= self.high:
            raise ValueError(self.expected)
        return value

    def show(self, value: Value) -> str:
        return f"{value:o}" if self.base == 8 else str(value)


SIZE_UNITS = {"": 1, "B": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


@dataclass(frozen=True)
class Size(Count):
    """A number of bytes: 8190, 64K, 16M, 1G (powers of 1024)."""

    noun: str = "a size such as 8190, 64K, 16M or 1G"
    metavar: str = "SIZE"
    high: int = 1 << 50

    def from_text(self, text: str) -> int:
        match = re.fullmatch(r"([0-9]+)\s*([BKMG]?)(?:i?B)?", text.strip(), re.IGNORECASE)
        if match is None:
            raise ValueError(self.expected)
        return self.bounded(int(match[1]) * SIZE_UNITS[match[2].upper()])

    def show(self, value: Value) -> str:
        value = self.bounded(value)
        for unit in "GMK":
            if value and value % SIZE_UNITS[unit] == 0:
                return f"{value // SIZE_UNITS[unit]}{unit}"
        return str(value)


DURATION_UNITS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class Duration(Kind):
    """A time in seconds: 30, 1.5, 500ms, 2m, 1h."""

    noun: str = "a duration such as 30 (seconds), 500ms or 2m"
    metavar: str = "TIME"
    low: float = 0.0
    high: float = 86400.0

    @property
    def expected(self) -> str:
        return f"expected {self.noun}, from {self.show(self.low)} to {self.show(self.high)} seconds"

    def from_text(self, text: str) -> float:
        match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?|\.[0-9]+)\s*(ms|s|m|min|h)?", text.strip())
        if match is None:
            raise ValueError(self.expected)
        return self.bounded(float(match[1]) * DURATION_UNITS[match[2] or ""])

    def from_toml(self, value: object) -> float:
        return self.from_text(value) if isinstance(value, str) else self.bounded(value)

    def bounded(self, value: object) -> float:
        """The number, if it is one and neither too small nor too large. Raises ValueError."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(self.expected)
        if not math.isfinite(value) or not self.low <= value <= self.high:
            raise ValueError(self.expected)
        return float(value)

    def show(self, value: Value) -> str:
        return f"{value:.6f}".rstrip("0").rstrip(".")


@dataclass(frozen=True)
class Texts(Kind):
    """Any number of texts: the flag may be repeated, a variable holds several parted by `separator`."""

    noun: str = "a text or a list of texts"
    separator: str = ","

    def from_text(self, text: str) -> tuple[str, ...]:
        if self.check is not None:
            self.check(text)
        return (text,)

    def from_texts(self, texts: list[str]) -> tuple[str, ...]:
        return tuple(text for each in texts for text in self.from_text(each))

    def from_variable(self, text: str) -> tuple[str, ...]:
        return self.from_texts([part.strip() for part in text.split(self.separator) if part.strip()])

    def from_toml(self, value: object) -> tuple[str, ...]:
        values = value if isinstance(value, list) else [value]
        # A bare port is a whole number in TOML.
        if not all(isinstance(v, str) or (isinstance(v, int) and not isinstance(v, bool)) for v in values):
            raise ValueError(f"expected {self.noun}")
        return self.from_texts([str(v) for v in values])

    def show(self, value: Value) -> str:
        return ", ".join(map(str, cast("tuple[str, ...]", value)))


@dataclass(frozen=True)
class Words(Texts):
    """Arguments of a program. A text is split as a shell would split it; a list stands as it is, and so does
    what the command line gives, if `exact`.
    """

    exact: bool = False

    def from_texts(self, texts: list[str]) -> tuple[str, ...]:
        return self._checked(texts if self.exact else [word for text in texts for word in _split(text)])

    def from_variable(self, text: str) -> tuple[str, ...]:
        return self._checked(_split(text))

    def from_toml(self, value: object) -> tuple[str, ...]:
        if isinstance(value, str):
            return self._checked(_split(value))
        if not isinstance(value, list) or not all(isinstance(each, str | int | float) for each in value):
            raise ValueError(f"expected {self.noun}")
        return self._checked([_scalar(each, self.noun) for each in value])

    def _checked(self, words: list[str]) -> tuple[str, ...]:
        for word in words if self.check is not None else ():
            self.from_text(word)
        return tuple(words)


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        raise ValueError("expected words whose quotes are closed") from None


@dataclass(frozen=True)
class PairList(Kind):
    """Any number of NAME and VALUE: `mark` parts them in text; a TOML table or a list of such texts."""

    noun: str = "a table, or a list of texts"
    mark: str = "="
    parse: Callable[[str], tuple[str, str]] = lambda text: (text, "")
    secret: bool = False

    def from_text(self, text: str) -> Pairs:
        return (self.parse(text),)

    def from_texts(self, texts: list[str]) -> Pairs:
        return tuple(self.parse(text) for text in texts)

    def from_variable(self, text: str) -> Pairs:
        return self.from_texts([line for line in text.split("\n") if line.strip()])

    def from_toml(self, value: object) -> Pairs:
        if isinstance(value, Mapping):
            return tuple(self._pair(str(name), each) for name, each in value.items())
        values: list[object] = value if isinstance(value, list) else [value]
        texts = [each for each in values if isinstance(each, str)]
        if len(texts) != len(values):
            raise ValueError(f"expected {self.noun}")
        return self.from_texts(texts)

    def _pair(self, name: str, value: object) -> tuple[str, str]:
        if self.mark in name:
            raise ValueError(f"{name!r} cannot be a name: it has {self.mark!r} in it")
        if not isinstance(value, str | int | float):
            raise ValueError(f"{name} is a {kind_of(value)}: expected text or a number")
        return self.parse(f"{name}{self.mark}{_scalar(value, self.noun)}")

    def show(self, value: Value) -> str:
        shown = ((name, "…" if self.secret else text) for name, text in cast("Pairs", value))
        return ", ".join(f"{name}{self.mark}{text}" for name, text in shown)


def _scalar(value: object, noun: str) -> str:
    """A TOML scalar as text: true and false in lower case. Raises ValueError for a table or list."""
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str | int | float):
        raise ValueError(f"expected {noun} whose values are text or numbers")
    return str(value)

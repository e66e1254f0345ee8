"""Writes TOML: the values we have, as a person would write them. Pure."""

import json
import re
from collections.abc import Mapping

from forkcluster.errors import UsageError


def check_name(path: str) -> None:
    """Raise UsageError for a file that would be read as something else than TOML."""
    if not path.endswith(".toml"):
        raise UsageError(f"writing {path}: what is written is TOML", "name a file that ends in .toml")


def key(name: str) -> str:
    """Give a key, in quotes where it needs them."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else text(name)


def text(value: str) -> str:
    """Give a basic string: JSON's, with the one character that only TOML escapes."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def value(of: object) -> str:
    """Give a value: text, number, true or false, list, table in one line. Raises TypeError for others."""
    if isinstance(of, str):
        return text(of)
    if isinstance(of, bool):
        return str(of).lower()
    if isinstance(of, float):
        return f"{of:g}" if of == float(f"{of:g}") else repr(of)
    if isinstance(of, int):
        return str(of)
    if isinstance(of, list | tuple):
        return f"[{', '.join(map(value, of))}]"
    if isinstance(of, Mapping):
        return f"{{ {', '.join(f'{key(str(name))} = {value(each)}' for name, each in of.items())} }}"
    raise TypeError(f"{of!r} is nothing that TOML can hold")


def tables(header: str, values: Mapping[str, object]) -> str:
    """Give a table as lines, its own values first, then the tables in it; `header` has its brackets."""
    own = {name: each for name, each in values.items() if not isinstance(each, Mapping)}
    inner = {name: each for name, each in values.items() if isinstance(each, Mapping)}
    lines = [header, *(f"{key(name)} = {value(each)}" for name, each in own.items())]
    path = header.strip("[]")
    parts = ["\n".join(lines), *(tables(f"[{path}.{key(name)}]", each) for name, each in inner.items())]
    return "\n\n".join(parts)

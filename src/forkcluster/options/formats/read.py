"""Reads a configuration file; its name says in which format. Owns how a file that cannot be read is told."""

import os
from collections.abc import Callable, Mapping
from typing import Final

from forkcluster.errors import ConfigurationError
from forkcluster.options.formats import json, python, toml, yaml
from forkcluster.options.formats.document import Document, FaultError, Lines

FORMATS: Final[Mapping[str, str]] = {
    ".toml": "toml",
    ".json": "json",
    ".yaml": "yaml",
    ".yml": "yaml",
    ".py": "python",
}
PARSERS: Final[Mapping[str, Callable[[str], tuple[object, Lines]]]] = {
    "toml": toml.parse,
    "json": json.parse,
    "yaml": yaml.parse,
}
NAMES: Final = {"toml": "TOML", "json": "JSON", "yaml": "YAML"}
SCRIPTS: Final = (".js", ".cjs", ".mjs", ".ts")
MODULES: Final = (".config.py", ".conf.py", ".config.js", ".config.cjs", ".config.mjs")
MOST_BYTES: Final = 4 << 20


def read(path: str, environment: Mapping[str, str]) -> Document:
    """Read the file at `path`; a Python module sees `environment`. Raises ConfigurationError."""
    what = f"reading the configuration {path}"
    format_ = format_of(path)
    if format_ == "python" and os.path.isfile(path):
        return Document(path, format_, dict(python.evaluate(path, environment).data))
    try:
        with open(path, "rb") as file:
            data = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise ConfigurationError(f"{what}: it does not exist") from None
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{what}: {getattr(error, 'strerror', None) or error}") from error
    return parse(path, format_, data)


def parse(path: str, format_: str, data: bytes) -> Document:
    """Read the bytes of the file at `path`, which errors name. Raises ConfigurationError."""
    if len(data) > MOST_BYTES:
        raise ConfigurationError(f"reading the configuration {path}: larger than {MOST_BYTES >> 20} MiB")
    try:
        value, lines = PARSERS[format_](data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"reading the configuration {path}: not UTF-8: {error}") from error
    except FaultError as fault:
        place = f"{path}, line {fault.line}" if fault.line else path
        raise ConfigurationError(
            f"reading the configuration {place}: not {NAMES[format_]}: {fault.text}"
        ) from None
    return Document(path, format_, value, lines)


def format_of(path: str) -> str:
    """Tell the format by the name. Raises ConfigurationError, for PM2's scripts with what to do instead."""
    suffix = os.path.splitext(path)[1].lower()
    if suffix in SCRIPTS:
        name = os.path.basename(path)
        output = name.split(".")[0] + ".json"
        raise ConfigurationError(
            f"reading the configuration {path}: it is JavaScript, which only Node can evaluate",
            f"convert it once: node -p 'JSON.stringify(require(\"./{name}\"), null, 2)' > {output}, "
            f"then forkcluster import {output}",
        )
    if suffix not in FORMATS:
        known = ", ".join(FORMATS)
        raise ConfigurationError(
            f"reading the configuration {path}: its name tells no format", f"end it with one of {known}"
        )
    return FORMATS[suffix]


def is_configuration(word: str) -> bool:
    """Tell whether a word of a command line names a configuration file rather than a target.

    A Python module does if its name ends like PM2's: NAME.config.py. PM2's own, NAME.config.js, is told from
    a program, so that reading it says what to do instead.
    """
    suffix = os.path.splitext(word)[1].lower()
    return suffix in (".toml", ".json", ".yaml", ".yml") or word.lower().endswith(MODULES)

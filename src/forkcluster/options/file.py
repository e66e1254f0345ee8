"""The configuration file: TOML with one `[app]` table. Owns where it is found and how its faults are told.

Knows the names of options, not what their values mean.
"""

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

from forkcluster.errors import ConfigurationError, did_you_mean
from forkcluster.options.table import BY_KEY, BY_NAME

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE_NAME = "forkcluster.toml"


@dataclass(frozen=True)
class ConfigFile:
    """What a file says: option name → value. `path` is None if there is no file."""

    path: str | None = None
    values: Mapping[str, object] = field(default_factory=dict)
    lines: Mapping[str, int] = field(default_factory=dict)

    def origin(self, name: str) -> str:
        """Where the option's value stands: path and line."""
        line = self.lines.get(name)
        return f"{self.path}, line {line}" if line else f"{self.path}"


def load(directory: str, asked: str | None) -> ConfigFile:
    """Read the file that was asked for, or `forkcluster.toml` in the directory if it is there.

    Raises ConfigurationError: unreadable, not TOML, an unknown key, or the same option twice.
    """
    path = os.path.join(directory, asked or FILE_NAME)
    try:
        with open(path, "rb") as file:
            text = file.read().decode("utf-8")
        document = tomllib.loads(text)
    except FileNotFoundError:
        if asked is None:
            return ConfigFile()
        raise ConfigurationError(f"reading the configuration: {path} does not exist") from None
    except OSError as error:
        raise ConfigurationError(f"reading the configuration {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"reading the configuration {path}: not UTF-8: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"reading the configuration {path}: not TOML: {error}") from error
    return _understand(path, document, text)


def _understand(path: str, document: Mapping[str, object], text: str) -> ConfigFile:
    for key in document:
        if key != "app":
            _refuse_top(path, key)
    app = document.get("app", {})
    if not isinstance(app, dict):
        raise ConfigurationError(f"reading the configuration {path}: app must be a table: [app]")
    values: dict[str, object] = {}
    lines: dict[str, int] = {}
    for key, value in app.items():
        option = BY_KEY.get(key)
        line = line_of(text, key)
        if option is None:
            _refuse_key(path, key, line)
        elif option.name in values:
            raise ConfigurationError(
                f"reading the configuration {path}, line {line}: {key} is another name of {option.name}",
                "both are given: keep one",
            )
        else:
            values[option.name] = value
            lines[option.name] = line
    return ConfigFile(path, values, lines)


def _refuse_top(path: str, key: str) -> None:
    where = f"reading the configuration {path}"
    if key == "apps":
        raise ConfigurationError(
            f"{where}: [[apps]] (several apps in one file) is not in this release yet",
            "describe one app in an [app] table, and run one command for each app",
        )
    if key in BY_KEY:
        raise ConfigurationError(f"{where}: {key} stands outside a table", "put the line [app] above it")
    raise ConfigurationError(
        f"{where}: unknown table or key {key}", did_you_mean(key, ["app"]) or "options belong below [app]"
    )


def _refuse_key(path: str, key: str, line: int) -> None:
    if key in BY_NAME:
        raise ConfigurationError(
            f"reading the configuration {path}, line {line}: {key} can only be a flag or a variable"
        )
    near = did_you_mean(key.replace("-", "_"), BY_KEY)
    raise ConfigurationError(
        f"reading the configuration {path}, line {line}: unknown key {key}",
        near or "forkcluster --print-config lists all keys",
    )


def line_of(text: str, key: str) -> int:
    """The line of the `[app]` table on which `key` is set, from 1; the table's own if it cannot be told."""
    start = 0
    pattern = re.compile(rf"""\s*(\[\s*app\s*\.\s*)?["']?{re.escape(key)}["']?\s*(=|\.|\])""")
    for number, line in enumerate(text.splitlines(), 1):
        if re.match(r"\s*\[\s*app\s*\]", line):
            start = number
        if (start and pattern.match(line)) or (line.lstrip().startswith(("[app.", "app.")) and key in line):
            return number
    return start or 1

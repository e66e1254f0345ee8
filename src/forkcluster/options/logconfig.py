"""The application's own logging set-up (--log-config): a dictConfig in JSON or TOML, or a fileConfig .ini.

`check` runs where the options are read, `apply` in the process that runs the application, before it is
imported.
"""

import json
import os
import sys
from typing import Any

from forkcluster.errors import ConfigurationError


def check(path: str) -> None:
    """Raise ConfigurationError unless the file can be read and looks like what its name says."""
    if _suffix(path) == "ini":
        from configparser import ConfigParser, Error

        try:
            with open(path, encoding="utf-8") as file:
                ConfigParser().read_file(file)
        except OSError as error:
            raise _unreadable(path, error) from error
        except (Error, UnicodeDecodeError) as error:
            raise ConfigurationError(f"reading the logging configuration {path}: {error}") from error
    else:
        _load(path)


def apply(path: str) -> None:
    """Configure the logging package. Raises ConfigurationError: unreadable, or refused by logging."""
    from logging import config

    try:
        if _suffix(path) == "ini":
            config.fileConfig(path, disable_existing_loggers=False)
        else:
            config.dictConfig(_load(path))
    except (ValueError, KeyError, TypeError, AttributeError, ImportError, OSError) as error:
        reason = f"{error}: {error.__cause__}" if error.__cause__ else f"{error}"
        raise ConfigurationError(f"applying the logging configuration {path}: {reason}") from error


def _toml(text: str) -> object:
    if sys.version_info >= (3, 11):  # only now: every worker would have it
        import tomllib
    else:
        import tomli as tomllib

    return tomllib.loads(text)


def _suffix(path: str) -> str:
    suffix = os.path.splitext(path)[1].lower().removeprefix(".")
    if suffix not in ("json", "toml", "ini", "conf", "cfg"):
        raise ConfigurationError(
            f"reading the logging configuration {path}: its format cannot be told from its name",
            "name it .json or .toml (a dictConfig) or .ini (a fileConfig)",
        )
    return "ini" if suffix in ("conf", "cfg") else suffix


def _unreadable(path: str, error: OSError) -> ConfigurationError:
    return ConfigurationError(
        f"reading the logging configuration {path}: {error.strerror}",
        "log_config names a file that this user can read; relative paths start in the app's directory",
    )


def _load(path: str) -> dict[str, Any]:
    """The dictConfig, with `version` 1 if the file leaves it out. (Any: it is logging's schema, not ours.)"""
    try:
        with open(path, "rb") as file:
            text = file.read().decode("utf-8")
        value = json.loads(text) if _suffix(path) == "json" else _toml(text)
    except OSError as error:
        raise _unreadable(path, error) from error
    except ValueError as error:
        raise ConfigurationError(f"reading the logging configuration {path}: {error}") from error
    if not isinstance(value, dict):
        raise ConfigurationError(f"reading the logging configuration {path}: expected an object at the top")
    return {"version": 1, "disable_existing_loggers": False, **value}

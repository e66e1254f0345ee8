"""Files of environment variables (--env-file): lines of KEY=VALUE. Nothing is expanded or executed.

Empty lines and lines that begin with # are skipped, a leading `export` too; a value in single or double
quotes loses them (in double quotes \\n, \\" and \\\\ are read); after an unquoted value, ` #` begins a
comment.
"""

import re

from forkcluster.errors import ConfigurationError

ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


def read(path: str) -> dict[str, str]:
    """Read the file at `path`. Raises ConfigurationError naming the file and the line."""
    try:
        with open(path, encoding="utf-8") as file:
            return parse(file.read(), path)
    except OSError as error:
        raise ConfigurationError(f"reading the environment file {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"reading the environment file {path}: not UTF-8: {error}") from error


def parse(text: str, path: str) -> dict[str, str]:
    """Read the text of the file at `path`, which is named in errors. Raises ConfigurationError."""
    result: dict[str, str] = {}
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        match = re.fullmatch(r"(?:export\s+)?([^\s=#'\"]+)\s*=\s*(.*)", line)
        value = _value(match[2]) if match else None
        if match is None or value is None or "\0" in line:
            raise ConfigurationError(
                f"reading the environment file {path}, line {number}: expected KEY=VALUE",
                "a value with spaces or # stands in quotes, and a quoted value ends on its line",
            )
        result[match[1]] = value
    return result


def _value(text: str) -> str | None:
    """The value that `text` stands for; None if a quote is not closed."""
    if text[:1] not in ("'", '"'):
        return re.split(r"(?:^|\s+)#", text, maxsplit=1)[0].rstrip()
    match = re.fullmatch(r"""'([^']*)'(?:\s*#.*)?|"((?:[^"\\]|\\.)*)"(?:\s*#.*)?""", text)
    if match is None:
        return None
    if match[1] is not None:
        return match[1]
    return re.sub(r"\\(.)", lambda m: ESCAPES.get(m[1], m[1]), match[2])

"""What a fork-mode app executes: a target, its interpreter and arguments, as an argument vector.

Looks at files, runs nothing.

  "celery -A shop worker"   a command line: bash -c (or the interpreter that was named)
  worker.py                 the application's own Python
  worker.sh                 bash; .js node, .rb ruby, .pl perl, .php php
  ./bin/worker, redis       an executable file, or a program on PATH
"""

import os
import re
from collections.abc import Mapping
from typing import Final

from forkcluster.dataclass import dataclass
from forkcluster.errors import ConfigurationError
from forkcluster.options.discover import find_venv, venv_python
from forkcluster.options.frozen import Options

INTERPRETERS: Final = {
    ".sh": "bash", ".bash": "bash", ".js": "node", ".cjs": "node", ".mjs": "node", ".rb": "ruby",
    ".pl": "perl", ".php": "php",
}  # fmt: skip

CALL: Final = re.compile(r"([\w./]+:[A-Za-z_][\w.]*)\(.*\)")
DIRECTORY: Final = "name a program or an application in it, or cd there"
TARGET: Final = "an application is module:attribute, or path/to/file.py:attribute"


@dataclass(frozen=True, slots=True)
class Program:
    """The absolute path of what is executed, its argument vector, and the variables it needs of us."""

    path: str
    argv: tuple[str, ...]
    variables: Mapping[str, str]


def compose(options: Options, directory: str, environment: Mapping[str, str], python: str) -> Program:
    """Find out what to execute in `directory`; `environment` is the application's, `python` our interpreter.

    Raise ConfigurationError when there is nothing of that name, or it cannot be executed.
    """
    venv = options.venv or find_venv(directory) or environment.get("VIRTUAL_ENV") or _venv_of(python)
    variables = {"PYTHONUNBUFFERED": "1"}
    if venv:
        variables |= {"VIRTUAL_ENV": venv, "PATH": _path(venv, environment)}
    search = variables.get("PATH") or environment.get("PATH", os.defpath)
    words = _words(options, directory, search, venv_python(venv) if venv else python)
    return Program(_find(words[0], directory, search), tuple(words), variables)


def _words(options: Options, directory: str, search: str, python: str) -> list[str]:
    target, args = options.target, list(options.args)
    interpreter, flags = options.interpreter, list(options.interpreter_args)
    path = os.path.join(directory, target)
    if (call := CALL.fullmatch(target)) and not os.path.isfile(path):
        text = f"the target {target} is a call: {TARGET}"
        raise ConfigurationError(text, f"--factory calls it, without arguments: {call[1]} --factory")
    if os.path.isfile(path):
        if interpreter is None:
            extension = os.path.splitext(target)[1]
            interpreter = python if extension == ".py" else INTERPRETERS.get(extension, "none")
        return [path, *args] if interpreter == "none" else [interpreter, *flags, path, *args]
    if " " in target.strip():
        line = f'{target} "$@"' if args else target
        return [interpreter or "bash", *flags, "-c", line, *(["forkcluster", *args] if args else [])]
    if interpreter not in (None, "none"):
        raise _missing(target, f"looked for {path}", "name the script, relative to the app's directory")
    return [target, *args]


def _find(word: str, directory: str, search: str) -> str:
    """The absolute path that executing `word` in `directory` would run."""
    path = os.path.join(directory, word)
    if "/" in word:
        if os.path.isdir(path):
            raise _missing(word, "it is a directory", DIRECTORY)
        if not os.path.isfile(path):
            raise _missing(word, "there is no such file", f"relative paths start in {directory}")
        if not os.access(path, os.X_OK):
            raise _missing(word, "the file is not executable", f"chmod +x {path}, or name an --interpreter")
        return path
    import shutil

    found = shutil.which(word, path=search)
    if found is None and os.path.isdir(path):
        raise _missing(word, "it is a directory", DIRECTORY)
    if found is None and (":" in word or ".." in word):
        raise _missing(word, f"no file in {directory}, no program on PATH", TARGET)
    if found is None:
        raise _missing(word, f"no file in {directory}, no program on PATH", "give its path, or install it")
    return os.path.join(directory, found)


def _missing(word: str, why: str, remedy: str) -> ConfigurationError:
    return ConfigurationError(f"finding the program {word}: {why}", remedy)


def _venv_of(python: str) -> str | None:
    """The virtual environment that an interpreter is of."""
    venv = os.path.dirname(os.path.dirname(python))
    return venv if os.path.isfile(os.path.join(venv, "pyvenv.cfg")) else None


def _path(venv: str, environment: Mapping[str, str]) -> str:
    own = os.path.dirname(venv_python(venv))
    path = environment.get("PATH", os.defpath)
    return path if own in path.split(":") else f"{own}:{path}"

"""The pid file: written whole or not at all, removed at exit only if it is still ours."""

import contextlib
import os

from forkcluster.errors import ConfigurationError


class PidFile:
    """Owns the file's presence from `write` to `remove`."""

    def __init__(self, path: str) -> None:
        self._path = os.path.abspath(path)
        self._text = f"{os.getpid()}\n"

    def write(self) -> None:
        """Put our pid there atomically. Raise ConfigurationError when that is not possible."""
        draft = f"{self._path}.{os.getpid()}"
        try:
            with open(draft, "x", encoding="ascii") as file:
                file.write(self._text)
            os.rename(draft, self._path)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.unlink(draft)
            text = f"cannot write the pid file {self._path}: {error.strerror}"
            raise ConfigurationError(text, "choose a writable place with --pid") from error

    def remove(self) -> None:
        """Remove it if it still holds our pid. Never raises."""
        try:
            with open(self._path, encoding="ascii") as file:
                if file.read() == self._text:
                    os.unlink(self._path)
        except (OSError, ValueError):
            return

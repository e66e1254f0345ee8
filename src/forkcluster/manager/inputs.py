"""The files that came through standard input: each stays in the home for as long as a record names it."""

import contextlib
import os
from collections.abc import Iterable, Iterator

from forkcluster.errors import ConfigurationError
from forkcluster.manager import saved
from forkcluster.manager.record import Record
from forkcluster.manager.register import Register
from forkcluster.wire.home import inputs_of


def forget(register: Register, forgotten: Iterable[Record]) -> None:
    """Remove the files of records that were forgotten, but for those that an app or the saved list needs.

    Raise ForkclusterError.
    """
    before = set(_files(register, forgotten))
    if not before:
        return
    with register.changing():
        present = [app.record for app in register.apps() if app.record is not None]
        for path in before.difference(_files(register, [*present, *saved.saved(register)])):
            try:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)
            except OSError as error:
                raise ConfigurationError(f"removing {path}: {error.strerror}") from error


def _files(register: Register, records: Iterable[Record]) -> Iterator[str]:
    directory = inputs_of(register.home)
    for record in records:
        for path in record.request.flags.get("config", ()):
            if os.path.dirname(path) == directory:
                yield path

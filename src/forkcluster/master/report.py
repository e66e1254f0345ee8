"""How a managed app's start came out, told once to the terminal that waits and kept in a file for later.

Writes to a pipe whose reader may be gone and to a disk that may be full: neither stops the app.
"""

import os

from forkcluster import log
from forkcluster.errors import ForkclusterError, StateError
from forkcluster.wire import outcome
from forkcluster.wire.outcome import End, Outcome


class Report:
    """Owns the pipe's writing end (-1: nobody waits). `path` is the file; None: a foreground app."""

    def __init__(self, pipe: int = -1, path: str | None = None) -> None:
        self._pipe = pipe
        self._path = path
        self._ready = False
        if pipe >= 0:
            os.set_inheritable(pipe, False)

    def ready(self, **facts: object) -> None:
        """The app serves."""
        self._ready = True
        self._tell(Outcome(End.READY, facts=facts))

    def failed(self, error: ForkclusterError, *, goes_on: bool = False) -> None:
        """The app never came to serve, or has ended by itself for this reason; `goes_on`: it tries again."""
        end = End.ENDED if self._ready else End.FAILED
        self._tell(Outcome(end, error.exit_code, error.to_json(), goes_on=goes_on))

    def ended(self, exit_code: int) -> None:
        """The master ends in good order; an app that it was still trying to start was never ready."""
        if not self._ready:
            self.failed(StateError("it was stopped before it was ready"))
        else:
            self._tell(Outcome(End.ENDED, exit_code))

    def _tell(self, what: Outcome) -> None:
        if self._path is not None:
            try:
                outcome.write(self._path, what)
            except OSError as error:
                log.error("cannot keep how the start came out", path=self._path, error=str(error))
        if self._pipe >= 0:
            _write_all(self._pipe, what.to_json())
            os.close(self._pipe)
            self._pipe = -1


def _write_all(descriptor: int, data: bytes) -> None:
    """Write a pipe whose reader reads at once, or is gone (SIGPIPE is ignored by Python)."""
    try:
        while data:
            data = data[os.write(descriptor, data) :]
    except OSError:
        return

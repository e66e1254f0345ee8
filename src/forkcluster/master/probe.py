"""Asks a worker that does not accept yet one plain HTTP question, over a socketpair whose other end the
worker serves as if it had accepted it.

Any answer with a 2xx status is good. Knows no policy: the time it may take is the policy's business.
"""

import re
import socket
from collections.abc import Callable

from forkcluster.dataclass import dataclass
from forkcluster.master.loop import Loop

Done = Callable[[str], None]
STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([0-9]{3}) ?([^\r\n]*)\r\n")
MOST_STATUS_LINE = 4096


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: a path that begins with a slash, the Host field, further fields."""

    path: str
    host: str
    fields: tuple[tuple[str, str], ...] = ()

    def to_bytes(self) -> bytes:
        """The request, whose connection shall be closed after the answer (RFC 9112)."""
        fields = [("Host", self.host), ("User-Agent", "forkcluster-probe"), ("Connection", "close")]
        given = {name.lower() for name, _ in self.fields}
        fields = [each for each in fields if each[0].lower() not in given] + list(self.fields)
        lines = [f"GET {self.path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields)]
        return "".join(f"{line}\r\n" for line in [*lines, ""]).encode("latin-1", "replace")


class Probe:
    """One question, from asking to the status line of the answer."""

    def __init__(self, loop: Loop, question: Question, done: Done) -> None:
        self._loop = loop
        self._done = done
        self._question = question
        self._heard = b""
        self._ours, theirs = socket.socketpair()
        self.theirs = theirs
        for end in (self._ours, theirs):
            end.setblocking(False)

    def ask(self) -> None:
        """Send the question and listen for the answer; the other end was given away and is closed here."""
        self.theirs.close()
        try:
            self._ours.send(self._question.to_bytes())
        except OSError as error:
            self.close()
            self._done(f"it could not be asked: {error.strerror}")
            return
        self._loop.watch(self._ours.fileno(), self._hear)

    def close(self) -> None:
        """Hear no more; idempotent."""
        self.theirs.close()
        if self._ours.fileno() >= 0:
            self._loop.unwatch(self._ours.fileno())
            self._ours.close()

    def _hear(self) -> None:
        try:
            data = self._ours.recv(MOST_STATUS_LINE)
        except OSError:
            data = b""
        self._heard += data
        if data and b"\r\n" not in self._heard and len(self._heard) < MOST_STATUS_LINE:
            return
        self.close()
        self._done(self._judge())

    def _judge(self) -> str:
        found = STATUS_LINE.match(self._heard)
        asked = f"GET {self._question.path} with Host {self._question.host}"
        if found is None:
            return f"{asked}: the worker closed the connection without an answer"
        if not 200 <= int(found[1]) <= 299:
            words = found[2].decode("latin-1")
            return f"{asked} was answered {int(found[1])} {words}".rstrip()
        return ""

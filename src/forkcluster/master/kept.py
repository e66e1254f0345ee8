"""A control connection that stays: the admin process's. Many requests, answered as they are done.

What the other side asks is limited (MOST_WAITING at a time), and what it does not take is limited
(MOST_UNSENT): a line that breaks a limit or the protocol is cut. Knows frames, not commands.
"""

import socket
from collections.abc import Callable

from forkcluster import log
from forkcluster.errors import ForkclusterError, InternalError, PeerError
from forkcluster.master.control import CHUNK, Handle
from forkcluster.master.internal import report_internal
from forkcluster.master.loop import Loop
from forkcluster.wire.control import MOST_REQUEST, Body, Frames, encode

MOST_WAITING = 32
MOST_UNSENT = 32 * 1024 * 1024


class KeptLine:
    """Owns its socket; `cut` is called once when the line is over by the other side's doing."""

    def __init__(self, loop: Loop, line: socket.socket, handle: Handle, cut: Callable[[], None]) -> None:
        self._loop = loop
        self._line = line
        self._handle = handle
        self._cut = cut
        self._frames = Frames(MOST_REQUEST)
        self._waiting = 0
        self._unsent = bytearray()
        self._writing = False
        line.setblocking(False)
        loop.watch(line.fileno(), self._hear)

    def close(self) -> None:
        """Close it. Idempotent."""
        self._loop.unwatch(self._line.fileno())
        self._line.close()

    def _hear(self) -> None:
        try:
            data = self._line.recv(CHUNK)
            if not data:
                self._end()
                return
            for request in self._frames.feed(data):
                self._serve(request)
        except BlockingIOError:
            return
        except (PeerError, OSError) as error:
            log.error("the line to the admin process is cut", error=str(error))
            self._end()

    def _serve(self, request: Body) -> None:
        number = request.pop("id", None)
        request.setdefault("asked_by", "the admin process")
        self._waiting += 1
        try:
            if self._waiting > MOST_WAITING:
                raise InternalError(f"more than {MOST_WAITING} requests are waiting")
            self._handle(request, lambda answer: self._answer(number, answer))
        except ForkclusterError as error:
            self._answer(number, {"ok": False, "error": error.to_json()})
        except Exception as error:  # a request must not end the app
            fault = report_internal(f"answering {request.get('command')!r}", error)
            self._answer(number, {"ok": False, "error": fault.to_json()})

    def _answer(self, number: object, answer: Body) -> None:
        self._waiting -= 1
        if self._line.fileno() < 0:
            return
        idle = not self._unsent
        self._unsent += encode({"id": number, **answer})
        if len(self._unsent) > MOST_UNSENT:
            log.error("the line to the admin process is cut", error="it does not take its answers")
            self._end()
        elif idle:
            self._send()

    def _send(self) -> None:
        """Send what the socket takes; while something is left, nothing more is heard."""
        try:
            while self._unsent:
                del self._unsent[: self._line.send(self._unsent[:CHUNK])]
        except BlockingIOError:
            pass
        except OSError:
            self._end()
            return
        writing = bool(self._unsent)
        if writing != self._writing:
            self._writing = writing
            self._loop.unwatch(self._line.fileno())
            self._loop.watch(self._line.fileno(), self._send if writing else self._hear, write=writing)

    def _end(self) -> None:
        self.close()
        self._cut()

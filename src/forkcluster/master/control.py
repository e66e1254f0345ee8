"""The control socket: takes one request from each client and gives it to the master, all within its loop.

Whoever connects must be this user or root. A client has REQUEST_TIME for its request and as much to take the
answer, may be silent as long as the master thinks, and is cut when it breaks the protocol or a limit. When
CLIENTS are connected, the one that has been silent longest gives way. Knows frames, not commands.
"""

import contextlib
import errno
import os
import socket
import struct
from collections.abc import Callable

from forkcluster import log
from forkcluster.dataclass import dataclass, field
from forkcluster.errors import ForkclusterError, PeerError
from forkcluster.master.asker import describe
from forkcluster.master.internal import report_internal
from forkcluster.master.loop import Loop
from forkcluster.wire.control import MOST_REQUEST, Body, Decoder, encode

CLIENTS = 32
ACCEPTS_A_TURN = 16
REQUEST_TIME = 5.0
CHUNK = 65536

Reply = Callable[[Body], None]
Handle = Callable[[Body, Reply], None]


@dataclass(slots=True, eq=False)
class Client:
    """One connection: receiving, waiting for the master, or sending."""

    line: socket.socket
    deadline: float | None
    asker: str = ""  # who it is
    decoder: Decoder = field(default_factory=lambda: Decoder(MOST_REQUEST))
    asked: bool = False
    unsent: bytes = b""


class ControlServer:
    """Owns its clients; the listening socket is borrowed."""

    def __init__(self, loop: Loop, listener: socket.socket, handle: Handle) -> None:
        self._loop = loop
        self._listener = listener
        self._handle = handle
        self._clients: dict[int, Client] = {}
        self._reserve = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        self._short = False  # of descriptors, which was told
        loop.watch(listener.fileno(), self._accept)

    def deadline(self) -> float | None:
        """Give the time at which `expire` must be called, None when nothing is waited for."""
        return min((c.deadline for c in self._clients.values() if c.deadline is not None), default=None)

    def expire(self, now: float) -> None:
        """Cut clients that have used up their time."""
        for client in list(self._clients.values()):
            if client.deadline is not None and now >= client.deadline:
                self._cut(client)

    def close(self) -> None:
        """Cut every client; answers that are not sent yet are sent as far as the socket takes them."""
        self._loop.unwatch(self._listener.fileno())
        for client in list(self._clients.values()):
            self._cut(client)
        os.close(self._reserve)

    def _accept(self) -> None:
        for _ in range(ACCEPTS_A_TURN):
            try:
                line, _ = self._listener.accept()
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE):
                    self._refuse_one()
                return
            self._short = False
            line.setblocking(False)
            pid, uid = peer(line)
            if uid not in (os.geteuid(), 0):
                log.warning("a stranger was refused at the control socket", uid=uid)
                line.close()
                continue
            self._make_room()
            client = Client(line, self._loop.now() + REQUEST_TIME, describe(pid, uid))
            self._clients[line.fileno()] = client
            self._loop.watch(line.fileno(), lambda client=client: self._hear(client))  # type: ignore[misc]

    def _refuse_one(self) -> None:
        """Take one client off the queue with the descriptor that is kept for this, or the loop would spin."""
        os.close(self._reserve)
        with contextlib.suppress(OSError):
            self._listener.accept()[0].close()
        self._reserve = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        if not self._short:
            self._short = True
            log.warning("clients of the control socket are sent away: no descriptor is free")

    def _make_room(self) -> None:
        if len(self._clients) >= CLIENTS:
            silent = [client for client in self._clients.values() if not client.asked]
            self._cut(min(silent or self._clients.values(), key=lambda client: client.deadline or 0.0))

    def _hear(self, client: Client) -> None:
        try:
            data = client.line.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data or client.asked:
            self._cut(client)  # it left, or says more than it may
            return
        try:
            request = client.decoder.feed(data)
        except PeerError as error:
            self._refuse(client, error)
            return
        if request is not None:
            client.asked = True
            client.deadline = None
            self._serve(client, request)

    def _serve(self, client: Client, request: Body) -> None:
        request["asked_by"] = client.asker
        try:
            self._handle(request, lambda body: self._answer(client, body))
        except ForkclusterError as error:
            self._refuse(client, error)
        except Exception as error:  # a request must not end the app
            self._refuse(client, report_internal(f"answering {request.get('command')!r}", error))

    def _refuse(self, client: Client, error: ForkclusterError) -> None:
        self._answer(client, {"ok": False, "error": error.to_json()})

    def _answer(self, client: Client, body: Body) -> None:
        if client.line.fileno() < 0:
            return
        client.asked = True
        client.deadline = self._loop.now() + REQUEST_TIME
        client.unsent = encode(body)
        self._loop.unwatch(client.line.fileno())
        self._send(client)
        if client.line.fileno() >= 0:
            self._loop.watch(client.line.fileno(), lambda: self._send(client), write=True)

    def _send(self, client: Client) -> None:
        try:
            while client.unsent:
                client.unsent = client.unsent[client.line.send(client.unsent[:CHUNK]) :]
        except BlockingIOError:
            return
        except OSError:
            client.unsent = b""  # it left
        self._cut(client)

    def _cut(self, client: Client) -> None:
        self._loop.unwatch(client.line.fileno())
        self._clients.pop(client.line.fileno(), None)
        client.line.close()


def peer(line: socket.socket) -> tuple[int, int]:
    """Give pid and user of who connected to a unix socket, as it was then (unix(7), SO_PEERCRED)."""
    size = struct.calcsize("3i")
    pid, uid, _ = struct.unpack("3i", line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return pid, uid

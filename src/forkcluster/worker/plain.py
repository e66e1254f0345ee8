"""Stand-in for the engine until `_engine` lands: one thread, one connection at a time, wsgiref. Then it is
deleted.
"""

import selectors
import socket
from collections.abc import Callable, Sequence
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from forkcluster import _process
from forkcluster.wire.channel import Channel, close_all
from forkcluster.wire.messages import Kind, Message

CLIENT_TIMEOUT = 10.0


class _Handler(WSGIRequestHandler):
    timeout = CLIENT_TIMEOUT

    def log_message(self, format: str, *args: object) -> None:
        """Keep silent."""


class _Server(WSGIServer):
    """A server on a socket that is bound already; never accepts by itself."""

    def __init__(self, application: Callable[..., object], listener: socket.socket) -> None:
        super().__init__(("", 0), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        address = listener.getsockname()
        self.server_name, self.server_port = (
            (address[0], address[1]) if isinstance(address, tuple) else ("", 0)
        )
        self.setup_environ()
        self.set_app(application)  # type: ignore[arg-type]

    def handle_error(self, request: object, client_address: object) -> None:
        """Go on: a client that went away is nobody's fault."""


def serve(
    application: Callable[..., object], channel: Channel, listeners: Sequence[int], seat: int, epoch: int
) -> None:
    """Serve until the channel says RETIRE or QUIT, or ends."""
    leave = _process.leave_fd()
    with selectors.DefaultSelector() as selector:
        selector.register(channel.fileno(), selectors.EVENT_READ)
        selector.register(leave, selectors.EVENT_READ)
        for listener in listeners:
            server = _Server(application, socket.socket(fileno=listener))
            selector.register(listener, selectors.EVENT_READ, server)
        while True:
            for key, _ in selector.select():
                if key.fd == channel.fileno():
                    heard = channel.receive()
                    if heard is None or heard[0].kind in (Kind.RETIRE, Kind.QUIT):
                        return
                    close_all(heard[1])
                elif key.fd == leave:
                    selector.unregister(leave)
                    channel.send(Message(Kind.LEAVE, "TERM", seat, epoch))
                else:
                    _serve_one(key.data)


def _serve_one(server: _Server) -> None:
    try:
        request, client = server.socket.accept()
    except OSError:
        return
    request.setblocking(True)
    server.process_request(request, client or ("", 0))

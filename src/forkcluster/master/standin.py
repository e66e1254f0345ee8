"""Stand-in until master/listeners.py is there: bind TCP and unix addresses, no questions asked."""

import os
import socket

from forkcluster.errors import BindError
from forkcluster.options.address import DEFAULT, Tcp, Unix, parse
from forkcluster.options.frozen import Options


class Listeners:
    """Bound sockets."""

    def __init__(self, sockets: list[socket.socket]) -> None:
        self._sockets = sockets

    def descriptors(self) -> list[int]:
        return [bound.fileno() for bound in self._sockets]

    def names(self) -> list[str]:
        return [str(bound.getsockname()) for bound in self._sockets]

    def close(self) -> None:
        for bound in self._sockets:
            name = bound.getsockname()
            bound.close()
            if isinstance(name, str):
                os.unlink(name)


def bind(options: Options, directory: str) -> Listeners:
    """Bind everything."""
    sockets = []
    for text in options.bind or (DEFAULT,):
        address = parse(text)
        try:
            match address:
                case Tcp(host, port):
                    bound = socket.create_server((host, port), backlog=options.backlog)
                case Unix(path):
                    bound = socket.socket(socket.AF_UNIX)
                    bound.bind(os.path.join(directory, path))
                    bound.listen(options.backlog)
                case _:
                    bound = socket.socket(fileno=address.fd)
        except OSError as error:
            raise BindError(f"cannot bind {text}: {error.strerror}") from error
        bound.setblocking(False)
        sockets.append(bound)
    return Listeners(sockets)

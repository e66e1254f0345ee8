"""The listeners of one app: bound once by the master, held by all workers. Owns their life and their unix
sockets' files.

Without any --bind the sockets that systemd passed are taken (sd_listen_fds(3)), else 127.0.0.1:8000 is bound.
"""

import contextlib
import os
import socket
from collections.abc import Iterable, Mapping, MutableMapping

from forkcluster.dataclass import dataclass
from forkcluster.errors import BindError
from forkcluster.master.bind import BindSpec, bind
from forkcluster.options import address as addresses
from forkcluster.options.address import Address, Inherited, Tcp

FIRST_PASSED = 3  # SD_LISTEN_FDS_START


@dataclass(frozen=True, slots=True)
class Listener:
    """One listening socket. `file` is (device, inode) of a unix socket's file if we made it."""

    address: Address
    socket: socket.socket
    path: str | None = None
    file: tuple[int, int] | None = None

    @property
    def fd(self) -> int:
        """The descriptor, to be handed to workers."""
        return self.socket.fileno()

    @property
    def scheme(self) -> str:
        """http: TLS is not in this release."""
        return "http"

    @property
    def server(self) -> tuple[str, int]:
        """SERVER_NAME and SERVER_PORT (PEP 3333) for a request that names no host."""
        name = self.socket.getsockname()
        return ("localhost", 80) if self.socket.family == socket.AF_UNIX else (str(name[0]), int(name[1]))

    @property
    def url(self) -> str:
        """Where a person finds it, the real port included: http://127.0.0.1:8000, unix:run/app.sock."""
        if self.socket.family == socket.AF_UNIX:
            name = self.socket.getsockname()
            return f"unix:{name.decode('utf-8', 'replace') if isinstance(name, bytes) else name}"
        return f"{self.scheme}://{Tcp(*self.server)}"

    @property
    def intact(self) -> bool:
        """Whether clients can still find it: the file of a unix socket is there, and ours."""
        if self.path is None or self.file is None:
            return True
        try:
            return _identity(self.path) == self.file
        except OSError:
            return False

    def close(self) -> None:
        """Close the socket and remove its file, if it is still the one we made. Idempotent."""
        if self.path is not None and self.file is not None and self.socket.fileno() >= 0:
            with contextlib.suppress(OSError):
                if _identity(self.path) == self.file:
                    os.unlink(self.path)
        self.socket.close()


def open_all(
    binds: Iterable[str],
    spec: BindSpec,
    environment: MutableMapping[str, str],
    keep: Mapping[Address, Listener] | None = None,
) -> tuple[Listener, ...]:
    """Bind every address in `binds`, all or none; a listener in `keep` for the same address is used again.

    systemd's variables are removed from `environment` in any case, so that no child believes them. Raises
    BindError.
    """
    passed = take_passed(environment)
    wanted: list[Address] = [addresses.parse(text) for text in binds] or [*passed]
    wanted = list(dict.fromkeys(wanted or [addresses.parse(addresses.DEFAULT)]))
    opened: list[Listener] = []
    kept = keep or {}
    try:
        for address in wanted:
            opened.append(kept.get(address) or open_one(address, spec))
    except BindError:
        for listener in opened:
            if listener.address not in kept:
                listener.close()
        raise
    return tuple(opened)


def take_passed(environment: MutableMapping[str, str]) -> list[Inherited]:
    """The descriptors systemd passed to this very process, made close-on-exec. Raises BindError."""
    words = [environment.pop(name, "") for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")]
    pid, count, names = words[0], words[1], words[2].split(":") if words[2] else []
    if not pid or not count or pid != str(os.getpid()):
        return []
    if not count.isdigit():
        raise BindError(f"taking over systemd's sockets: LISTEN_FDS is {count!r}, no number")
    fds = range(FIRST_PASSED, FIRST_PASSED + int(count))
    try:
        for fd in fds:
            os.set_inheritable(fd, False)
    except OSError as error:
        raise BindError(f"taking over systemd's sockets: descriptor {fd}: {error.strerror}") from error
    return [Inherited(fd, names[i] if i < len(names) else "") for i, fd in enumerate(fds)]


def open_one(address: Address, spec: BindSpec) -> Listener:
    """Bind one address. Raises BindError."""
    sock = bind(address, spec)
    if not isinstance(address, addresses.Unix):
        return Listener(address, sock)
    path = os.path.join(spec.directory, address.path)
    try:
        return Listener(address, sock, path, _identity(path))
    except OSError as error:
        sock.close()
        raise BindError(f"listening on unix:{path}: it was removed at once: {error.strerror}") from error


def _identity(path: str) -> tuple[int, int]:
    """Device and inode of what is at the path. Raises OSError."""
    info = os.lstat(path)
    return info.st_dev, info.st_ino

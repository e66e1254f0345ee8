"""Make one listening socket from one address. Owns the system calls and the words for what they refuse.

A TCP listener has SO_REUSEADDR (a restart need not wait for TIME_WAIT) and never SO_REUSEPORT (two servers on
one port is a mistake, not a feature); an IPv6 one is IPv6 only. A unix socket gets its owner and permissions
before it listens. All are non-blocking and close-on-exec.

An address can be bound before there is anybody to serve it: it is ours then, and refuses whoever connects.
"""

import contextlib
import errno
import fcntl
import os
import socket
import stat
import struct
import time
from collections.abc import Iterator

from forkcluster.dataclass import dataclass
from forkcluster.errors import BindError
from forkcluster.master import holder
from forkcluster.options.address import UNIX_PATH_MAX, Address, Inherited, Tcp, Unix

FAMILIES = (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)
STREAM = socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
LOCK_PATIENCE = 2.0  # seconds; a check of a stale socket takes microseconds


@dataclass(frozen=True, slots=True)
class BindSpec:
    """How to bind: the directory that relative paths start in, and what holds for every listener.

    `patience`: how long to wait for workers whose master was killed, and who leave the address by themselves.
    """

    directory: str
    backlog: int = 2048
    socket_mode: int | None = None
    socket_owner: str | None = None
    reuse: bool = True
    option: str = "--bind"  # what a person is told to change
    patience: float = 0.0
    listens: bool = True  # at once; else `listen` is called when somebody is there to serve


def bind(address: Address, spec: BindSpec) -> socket.socket:
    """Return the socket for `address`, listening if the spec says so. Raises BindError."""
    deadline = time.monotonic() + spec.patience
    while True:
        try:
            return _bind(address, spec)
        except BindError:
            if time.monotonic() >= deadline or not holder.is_orphaned(address, spec.directory):
                raise
            time.sleep(0.05)


def listen(sock: socket.socket, backlog: int) -> None:
    """Let clients connect to a socket that was bound without listening. Idempotent. Raises OSError."""
    if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.listen(backlog)


def _bind(address: Address, spec: BindSpec) -> socket.socket:
    if isinstance(address, Inherited):
        return _adopt(address)
    if isinstance(address, Unix):
        return _bind_unix(address, spec)
    return _bind_tcp(address, spec)


def _adopt(address: Inherited) -> socket.socket:
    """Take over a descriptor that the parent process left open."""
    sock = None
    try:
        sock = socket.socket(fileno=address.fd)
        if sock.family not in FAMILIES or sock.type != socket.SOCK_STREAM:
            raise BindError(f"taking over {address}: it is no TCP or unix stream socket")
        if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise BindError(f"taking over {address}: the socket does not listen", "listen on it first")
        sock.setblocking(False)
        sock.set_inheritable(False)
        return sock
    except (BindError, OSError) as error:
        if sock is not None:
            sock.detach()  # it is the parent's: leave it open
        if isinstance(error, BindError):
            raise
        raise BindError(f"taking over {address}: {error.strerror}") from error


def _bind_tcp(address: Tcp, spec: BindSpec) -> socket.socket:
    family, where = _resolve(address)
    try:
        sock = socket.socket(family, STREAM)
    except OSError as error:
        raise explain(address, error, spec.option) from error
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(where)
        if spec.listens:
            sock.listen(spec.backlog)
        else:  # or another, who has it too, could bind the address and listen before us
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
    except OSError as error:
        sock.close()
        raise explain(address, error, spec.option) from error
    return sock


def _resolve(address: Tcp) -> tuple[socket.AddressFamily, tuple[object, ...]]:
    """The family and socket address; of a name's addresses the first, IPv4 preferred."""
    try:
        found = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (OSError, UnicodeError) as error:  # UnicodeError: by the rules of names (RFC 3490)
        why = error.strerror if isinstance(error, OSError) else "it is not a name"
        raise BindError(
            f"listening on {address}: {address.host} cannot be resolved: {why}",
            "give an address of this machine; :PORT for all of them",
        ) from error
    family, _, _, _, where = min(found, key=lambda each: each[0] != socket.AF_INET)
    return family, where


def explain(address: Tcp, error: OSError, option: str = "--bind") -> BindError:
    """What the system said about a TCP address, and what to do about it."""
    what = f"listening on {address}: {error.strerror}"
    if error.errno == errno.EADDRINUSE:
        who = holder.describe(address.port)
        return BindError(
            f"{what}; the port is held by {who}" if who else what,
            f"stop that process, or choose another port with {option} "
            f"(ss -ltnp 'sport = :{address.port}' shows who has it)",
        )
    if error.errno == errno.EACCES and address.port < 1024:
        return BindError(
            f"{what}; ports below 1024 need a right that this process lacks",
            "let systemd bind it (a .socket unit), or put a proxy in front, or lower the bar for all: "
            "sysctl net.ipv4.ip_unprivileged_port_start=80, or give the interpreter the right: "
            "setcap cap_net_bind_service=+ep on its resolved path, or use authbind",
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return BindError(
            f"{what}; this machine has no address {address.host}", "ip -brief address lists them"
        )
    return BindError(what)


def _bind_unix(address: Unix, spec: BindSpec) -> socket.socket:
    path = os.path.join(spec.directory, address.path)
    if len(os.fsencode(path)) > UNIX_PATH_MAX:
        raise BindError(
            f"listening on unix:{path}: the path has more than {UNIX_PATH_MAX} bytes",
            "give a shorter, absolute path",
        )
    try:
        sock = socket.socket(socket.AF_UNIX, STREAM)
    except OSError as error:
        raise BindError(f"listening on unix:{path}: {error.strerror}") from error
    try:
        with _locked_directory(path):
            _clear_stale(path, spec.reuse)
            _bind_restricted(sock, path, spec)
            try:
                if spec.listens:
                    sock.listen(spec.backlog)
            except OSError:
                os.unlink(path)
                raise
    except OSError as error:
        sock.close()
        raise BindError(f"listening on unix:{path}: {error.strerror}", _unix_remedy(path, error)) from error
    except BindError:
        sock.close()
        raise
    return sock


@contextlib.contextmanager
def _locked_directory(path: str) -> Iterator[None]:
    """Hold an advisory lock on the path's directory, so that two starts do not both find a socket stale."""
    fd = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        deadline = time.monotonic() + LOCK_PATIENCE
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
        yield
    finally:
        os.close(fd)


def _clear_stale(path: str, reuse: bool) -> None:
    """Unlink a socket that nobody listens on any more. Raises BindError if something else is there."""
    what = f"listening on unix:{path}"
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise BindError(f"{what}: something that is no socket is there", "remove it, or choose another path")
    alive = _listener(path)
    if alive:
        raise BindError(f"{what}: {alive} listens there", "stop it, or choose another path")
    if not reuse:
        raise BindError(f"{what}: a dead process left its socket there", "remove it, or drop --no-reuse")
    os.unlink(path)


def _listener(path: str) -> str:
    """Who listens on the unix socket, in words; empty only if a connection is refused: nobody."""
    with socket.socket(socket.AF_UNIX, STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return ""
        except OSError as error:
            # EAGAIN: alive, its queue full; EPROTOTYPE: alive, not a stream; EACCES: cannot be told.
            return f"a process that could not be asked ({error.strerror})"
        pid, _, _ = struct.unpack("3i", probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        return f"pid {pid}" if pid else "a process outside this container"


def _bind_restricted(sock: socket.socket, path: str, spec: BindSpec) -> None:
    """Bind, then give owner and permissions; at no moment is the socket more open than asked for."""
    user, group = _owner(spec.socket_owner, path)
    restricted = spec.socket_mode is not None or spec.socket_owner is not None
    old = os.umask(0o177) if restricted else None
    try:
        sock.bind(path)
    finally:
        if old is not None:
            os.umask(old)
    try:
        if spec.socket_owner is not None:
            os.chown(path, user, group)
        if restricted:
            os.chmod(path, spec.socket_mode if spec.socket_mode is not None else 0o777 & ~(old or 0))
    except OSError:
        os.unlink(path)
        raise


def _owner(text: str | None, path: str) -> tuple[int, int]:
    """user:group as numbers, -1 for what is not given."""
    import grp
    import pwd

    user, _, group = (text or "").partition(":")
    try:
        uid = -1 if not user else int(user) if user.isdigit() else pwd.getpwnam(user).pw_uid
        gid = -1 if not group else int(group) if group.isdigit() else grp.getgrnam(group).gr_gid
    except KeyError as error:
        raise BindError(f"listening on unix:{path}: --socket-owner {text}: {error.args[0]}") from error
    return uid, gid


def _unix_remedy(path: str, error: OSError) -> str:
    if error.errno == errno.ENOENT:
        return f"make the directory {os.path.dirname(path)} first"
    if error.errno == errno.EPERM:
        return "only root, or a member of the group, may give a socket away"
    if error.errno == errno.EACCES:
        return f"this user may not write in {os.path.dirname(path)}"
    if isinstance(error, BlockingIOError):
        return f"another process holds a lock on {os.path.dirname(path)}"
    return ""

"""Where the control socket of an app is: finds a private directory, makes it, and refuses one that is not.

Asked for by --control or FORKCLUSTER_HOME, a place that is not safe is an error; by default the next one is
tried: ~/.forkcluster, XDG_RUNTIME_DIR, a new temporary directory.
"""

import contextlib
import os
import socket
import stat
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from forkcluster import log
from forkcluster.errors import BindError, ConfigurationError
from forkcluster.master.bind import BindSpec, bind
from forkcluster.master.listeners import Listener
from forkcluster.options.address import UNIX_PATH_MAX, Unix

SOCKET = "control.sock"


@dataclass(slots=True)
class Place:
    """The listening control socket; `private` is a temporary directory that goes with it."""

    listener: Listener
    path: str
    private: str | None = None

    def close(self) -> None:
        """Close the socket and remove its file, and a directory made for it alone. Idempotent."""
        self.listener.close()
        if self.private is not None:
            with contextlib.suppress(OSError):
                os.rmdir(self.private)


def open_control(wanted: str | None, app: str, environment: Mapping[str, str]) -> Place | None:
    """Listen on the control socket: at `wanted`, nowhere when that is "off", in the app's home when None.

    Raise ConfigurationError or BindError when the place that was asked for cannot be used.
    """
    if wanted == "off":
        return None
    if wanted is not None:
        check_directory(os.path.dirname(wanted))
        return Place(_listen(wanted), wanted)
    home = environment.get("FORKCLUSTER_HOME")
    if home:
        return _in_directory(_prepare(os.path.abspath(home), app), app)
    refused = []
    for base in _default_bases(environment):
        try:
            return _in_directory(_prepare(base, app), app)
        except (OSError, ConfigurationError, BindError) as error:
            refused.append(str(error))
    private = tempfile.mkdtemp(prefix=f"forkcluster-{os.getpid()}-")
    path = os.path.join(private, SOCKET)
    log.warning("no home for the control socket; a temporary directory is used", path=path, why=refused[0])
    return Place(_listen(path), path, private)


def _default_bases(environment: Mapping[str, str]) -> Iterator[str]:
    yield os.path.join(os.path.expanduser("~"), ".forkcluster")
    if runtime := environment.get("XDG_RUNTIME_DIR"):
        yield os.path.join(runtime, "forkcluster")


def _prepare(base: str, app: str) -> str:
    """Make base/apps/app, each private. Raise OSError or ConfigurationError."""
    directory = base
    for name in ("", "apps", app):
        directory = os.path.join(directory, name) if name else directory
        try:
            os.mkdir(directory, 0o700)
        except FileExistsError:
            pass
        except OSError as error:
            text = f"making the directory {directory}: {error.strerror}"
            raise ConfigurationError(text, "set FORKCLUSTER_HOME or --control PATH|off") from error
        check_directory(directory)
    if not os.access(directory, os.W_OK):
        raise ConfigurationError(f"the directory {directory} cannot be written by this user")
    return directory


def check_directory(directory: str) -> None:
    """Raise ConfigurationError unless only this user (or root) can put things into the directory."""
    what = f"the control socket cannot be in {directory}"
    try:
        info = os.lstat(directory)
    except OSError as error:
        raise ConfigurationError(f"{what}: {error.strerror}", "make it first, with mode 0700") from error
    if stat.S_ISLNK(info.st_mode):
        raise ConfigurationError(f"{what}: it is a symbolic link", "name the directory itself")
    if not stat.S_ISDIR(info.st_mode):
        raise ConfigurationError(f"{what}: it is no directory")
    if info.st_uid not in (os.geteuid(), 0):
        raise ConfigurationError(f"{what}: it belongs to another user (uid {info.st_uid})")
    if info.st_mode & 0o022:
        mode = stat.S_IMODE(info.st_mode)
        raise ConfigurationError(f"{what}: others may write there (mode {mode:o})", f"chmod 700 {directory}")


def _in_directory(directory: str, app: str) -> Place:
    """Listen on the app's socket; beside it, when another app of that name runs."""
    path = os.path.join(directory, SOCKET)
    _clean(directory)
    if _alive(path):
        path = os.path.join(directory, f"control.{os.getpid()}.sock")
        log.warning("another app of this name is running; choose a name with --name", app=app, control=path)
    return Place(_listen(path), path)


def _listen(path: str) -> Listener:
    if len(os.fsencode(path)) > UNIX_PATH_MAX:
        text = f"listening on the control socket {path}: the path has more than {UNIX_PATH_MAX} bytes"
        raise ConfigurationError(text, "set --control, or FORKCLUSTER_HOME, to a shorter path")
    address = Unix(path)
    sock = bind(address, BindSpec("/", backlog=64, socket_mode=0o600))
    info = os.lstat(path)
    return Listener(address, sock, path, (info.st_dev, info.st_ino))


def _clean(directory: str) -> None:
    """Remove sockets that masters which were killed have left beside the first."""
    for name in os.listdir(directory):
        path = os.path.join(directory, name)
        ours = name.startswith("control.") and name.endswith(".sock") and name != SOCKET
        if ours and stat.S_ISSOCK(os.lstat(path).st_mode) and not _alive(path):
            with contextlib.suppress(OSError):
                os.unlink(path)


def _alive(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        try:
            probe.connect(path)
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        except OSError:
            return True
        return True

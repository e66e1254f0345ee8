"""The directory of the application's own metrics: files that the workers' prometheus_client maps and writes.

In memory (/dev/shm) where that is to be had: a write into a mapped file on a full disk kills the writer.
Named after the app's place. Belongs to the user that workers become; a reload to another user makes another.

Its master holds a lock (flock(2)) on it for life. What a killed one has left is removed by the next master of
the app, or by that of any other of the same user's; whoever removes one holds its lock, and a new one is
locked before it has its name, so that nobody removes what another has just made.
"""

import contextlib
import fcntl
import glob
import os
import zlib

from forkcluster import log
from forkcluster.wire.identity import Identity, resolve

SHARED_MEMORY = "/dev/shm"  # noqa: S108  a sticky directory; what is made in it is private, or not used
PREFIX = "forkcluster."


class AppMetrics:
    """Owns the directory and the descriptor that locks it."""

    def __init__(self, path: str, lock: int) -> None:
        self.path = path
        self._lock = lock

    def forget(self, seat: int) -> None:
        """Remove the live gauges of a worker that has ended: those that tell only of living processes."""
        for file in glob.glob(os.path.join(glob.escape(self.path), f"gauge_live*_{seat}.db")):
            with contextlib.suppress(OSError):
                os.unlink(file)

    def close(self) -> None:
        """Remove it."""
        _remove(self.path)
        os.close(self._lock)


class Directories:
    """The directories of one app, one for each user that its generations run as, made when first asked for.

    All stay to the end: workers that drain write into theirs, and a user who comes back counts on.
    """

    def __init__(self, name: str, place: str, *, wanted: bool) -> None:
        self._name = name
        self._place = place
        self._wanted = wanted
        self._made: dict[int, AppMetrics | None] = {}
        self._paths: dict[tuple[str | None, str | None], str] = {}

    def of(self, user: str | None, group: str | None) -> str:
        """Give the path for workers of --user and --group; empty: there is none.

        Raise ConfigurationError when they cannot be resolved, at the first time only.
        """
        if not self._wanted:
            return ""
        if (user, group) not in self._paths:
            identity = resolve(user, group)
            uid = identity.uid if identity else os.geteuid()
            if uid not in self._made:
                self._made[uid] = make_directory(self._name, self._place, identity)
            made = self._made[uid]
            self._paths[user, group] = made.path if made else ""
        return self._paths[user, group]

    def forget(self, seat: int) -> None:
        """Remove what is told of a worker only while it lives."""
        for made in self._made.values():
            if made is not None:
                made.forget(seat)

    def close(self) -> None:
        """Remove them."""
        for made in self._made.values():
            if made is not None:
                made.close()


def make_directory(name: str, place: str, identity: Identity | None) -> AppMetrics | None:
    """Make the directory of the app `name`, whose own directory is `place`; None when that is impossible."""
    base = SHARED_MEMORY if os.access(SHARED_MEMORY, os.W_OK | os.X_OK) else _temporary()
    path = os.path.join(base, f"{PREFIX}{name}.{os.geteuid()}.{zlib.crc32(place.encode()):08x}")
    owners = {identity.uid if identity else os.geteuid(), os.geteuid()}
    try:
        remove_left(base, owners)
        made = _make(path)
        if identity is not None:
            os.chown(made.path, identity.uid, identity.gid)
    except OSError as error:
        log.warning("no directory for the application's own metrics", path=path, error=error.strerror)
        return None
    return made


def remove_left(base: str, owners: set[int]) -> None:
    """Remove those of these users whose master is gone. Raise OSError when `base` cannot be read."""
    for name in os.listdir(base):
        if name.startswith(PREFIX):
            with contextlib.suppress(OSError):
                _remove_unheld(os.path.join(base, name), owners)


def _remove_unheld(path: str, owners: set[int]) -> None:
    """Remove a directory of these users; raise OSError when it is held, or no directory."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if os.fstat(descriptor).st_uid in owners:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(descriptor), os.lstat(path)):
                _remove(path)
    finally:
        os.close(descriptor)


def _make(path: str) -> AppMetrics:
    """Make a private directory, at this path unless somebody else is there. Raise OSError."""
    directory, name = os.path.split(path)
    made = os.path.join(directory, f".{name}.{os.urandom(4).hex()}")
    os.mkdir(made, 0o700)
    try:
        lock = os.open(made, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        os.rmdir(made)
        raise
    with contextlib.suppress(OSError):  # a file system without locks: then nobody else gets one, either
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    if os.path.lexists(path):
        path = os.path.join(directory, os.path.basename(made).removeprefix("."))
    os.rename(made, path)
    return AppMetrics(path, lock)


def _temporary() -> str:
    import tempfile  # rarely needed, and not small

    return tempfile.gettempdir()


def _remove(path: str) -> None:
    import shutil  # only at the end, and after a killed master

    shutil.rmtree(path, ignore_errors=True)

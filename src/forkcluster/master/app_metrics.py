"""The directory of the application's own metrics: files that the workers' prometheus_client maps and writes.

In memory (/dev/shm) where that is to be had: a write into a mapped file on a full disk kills the writer.
Named after the app's place, so that the next master removes what a killed one has left. Belongs to the user
that workers become.
"""

import contextlib
import glob
import os
import zlib

from forkcluster import log
from forkcluster.wire.identity import Identity

SHARED_MEMORY = "/dev/shm"  # noqa: S108  a sticky directory; what is made in it is private, or not used


class AppMetrics:
    """Owns the directory."""

    def __init__(self, path: str) -> None:
        self.path = path

    def forget(self, seat: int) -> None:
        """Remove the live gauges of a worker that has ended: those that tell only of living processes."""
        for file in glob.glob(os.path.join(glob.escape(self.path), f"gauge_live*_{seat}.db")):
            with contextlib.suppress(OSError):
                os.unlink(file)

    def close(self) -> None:
        """Remove it."""
        _remove(self.path)


def make_directory(name: str, place: str, identity: Identity | None) -> AppMetrics | None:
    """Make the directory of the app `name`, whose own directory is `place`; None when that is impossible."""
    base = SHARED_MEMORY if os.access(SHARED_MEMORY, os.W_OK | os.X_OK) else _temporary()
    path = os.path.join(base, f"forkcluster-{name}-{os.geteuid()}-{zlib.crc32(place.encode()):08x}")
    owner = identity.uid if identity else os.geteuid()
    try:
        path = _make(path, {owner, os.geteuid()})
        if identity is not None:
            os.chown(path, identity.uid, identity.gid)
    except OSError as error:
        log.warning("no directory for the application's own metrics", path=path, error=error.strerror)
        return None
    return AppMetrics(path)


def _make(path: str, owners: set[int]) -> str:
    """Make a private directory, at this path unless somebody else is there. Raise OSError."""
    with contextlib.suppress(FileNotFoundError):
        if os.lstat(path).st_uid in owners:
            _remove(path)
    try:
        os.mkdir(path, 0o700)
        return path
    except FileExistsError:
        import tempfile

        return tempfile.mkdtemp(prefix=f"{os.path.basename(path)}-", dir=os.path.dirname(path))


def _temporary() -> str:
    import tempfile  # rarely needed, and not small

    return tempfile.gettempdir()


def _remove(path: str) -> None:
    import shutil  # only at the end, and after a killed master

    shutil.rmtree(path, ignore_errors=True)

"""The home: the directory where apps are registered, what is where in it, and the locks that say who lives.

`HOME/apps/NAME` belongs to one app. Its master holds `lock` for life: an app runs if, and only if, its lock
is held; no pid is ever believed. Knows places and locks, not what the files in them say.
"""

import contextlib
import fcntl
import json
import os
import stat
import struct
from collections.abc import Iterator, Mapping

from forkcluster.dataclass import dataclass
from forkcluster.errors import ConfigurationError

# struct flock of fcntl(2) with 64-bit offsets: type, whence, start, length, pid.
FLOCK = struct.Struct("hhqqi4x")
REMEDY = "set FORKCLUSTER_HOME to a directory that only you can write"


@dataclass(frozen=True, slots=True)
class AppPlace:
    """One app's files. `home` is absolute; `name` is the one the app is registered under."""

    home: str
    name: str

    @property
    def directory(self) -> str:
        """The app's own directory, mode 0700."""
        return os.path.join(self.home, "apps", self.name)

    @property
    def lock(self) -> str:
        """Held by the master for life; holds what `Lock.note` wrote."""
        return os.path.join(self.directory, "lock")

    @property
    def control(self) -> str:
        """The control socket, unless --control says otherwise."""
        return os.path.join(self.directory, "control.sock")

    @property
    def admin(self) -> str:
        """The admin socket, unless --admin says otherwise."""
        return os.path.join(self.directory, "admin.sock")

    @property
    def events(self) -> str:
        """The history of the app, one JSON object in each line."""
        return os.path.join(self.directory, "events.jsonl")

    @property
    def history(self) -> tuple[str, str]:
        """The events, and those before them."""
        return self.events, os.path.join(self.directory, "events.1.jsonl")

    @property
    def record(self) -> str:
        """What a managed app is; a foreground app has none."""
        return os.path.join(self.directory, "record.json")

    @property
    def outcome(self) -> str:
        """How a managed app's last start came out, written by its master (`wire.outcome`)."""
        return os.path.join(self.directory, "outcome.json")

    @property
    def output(self) -> str:
        """Where a managed app's standard output goes."""
        return os.path.join(self.home, "logs", f"{self.name}-out.log")

    @property
    def error(self) -> str:
        """Where a managed app's standard error goes."""
        return os.path.join(self.home, "logs", f"{self.name}-error.log")


def inputs_of(home: str) -> str:
    """Give where files are that came through standard input."""
    return os.path.join(home, "input")


def bases(environment: Mapping[str, str]) -> Iterator[str]:
    """Give the homes to try, best first: FORKCLUSTER_HOME alone if it is set, else two defaults."""
    asked = environment.get("FORKCLUSTER_HOME")
    if asked:
        yield os.path.abspath(asked)
        return
    yield os.path.join(os.path.expanduser("~"), ".forkcluster")
    if runtime := environment.get("XDG_RUNTIME_DIR"):
        yield os.path.join(runtime, "forkcluster")


def make_place(place: AppPlace) -> None:
    """Make the app's directory and those above it, each private. Raise ConfigurationError."""
    for directory in (place.home, os.path.join(place.home, "apps"), place.directory):
        make_private(directory)
    if not os.access(place.directory, os.W_OK):
        raise ConfigurationError(f"the directory {place.directory} cannot be written by this user", REMEDY)


def make_private(directory: str) -> None:
    """Make a directory with mode 0700; one that is there must be as safe. Raise ConfigurationError."""
    try:
        os.mkdir(directory, 0o700)
    except FileExistsError:
        pass
    except OSError as error:
        raise ConfigurationError(f"making the directory {directory}: {error.strerror}", REMEDY) from error
    check_directory(directory)


def check_directory(directory: str) -> None:
    """Raise ConfigurationError unless only this user (or root) can put things into the directory."""
    what = f"the directory {directory} cannot be used"
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


@dataclass(slots=True)
class Lock:
    """An exclusive lock on a file, held until `close` or the last process with this descriptor ends.

    A lock of the open file description (F_OFD_SETLK): it passes through exec with its descriptor, and whether
    it is held can be asked without taking it, so that looking never makes a start fail.
    """

    path: str
    descriptor: int

    @classmethod
    def take(cls, path: str) -> "Lock | None":
        """Take the lock of that file, made if missing; None when somebody holds it. Raise OSError."""
        while True:
            lock = cls(path, os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
            try:
                fcntl.fcntl(lock.descriptor, fcntl.F_OFD_SETLK, FLOCK.pack(fcntl.F_WRLCK, 0, 0, 0, 0))
            except (BlockingIOError, PermissionError):  # EAGAIN or EACCES, says fcntl(2)
                lock.close()
                return None
            except OSError:
                lock.close()
                raise
            if lock.in_place():
                os.ftruncate(lock.descriptor, 0)  # what another one has noted
                return lock
            lock.close()  # its owner has removed it meanwhile: nobody else would see this one

    @classmethod
    def adopt(cls, path: str, descriptor: int) -> "Lock":
        """Take over a lock that the process which started this one has taken; programs do not inherit it."""
        os.set_inheritable(descriptor, False)
        return cls(path, descriptor)

    def in_place(self) -> bool:
        """Tell whether the path still leads to the file that is locked."""
        try:
            return os.path.samestat(os.fstat(self.descriptor), os.stat(self.path))
        except OSError:
            return False

    def note(self, **values: str | int | bool | None) -> None:
        """Write who holds it, for people and for the manager. A full disk is no obstacle."""
        with contextlib.suppress(OSError):
            os.ftruncate(self.descriptor, 0)
            os.pwrite(self.descriptor, json.dumps(values).encode(), 0)

    def close(self) -> None:
        """Give it up. Idempotent."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def held(path: str) -> dict[str, object] | None:
    """Tell whether the lock of that file is held: what its holder has noted ({} if nothing), else None."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        found = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, FLOCK.pack(fcntl.F_WRLCK, 0, 0, 0, 0))
        if FLOCK.unpack(found)[0] == fcntl.F_UNLCK:
            return None
        noted = json.loads(os.pread(descriptor, 65536, 0) or b"{}")
        return noted if isinstance(noted, dict) else {}
    except (OSError, ValueError):
        return {}
    finally:
        os.close(descriptor)

"""Where an app's own files are: takes its place in the home, holds its lock, listens on its control socket.

A managed app's place and lock come with its launch. A foreground app takes the first of NAME, NAME-2 … that
is neither a managed app's nor running. A home that was asked for (FORKCLUSTER_HOME) must be usable; by
default the next is tried, at last a new temporary directory, which may be in /dev/shm.
"""

import contextlib
import os
from collections.abc import Mapping

from forkcluster import log
from forkcluster.dataclass import dataclass
from forkcluster.errors import BindError, ConfigurationError
from forkcluster.master.bind import BindSpec, bind
from forkcluster.master.listeners import Listener
from forkcluster.options.address import UNIX_PATH_MAX, Unix
from forkcluster.options.frozen import Registration
from forkcluster.wire.home import AppPlace, Lock, bases, check_directory, make_place


@dataclass(slots=True)
class Home:
    """One app's place, its lock and its control socket (None: --control off).

    `private`: the home is a temporary directory made for this app alone. `managed`: the app has a record, and
    its place outlives it; else only its history does, and not that of a `second` app of a name.
    """

    place: AppPlace
    lock: Lock
    control: Listener | None = None
    private: bool = False
    managed: bool = False
    second: bool = False

    def close(self) -> None:
        """Close the socket and remove what only a running app needs. Idempotent.

        A managed app's lock is held to the very end of the process: who waits for it waits for that.
        """
        if self.control is not None:
            self.control.close()
        if self.managed:
            return
        if self.lock.descriptor >= 0 and self.lock.in_place():
            gone = [self.place.lock, *(self.place.history if self.second else ())]
            for path in gone:
                with contextlib.suppress(OSError):
                    os.unlink(path)
            with contextlib.suppress(OSError):
                os.rmdir(self.place.directory)
        self.lock.close()
        if self.private:
            import shutil

            shutil.rmtree(self.place.home, ignore_errors=True)


def adopt_home(control: str | None, registration: Registration) -> Home:
    """Take over a managed app's place, whose lock the terminal has taken. Raise as `open_home`."""
    _check(control)
    place = AppPlace(registration.home, registration.name)
    return _equip(Home(place, Lock.adopt(place.lock, registration.lock), managed=True), control)


def open_home(control: str | None, app: str, environment: Mapping[str, str]) -> Home:
    """Take a foreground app's place. `control` is the option: a path, "off", or None for one in the place.

    Raise ConfigurationError or BindError when what was asked for cannot be used.
    """
    _check(control)
    refused: list[str] = []
    for base in bases(environment):
        try:
            return _equip(_take(base, app), control)
        except (OSError, ConfigurationError, BindError) as error:
            if environment.get("FORKCLUSTER_HOME"):
                raise
            refused.append(str(error))
    base = _make_private()
    home = _equip(_take(base, app), control)
    home.private = True
    path = home.control.path if home.control else None
    log.warning("no home for the control socket; a temporary directory is used", path=path, why=refused[0])
    return home


def _check(control: str | None) -> None:
    """Refuse a path of a control socket that others could replace. Raise ConfigurationError."""
    if control not in (None, "off"):
        check_directory(os.path.dirname(control))


def _make_private() -> str:
    """Make a directory for this app alone. In a container with a read-only root only /dev/shm may be left."""
    import tempfile  # rarely needed, and not small

    prefix = f"forkcluster-{os.getpid()}-"
    try:
        return tempfile.mkdtemp(prefix=prefix)
    except OSError:
        pass
    try:
        return tempfile.mkdtemp(prefix=prefix, dir="/dev/shm")
    except OSError as error:
        what = "making a directory for runtime files: no temporary directory can be written to, nor /dev/shm"
        remedy = "mount a small tmpfs on /tmp (docker run --tmpfs /tmp; an emptyDir), or set XDG_RUNTIME_DIR"
        raise ConfigurationError(f"{what}: {error.strerror}", remedy) from error


def _take(base: str, app: str) -> Home:
    """Take the first place that nobody has. Raise OSError or ConfigurationError."""
    number, lock = 0, None
    while lock is None:
        number += 1
        place = AppPlace(base, app if number == 1 else f"{app}-{number}")
        lock = _lock(place)
    if number > 1:
        text = "another app of this name is registered; choose a name with --name"
        log.warning(text, app=app, registered_as=place.name)
    return Home(place, lock, second=number > 1)


def _lock(place: AppPlace) -> Lock | None:
    """Take the lock of a place that has no record; None when somebody else has the place."""
    if os.path.lexists(place.record):
        return None
    make_place(place)
    try:
        lock = Lock.take(place.lock)
    except OSError as error:
        raise ConfigurationError(f"locking {place.lock}: {error.strerror}") from error
    if lock is not None and os.path.lexists(place.record):
        lock.close()  # a managed app was made here just now
        return None
    return lock


def _equip(home: Home, control: str | None) -> Home:
    """Listen on the control socket and say in the lock where it is. Raise ConfigurationError or BindError."""
    try:
        if control != "off":
            home.control = _listen(control or home.place.control)
    except (ConfigurationError, BindError):
        home.close()
        raise
    path = home.control.path if home.control else None
    home.lock.note(pid=os.getpid(), control=path, managed=home.managed)
    return home


def _listen(path: str) -> Listener:
    if len(os.fsencode(path)) > UNIX_PATH_MAX:
        text = f"listening on the control socket {path}: the path has more than {UNIX_PATH_MAX} bytes"
        raise ConfigurationError(text, "set --control, or FORKCLUSTER_HOME, to a shorter path")
    address = Unix(path)
    sock = bind(address, BindSpec("/", backlog=64, socket_mode=0o600))
    info = os.lstat(path)
    return Listener(address, sock, path, (info.st_dev, info.st_ino))

"""The register of apps: the directories of the home. What is registered, what runs, which ids are taken.

Reads what is there each time it is asked: nothing is cached and no process keeps it. Changes are made under
the home's lock.
"""

import contextlib
import os
import shutil
import time
from collections.abc import Iterator, Mapping

from forkcluster.dataclass import dataclass
from forkcluster.errors import ConfigurationError, ForkclusterError, StateError
from forkcluster.manager import record as records
from forkcluster.manager.record import RUNNING, Record
from forkcluster.wire import outcome as outcomes
from forkcluster.wire.files import read_json
from forkcluster.wire.home import AppPlace, Lock, bases, held, make_private
from forkcluster.wire.outcome import End, Outcome

PATIENCE = 10.0  # seconds; what is done under the home's lock takes milliseconds


@dataclass(frozen=True, slots=True)
class App:
    """One registered app. `holder` is what its master has noted in the lock, None when nobody holds it;
    `fault` says why its record cannot be read.
    """

    place: AppPlace
    record: Record | None = None
    holder: Mapping[str, object] | None = None
    outcome: Outcome | None = None
    fault: str = ""

    @property
    def name(self) -> str:
        """The name it is registered under."""
        return self.place.name

    @property
    def running(self) -> bool:
        """Whether a master, or a start, has it."""
        return self.holder is not None

    @property
    def foreground(self) -> bool:
        """Whether it runs in somebody's terminal: it has no record."""
        return self.record is None and not self.fault

    @property
    def wanted(self) -> bool:
        """Whether it should run."""
        return self.record is not None and self.record.wanted == RUNNING

    @property
    def proven(self) -> bool:
        """Whether a start has ever made it ready."""
        before = self.record is not None and self.record.proven
        return before or (self.outcome is not None and self.outcome.was_ready)

    @property
    def stillborn(self) -> bool:
        """Whether it does not run, and no start has ever made it ready: the last one has failed, too."""
        failed = self.outcome is not None and self.outcome.end is End.FAILED
        return failed and not self.running and self.record is not None and not self.proven

    @property
    def control(self) -> str | None:
        """The path of its master's control socket; None when it has none, or no master."""
        path = self.holder.get("control", self.place.control) if self.holder is not None else None
        return path if isinstance(path, str) else None

    @property
    def pid(self) -> int | None:
        """Its master's pid, as the holder of the lock has noted it."""
        pid = self.holder.get("pid") if self.holder is not None else None
        return pid if isinstance(pid, int) else None


class Register:
    """The apps of one home."""

    def __init__(self, home: str) -> None:
        self.home = home

    @classmethod
    def find(cls, environment: Mapping[str, str]) -> "Register":
        """Take the first home that is there and safe; make one if there is none. Raise ConfigurationError."""
        refused: ConfigurationError | None = None
        for base in bases(environment):
            try:
                make_private(base)
                make_private(os.path.join(base, "apps"))
                return cls(base)
            except ConfigurationError as error:
                refused = refused or error
        raise refused or ConfigurationError("there is no home for apps")

    def place(self, name: str) -> AppPlace:
        """Give where an app of that name is, or would be."""
        return AppPlace(self.home, name)

    def app(self, name: str) -> App | None:
        """Look at one app; None when nothing of that name is registered."""
        place = self.place(name)
        holder = held(place.lock)
        found: Record | None = None
        fault = ""
        values = read_json(place.record)
        if values is not None or os.path.lexists(place.record):
            try:
                found = records.from_mapping(values or {}, place.record)
            except ForkclusterError as error:
                fault = str(error)
        if found is None and not fault and holder is None:
            return None
        return App(place, found, holder, outcomes.read(place.outcome), fault)

    def apps(self) -> list[App]:
        """Give every app: managed ones by id, then those in the foreground, by name."""
        try:
            names = sorted(os.listdir(os.path.join(self.home, "apps")))
        except OSError as error:
            raise ConfigurationError(f"reading the home {self.home}: {error.strerror}") from error
        found = [app for name in names if (app := self.app(name)) is not None]
        return sorted(found, key=lambda app: (app.record is None, app.record.id if app.record else 0))

    def free_id(self) -> int:
        """Give the lowest id that no record has."""
        taken = {app.record.id for app in self.apps() if app.record}
        return next(number for number in range(len(taken) + 1) if number not in taken)

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        """Hold the home's lock, so that two changes do not take the same id. Raise StateError when busy."""
        path = os.path.join(self.home, "home.lock")
        deadline = time.monotonic() + PATIENCE
        try:
            while (lock := Lock.take(path)) is None:
                if time.monotonic() > deadline:
                    raise StateError(f"another command has held {path} for {PATIENCE:g} s", "try again")
                time.sleep(0.005)
        except OSError as error:
            raise ConfigurationError(f"locking {path}: {error.strerror}") from error
        try:
            yield
        finally:
            lock.close()

    def take(self, place: AppPlace) -> Lock | None:
        """Take an app's lock, so that no master of it can live; None when one does."""
        try:
            return Lock.take(place.lock)
        except OSError as error:
            raise ConfigurationError(f"locking {place.lock}: {error.strerror}") from error

    def forget(self, app: App) -> None:
        """Remove an app that does not run, unless another command has; its logs stay.

        Raise StateError when it runs again.
        """
        with self.changing():
            if os.path.lexists(app.place.directory):
                self._remove(app)

    def _remove(self, app: App) -> None:
        lock = self.take(app.place)
        if lock is None:
            raise StateError(f"{app.name} was started meanwhile", "stop it first")
        try:
            shutil.rmtree(app.place.directory)
        except OSError as error:
            raise ConfigurationError(
                f"removing {app.place.directory}: {error.strerror}",
                f"see who may write there (ls -ld; lsattr -d), then: forkcluster delete {app.name}",
            ) from error
        finally:
            lock.close()

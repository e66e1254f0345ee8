"""Starts managed apps: takes the app's lock, writes its record, executes its master and hears how it went.

The master is a session of its own. The lock passes to it with its descriptor, so two starts of one name
cannot both succeed, and there is no moment in which nobody holds it.
"""

import contextlib
import os
import selectors
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from types import MappingProxyType

from forkcluster.dataclass import dataclass, replace
from forkcluster.errors import (
    ConfigurationError,
    ForkclusterError,
    InternalError,
    LateError,
    StateError,
    UsageError,
)
from forkcluster.manager.interpreter import interpreter_of, prove
from forkcluster.manager.record import RUNNING, Record
from forkcluster.manager.register import App, Register
from forkcluster.options.frozen import Launch, Registration, Request
from forkcluster.options.read import Reading, read
from forkcluster.wire import leftovers
from forkcluster.wire import outcome as outcomes
from forkcluster.wire.home import AppPlace, Lock, held, make_place, make_private
from forkcluster.wire.outcome import End, Outcome
from forkcluster.wire.program import command, memory, shielded
from forkcluster.wire.title import title_of

# What belongs to the process that runs the command, not to the app that it starts.
NOT_INHERITED = frozenset(
    (
        "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC",
        "OLDPWD", "SHLVL", "_", leftovers.VARIABLE,
    )
)  # fmt: skip


Flags = Mapping[str, tuple[str, ...]]
Env = Mapping[str, str]
Renewed = tuple[Record, Reading]


END_TIME = 5.0  # seconds that a master may take from its last word to its end


@dataclass(slots=True)
class Pending:
    """A start that is under way. `pipe` is owned: the reading end of the report.

    `instead_of`: the target that had the name, and has lost it.
    """

    name: str
    place: AppPlace
    pipe: int
    process: subprocess.Popen[bytes]
    heard: bytes = b""
    instead_of: str = ""

    def close(self) -> None:
        """Stop listening; the app goes on starting. Idempotent."""
        if self.pipe >= 0:
            os.close(self.pipe)
            self.pipe = -1
        self.process.returncode = self.process.returncode or 0  # it is not waited for: it outlives us


def base_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Give what an app inherits from the terminal it is started from."""
    return {name: text for name, text in environment.items() if name not in NOT_INHERITED}


def begin_new(
    register: Register,
    request: Request,
    environment: Mapping[str, str],
    *,
    force: bool = False,
    claim: bool = False,
    restarts: int | None = None,
) -> Pending:
    """Start an app as asked for, registering it unless it is.

    An app of the same name must be stopped and have the same target and directory, unless it has never been
    ready or its record is `claim`ed; with `force` another one takes the next free name. `restarts`: how many
    a list shows from now on. Raise ForkclusterError when it cannot be started.
    """
    environment = base_environment(environment)
    reading = read(request, environment)
    name = reading.options.name
    if force:
        name = _free_name(register, name)
        request = replace(request, flags={**request.flags, "name": (name,)})
        reading = read(request, environment)
    prove(interpreter_of(reading.options))
    with register.changing():
        app = register.app(name)
        old = app.record if app else None
        number = old.id if old else register.free_id()
        record = Record(number, name, request, environment).come_to(reading.options)
        if not claim:
            _check_same(app, record)
        if old:
            kept = old.restarts if restarts is None else restarts
            record = replace(record, created=old.created, restarts=kept, proven=old.proven)
        pending = _begin(register, record, reading)
        if old and _differs(old, record):
            pending.instead_of = old.target
        return pending


def renewed(app: App, flags: Flags = MappingProxyType({}), environment: Env | None = None) -> Renewed:
    """Give an app's record as its next start will have it, and the options that it comes to.

    `flags` change those it was started with, --env variable by variable; `environment` replaces its base
    environment. Nothing is started. Raise ForkclusterError when it could not be.
    """
    old = app.record
    if old is None:
        raise StateError(f"{app.name} has no record that can be read", app.fault)
    known = old.environment if environment is None else base_environment(environment)
    request = replace(old.request, flags=_changed(old.request.flags, flags))
    reading = read(request, known)
    if reading.options.name != app.name:
        raise UsageError(
            f"{app.name} would be called {reading.options.name} now", "start it anew under that name"
        )
    prove(interpreter_of(reading.options))
    record = replace(old, request=request, environment=known, wanted=RUNNING)
    return record.come_to(reading.options), reading


def _changed(before: Flags, flags: Flags) -> Flags:
    texts = (*before.get("env", ()), *flags.get("env", ()))
    variables = {text.partition("=")[0]: text for text in texts}
    return {**before, **flags, **({"env": tuple(variables.values())} if variables else {})}


def keep_environment(register: Register, environment: Env, names: Sequence[str]) -> None:
    """Write down that these apps have this base environment from now on. Raise ForkclusterError."""
    with register.changing():
        for name in names:
            app = register.app(name)
            if app is not None and app.record is not None:
                replace(app.record, environment=environment).save(app.place.record)


def begin_again(register: Register, renewal: Renewed, restarts: int | None = None) -> Pending:
    """Start a registered app with what `renewed` gave; `restarts`: how many a list shows from now on."""
    record, reading = renewal
    kept = record.restarts if restarts is None else restarts
    with register.changing():
        return _begin(register, replace(record, restarts=kept, forgiven=0), reading)


def make_room(register: Register, name: str) -> AppPlace:
    """Make the directories that a start of this app needs, and give its place. Raise ConfigurationError."""
    place = register.place(name)
    make_place(place)
    make_private(os.path.join(register.home, "logs"))
    return place


def _begin(register: Register, record: Record, reading: Reading) -> Pending:
    """Take the lock, write the record, execute the master. The home's lock is held."""
    place = make_room(register, record.name)
    lock = register.take(place)
    if lock is None:
        raise _taken(place)
    try:
        last = outcomes.read(place.outcome)
        proven = record.proven or (last is not None and last.was_ready)
        replace(record, proven=proven).save(place.record)
        _note_start(place)
        return _execute(place, lock, record, reading)
    finally:
        lock.close()  # ours; the master has its own copy


def _note_start(place: AppPlace) -> None:
    try:
        outcomes.write(place.outcome, Outcome(End.STARTING))
    except OSError as error:
        raise ConfigurationError(f"writing {place.outcome}: {error.strerror}") from error


def _execute(place: AppPlace, lock: Lock, record: Record, reading: Reading) -> Pending:
    """Execute the master in a session of its own, its output to the app's logs."""
    python = interpreter_of(reading.options)
    ours, theirs = os.pipe2(os.O_CLOEXEC)
    opened = [theirs]
    try:
        registration = Registration(place.home, place.name, lock.descriptor, theirs, record.scaled)
        launch = Launch(reading.options, record.request, reading.notes, registration)
        options = memory(launch.to_json().encode(), "forkcluster-options")
        opened.append(options)
        opened.append(_append(place.output))
        opened.append(_append(place.error))
        with shielded():
            process = subprocess.Popen(
                command(python, "master", str(options), title_of("master", reading.options.name)),
                stdin=subprocess.DEVNULL,
                stdout=opened[-2],
                stderr=opened[-1],
                cwd=record.request.directory,
                env={**record.environment, "PWD": record.request.directory},
                pass_fds=(options, lock.descriptor, theirs),
                start_new_session=True,
            )
    except OSError as error:
        os.close(ours)
        raise ConfigurationError(
            f"starting {place.name} with {python} in {record.request.directory}: {error.strerror}"
        ) from error
    finally:
        for descriptor in opened:
            os.close(descriptor)
    return Pending(place.name, place, ours, process)


def _append(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def _free_name(register: Register, name: str) -> str:
    names = (name if number == 1 else f"{name}-{number}" for number in count(1))
    return next(each for each in names if register.app(each) is None)


def _differs(one: Record, other: Record) -> bool:
    return (one.target, one.request.directory) != (other.target, other.request.directory)


def _check_same(app: App | None, record: Record) -> None:
    """Refuse a name that another app has, unless that has never been ready: nothing is lost with its record.

    One that runs is refused when its lock cannot be taken.
    """
    if app is None or app.record is None or app.running or app.stillborn:
        return
    if _differs(app.record, record):
        raise UsageError(
            f"the name {app.name} belongs to {app.record.target} in {app.record.request.directory}",
            f"choose another with --name, or forget that app: forkcluster delete {app.name}",
        )


def _taken(place: AppPlace) -> StateError:
    """Say who has the name."""
    holder = held(place.lock) or {}
    pid = f" (pid {holder['pid']})" if "pid" in holder else ""
    name = place.name
    if holder.get("managed") is False:
        return StateError(f"an app {name} runs in the foreground{pid}", "choose another name with --name")
    if not pid:
        return StateError(
            f"{name} is being started by another command", f"forkcluster describe {name} tells how it goes"
        )
    return StateError(
        f"{name} runs already{pid}",
        f"forkcluster reload {name} loads new code, forkcluster restart {name} starts it anew; "
        "--force starts another one beside it",
    )


Heard = Callable[[str, Outcome | ForkclusterError], None]


def wait(pending: Sequence[Pending], timeout: float | None, heard: Heard) -> None:
    """Wait for starts; call `heard` with each one's outcome, or with an error when there is none.

    Whoever has not been heard of after `timeout` seconds (None: however long it takes) has a LateError, and
    goes on starting.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    with selectors.DefaultSelector() as selector:
        for each in pending:
            selector.register(each.pipe, selectors.EVENT_READ, each)
        try:
            while selector.get_map():
                left = None if deadline is None else max(0.0, deadline - time.monotonic())
                ready = selector.select(left)
                if not ready and left is not None and time.monotonic() >= (deadline or 0):
                    break
                for key, _ in ready:
                    each = key.data
                    data = os.read(each.pipe, 65536)
                    each.heard += data
                    if not data:
                        selector.unregister(each.pipe)
                        heard(each.name, _conclude(each))
                        each.close()
            for key in list(selector.get_map().values()):
                late = f"{key.data.name} is not ready after {timeout or 0:g} s; it goes on starting"
                heard(
                    key.data.name, LateError(late, f"forkcluster describe {key.data.name} tells how it goes")
                )
        finally:
            for each in pending:
                each.close()


def _see_off(pending: Pending) -> None:
    """Wait for a master that has failed, so that its name is free; what it has reported is true anyway."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        pending.process.wait(END_TIME)


def _conclude(pending: Pending) -> Outcome | ForkclusterError:
    """Understand what a master has reported before it closed the pipe."""
    import json

    try:
        values = json.loads(pending.heard)
        found = Outcome.from_mapping(values) if isinstance(values, dict) else None
    except ValueError:
        found = None
    if found is not None:
        if found.end is not End.READY and not found.goes_on:
            _see_off(pending)
        return found
    code = pending.process.wait()
    how = f"was killed by signal {-code}" if code < 0 else f"exited with status {code}"
    text = f"starting {pending.name}: its master {how} without a word"
    return InternalError(text, f"what it said is in {pending.place.error}")

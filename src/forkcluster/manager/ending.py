"""Ends managed apps: stops masters, waits for their locks, forgets records."""

import os
import signal
import time
from collections.abc import Callable, Sequence

from forkcluster.dataclass import replace
from forkcluster.errors import ForkclusterError, LateError, PeerError, StateError
from forkcluster.manager.control import NoAnswerError, NotRunningError, ask_all
from forkcluster.manager.record import STOPPED
from forkcluster.manager.register import App, Register
from forkcluster.manager.status import look
from forkcluster.wire import leftovers
from forkcluster.wire.home import Lock, held

LOOK = 0.01  # seconds between two looks at a lock
LINGER = 5.0  # seconds that a master may take from its answer to its end
GRACE = 30.0  # seconds that what a killed master has left may take to end when it is asked

Done = Callable[[App, ForkclusterError | None], None]


def want_stopped(register: Register, apps: Sequence[App]) -> None:
    """Write down that these apps shall not run. Raise the first ForkclusterError, when all were tried."""
    restarts = {view.app.name: view.restarts for view in look(apps, figures=False)}
    errors = []
    with register.changing():
        for app in apps:
            now = register.app(app.name)
            if now is not None and now.record is not None and now.record.wanted != STOPPED:
                kept = replace(now.record, wanted=STOPPED, restarts=restarts[app.name], forgiven=0)
                try:
                    kept.save(now.place.record)
                except ForkclusterError as error:
                    errors.append(error)
    if errors:
        raise errors[0]


def tried_stopped(register: Register, apps: Sequence[App]) -> ForkclusterError | None:
    """As `want_stopped`, for who stops them in any case; give what could not be written down, or None."""
    try:
        want_stopped(register, apps)
    except ForkclusterError as error:
        return error
    return None


def stop(apps: Sequence[App], timeout: float | None, done: Done, *, at_once: bool = False) -> None:
    """Stop the masters of these apps, all at the same time, and wait until they are gone.

    `done` is called for each with None, or with the error that came. `timeout`: seconds in all, None for
    however long draining takes.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    by_name = {}
    paths = {}
    for each in apps:
        app = _settled(each)
        by_name[app.name] = app
        if app.holder is None:
            done(app, clear(app, grace_of(timeout, at_once=at_once)))
        elif app.control is None:
            done(app, StateError(f"{app.name} has no control socket", f"stop it with: kill {app.pid}"))
        else:
            paths[app.name] = app.control
    answers = ask_all(paths, "stop", timeout=timeout, at_once=at_once)
    for name, answer in answers.items():
        app = by_name[name]
        until = deadline if isinstance(answer, NoAnswerError) else time.monotonic() + LINGER
        done(app, _ended(app, answer, until))


def grace_of(timeout: float | None, *, at_once: bool = False) -> float:
    """Give how long what is left of an app may take to end, of a command's own time."""
    return 0.0 if at_once else min(GRACE, timeout if timeout is not None else GRACE)


def clear(app: App, grace: float = GRACE) -> StateError | None:
    """End what a master that was killed has left of a command's processes; give the error when that fails.

    They are asked first, and killed after `grace` seconds.
    """
    try:
        lock = Lock.take(app.place.lock)
    except OSError:
        return None  # there is no such app any more, or it is somebody else's
    if lock is None:
        return None  # it was started meanwhile
    try:
        stuck = leftovers.end(app.place.directory, signal.SIGTERM, grace)
    finally:
        lock.close()
    if not stuck:
        return None
    pids = " ".join(map(str, stuck))
    return StateError(f"{app.name}: its last master left processes that cannot be killed: {pids}")


def _settled(app: App) -> App:
    """Wait until a master that has just been executed listens, or is gone."""
    until = time.monotonic() + LINGER
    holder = held(app.place.lock)
    while holder is not None and "pid" not in holder and time.monotonic() < until:
        time.sleep(LOOK)
        holder = held(app.place.lock)
    return replace(app, holder=holder)


def _ended(app: App, answer: object, until: float | None) -> ForkclusterError | None:
    """Wait for the end of an app that was told to stop. One that does not hear us may be ending already."""
    error = answer if isinstance(answer, ForkclusterError) else None
    unheard = isinstance(error, NotRunningError | PeerError)
    while _lives(app):
        late = until is not None and time.monotonic() > until
        if error is not None and not isinstance(error, NoAnswerError) and (late or not unheard):
            return error
        if late:
            text = f"{app.name} has not ended yet (pid {app.pid}); it goes on stopping"
            deaf = isinstance(error, NoAnswerError)
            remedy = f"kill -9 {app.pid}" if deaf else f"forkcluster stop {app.name} --now"
            return LateError(text, f"{remedy} ends it at once")
        time.sleep(LOOK)
    return None


def _lives(app: App) -> bool:
    """Tell whether the master that was looked at holds the lock, and not one that was started since."""
    holder = held(app.place.lock)
    return holder is not None and (app.pid is None or holder.get("pid", app.pid) == app.pid)


def kill(app: App) -> None:
    """SIGKILL an app's master and wait for its end; its workers follow it by themselves within seconds.

    The pid is the one that the holder of the lock has noted. It is opened first and the lock looked at then,
    so that no other process that was given the same number since can be hit. Raise StateError.
    """
    pid = app.pid
    if pid is None:
        raise StateError(f"{app.name} has no master that is known")
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        holder = held(app.place.lock)
        if holder is None:
            return
        if holder.get("pid") == pid:
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        until = time.monotonic() + LINGER
        while held(app.place.lock) is not None:
            if time.monotonic() > until:
                raise StateError(f"{app.name} (pid {pid}) cannot be killed", "the kernel may be stuck in it")
            time.sleep(LOOK)
    except PermissionError as error:
        raise StateError(f"killing {app.name} (pid {pid}): {error.strerror}") from error
    finally:
        os.close(descriptor)

"""What monit's keys do to an app: the same requests that the commands make. Blocks; called from a thread."""

from forkcluster.errors import ForkclusterError, StateError
from forkcluster.manager import ending
from forkcluster.manager.control import ask
from forkcluster.manager.register import App, Register

WAIT = 600.0  # seconds; a reload's own limits are shorter


def act(register: Register, app: App, what: str) -> str:
    """Do it, wait for its end, say what came of it. Raise ForkclusterError."""
    if what == "stop":
        return _stop(register, app)
    if app.control is None:
        raise StateError(f"{app.name} does not run", f"forkcluster start {app.name}")
    if what in ("+1", "-1"):
        answer = ask(app.control, "scale", workers=what)
        return f"{app.name}: {answer['before']} → {answer['workers']} workers"
    answer = ask(app.control, what, timeout=WAIT)
    return f"{app.name}: {what} done" + (f", generation {answer['generation']}" if what == "reload" else "")


def _stop(register: Register, app: App) -> str:
    failed: list[ForkclusterError] = []
    unwritten = ending.tried_stopped(register, [app])
    ending.stop([app], WAIT, lambda _app, error: failed.append(error) if error else None)
    if failed:
        raise failed[0]
    return f"{app.name} is stopped" + (f"; {unwritten}" if unwritten else "")

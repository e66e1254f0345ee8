"""Changes how many workers an app has, and keeps that in its record for its next start."""

import re
import time

from forkcluster.dataclass import replace
from forkcluster.errors import LateError, UsageError
from forkcluster.manager.control import ask
from forkcluster.manager.register import App, Register
from forkcluster.manager.status import look
from forkcluster.options import cpus

LOOK = 0.02  # seconds between two looks at the workers


def check(number: str) -> None:
    """Raise UsageError unless it is N, +N, -N or max."""
    if not re.fullmatch(r"[+-]?[0-9]+|max", number):
        raise UsageError(f"scaling to {number!r}: expected N, +N, -N or max")
    if number == "0":
        raise UsageError("scaling to 0 workers: at least one is needed", "forkcluster stop stops the app")


def scale(register: Register, app: App, number: str) -> tuple[int, int]:
    """Have so many workers; give how many were wanted before, and now. Raise ForkclusterError."""
    if app.control is not None:
        answer = ask(app.control, "scale", workers=number)
        before, wanted = int(str(answer["before"])), int(str(answer["workers"]))
    else:
        before, wanted = _of_stopped(app, number)
    with register.changing():
        now = register.app(app.name)
        if now is not None and now.record is not None:
            configured = cpus.workers(now.record.instances, cpus.observe()).count
            replace(now.record, scaled=(configured, wanted)).save(now.place.record)
    return before, wanted


def _of_stopped(app: App, number: str) -> tuple[int, int]:
    record = app.record
    if record is None:
        raise UsageError(f"{app.name} cannot be scaled: {app.fault}")
    configured = cpus.workers(record.instances, cpus.observe()).count
    before = record.scaled[1] if record.scaled[0] == configured else configured
    if number == "max":
        return before, cpus.workers("max", cpus.observe()).count
    wanted = before + int(number) if number[0] in "+-" else int(number)
    if wanted < 1:
        raise UsageError(f"scaling to {wanted} workers: at least one is needed")
    return before, wanted


def settle(app: App, workers: int, timeout: float | None) -> None:
    """Wait until so many serve. Raise LateError after `timeout` seconds (None: however long it takes)."""
    deadline = None if timeout is None else time.monotonic() + timeout
    while True:
        (view,) = look([app], figures=False)
        status = view.status
        if not status or status.get("wanted") != workers:
            return  # it was stopped, or scaled again
        present = status.get("workers")
        if view.ready == workers and isinstance(present, list) and len(present) == workers:
            return
        if deadline is not None and time.monotonic() > deadline:
            raise LateError(f"{view.ready} of {workers} workers serve; the rest is on its way")
        time.sleep(LOOK)

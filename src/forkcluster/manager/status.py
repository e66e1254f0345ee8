"""What every app is doing, in one look: the register, what the masters say, what their processes use.

A view is what `list`, `jlist`, `describe` and `monit` show. The words for what an app is doing are STATES.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Final

from forkcluster.dataclass import dataclass, field
from forkcluster.manager.control import Answer, NoAnswerError, ask_all
from forkcluster.manager.figures import Figures, sample
from forkcluster.manager.register import App
from forkcluster.wire.control import Body
from forkcluster.wire.outcome import End

LIMIT: Final = 0.3  # seconds; a master answers in a millisecond

STATES: Final[Mapping[str, str]] = {
    "starting": "its master is there, not all of its first workers are",
    "ready": "serves with as many workers as wanted",
    "degraded": "serves with fewer workers than wanted",
    "reloading": "serves, and workers of new code are replacing the old",
    "stopping": "was told to stop, and finishes what it is doing",
    "stopped": "does not run, and shall not",
    "waiting": "waits before it starts a program again that has died",
    "errored": "did not start, or was given up",
    "lost": "should run, but its master was killed",
    "silent": "its master runs, and does not answer",
    "damaged": "its record cannot be read",
}


@dataclass(frozen=True, slots=True)
class View:
    """One app as it is now. `status` is its master's answer, empty if there is none."""

    app: App
    state: str
    status: Body
    figures: Figures = field(default_factory=Figures)

    @property
    def restarts(self) -> int:
        """How often it, or one of its workers, was started again or reloaded, since `reset`."""
        record = self.app.record
        before, forgiven = (record.restarts, record.forgiven) if record else (0, 0)
        return before + max(0, self.present_restarts - forgiven)

    @property
    def present_restarts(self) -> int:
        """The same, since its present master was started."""
        counts = part(self.status, "counts")
        found = [counts.get("restarts"), part(part(counts, "reloads"), "done").get("count")]
        return sum(each for each in found if isinstance(each, int))

    @property
    def ready(self) -> int:
        """How many workers serve."""
        return len(_serving(self.status))

    @property
    def uptime(self) -> float | None:
        """Seconds since its master was started."""
        started = self.status.get("started")
        return max(0.0, time.time() - started) if isinstance(started, int | float) else None


def look(apps: Sequence[App], *, figures: bool = True, events: int = 0) -> list[View]:
    """Look at these apps. `figures`: measure their processes, too; `events`: how many to ask for."""
    paths = {app.name: app.control for app in apps if app.control is not None}
    answers = ask_all(paths, "status", timeout=LIMIT, events=events)
    bodies = {name: answer for name, answer in answers.items() if isinstance(answer, dict)}
    roots = {name: pid for name, body in bodies.items() if isinstance(pid := body.get("pid"), int)}
    used = sample(roots) if figures else {}
    return [
        View(
            app,
            state_of(app, answers.get(app.name)),
            bodies.get(app.name, {}),
            used.get(app.name, Figures()),
        )
        for app in apps
    ]


def state_of(app: App, answer: Answer | None) -> str:
    """Name what an app is doing, from the register and its master's answer (None: it was not asked)."""
    if app.fault and not app.running:
        return "damaged"
    if not app.running:
        return _state_without_master(app)
    if isinstance(answer, dict):
        return _state_of_master(answer)
    if isinstance(answer, NoAnswerError) or app.control is None:
        return "silent"
    return "starting" if app.pid is None else "stopping"  # it does not listen yet, or not any more


def meaning(view: View) -> str:
    """Say in a sentence what the word for an app means, and of one that is still wanted what starts it."""
    if view.state != "stopped" or not view.app.wanted:
        return STATES[view.state]
    if view.app.running:
        return "its processes have ended, as they may"
    return "does not run, but is wanted: resurrect, and a boot, start it"


def _state_without_master(app: App) -> str:
    if not app.wanted:
        return "stopped"
    if app.outcome is None or app.outcome.end in (End.STARTING, End.READY):
        return "lost"
    return "errored" if app.outcome.end is End.FAILED or app.outcome.exit_code else "stopped"


def _state_of_master(status: Body) -> str:
    named = status.get("state")
    if isinstance(named, str) and named in STATES:
        return named
    if status.get("stopping"):
        return "stopping"
    wanted, serving = status.get("wanted"), len(_serving(status))
    if not serving:
        words = {str(worker.get("state")) for worker in workers_of(status)}
        rest = "degraded" if status.get("ready") else "starting"
        return next((word for word in ("starting", "waiting", "errored", "stopped") if word in words), rest)
    if not status.get("ready"):
        return "starting"
    if status.get("reloading"):
        return "reloading"
    return "degraded" if isinstance(wanted, int) and serving < wanted else "ready"


def workers_of(status: Mapping[str, object]) -> list[Mapping[str, object]]:
    """Give what a master says of its workers, or of its programs' processes."""
    workers = status.get("workers")
    return [each for each in workers if isinstance(each, dict)] if isinstance(workers, list) else []


def _serving(status: Mapping[str, object]) -> list[Mapping[str, object]]:
    return [each for each in workers_of(status) if each.get("state") == "ready" and not each.get("leaving")]


def part(values: Mapping[str, object], name: str) -> Mapping[str, object]:
    """Give a table within an answer; empty if it is not there."""
    found = values.get(name)
    return found if isinstance(found, dict) else {}


def number(values: Mapping[str, object], name: str) -> float | None:
    """Give a number within an answer; None if it is not there."""
    found = values.get(name)
    return float(found) if isinstance(found, int | float) and not isinstance(found, bool) else None


def reason(view: View) -> str:
    """Why it was started again last, or why it does not run; empty if there is nothing to say."""
    if view.app.outcome and view.state in ("errored", "lost"):
        failure = view.app.outcome.failure
        return failure.message if failure else "its master was killed"
    if not view.restarts:
        return ""
    last = part(part(view.status, "counts"), "last_restart")
    reason, how = str(last.get("reason") or ""), str(last.get("how") or "")
    if reason:
        return f"{reason}: {how}" if how else reason
    return next((str(each["last"]) for each in workers_of(view.status) if each.get("last")), "")

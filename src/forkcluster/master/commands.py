"""What the control socket can ask of a master: turns requests into events, and events' results into answers.

Some answers come later (a reload's outcome, the end); what is waited for is kept here. Decides nothing about
processes.
"""

import os
import re
import signal
import time
from collections.abc import Callable, Collection, Sized
from typing import Protocol

from forkcluster import __version__
from forkcluster.dataclass import dataclass, field
from forkcluster.errors import (
    ApplicationError,
    BindError,
    ConfigurationError,
    ForkclusterError,
    StateError,
    UsageError,
    did_you_mean,
)
from forkcluster.master import events as on
from forkcluster.master.control import Reply
from forkcluster.master.history import History
from forkcluster.master.roll import REFUSED, STOPPED, UNBOUND, Outcome, Roll
from forkcluster.master.status import Status
from forkcluster.options import cpus
from forkcluster.options.frozen import Options
from forkcluster.wire.control import Body

# What may be sent to workers by name: all but what would stop or kill them behind the policy's back.
SIGNALS = ("USR1", "USR2", "WINCH", "URG", "PROF", "TERM", "KILL", "ABRT", "STOP", "CONT")


class Policy(Protocol):
    """What is asked of a policy, whatever the mode."""

    target: int
    most_workers: int
    current: int
    roll: Roll | None

    @property
    def newest_generation(self) -> int:
        """The highest generation number given so far."""

    @property
    def announced(self) -> bool:
        """Whether the first boot is over."""

    @property
    def stopping(self) -> bool:
        """Whether the end has been asked for, or has come."""

    def ready(self) -> Sized:
        """Give the workers that are part of the capacity."""

    def renewing(self) -> int:
        """Count the workers that are still to be replaced, as was asked for."""


class Hands(Protocol):
    """What is asked of the edge that holds the processes."""

    def describe(self) -> list[dict[str, object]]:
        """Say for every worker, by slot, what it is and does."""

    def send_signal(self, number: signal.Signals, slots: Collection[int] | None) -> list[int]:
        """Send a signal to the workers of these slots (None: all); give their pids."""


Emit = Callable[[on.Common], None]


@dataclass(frozen=True, slots=True)
class Placed:
    """What a master is registered as, and since when (seconds since the epoch)."""

    name: str
    namespace: str
    managed: bool
    started: float = field(default_factory=time.time)


class Commands:
    """The commands of one master."""

    def __init__(
        self,
        policy: Policy,
        hands: Hands,
        emit: Emit,
        history: History,
        *,
        options: Options,
        placed: Placed,
        status: Status,
    ) -> None:
        self._placed = placed
        self._status_of_app = status
        self._policy = policy
        self._hands = hands
        self._emit = emit
        self._history = history
        self._options = options
        self._for_reload: list[tuple[int, Reply]] = []
        self._for_renewal: list[Reply] = []
        self._for_end: list[Reply] = []
        self._commands: dict[str, Callable[[Body, Reply], None]] = {
            "status": self._status,
            "reload": self._reload,
            "scale": self._scale,
            "restart": self._restart,
            "stop": self._stop,
            "signal": self._signal,
        }
        self._reports: dict[str, Callable[[], object]] = {}

    def add(self, name: str, command: Callable[[Body, Reply], None]) -> None:
        """Take in a command of another part of the master."""
        self._commands[name] = command

    def report(self, name: str, report: Callable[[], object]) -> None:
        """Have `status` say under that name what another part of the master knows."""
        self._reports[name] = report

    def handle(self, request: Body, reply: Reply) -> None:
        """Do what is asked; `reply` is called once, now or later. Raise ForkclusterError to refuse."""
        name = str(request.get("command"))
        if name not in self._commands:
            known = ", ".join(self._commands)
            raise UsageError(
                f"no such command: {name}", did_you_mean(name, self._commands) or f"known: {known}"
            )
        self._commands[name](request, reply)

    # -- what comes later

    def concluded(self, outcome: Outcome) -> None:
        """Answer those who wait for this reload."""
        waiting, self._for_reload = self._for_reload, []
        for after, reply in waiting:
            if outcome.generation > after:
                reply(_reload_answer(outcome))
            else:
                self._for_reload.append((after, reply))

    def look(self) -> None:
        """Answer those who wait for all workers to be replaced, when they are."""
        if self._for_renewal and not self._policy.renewing():
            waiting, self._for_renewal = self._for_renewal, []
            for reply in waiting:
                reply({"ok": True, "workers": len(self._policy.ready())})

    def finished(self, code: int) -> None:
        """Answer everybody: the master ends."""
        for reply in self._for_end:
            reply({"ok": True, "exit_code": code})
        gone = StateError(f"the app {self._options.name} was stopped meanwhile")
        for reply in [*(reply for _, reply in self._for_reload), *self._for_renewal]:
            reply({"ok": False, "error": gone.to_json()})

    # -- the commands

    def _status(self, request: Body, reply: Reply) -> None:
        events = self._history.latest(_number(request, "events", 50))
        others = {name: report() for name, report in self._reports.items()}
        reply({"ok": True, **self._report(), **others, "workers": self._hands.describe(), "events": events})

    def _report(self) -> Body:
        """Say how the app is."""
        policy = self._policy
        return {
            "version": __version__,
            "app": self._options.name,
            "name": self._placed.name,
            "namespace": self._placed.namespace,
            "managed": self._placed.managed,
            "started": self._placed.started,
            "target": self._options.target,
            "mode": self._options.exec_mode,
            "pid": os.getpid(),
            "stopping": policy.stopping,
            "generation": policy.current,
            "reloading": policy.roll.phase.value if policy.roll else None,
            "wanted": policy.target,
            "events_dropped": self._history.dropped,
            **self._status_of_app.body(time.monotonic()),
        }

    def _reload(self, _request: Body, reply: Reply) -> None:
        self._for_reload.append((self._policy.newest_generation, reply))
        self._emit(on.ReloadAsked())

    def _scale(self, request: Body, reply: Reply) -> None:
        text = str(request.get("workers", "")).strip()
        before = self._policy.target
        if text == "max":
            wanted = cpus.workers("max", cpus.observe()).count
        elif re.fullmatch(r"[+-]?[0-9]{1,6}", text):
            wanted = before + int(text) if text[0] in "+-" else int(text)
        else:
            raise UsageError(f"scaling to {text!r}: expected N, +N, -N or max")
        if not 1 <= wanted <= self._policy.most_workers:
            raise UsageError(
                f"scaling to {wanted} workers: from 1 to {self._policy.most_workers} are possible"
            )
        self._emit(on.Scaled(to=wanted))
        reply({"ok": True, "before": before, "workers": wanted})

    def _restart(self, _request: Body, reply: Reply) -> None:
        self._emit(on.RenewAsked())
        self._for_renewal.append(reply)

    def _stop(self, request: Body, reply: Reply) -> None:
        self._for_end.append(reply)
        self._emit(on.StopAsked(at_once=request.get("at_once") is True))

    def _signal(self, request: Body, reply: Reply) -> None:
        name = str(request.get("signal", "")).upper().removeprefix("SIG")
        if name not in SIGNALS:
            raise UsageError(f"signal {name!r} is not sent to workers", f"one of {', '.join(SIGNALS)}")
        pids = self._hands.send_signal(signal.Signals[f"SIG{name}"], self._chosen(request))
        reply({"ok": True, "pids": pids})

    def _chosen(self, request: Body) -> set[int] | None:
        """Give the slots that a request names; None: all."""
        if request.get("slot") is None:
            return None
        slot = _number(request, "slot", 0)
        if all(worker["slot"] != slot for worker in self._hands.describe()):
            raise UsageError(f"no worker has the slot {slot}")
        return {slot}


def _number(request: Body, name: str, default: int) -> int:
    value = request.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise UsageError(f"{name} is {value!r}: expected a whole number")
    return value


def _reload_answer(outcome: Outcome) -> Body:
    if not outcome.done:
        return {"ok": False, "error": _failure(outcome).to_json(), "generation": outcome.serving}
    steps = [{"step": step, "seconds": round(seconds, 3)} for step, seconds in outcome.steps]
    notes = list(outcome.notes)
    return {
        "ok": True,
        "generation": outcome.generation,
        "seconds": outcome.seconds,
        "steps": steps,
        "notes": notes,
    }


def _failure(outcome: Outcome) -> ForkclusterError:
    """Say who can mend what a reload has failed by; a stop that has a reason is the application's."""
    if outcome.what == STOPPED:
        text = f"the reload was given up: {outcome.what}"
        return ApplicationError(text, details=outcome.reason) if outcome.reason else StateError(text)
    text = f"the reload failed: {outcome.what}; generation {outcome.serving} goes on serving"
    if outcome.what == UNBOUND:
        return BindError(text, outcome.reason)
    if outcome.what == REFUSED:
        return ConfigurationError(text, outcome.reason)
    return ApplicationError(text, details=outcome.reason)

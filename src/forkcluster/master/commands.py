"""What the control socket can ask of a master: turns requests into events, and events' results into answers.

Some answers come later (a reload's outcome, the end); what is waited for is kept here. Decides nothing about
processes.
"""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from forkcluster import __version__
from forkcluster.errors import ApplicationError, ForkclusterError, UsageError, did_you_mean
from forkcluster.master import events as on
from forkcluster.master.cluster import Cluster
from forkcluster.master.control import Reply
from forkcluster.master.crew import Crew, Emit
from forkcluster.master.facts import Worker
from forkcluster.master.history import History
from forkcluster.master.roll import Outcome
from forkcluster.options import cpus
from forkcluster.options.frozen import Options
from forkcluster.wire.control import Body

# What may be sent to workers by name: all but what would stop or kill them behind the policy's back.
SIGNALS = ("USR1", "USR2", "WINCH", "URG", "PROF", "TERM", "KILL", "ABRT", "STOP", "CONT")


@dataclass(frozen=True, slots=True)
class Placed:
    """What a master says of itself beside what its policy knows. `urls` gives where it listens now."""

    name: str  # the one it is registered under
    managed: bool
    urls: Callable[[], tuple[str, ...]]
    started: float = field(default_factory=time.time)  # seconds since the epoch


class Commands:
    """The commands of one master."""

    def __init__(
        self, cluster: Cluster, crew: Crew, emit: Emit, history: History, *, options: Options, place: Placed
    ) -> None:
        self._place = place
        self._reloads = 0
        self._cluster = cluster
        self._crew = crew
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
            "stacks": self._stacks,
        }

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
        self._reloads += outcome.done
        waiting, self._for_reload = self._for_reload, []
        for after, reply in waiting:
            if outcome.generation > after:
                reply(_reload_answer(outcome))
            else:
                self._for_reload.append((after, reply))

    def look(self) -> None:
        """Answer those who wait for all workers to be replaced, when they are."""
        if self._for_renewal and not self._cluster.renewing():
            waiting, self._for_renewal = self._for_renewal, []
            for reply in waiting:
                reply({"ok": True, "workers": len(self._cluster.ready())})

    def finished(self, code: int) -> None:
        """Answer everybody: the master ends."""
        for reply in self._for_end:
            reply({"ok": True, "exit_code": code})
        gone = ForkclusterError(f"the app {self._options.name} was stopped meanwhile")
        for reply in [*(reply for _, reply in self._for_reload), *self._for_renewal]:
            reply({"ok": False, "error": gone.to_json()})

    # -- the commands

    def _status(self, request: Body, reply: Reply) -> None:
        cluster = self._cluster
        reply(
            {
                "ok": True,
                "version": __version__,
                "app": self._options.name,
                "name": self._place.name,
                "namespace": self._options.namespace,
                "mode": "cluster",
                "managed": self._place.managed,
                "target": self._options.target,
                "pid": os.getpid(),
                "started": self._place.started,
                "urls": self._place.urls(),
                "ready": cluster.announced and not cluster.stopping,
                "stopping": cluster.stopping,
                "deaths": cluster.deaths,
                "last_death": cluster.last_death,
                "reloads": self._reloads,
                "generation": cluster.current,
                "reloading": cluster.roll.phase.value if cluster.roll else None,
                "wanted": cluster.target,
                "workers": self._crew.describe(cluster),
                "events": self._history.latest(_number(request, "events", 50)),
            }
        )

    def _reload(self, _request: Body, reply: Reply) -> None:
        self._for_reload.append((self._cluster.newest_generation, reply))
        self._emit(on.ReloadAsked())

    def _scale(self, request: Body, reply: Reply) -> None:
        text = str(request.get("workers", "")).strip()
        before = self._cluster.target
        if text == "max":
            wanted = cpus.workers("max", cpus.observe()).count
        elif text.lstrip("+-").isdecimal():
            wanted = before + int(text) if text[0] in "+-" else int(text)
        else:
            raise UsageError(f"scaling to {text!r}: expected N, +N, -N or max")
        if not 1 <= wanted <= self._cluster.most_workers:
            raise UsageError(
                f"scaling to {wanted} workers: from 1 to {self._cluster.most_workers} are possible"
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
        pids = self._crew.send_signal(signal.Signals[f"SIG{name}"], self._chosen(request))
        reply({"ok": True, "pids": pids})

    def _stacks(self, request: Body, reply: Reply) -> None:
        slots = self._chosen(request)
        chosen = [w for w in self._cluster.workers.values() if slots is None or w.slot in slots]
        found: list[Body] = []

        def collect(worker: Worker, text: str) -> None:
            found.append({"slot": worker.slot, "pid": worker.pid, "stacks": text})
            if len(found) == len(chosen):
                reply({"ok": True, "workers": sorted(found, key=lambda each: str(each["slot"]))})

        if not chosen:
            raise UsageError("there is no worker to ask")
        for worker in chosen:
            self._crew.ask_stacks(worker.who, partial(collect, worker))

    def _chosen(self, request: Body) -> set[int] | None:
        """Give the slots that a request names; None: all."""
        if request.get("slot") is None:
            return None
        slot = _number(request, "slot", 0)
        if all(worker.slot != slot for worker in self._cluster.workers.values()):
            raise UsageError(f"no worker has the slot {slot}")
        return {slot}


def _number(request: Body, name: str, default: int) -> int:
    value = request.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise UsageError(f"{name} is {value!r}: expected a whole number")
    return value


def _reload_answer(outcome: Outcome) -> Body:
    if not outcome.done:
        text = f"the reload failed: {outcome.what}; generation {outcome.serving} goes on serving"
        error = ApplicationError(text, details=outcome.reason)
        return {"ok": False, "error": error.to_json(), "generation": outcome.serving}
    steps = [{"step": step, "seconds": round(seconds, 3)} for step, seconds in outcome.steps]
    notes = list(outcome.notes)
    return {
        "ok": True,
        "generation": outcome.generation,
        "seconds": outcome.seconds,
        "steps": steps,
        "notes": notes,
    }

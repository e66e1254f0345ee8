"""The master's rounds: looks at all lines of the scoreboard from time to time, and says what it found.

Four times a second while something is in flight, seldom otherwise, and not at all when nothing is limited.
When the master itself was late (stopped, or starved), what it sees is not held against anybody.
"""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from forkcluster import log
from forkcluster.master import events as on
from forkcluster.master.cluster import Cluster
from forkcluster.master.crew import Crew
from forkcluster.master.hangs import Finding, Hangs, Sight, Stalls
from forkcluster.master.molds import Emit
from forkcluster.master.recycle import Quota, Recycling, Usage
from forkcluster.master.seats import Ref
from forkcluster.options.frozen import Options

if TYPE_CHECKING:
    from forkcluster._scoreboard import Look

BUSY = 0.25  # seconds between two looks while something is in flight
IDLE = 2.5
LATE = 1.0  # seconds; nobody is blamed in a round so late
PAGE = os.sysconf("SC_PAGE_SIZE")

Say = Callable[[str, str, dict[str, log.Field]], None]


class Rounds:
    """What is looked for, and when next."""

    def __init__(self, cluster: Cluster, crew: Crew, emit: Emit, say: Say, options: Options) -> None:
        self._cluster = cluster
        self._crew = crew
        self._emit = emit
        self._say = say
        self._next = 0.0
        self.configure(options)

    def configure(self, options: Options) -> None:
        """Take on the limits of a generation."""
        self._hangs = Hangs(options.request_warn, options.request_timeout)
        self._stalls = Stalls(options.loop_stall_timeout)
        quota = Quota(
            options.max_requests, options.max_requests_jitter, options.max_memory, options.max_lifetime
        )
        self._recycling = Recycling(quota, lambda most: int.from_bytes(os.urandom(4), "big") % (most + 1))
        limits = [limit for limit in (options.request_warn, options.request_timeout) if limit]
        if quota.requests or quota.memory or quota.lifetime or options.loop_stall_timeout:
            limits.append(4 * 1.0)
        self._idle = min(IDLE, max(BUSY, min(limits) / 4)) if limits else None

    def deadline(self) -> float | None:
        """Give the time of the next look, None when there is nothing to look for."""
        return None if self._idle is None else self._next

    def look(self, now: float) -> None:
        """Look, if it is time to."""
        if self._idle is None or now < self._next:
            return
        late = self._next and now - self._next >= LATE
        lines = self._crew.look()
        self._next = now + (BUSY if any(line[2] for line in lines) else self._idle)
        if late:
            log.warning("the master was late; what it sees now is not held against workers")
            return
        sights = [
            Sight(Ref(seat, epoch), oldest[0] / 1e9, oldest[1], oldest[2])
            for seat, epoch, _, _, oldest, _ in lines
            if oldest is not None
        ]
        for finding in self._hangs.look(sights, now):
            self._found(finding)
        turned = [(Ref(line[0], line[1]), line[5] / 1e9) for line in lines if line[5]]
        for who, seconds in self._stalls.look(turned, now):
            self._stalled(who, seconds)
        for who, why in self._recycling.look(self._usages(lines, now)):
            self._emit(on.WorkerLeaves(who, why, limit=True))

    def _stalled(self, who: Ref, seconds: float) -> None:
        worker = self._cluster.workers.get(who)
        if worker is None or worker.ending:
            return
        fields: dict[str, log.Field] = {
            "blocked": round(seconds, 1),
            "slot": worker.slot,
            "generation": worker.generation,
            "pid": worker.pid,
        }
        text = "the event loop is blocked: nothing else of this worker goes on"
        self._crew.ask_stacks(who, lambda stacks: self._say("warning", f"{text}\n{stacks}", fields))

    def _found(self, finding: Finding) -> None:
        who = finding.sight.who
        worker = self._cluster.workers.get(who)
        if worker is None or worker.ending:
            return
        fields: dict[str, log.Field] = {
            "request": finding.request,
            "age": round(finding.age, 1),
            "slot": worker.slot,
            "generation": worker.generation,
            "pid": worker.pid,
        }
        if finding.expired:
            text = f"{finding.request} without an answer for {finding.age:.1f} s"
            fields["event"] = "hang"
            self._crew.ask_stacks(who, lambda stacks: self._say("error", f"{text}\n{stacks}", fields))
            self._emit(on.WorkerHung(who, text))
        else:
            fields["event"] = "slow"
            self._crew.ask_stacks(
                who, lambda stacks: self._say("warning", f"a request takes long\n{stacks}", fields)
            )

    def _usages(self, lines: "list[Look]", now: float) -> list[Usage]:
        quota = self._recycling.quota
        if not (quota.requests or quota.memory or quota.lifetime):
            return []
        found = []
        for seat, epoch, _, ended, _, _ in lines:
            who = Ref(seat, epoch)
            worker = self._cluster.workers.get(who)
            if worker is None or not worker.serving or worker.leaving or worker.ready_at is None:
                continue
            memory = resident(worker.pid) if quota.memory and worker.pid else 0
            found.append(Usage(who, ended - self._crew.ended_before(who), memory, now - worker.ready_at))
        return found


def resident(pid: int) -> int:
    """Give a process's resident set in bytes, 0 when it is gone (proc_pid_statm(5))."""
    try:
        with open(f"/proc/{pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * PAGE
    except (OSError, ValueError, IndexError):
        return 0

"""What a tree of processes holds in memory, looked at every two seconds while there is a limit.

Resident sets first, which are cheap; only if they are over the limit, proportional sets, in which pages that
several processes share count once (proc_pid_smaps(5)).
"""

import os
from collections.abc import Callable

from forkcluster.master import fleet_events as heard
from forkcluster.master.fleet import Fleet
from forkcluster.master.loop import Loop
from forkcluster.master.processes import Emit, Processes

EVERY = 2.0  # seconds
PAGE = os.sysconf("SC_PAGE_SIZE")


class MemoryLimit:
    """The limit in bytes (0: none) and the next look."""

    def __init__(self, loop: Loop, fleet: Fleet, processes: Processes, emit: Emit, limit: int) -> None:
        self.limit = limit
        self._loop = loop
        self._fleet = fleet
        self._processes = processes
        self._emit = emit
        self._next = 0.0

    def deadline(self) -> float | None:
        """Give the time of the next look, None without a limit."""
        return self._next if self.limit else None

    def expire(self, now: float) -> None:
        """Look, if it is time to."""
        if not self.limit or now < self._next:
            return
        self._next = now + EVERY
        for process in self._fleet.ready():
            if process.leaving:
                continue
            used = held([each.pid for each in self._processes.tree(process.number)], self.limit)
            if used >= self.limit:
                text = f"max_memory: {used >> 20} MiB in its tree, {self.limit >> 20} allowed"
                self._emit(heard.ProcessLeaves(process.number, text))


def held(pids: list[int], enough: int, resident: Callable[[int], int] | None = None) -> int:
    """Give the bytes that these processes hold together, precisely only from `enough` on."""
    total = sum(map(resident or _resident, pids))
    return sum(map(_proportional, pids)) if total >= enough and len(pids) > 1 else total


def _resident(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * PAGE
    except (OSError, ValueError, IndexError):
        return 0


def _proportional(pid: int) -> int:
    """The proportional set; the resident one where it may not be read."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            for line in file:
                if line.startswith("Pss:"):
                    return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        return _resident(pid)
    return 0

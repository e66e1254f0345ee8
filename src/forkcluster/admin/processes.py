"""What processes use: CPU and resident memory at each look, shared memory sparingly.

Telling how much memory is shared walks every page of a process (13 ms for 500 MiB), so one process a second
is sampled, only while somebody looks, and the figure is kept with its age. A worker that changed its user
may not be looked at so: then only its resident memory is known.
"""

import asyncio
import time
from collections.abc import Iterable

import psutil

from forkcluster.dataclass import dataclass

INTEREST = 60.0  # seconds; how long after a look sampling goes on


@dataclass(frozen=True, slots=True)
class Usage:
    """One process now: CPU seconds since it began, resident bytes."""

    cpu: float
    resident: int


@dataclass(frozen=True, slots=True)
class Sharing:
    """One sample: proportional and shared bytes, and when (CLOCK_MONOTONIC seconds)."""

    proportional: int
    shared: int
    at: float


class Processes:
    """Looks at processes by pid; `watch` says which are sampled."""

    def __init__(self) -> None:
        self._known: dict[int, psutil.Process] = {}
        self._sharing: dict[int, Sharing] = {}
        self._looked = 0.0
        self._task: asyncio.Task[None] | None = None

    def usage(self, pid: int) -> Usage | None:
        """Give what a process uses now; None when it is gone."""
        try:
            process = self._process(pid)
            with process.oneshot():
                times = process.cpu_times()
                return Usage(times.user + times.system, process.memory_info().rss)
        except psutil.Error:
            self._known.pop(pid, None)
            return None

    def sharing(self, pid: int) -> Sharing | None:
        """Give the last sample of a process, None when there is none."""
        return self._sharing.get(pid)

    def watch(self, pids: Iterable[int]) -> None:
        """Go on sampling these for a while, and forget others."""
        self._looked = time.monotonic()
        wanted = set(pids)
        self._known = {pid: self._known[pid] for pid in wanted & self._known.keys()}
        self._sharing = {pid: self._sharing[pid] for pid in wanted & self._sharing.keys()}
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._sample())

    def _process(self, pid: int) -> psutil.Process:
        process = self._known.get(pid)
        if process is None:
            process = self._known[pid] = psutil.Process(pid)
        return process

    async def _sample(self) -> None:
        while time.monotonic() - self._looked < INTEREST:
            oldest = min(self._known, key=self._age_order, default=None)
            if oldest is not None:
                self._sample_one(oldest)
            await asyncio.sleep(1.0)

    def _age_order(self, pid: int) -> float:
        sample = self._sharing.get(pid)
        return sample.at if sample else 0.0

    def _sample_one(self, pid: int) -> None:
        now = time.monotonic()
        try:
            memory = self._known[pid].memory_full_info()
        except psutil.AccessDenied:
            self._sharing[pid] = Sharing(0, 0, now)
        except psutil.Error:
            self._known.pop(pid, None)
        else:
            self._sharing[pid] = Sharing(memory.pss, memory.rss - memory.uss, now)

"""What an app's processes use: CPU and memory of the whole tree below its master, read from /proc.

Memory is PSS (proportional set size), so that pages which workers share with their mold are counted once.
Best effort: a process that ends meanwhile, or may not be looked at, counts as nothing.
"""

import os
import time
from collections.abc import Iterable, Mapping

from forkcluster.dataclass import dataclass

INTERVAL = 0.1  # seconds between the two looks at CPU clocks
PSS_TIME = 0.25  # seconds for reading PSS in all; what is not read by then is shown without
SCHEDULER_CLOCK = 2  # CPUCLOCK_SCHED of the kernel's include/linux/posix-timers.h


@dataclass(frozen=True, slots=True)
class Figures:
    """`cpu` is in percent of one CPU, `memory` in bytes; None where it could not be told."""

    cpu: float | None = None
    memory: int | None = None
    processes: int = 0


def sample(roots: Mapping[str, int]) -> dict[str, Figures]:
    """Measure the process trees below these pids, by name. Takes INTERVAL at least."""
    if not roots:
        return {}
    children = _children()
    trees = {name: list(_tree(pid, children)) for name, pid in roots.items()}
    begun = time.monotonic()
    before = {pid: _cpu_clock(pid) for tree in trees.values() for pid in tree}
    memory = {name: _memory(tree, begun + PSS_TIME) for name, tree in trees.items()}
    time.sleep(max(0.0, begun + INTERVAL - time.monotonic()))
    elapsed = time.monotonic() - begun
    return {
        name: Figures(_cpu(tree, before, elapsed), memory[name], len(tree)) for name, tree in trees.items()
    }


def _children() -> dict[int, list[int]]:
    """Every process's children, by its pid."""
    found: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    parent = int(file.read().rpartition(b")")[2].split()[1])
            except (OSError, IndexError, ValueError):
                continue
            found.setdefault(parent, []).append(int(name))
    return found


def _tree(root: int, children: Mapping[int, list[int]]) -> Iterable[int]:
    todo = [root]
    while todo:
        pid = todo.pop()
        yield pid
        todo += children.get(pid, ())


def _cpu_clock(pid: int) -> float | None:
    """The CPU time that a process has used, in seconds: clock_getcpuclockid(3) without the library."""
    try:
        return time.clock_gettime(~pid << 3 | SCHEDULER_CLOCK)
    except OSError:
        return None


def _cpu(tree: Iterable[int], before: Mapping[int, float | None], elapsed: float) -> float | None:
    used = []
    for pid in tree:
        start, end = before[pid], _cpu_clock(pid)
        if start is not None and end is not None:
            used.append(end - start)
    return round(100 * sum(used) / elapsed, 1) if used else None


def _memory(tree: Iterable[int], until: float) -> int | None:
    total = 0
    for pid in tree:
        if time.monotonic() > until:
            return None
        total += pss(pid)
    return total or None


def pss(pid: int) -> int:
    """The process's proportional set size in bytes; 0 if it cannot be told (proc(5), smaps_rollup)."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            for line in file:
                if line.startswith(b"Pss:"):
                    return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        return 0
    return 0

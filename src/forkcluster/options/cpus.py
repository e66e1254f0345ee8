"""How many CPUs this process may use, and how many workers that makes. Decides purely; `observe` reads the
system.

A container's quota is in its cgroup or in any above it: the smallest counts. cgroup v2 says it in `cpu.max`,
v1 in `cpu.cfs_quota_us` and `cpu.cfs_period_us`. A quota of 2.5 CPUs makes 2 workers: a third would be
throttled with the rest.
"""

import os
import re
from collections.abc import Callable
from typing import Final

from forkcluster.dataclass import dataclass

MOST_WORKERS: Final = (
    341  # a third of the scoreboard's 1024 seats: a roll and a drain may each need as many again
)

ReadText = Callable[[str], str | None]


@dataclass(frozen=True, slots=True)
class Cpus:
    """CPUs usable, of how many the machine has, and what limits them ("" if nothing)."""

    usable: int
    total: int
    limit: str = ""

    def __str__(self) -> str:
        words = f"{self.usable} of {self.total} CPU{'s' if self.total != 1 else ''}"
        return f"{words}, {self.limit}" if self.limit else words


@dataclass(frozen=True, slots=True)
class Workers:
    """How many workers, and why in words ("4 of 64 CPUs, cgroup quota"); no words for a plain N."""

    count: int
    words: str = ""


def check_instances(text: str) -> None:
    """Raise ValueError unless `text` is max, -1, 0 or a number of workers."""
    if text == "max":
        return
    if not re.fullmatch(r"-1|[0-9]{1,9}", text):
        raise ValueError("expected a number of workers, 0 or max (one for each CPU), or -1 (one fewer)")
    if int(text) > MOST_WORKERS:
        raise ValueError(f"expected at most {MOST_WORKERS} workers: a third of the scoreboard's seats")


def workers(instances: str, cpus: Cpus) -> Workers:
    """Turn --instances into a number of workers, at least 1. `instances` has passed `check_instances`."""
    wanted = 0 if instances == "max" else int(instances)
    if wanted > 0:
        return Workers(wanted)
    count = min(max(1, cpus.usable + wanted), MOST_WORKERS)
    fewer = ", one kept free" if wanted < 0 and cpus.usable > 1 else ""
    return Workers(count, f"{cpus}{fewer}")


def usable(affinity: frozenset[int], total: int, read: ReadText) -> Cpus:
    """Decide from the affinity set, the machine's CPUs, and `read` (a file's text, None if unreadable)."""
    allowed = max(1, len(affinity))
    quota = _quota(read)
    if quota is not None and max(1, int(quota)) < allowed:
        return Cpus(max(1, int(quota)), total, "cgroup quota")
    return Cpus(allowed, total, "affinity" if allowed < total else "")


def observe() -> Cpus:
    """Look at this process and its cgroups now."""
    return usable(frozenset(os.sched_getaffinity(0)), os.cpu_count() or 1, _read_file)


def _quota(read: ReadText) -> float | None:
    """The smallest quota of our cgroups and those above them, in CPUs; None if there is none."""
    memberships, mounts = (
        _memberships(read("/proc/self/cgroup") or ""),
        _mounts(read("/proc/self/mountinfo") or ""),
    )
    found: list[float] = []
    for controller, reader in (("", _quota_v2), ("cpu", _quota_v1)):
        if controller in memberships and controller in mounts:
            root, point = mounts[controller]
            for directory in _upwards(point, root, memberships[controller]):
                quota = reader(directory, read)
                found += [] if quota is None else [quota]
    return min(found, default=None)


def _memberships(text: str) -> dict[str, str]:
    """/proc/self/cgroup (cgroups(7)): our path in the unified tree ("") and in v1's cpu tree ("cpu")."""
    result = {}
    for line in text.splitlines():
        _, controllers, path = ([*line.split(":", 2), "", ""])[:3]
        for controller in controllers.split(","):
            if controller in ("", "cpu") and path:
                result[controller] = path
    return result


def _mounts(text: str) -> dict[str, tuple[str, str]]:
    """/proc/self/mountinfo (proc(5)): the mounted root and the mount point of both trees."""
    result: dict[str, tuple[str, str]] = {}
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        fields, (kind, *_rest) = before.split(" "), after.split(" ") or [""]
        if len(fields) < 5:
            continue
        where = (_unescape(fields[3]), _unescape(fields[4]))
        if kind == "cgroup2":
            result.setdefault("", where)
        elif kind == "cgroup" and "cpu" in after.split(" ")[-1].split(","):
            result.setdefault("cpu", where)
    return result


def _unescape(text: str) -> str:
    """mountinfo writes space, tab, newline and backslash as octal escapes."""
    return re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), text)


def _upwards(point: str, root: str, path: str) -> list[str]:
    """Our cgroup's directory and all above it, up to the mount point.

    In a container the path may lie outside what is mounted: the mount point itself is then ours.
    """
    if root != "/":
        path = path[len(root) :] if path == root or path.startswith(root + "/") else ""
    parts = [part for part in path.split("/") if part]
    if ".." in parts:  # a cgroup above our namespace's root: not visible
        parts = []
    return [os.path.join(point, *parts[:depth]) for depth in range(len(parts), -1, -1)]


def _quota_v2(directory: str, read: ReadText) -> float | None:
    """`cpu.max`: "max 100000" or "200000 100000" (kernel, cgroup-v2.rst)."""
    words = (read(f"{directory}/cpu.max") or "").split()
    return _ratio(words[0], words[1]) if len(words) == 2 else None


def _quota_v1(directory: str, read: ReadText) -> float | None:
    """`cpu.cfs_quota_us` (-1: none) over `cpu.cfs_period_us` (kernel, sched-bwc.rst)."""
    return _ratio(read(f"{directory}/cpu.cfs_quota_us") or "", read(f"{directory}/cpu.cfs_period_us") or "")


def _ratio(quota: str, period: str) -> float | None:
    quota, period = quota.strip(), period.strip()
    if not quota.isdigit() or not period.isdigit() or int(quota) == 0 or int(period) == 0:
        return None
    return int(quota) / int(period)


def _read_file(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return None

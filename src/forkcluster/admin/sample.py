"""What happened between two looks at an app: a sample, as the dashboard draws it. Pure.

Rates are the reader's to make: a sample has counts, and the seconds it covers.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from forkcluster._scoreboard import CLASSES
from forkcluster.dataclass import dataclass
from forkcluster.wire.control import Body

if TYPE_CHECKING:
    from forkcluster._scoreboard import Line

NS: Final = 1e-9
Buckets = list[tuple[int, int]]  # number of a duration's bucket, requests in it


@dataclass(frozen=True, slots=True)
class WorkerLook:
    """One worker: its line, CPU seconds, resident and proportional bytes (None: not known)."""

    line: "Line"
    cpu: float | None
    resident: int | None
    proportional: int | None


@dataclass(frozen=True, slots=True)
class Look:
    """One look: monotonic and wall-clock seconds, workers by (seat, epoch), the master's status."""

    at: float
    time: float
    workers: Mapping[tuple[int, int], WorkerLook]
    status: Mapping[str, Any]


def sample(before: Look, after: Look) -> Body:
    """Give what happened from one look to the next. A worker that ended in between is left out."""
    seconds = max(after.at - before.at, 1e-3)
    workers = [
        _worker(before.workers.get(who), worker, seconds, after.at) for who, worker in after.workers.items()
    ]
    classes = [worker.pop("classes") for worker in workers]
    status = after.status
    return {
        "time": round(after.time, 3),
        "seconds": round(seconds, 3),
        "requests": [sum(column) for column in zip(*classes, strict=True)] or [0] * len(CLASSES),
        "duration": _sum([w["duration"] for w in workers]),
        "workers": sorted(workers, key=lambda worker: (worker["slot"], worker["generation"])),
        "wanted": status["wanted"],
        "unready": status["unready"],
        "generation": status["generation"],
        "reloading": status["reloading"],
        "uptime": status["uptime"],
        "restarts": status["counts"]["restarts"],
        "listeners": [listener["url"] for listener in status["listeners"]],
        "queued": sum(listener["queued"] or 0 for listener in status["listeners"]),
    }


def _worker(before: WorkerLook | None, now: WorkerLook, seconds: float, at: float) -> dict[str, Any]:
    """Give one worker's part; one that is new since the last look counts from there on."""
    line, last = now.line, (before or now).line
    classes = [new - old for new, old in zip(line["requests"], last["requests"], strict=True)]
    cpu = None if now.cpu is None or before is None or before.cpu is None else now.cpu - before.cpu
    oldest = line["oldest"]
    return {
        "slot": line["slot"],
        "pid": line["pid"],
        "generation": line["generation"],
        "state": line["state"],
        "age": at - line["started_ns"] * NS,
        "classes": classes,
        "requests": sum(classes),
        "duration": _buckets(last["duration"], line["duration"]),
        "in_flight": line["in_flight"],
        "open": line["open"],
        "idle": line["idle"],
        "cpu": None if cpu is None else max(0.0, cpu) / seconds,
        "resident": now.resident,
        "proportional": now.proportional,
        "blocked": (line["blocked_ns"] - last["blocked_ns"]) * NS / seconds,
        "lag": line["loop_lag_ns"] * NS,
        "oldest": oldest and {"age": at - oldest[0] * NS, "method": oldest[1], "path": oldest[2]},
    }


def _buckets(before: Sequence[int], now: Sequence[int]) -> Buckets:
    """Give the buckets that have grown, and by how much."""
    grown = ((bucket, new - old) for bucket, (old, new) in enumerate(zip(before, now, strict=True)))
    return [(bucket, requests) for bucket, requests in grown if requests]


def _sum(parts: Sequence[Buckets]) -> Buckets:
    total: dict[int, int] = {}
    for part in parts:
        for bucket, requests in part:
            total[bucket] = total.get(bucket, 0) + requests
    return sorted(total.items())

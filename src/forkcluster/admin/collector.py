"""Turns one look at the scoreboard, the master's status and the processes into Prometheus' families."""

import platform
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
    SummaryMetricFamily,
)

from forkcluster import __version__
from forkcluster._scoreboard import CLASSES, STATES, Scoreboard, bucket_bounds
from forkcluster.admin import catalogue as its
from forkcluster.admin.processes import Processes
from forkcluster.wire.states import State

if TYPE_CHECKING:
    from forkcluster._scoreboard import Line

NS = 1e-9
RESTING = (State.WAITING.value, State.STOPPED.value, State.ERRORED.value)  # a program of fork mode
KINDS = {
    "counter": CounterMetricFamily,
    "gauge": GaugeMetricFamily,
    "summary": SummaryMetricFamily,
    "histogram": HistogramMetricFamily,
    "info": InfoMetricFamily,
}
Status = Mapping[str, Any]


def family(metric: its.Metric) -> Any:  # noqa: ANN401  the library's families have no common add_metric
    """Make an empty family of the catalogue's entry."""
    labels = () if metric.kind == "info" else metric.labels
    return KINDS[metric.kind](metric.full_name, metric.help, labels=labels)


def single(metric: its.Metric, value: float) -> Metric:
    """Make a family of one sample without labels."""
    made: Metric = family(metric)
    made.add_metric([], value)  # type: ignore[attr-defined]
    return made


class Collector:
    """What is known of an app. `seats` are those that have counted anything, and those that may come next:
    a series that begins at zero loses nothing to rate(). In fork mode nothing is known of requests.
    """

    def __init__(self, app: str, mode: str, board: Scoreboard, processes: Processes) -> None:
        self._app = app
        self._serves = mode == "cluster"
        self._board = board
        self._processes = processes
        self._cpu: dict[int, float] = {}  # by seat, as told last: a counter never goes back

    def collect(self, status: Status | None) -> Iterator[Metric]:
        """Give all families; `status` is the master's answer, None when there was none."""
        wanted = int(status["wanted"]) if status else 1
        lines = self._lines(2 * wanted)
        now = time.monotonic_ns()
        if self._serves:
            yield from _requests(lines)
        living = {seat: line for seat, line in lines.items() if line["pid"] and line["state"] != "empty"}
        yield from self._usage(lines, living)
        yield from _workers(living, now)
        yield _states(lines, () if self._serves or status is None else status["workers"])
        yield single(its.READY, self._board.ready)
        yield single(its.MASTER_UP, status is not None)
        yield from _host()
        if status is not None:
            yield from _told(status)
            yield self._others(status)
        build = family(its.BUILD)
        names = {"app": self._app, "version": __version__, "python_version": platform.python_version()}
        build.add_metric([], names)
        yield build

    def _lines(self, least: int) -> "dict[int, Line]":
        """Give the lines of all seats that ever had an owner, and of the first `least` in any case."""
        _, _, by_seat = self._board.totals()
        return {seat: self._board.line(seat) for seat in range(max(least, len(by_seat)))}

    def _usage(self, lines: "Mapping[int, Line]", living: "Mapping[int, Line]") -> Iterator[Metric]:
        usages = {seat: self._processes.usage(line["pid"]) for seat, line in living.items()}
        for seat, line in lines.items():
            usage = usages.get(seat)
            cpu = line["cpu_ns"] * NS + (usage.cpu if usage else 0.0)
            self._cpu[seat] = max(cpu, self._cpu.get(seat, 0.0))
        yield _by_seat(its.CPU, self._cpu)
        yield _by_seat(its.RESIDENT, {seat: usage.resident for seat, usage in usages.items() if usage})
        samples = {seat: self._processes.sharing(line["pid"]) for seat, line in living.items()}
        known = {seat: sample for seat, sample in samples.items() if sample and sample.proportional}
        now = time.monotonic()
        yield _by_seat(its.PROPORTIONAL, {seat: sample.proportional for seat, sample in known.items()})
        yield _by_seat(its.SHARED, {seat: sample.shared for seat, sample in known.items()})
        yield _by_seat(its.MEMORY_AGE, {seat: now - sample.at for seat, sample in known.items()})
        self._processes.watch(line["pid"] for line in living.values())

    def _others(self, status: Status) -> Metric:
        """The resident memory of the master and its molds."""
        made = family(its.PROCESS_MEMORY)
        for role, pids in (("master", [status["pid"]]), ("mold", status["molds"])):
            usages = [self._processes.usage(pid) for pid in pids]
            made.add_metric([role], sum(usage.resident for usage in usages if usage))
        found: Metric = made
        return found


def _by_seat(metric: its.Metric, values: Mapping[int, float]) -> Metric:
    made = family(metric)
    for seat, value in values.items():
        made.add_metric([str(seat)], value)
    found: Metric = made
    return found


def _requests(lines: "Mapping[int, Line]") -> Iterator[Metric]:
    requests = family(its.REQUESTS)
    for seat, line in lines.items():
        for status, count in zip(CLASSES, line["requests"], strict=True):
            requests.add_metric([str(seat), status], count)
    yield requests
    duration = family(its.DURATION)
    seconds = sum(line["duration_ns"] for line in lines.values()) * NS
    duration.add_metric([], _buckets([line["duration"] for line in lines.values()]), seconds)
    yield duration
    for each in (*its.LINE_COUNTERS, *its.LINE_GAUGES):
        values = {seat: line[each.word] * each.scale for seat, line in lines.items()}  # type: ignore[literal-required]
        yield _by_seat(each.metric, values)


def _buckets(lines: Sequence[Sequence[int]]) -> list[tuple[str, int]]:
    """Cumulate the buckets of all lines."""
    counts = [sum(column) for column in zip(*lines, strict=True)]
    bounds = [*(f"{bound * NS:.9g}" for bound in bucket_bounds()), "+Inf"]
    total = 0
    found = []
    for bound, count in zip(bounds, counts, strict=True):
        total += count
        found.append((bound, total))
    return found


def _workers(living: "Mapping[int, Line]", now: int) -> Iterator[Metric]:
    info, started = family(its.WORKER_INFO), family(its.WORKER_STARTED)
    offset = time.time() - now * NS
    for seat, line in living.items():
        names = {name: str(line[name]) for name in ("slot", "generation", "pid", "state")}
        info.add_metric([], {"seat": str(seat), **names})
        started.add_metric([str(seat)], line["started_ns"] * NS + offset)
    yield from (info, started)


def _states(lines: "Mapping[int, Line]", rows: Iterable[Mapping[str, Any]]) -> Metric:
    """Count workers by state; `rows` of fork mode tell which slots rest, and how."""
    counted = Counter(str(line["state"]) for line in lines.values())
    counted.update(str(row["state"]) for row in rows if row["pid"] is None)
    made: Metric = family(its.WORKERS)
    for state in (*STATES[1:], *(RESTING if rows else ())):
        made.add_metric([state], counted[state])  # type: ignore[attr-defined]
    return made


def _told(status: Status) -> Iterator[Metric]:
    """What the master has counted."""
    counts = status["counts"]
    yield single(its.WANTED, status["wanted"])
    yield single(its.GENERATION, status["generation"])
    yield single(its.STARTED, time.time() - status["uptime"])
    yield single(its.STARTS, counts["starts"])
    yield single(its.RESTARTS, counts["restarts"])
    yield single(its.RELOADING, status["reloading"] is not None)
    exits, reloads, seconds = family(its.EXITS), family(its.RELOADS), family(its.RELOAD_SECONDS)
    for reason, count in counts["exits"].items():
        exits.add_metric([reason], count)
    for result, each in counts["reloads"].items():
        reloads.add_metric([result], each["count"])
        seconds.add_metric([result], each["count"], each["seconds"])
    yield from (exits, reloads, seconds)
    last = counts["last_reload"]
    yield single(its.LAST_RELOAD_OK, last is None or last["done"])
    yield single(its.LAST_RELOAD_AT, time.time() - last["age"] if last else 0)
    queued, limit = family(its.QUEUED), family(its.QUEUE_LIMIT)
    for listener in status["listeners"]:
        if listener["queued"] is not None:
            queued.add_metric([listener["url"]], listener["queued"])
            limit.add_metric([listener["url"]], listener["backlog"])
    yield from (queued, limit)


def _host() -> Iterator[Metric]:
    """The kernel's counts for the network namespace (proc_pid_net(5), TcpExt of netstat)."""
    try:
        with open("/proc/net/netstat", encoding="utf-8") as file:
            rows = [line.split() for line in file if line.startswith("TcpExt:")]
    except OSError:
        return
    counts = dict(zip(*rows, strict=True)) if len(rows) == 2 else {}
    for metric, name in ((its.OVERFLOWS, "ListenOverflows"), (its.DROPS, "ListenDrops")):
        if name in counts:
            yield single(metric, int(counts[name]))

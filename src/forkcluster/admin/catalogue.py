"""Every metric of ours, declared once: name, kind, help, labels. docs/metrics.md is made from this table.

Names follow Prometheus' rules: base units, counters end in _total (the library adds that), a sum over all of
a metric's labels means something. Counters have no label of a worker but its seat, whose counts go on under
the next owner; which slot, generation and process that is now is told by forkcluster_worker_info.
"""

from typing import Final

from forkcluster.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Metric:
    """One family. `name` is without `forkcluster_`, and without the suffix that its kind has."""

    name: str
    kind: str  # counter, gauge, histogram, summary, info
    help: str
    labels: tuple[str, ...] = ()

    @property
    def full_name(self) -> str:
        """The family's name."""
        return f"forkcluster_{self.name}"

    @property
    def exposed(self) -> str:
        """The name as a query writes it."""
        suffix = {"counter": "_total", "info": "_info"}.get(self.kind, "")
        return f"{self.full_name}{suffix}"


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a scoreboard line (in nanoseconds where its name says so), as a metric labelled by seat."""

    word: str
    name: str
    help: str
    kind: str = "counter"

    @property
    def metric(self) -> Metric:
        """The metric."""
        return Metric(self.name, self.kind, self.help, SEAT)

    @property
    def scale(self) -> float:
        """What one of its units is in base units."""
        return 1e-9 if self.word.endswith("_ns") else 1.0


SEAT: Final = ("seat",)

# fmt: off
# Words of a scoreboard line that are metrics as they are.
LINE_COUNTERS: Final = (
    Word("accepted", "connections_accepted", "Connections accepted from a listener."),
    Word("handed_in", "connections_handed_in", "Connections received from another worker."),
    Word("handed_out", "connections_handed_out", "Connections given to another worker."),
    Word("timeouts", "connections_timed_out", "Connections closed by a deadline."),
    Word("shed", "connections_shed", "Idle connections closed for want of descriptors."),
    Word("exports", "connections_exported", "Readable connections given away, as this worker was blocked."),
    Word("accept_errors", "accept_errors", "Failed accepts: no descriptors, no memory."),
    Word("bytes_in", "received_bytes", "Bytes received from clients."),
    Word("bytes_out", "sent_bytes", "Bytes sent to clients."),
    Word("refused", "requests_refused", "Requests answered by the engine itself with 4xx or 5xx."),
    Word("blocked_ns", "app_blocked_seconds", "Time that calls of over 5 ms waited in the application."),
    Word("computed_ns", "app_computing_seconds", "Time that calls of over 5 ms computed in the application."),
    Word("promotions", "thread_promotions", "Times a spare thread took over the loop from a blocked one."),
    Word("log_dropped", "access_log_lines_dropped", "Access log lines not written."),
)
LINE_GAUGES: Final = (
    Word("in_flight", "requests_in_flight", "Requests in the application.", "gauge"),
    Word("open", "connections_open", "Open client connections.", "gauge"),
    Word("idle", "connections_idle", "Open connections with no request running.", "gauge"),
    Word("threads_out", "threads_in_app", "Serving threads inside the application.", "gauge"),
    Word("loop_lag_ns", "loop_lag_seconds", "Latest delay of a callback of an ASGI worker's loop.", "gauge"),
)

REQUESTS: Final = Metric("requests", "counter",
                         "Requests ended, by class of status; aborted: without a whole answer.",
                         ("seat", "status"))
DURATION: Final = Metric("request_duration_seconds", "histogram",
                         "Time from a whole request to the end of its answer.")
CPU: Final = Metric("worker_cpu_seconds", "counter", "CPU time of the workers of this seat.", SEAT)
RESIDENT: Final = Metric("worker_resident_memory_bytes", "gauge",
                         "Resident memory (RSS), shared pages in full.", SEAT)
PROPORTIONAL: Final = Metric("worker_proportional_memory_bytes", "gauge",
                             "Memory with shared pages divided among those who share them (PSS).", SEAT)
SHARED: Final = Metric("worker_shared_memory_bytes", "gauge",
                       "Resident memory that is shared with other processes.", SEAT)
MEMORY_AGE: Final = Metric("worker_memory_age_seconds", "gauge",
                           "Age of the proportional and shared memory figures.", SEAT)
WORKER_INFO: Final = Metric("worker", "info", "Who has a seat now.",
                            ("seat", "slot", "generation", "pid", "state"))
WORKER_STARTED: Final = Metric("worker_start_time_seconds", "gauge",
                               "When a seat's worker was started, since the epoch.", SEAT)

WORKERS: Final = Metric("workers", "gauge", "Workers by state.", ("state",))
WANTED: Final = Metric("workers_wanted", "gauge", "Workers that there should be.")
STARTS: Final = Metric("worker_starts", "counter", "Workers started.")
EXITS: Final = Metric("worker_exits", "counter", "Workers ended, by reason.", ("reason",))
RESTARTS: Final = Metric("worker_restarts", "counter",
                         "Workers that had to be replaced by one of the same code.")
GENERATION: Final = Metric("generation", "gauge", "The generation in service.")
RELOADS: Final = Metric("reloads", "counter",
                        "Reloads, by result: done, or failed and rolled back.", ("result",))
RELOAD_SECONDS: Final = Metric("reload_duration_seconds", "summary", "How long reloads took.", ("result",))
RELOADING: Final = Metric("reload_in_progress", "gauge", "1 while a reload is in progress.")
LAST_RELOAD_OK: Final = Metric("last_reload_successful", "gauge",
                               "Whether the last reload was done; 1 before the first.")
LAST_RELOAD_AT: Final = Metric("last_reload_timestamp_seconds", "gauge",
                               "When the last reload ended, since the epoch; 0 before the first.")
READY: Final = Metric("ready", "gauge", "1 while the app can be sent requests: what /readyz says.")
STARTED: Final = Metric("start_time_seconds", "gauge", "When the app was started, since the epoch.")
QUEUED: Final = Metric("accept_queue_connections", "gauge",
                       "Connections that wait to be accepted.", ("listener",))
QUEUE_LIMIT: Final = Metric("accept_queue_limit_connections", "gauge",
                            "Connections that the accept queue takes.", ("listener",))
OVERFLOWS: Final = Metric("host_listen_overflows", "counter",
                          "Connections refused for a full accept queue, in the network namespace.")
DROPS: Final = Metric("host_listen_drops", "counter",
                      "Connections dropped at a listener for any reason, in the network namespace.")
MASTER_UP: Final = Metric("master_up", "gauge",
                          "1 when the master answered; without it, what only it knows is missing.")
PROCESS_MEMORY: Final = Metric("process_resident_memory_bytes", "gauge",
                               "Resident memory of the processes that do not serve.", ("process",))
APP_METRICS_FAILURES: Final = Metric("app_metrics_failures", "counter",
                                     "Scrapes that could not read the application's own metrics.")
BUILD: Final = Metric("build", "info", "What is running.", ("app", "version", "python_version"))

CATALOGUE: Final[tuple[Metric, ...]] = (
    REQUESTS, DURATION,
    *(each.metric for each in (*LINE_COUNTERS, *LINE_GAUGES)),
    CPU, RESIDENT, PROPORTIONAL, SHARED, MEMORY_AGE, WORKER_INFO, WORKER_STARTED,
    WORKERS, WANTED, STARTS, EXITS, RESTARTS, GENERATION, RELOADS, RELOAD_SECONDS, RELOADING, LAST_RELOAD_OK,
    LAST_RELOAD_AT, READY, STARTED, QUEUED, QUEUE_LIMIT, OVERFLOWS, DROPS, MASTER_UP, PROCESS_MEMORY,
    APP_METRICS_FAILURES, BUILD,
)
# fmt: on

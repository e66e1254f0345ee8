"""The shared memory that says what every worker is doing and has done (C: csrc/py_scoreboard.c)."""

from collections.abc import Iterable
from typing import Literal, TypedDict, final, type_check_only

Oldest = tuple[int, str, str]  # since (CLOCK_MONOTONIC ns), method, path
# seat, epoch, in flight, requests ended, oldest, when its loop was last seen to turn (0: no matter)
Look = tuple[int, int, int, int, Oldest | None, int]
State = Literal["empty", "booting", "ready", "busy", "full", "draining", "dead"]

SEATS: int
STATES: tuple[State, ...]
CLASSES: tuple[str, ...]  # of Line["requests"]: "aborted", then "1xx" to "5xx"

@type_check_only
class Line(TypedDict):
    """One seat. Times are CLOCK_MONOTONIC nanoseconds; counters never go back, gauges are of now."""

    epoch: int
    slot: int
    generation: int
    pid: int
    started_ns: int
    heartbeat_ns: int
    state: State | Literal["unknown"]
    in_flight: int
    open: int
    idle: int
    threads_out: int
    loop_lag_ns: int
    loop_turned_ns: int
    calls: int
    stale: int
    accepted: int
    handed_in: int
    handed_out: int
    sent: int
    taken: int
    bytes_in: int
    bytes_out: int
    refused: int
    duration_ns: int
    blocked_ns: int
    computed_ns: int
    promotions: int
    exports: int
    accept_errors: int
    log_dropped: int
    truncated: int
    timeouts: int
    shed: int
    cpu_ns: int
    requests: list[int]  # by CLASSES
    duration: list[int]  # one more than bucket_bounds()
    oldest: Oldest | None

@final
class Scoreboard:
    """The mapped scoreboard of a descriptor, which stays the caller's."""

    def __new__(cls, fd: int, writable: bool = False) -> Scoreboard: ...
    @property
    def app(self) -> str: ...
    @property
    def generation(self) -> int: ...
    @generation.setter
    def generation(self, value: int) -> None: ...
    @property
    def ready(self) -> bool: ...
    @ready.setter
    def ready(self, value: bool) -> None: ...
    def line(self, seat: int, /) -> Line: ...
    def look(self) -> list[Look]: ...
    def totals(self) -> tuple[list[int], list[int], list[int]]:
        """Give requests by CLASSES and durations by bucket, summed over all seats, and requests by seat."""

    def claim(self, seat: int, epoch: int, slot: int, generation: int, /) -> None: ...
    def reset(self, seat: int, /) -> None: ...
    def loads(self, seats: Iterable[int], /) -> list[tuple[int, int, int, int, bool]]:
        """Give (sent, taken, idle, in_flight, ready) of each seat."""

    def add_sent(self, seat: int, count: int, /) -> None: ...
    def add_cpu(self, seat: int, ns: int, /) -> None: ...
    def set_pid(self, seat: int, pid: int, /) -> None: ...
    def set_stale(self, seat: int, /) -> None: ...
    def set_state(self, seat: int, state: State, /) -> None: ...
    def close(self) -> None: ...

def create(app: str, /) -> int: ...
def layout_hash() -> str: ...
def bucket_bounds() -> tuple[int, ...]: ...

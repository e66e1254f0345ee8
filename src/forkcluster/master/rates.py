"""How fast an app answers, over the last seconds: samples of the scoreboard's totals and what two tell.

A sample is taken every INTERVAL seconds and two are kept, so whoever asks is answered over the last INTERVAL
to 2 x INTERVAL seconds. Idle it costs one C call per INTERVAL. Pure but for the read that it is given.
"""

from collections import deque
from collections.abc import Callable, Sequence

from forkcluster.dataclass import dataclass

INTERVAL = 5.0

# Requests by class, durations by bucket, requests by seat.
Totals = tuple[Sequence[int], Sequence[int], Sequence[int]]


@dataclass(frozen=True, slots=True)
class Sample:
    """The counters at one time (CLOCK_MONOTONIC seconds)."""

    at: float
    requests: Sequence[int]
    durations: Sequence[int]
    by_seat: Sequence[int]


@dataclass(frozen=True, slots=True)
class Figures:
    """What happened between two samples. Times in seconds; no quantile without a request."""

    seconds: float
    requests_per_second: float
    errors_per_second: float  # answers of class 5xx
    p50: float | None
    p99: float | None
    by_seat: Sequence[float]  # requests per second


class Rates:
    """Samples when it is time to, and compares with now when asked."""

    def __init__(self, totals: Callable[[], Totals], bounds: Sequence[int]) -> None:
        self._totals = totals
        self._bounds = [bound / 1e9 for bound in bounds]
        self._samples: deque[Sample] = deque(maxlen=2)
        self._next = 0.0

    def deadline(self) -> float:
        """Give the time of the next sample."""
        return self._next

    def look(self, now: float) -> None:
        """Take a sample, if it is time to."""
        if now >= self._next:
            self._samples.append(Sample(now, *self._totals()))
            self._next = now + INTERVAL

    def figures(self, now: float) -> Figures | None:
        """Compare now with the oldest sample; None before there is one."""
        if not self._samples or now <= self._samples[0].at:
            return None
        return compare(self._samples[0], Sample(now, *self._totals()), self._bounds)


def compare(before: Sample, after: Sample, bounds: Sequence[float]) -> Figures:
    """Give what happened between two samples; `bounds` are the buckets' upper bounds in seconds."""
    seconds = after.at - before.at
    requests = [late - early for early, late in zip(before.requests, after.requests, strict=True)]
    durations = [late - early for early, late in zip(before.durations, after.durations, strict=True)]
    earlier = [*before.by_seat, *[0] * (len(after.by_seat) - len(before.by_seat))]
    by_seat = [(late - early) / seconds for early, late in zip(earlier, after.by_seat, strict=True)]
    return Figures(
        seconds,
        sum(requests) / seconds,
        requests[-1] / seconds,
        quantile(0.5, durations, bounds),
        quantile(0.99, durations, bounds),
        by_seat,
    )


def quantile(share: float, counts: Sequence[int], bounds: Sequence[float]) -> float | None:
    """Give the value below which that share of all lies, interpolated within its bucket; None of nothing.

    There is one bucket more than bounds; what is in that last one is told as its lower bound.
    """
    wanted = share * sum(counts)
    if wanted <= 0:
        return None
    below = 0
    for number, count in enumerate(counts[:-1]):
        if below + count >= wanted:
            low = bounds[number - 1] if number else 0.0
            return low + (bounds[number] - low) * (wanted - below) / count
        below += count
    return bounds[-1]

"""Seats: which line of the scoreboard belongs to which live worker, and how often each has changed hands.

A seat has one owner from the moment a worker is asked for until its process has ended; each owner gets the
next epoch, so that (seat, epoch) names one worker for ever. Pure: the scoreboard itself is the edge's.
"""

import heapq
from typing import NamedTuple


class Ref(NamedTuple):
    """The name of one worker across processes."""

    seat: int
    epoch: int


class SeatTable:
    """The seats of one app; the lowest free one is given first, which keeps the scoreboard sparse."""

    def __init__(self, size: int) -> None:
        self._free = list(range(size))
        self._epochs = [0] * size
        self._owned: set[Ref] = set()

    def take(self) -> Ref | None:
        """Give a free seat under a new epoch, or None when all are owned."""
        if not self._free:
            return None
        seat = heapq.heappop(self._free)
        self._epochs[seat] += 1
        ref = Ref(seat, self._epochs[seat])
        self._owned.add(ref)
        return ref

    def free(self, ref: Ref) -> None:
        """Take a seat back from a worker whose process has ended. Raise KeyError when it is not the owner."""
        self._owned.remove(ref)
        heapq.heappush(self._free, ref.seat)

    def owners(self) -> frozenset[Ref]:
        """Give all present owners."""
        return frozenset(self._owned)

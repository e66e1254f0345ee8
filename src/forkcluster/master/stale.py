"""What is not taken: connections in the inbox of a worker that does not read it, and connections in an accept
queue that somebody was woken for who did not come.

A worker is stale whose inbox holds something at look after look while it takes nothing. The counters alone
cannot tell: a message may arrive just after its receiver has looked and made them equal, or long after its
sender has counted it. So every look looks into every inbox. Pure: knows no clock and no descriptor; times are
CLOCK_MONOTONIC seconds.
"""

from collections.abc import Collection, Mapping

from forkcluster.dataclass import dataclass
from forkcluster.master.seats import Ref

STALE_AFTER = 0.25
LONGEST_PAUSE = 8.0


@dataclass(frozen=True, slots=True)
class Seen:
    """An inbox that holds something: since when, and what its worker had taken then."""

    taken: int
    since: float


class Watch:
    """The inboxes of all live workers."""

    def __init__(self) -> None:
        self._seen: dict[Ref, Seen] = {}

    def look(self, taken: Mapping[Ref, int], holding: Collection[Ref], now: float) -> list[Ref]:
        """Give the stale ones, from what each worker has taken and which inboxes hold something."""
        self._seen = {who: self._see(who, taken[who], now) for who in holding}
        return [who for who, seen in self._seen.items() if now - seen.since >= STALE_AFTER]

    def _see(self, who: Ref, taken: int, now: float) -> Seen:
        before = self._seen.get(who)
        return before if before is not None and before.taken == taken else Seen(taken, now)


class Stranding:
    """The accept queues. One that holds something at look after look may be stranded (its wake-up went to a
    worker that was stopped, or that went into a long call first) or only long: nudging helps in the first
    case and costs little in the second, the less the longer it lasts.
    """

    def __init__(self) -> None:
        self._nudge_at: float | None = None
        self._pause = STALE_AFTER

    def look(self, *, waiting: bool, now: float) -> bool:
        """Tell whether to nudge now; `waiting`: a queue holds something."""
        if not waiting:
            self._nudge_at = None
            return False
        if self._nudge_at is None:
            self._pause = STALE_AFTER
            self._nudge_at = now + self._pause
            return False
        if now < self._nudge_at:
            return False
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
        self._nudge_at = now + self._pause
        return True

"""Which inboxes are not read: a worker whose inbox holds something at look after look, and that takes
nothing, is stale.

The counters alone cannot tell: a message may arrive just after its receiver has looked and made them equal.
So an inbox whose `sent` has moved since it was last seen empty is looked into. Pure: knows no clock and no
descriptor; times are CLOCK_MONOTONIC seconds.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from forkcluster.master.seats import Ref

STALE_AFTER = 0.25


@dataclass(slots=True)
class Seen:
    """What the last look has seen of one inbox. `since`: how long it holds something and takes nothing; None
    when it was empty.
    """

    sent: int
    taken: int
    since: float | None = None
    settled: bool = False


class Watch:
    """The inboxes of all live workers."""

    def __init__(self) -> None:
        self._seen: dict[Ref, Seen] = {}

    def look(
        self, depths: Mapping[Ref, tuple[int, int]], holds: Callable[[Ref], bool], now: float
    ) -> list[Ref]:
        """Give the stale ones, from (sent, taken) of each worker; `holds` looks into an inbox."""
        self._seen = {who: seen for who, seen in self._seen.items() if who in depths}
        return [who for who, (sent, taken) in depths.items() if self._is_stale(who, sent, taken, holds, now)]

    def _is_stale(self, who: Ref, sent: int, taken: int, holds: Callable[[Ref], bool], now: float) -> bool:
        before = self._seen.get(who)
        if before is not None and before.settled and before.sent == sent:
            return False
        seen = self._seen[who] = Seen(sent, taken)
        if not holds(who):
            # Empty twice at the same count: nobody is between counting and sending.
            seen.settled = before is not None and before.since is None and before.sent == sent
            return False
        waits = before is not None and before.since is not None and before.taken == taken
        seen.since = before.since if before is not None and waits else now
        return seen.since is not None and now - seen.since >= STALE_AFTER

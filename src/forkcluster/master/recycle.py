"""When a worker has served enough: after so many requests, so much memory, so much time. Pure.

The number of requests is a little different for each worker (jitter), so that they do not come to it
together; replacing them, one at a time and the replacement first, is the cluster's everyday business.
"""

from collections.abc import Callable

from forkcluster.dataclass import dataclass
from forkcluster.master.seats import Ref


@dataclass(frozen=True, slots=True)
class Quota:
    """What a worker may use up; 0: as much as it likes. Memory in bytes, lifetime in seconds."""

    requests: int = 0
    jitter: int = 0
    memory: int = 0
    lifetime: float = 0.0


@dataclass(frozen=True, slots=True)
class Usage:
    """What one worker has used up since it was born; `memory` is its resident set, 0 when not known."""

    who: Ref
    requests: int
    memory: int
    age: float


class Recycling:
    """The quota, and each worker's share of the jitter, drawn by `draw` (0 to its argument)."""

    def __init__(self, quota: Quota, draw: Callable[[int], int]) -> None:
        self.quota = quota
        self._draw = draw
        self._most: dict[Ref, int] = {}

    def look(self, usages: list[Usage]) -> list[tuple[Ref, str]]:
        """Give the workers that have used up a quota, and which, in words."""
        present = {usage.who for usage in usages}
        self._most = {who: most for who, most in self._most.items() if who in present}
        found = ((usage.who, self._why(usage)) for usage in usages)
        return [(who, why) for who, why in found if why]

    def _why(self, usage: Usage) -> str:
        quota = self.quota
        if quota.requests:
            if usage.who not in self._most:
                self._most[usage.who] = quota.requests + self._draw(quota.jitter)
            most = self._most[usage.who]
            if usage.requests >= most:
                return f"max_requests: {usage.requests} served, {most} allowed"
        if quota.memory and usage.memory >= quota.memory:
            return f"max_memory: {usage.memory >> 20} MiB resident, {quota.memory >> 20} allowed"
        if quota.lifetime and usage.age >= quota.lifetime:
            return f"max_lifetime: {usage.age:.0f} s old, {quota.lifetime:g} allowed"
        return ""

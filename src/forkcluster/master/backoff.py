"""Back-off: how long a place that keeps losing its process waits before the next one. Pure."""

FIRST_WAIT = 0.1
LONGEST_WAIT = 30.0


class Backoff:
    """Counts early deaths in a row of one slot (or mold): early is before `min_uptime` seconds of being
    ready.
    """

    def __init__(self) -> None:
        self.failures = 0

    def after_death(self, uptime: float | None, min_uptime: float) -> float:
        """Give the seconds to wait; `uptime` is the time it had been ready, None when it never was."""
        if uptime is not None and uptime >= min_uptime:
            self.failures = 0
            return 0.0
        self.failures += 1
        doublings = min(self.failures - 1, 16)
        return float(min(FIRST_WAIT * 2**doublings, LONGEST_WAIT))

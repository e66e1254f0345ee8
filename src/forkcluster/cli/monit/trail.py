"""What an app's figures were, look after look: what the graphs are drawn from. Pure."""

from collections import deque
from collections.abc import Iterable
from typing import Final

from forkcluster.cli.quantities import milliseconds, percent, size
from forkcluster.dataclass import dataclass, field
from forkcluster.manager.status import View, number, part

KEPT: Final = 240  # looks
KINDS: Final = ("rate", "p99", "cpu", "memory")


@dataclass(slots=True)
class Trail:
    """The figures of one app, the oldest first. What was not known at a look counts as nothing."""

    values: dict[str, deque[float]] = field(
        default_factory=lambda: {kind: deque(maxlen=KEPT) for kind in KINDS}
    )

    def add(self, view: View) -> None:
        """Take one look."""
        figures = part(view.status, "figures")
        found = {
            "rate": number(figures, "requests_per_second"),
            "p99": number(figures, "p99"),
            "cpu": view.figures.cpu,
            "memory": view.figures.memory,
        }
        for kind, value in found.items():
            self.values[kind].append(value or 0.0)

    def latest(self, kind: str) -> str:
        """Say the last value; a dash before the first look."""
        values = self.values[kind]
        if not values:
            return "-"
        value = values[-1]
        if kind == "rate":
            return f"{value:.1f}/s"
        return {"p99": milliseconds, "cpu": percent}[kind](value) if kind != "memory" else size(int(value))


class Trails:
    """The trails of all apps that there are."""

    def __init__(self) -> None:
        self._trails: dict[str, Trail] = {}

    def add(self, views: Iterable[View]) -> None:
        """Take one look at every app; those that are gone are forgotten."""
        self._trails = {view.app.name: self._trails.get(view.app.name, Trail()) for view in views}
        for view in views:
            self._trails[view.app.name].add(view)

    def of(self, name: str) -> Trail:
        """Give one app's trail."""
        return self._trails.get(name, Trail())

"""In which order apps that depend on each other are started, and what cannot start any more. Pure.

An app begins when those it depends on are ready (or, if that is enough, have begun). Stopping is the same
with every dependency turned round.
"""

from collections.abc import Iterator, Mapping

from forkcluster.dataclass import dataclass, field
from forkcluster.errors import ConfigurationError, did_you_mean

Depends = Mapping[str, Mapping[str, str]]
"""App → what it depends on → "ready" or "started"."""


@dataclass()
class Schedule:
    """What has begun, what is ready, what has failed. `depends` names only apps that are its keys."""

    depends: Depends
    begun: set[str] = field(default_factory=set)
    ready: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)

    def next(self) -> list[str]:
        """Give the apps that may begin now and mark them as begun."""
        found = [name for name in self.depends if name not in self.begun and self._may(name)]
        self.begun.update(found)
        return found

    def blocked(self) -> Iterator[tuple[str, str]]:
        """Give the apps that cannot begin any more, each with what it waits for in vain; mark them failed."""
        found = True
        while found:
            found = False
            for name, wanted in self.depends.items():
                lost = next((each for each in wanted if each in self.failed), None)
                if lost is not None and name not in self.begun:
                    self.begun.add(name)
                    self.failed.add(name)
                    found = True
                    yield name, lost

    @property
    def done(self) -> bool:
        """Whether every app is ready or has failed."""
        return self.ready | self.failed >= self.depends.keys()

    def _may(self, name: str) -> bool:
        return all(
            each in (self.begun if condition == "started" else self.ready) and each not in self.failed
            for each, condition in self.depends[name].items()
        )


def check(depends: Depends, where: str) -> None:
    """Raise ConfigurationError if an app depends on one that is not there, or in a circle."""
    for name, wanted in depends.items():
        for each in wanted:
            if each not in depends:
                raise ConfigurationError(
                    f"reading the configuration {where}: {name} depends on {each}, which is no app of it",
                    did_you_mean(each, depends) or f"the apps are {', '.join(depends)}",
                )
    circle = find_circle(depends)
    if circle:
        raise ConfigurationError(
            f"reading the configuration {where}: apps depend on each other in a circle: {' → '.join(circle)}",
            "take one depends_on of these away",
        )


def find_circle(depends: Depends) -> list[str]:
    """Give the apps of a circle, the first one again at the end; empty if there is none."""
    left = {name: set(wanted) & depends.keys() for name, wanted in depends.items()}
    while free := [name for name, wanted in left.items() if not wanted & left.keys()]:
        for name in free:
            del left[name]
    if not left:
        return []
    path = [next(iter(left))]
    while path[-1] not in path[:-1]:
        path.append(min(left[path[-1]] & left.keys()))
    return path[path.index(path[-1]) :]


def among(depends: Depends, names: set[str]) -> dict[str, dict[str, str]]:
    """Give the dependencies among those apps alone; what is not of them is taken to be there."""
    return {
        name: {each: condition for each, condition in wanted.items() if each in names}
        for name, wanted in depends.items()
        if name in names
    }


def turned(depends: Depends) -> dict[str, dict[str, str]]:
    """Give the order of stopping: who depends on an app goes before it."""
    return {name: {other: "ready" for other, wanted in depends.items() if name in wanted} for name in depends}

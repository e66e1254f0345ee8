"""What must be done so that the apps of a file are what the file says: (wanted, registered) → steps. Pure.

Reads no file and asks no master. Options are compared as they were frozen, so a changed env_file is seen;
new code is not: that is what `reload` is for.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from forkcluster.manager.changes import Change, between
from forkcluster.options.frozen import Options
from forkcluster.options.table import NEED_RESTART


class Verb(str, Enum):
    """What is done to an app; the value is what a person reads."""

    START = "start"
    SCALE = "scale"
    RELOAD = "reload"
    RESTART = "restart"
    REMOVE = "remove"
    KEEP = "keep"

    @property
    def changes(self) -> bool:
        """Whether anything is done at all."""
        return self is not Verb.KEEP


@dataclass(frozen=True, slots=True)
class Wanted:
    """An app of the file. `workers` is `options.instances` as a number, on this machine."""

    name: str
    options: Options
    workers: int
    depends_on: Mapping[str, str] = field(default_factory=dict)
    autostart: bool = True


@dataclass(frozen=True, slots=True)
class Known:
    """A registered app. `ours`: it was started from this file.

    `options` are those that its newest generation was made of, None if that cannot be told: it does not run,
    or another release of forkcluster runs it.
    """

    name: str
    running: bool
    options: Options | None = None
    workers: int = 0
    ours: bool = True
    state: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One app's part of the plan: what is done, why, and what differs."""

    verb: Verb
    name: str
    why: str
    changes: tuple[Change, ...] = ()
    workers: int | None = None


def plan(
    wanted: Iterable[Wanted], known: Iterable[Known], *, prune: bool = False, partial: bool = False
) -> tuple[Step, ...]:
    """Give the step for each app, those of the file first and in its order.

    With `prune` apps that were started from the file and stand in it no more are removed; `partial` says that
    `wanted` is a part of the file only (--only), so that nothing can be said of the others.
    """
    by_name = {each.name: each for each in known}
    wanted = list(wanted)
    steps = [_step(each, by_name.get(each.name)) for each in wanted]
    names = {each.name for each in wanted}
    gone = [each for each in by_name.values() if each.ours and each.name not in names]
    if not partial:
        steps += [_gone(each, prune=prune) for each in gone]
    return tuple(steps)


def _step(app: Wanted, known: Known | None) -> Step:
    if known is None or not known.running:
        if not app.autostart:
            return Step(Verb.KEEP, app.name, "is not started by itself (autostart = false)")
        why = "is not there yet" if known is None else f"is {known.state or 'stopped'}"
        return Step(Verb.START, app.name, why, workers=app.workers)
    if not known.ours:
        return Step(Verb.RESTART, app.name, "was started in another way")
    if known.options is None:
        return Step(Verb.RESTART, app.name, "another release of forkcluster runs it")
    return _compare(app, known, known.options)


def _compare(app: Wanted, known: Known, now: Options) -> Step:
    """The step for an app that runs: the least that brings all changes about."""
    found = between(now, app.options)
    options = {change.option for change in found}
    deep = [name for name in NEED_RESTART if name in options]
    if deep:
        why = f"{', '.join(deep)} {'holds' if len(deep) == 1 else 'hold'} from its start on"
        return Step(Verb.RESTART, app.name, why, found)
    if options - {"instances"}:
        return Step(Verb.RELOAD, app.name, "its options differ", found)
    if known.workers != app.workers:
        drift = "" if options else "was scaled by hand; the file says otherwise"
        change = Change("instances", "workers", str(known.workers), str(app.workers))
        return Step(Verb.SCALE, app.name, drift, (change,), app.workers)
    return Step(Verb.KEEP, app.name, "is as the file says")


def _gone(known: Known, *, prune: bool) -> Step:
    if prune:
        return Step(Verb.REMOVE, known.name, "stands in the file no more")
    return Step(Verb.KEEP, known.name, "stands in the file no more; --prune removes it")


def summary(steps: Sequence[Step]) -> str:
    """The plan in one line: "2 to start, 1 to reload, 3 as they should be"."""
    counts = [(verb, sum(step.verb is verb for step in steps)) for verb in Verb if verb.changes]
    words = [f"{count} to {verb.value}" for verb, count in counts if count]
    kept = sum(not step.verb.changes for step in steps)
    if not words:
        return "nothing to do"
    return ", ".join([*words, *([f"{kept} left as {'it is' if kept == 1 else 'they are'}"] if kept else [])])

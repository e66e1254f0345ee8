"""What must be done so that the apps of a file are what the file says: (wanted, registered) → steps. Pure.

Reads no file and asks no master. Options are compared as they were frozen, so a changed env_file is seen;
new code is not: that is what `reload` is for.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum

from forkcluster.dataclass import dataclass, field, replace
from forkcluster.manager.changes import Change, between
from forkcluster.options.frozen import NEED_RESTART, Options


class Mode(Enum):
    """What a command means by the file."""

    APPLY = "the least that makes the apps what the file says"
    START = "what does not run is started; what runs is left alone"
    RELOAD = "the same, and what runs is reloaded"
    RESTART = "the same, and what runs is started anew"


class Verb(str, Enum):
    """What is done to an app; the value is what a person reads."""

    START = "start"
    ADD = "add"
    SCALE = "scale"
    RELOAD = "reload"
    RESTART = "restart"
    REMOVE = "remove"
    KEEP = "keep"
    REFUSE = "refuse"

    @property
    def changes(self) -> bool:
        """Whether anything is done at all."""
        return self not in (Verb.KEEP, Verb.REFUSE)


@dataclass(frozen=True, slots=True)
class Wanted:
    """An app of the file. `workers` is `options.instances` as a number, on this machine."""

    name: str
    options: Options
    workers: int
    depends_on: Mapping[str, str] = field(default_factory=dict)
    autostart: bool = True

    def meant(self) -> "Wanted":
        """The same, started although it is not started by itself: it was named."""
        return replace(self, autostart=True)


@dataclass(frozen=True, slots=True)
class Known:
    """A registered app. `ours`: it was started from this file; `owner`: to what else the name belongs.

    `differs` says in words what of the way it was started a reload cannot change, `asked` what it can.
    `options` are those that its newest generation was made of, None if that cannot be told: it does not run,
    or another release of forkcluster runs it.
    """

    name: str
    running: bool
    options: Options | None = None
    workers: int = 0
    ours: bool = True
    owner: str = ""
    differs: str = ""
    asked: str = ""
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
    wanted: Iterable[Wanted],
    known: Iterable[Known],
    mode: Mode = Mode.APPLY,
    *,
    prune: bool = False,
    partial: bool = False,
) -> tuple[Step, ...]:
    """Give the step for each app, those of the file first and in its order.

    With `prune` apps that were started from the file and stand in it no more are removed; `partial` says that
    `wanted` is a part of the file only (--only), so that nothing can be said of the others.
    """
    by_name = {each.name: each for each in known}
    wanted = list(wanted)
    steps = [_step(each, by_name.get(each.name), mode) for each in wanted]
    names = {each.name for each in wanted}
    gone = [each for each in by_name.values() if each.ours and each.name not in names]
    if not partial:
        steps += [_gone(each, prune=prune) for each in gone]
    return tuple(steps)


def _step(app: Wanted, known: Known | None, mode: Mode) -> Step:
    if known is not None and known.owner:
        return Step(Verb.REFUSE, app.name, f"the name belongs to {known.owner}")
    if known is None or not known.running:
        if not app.autostart:
            verb = Verb.ADD if known is None else Verb.KEEP
            return Step(verb, app.name, "is not started by itself (autostart = false)")
        why = "is not there yet" if known is None else f"is {known.state or 'stopped'}"
        return Step(Verb.START, app.name, why, workers=app.workers)
    return _insist(mode, _least(app, known))


def _insist(mode: Mode, least: Step) -> Step:
    """What a command makes of the least that could be done to an app that runs."""
    name, changes = least.name, least.changes
    if mode is Mode.START:
        differs = (
            "" if least.verb is Verb.KEEP else ", and differs from the file: apply, or reload, changes that"
        )
        return Step(Verb.KEEP, name, f"runs already{differs}", changes)
    reloadable = changes and all(change.option != "exec_mode" for change in changes)
    if mode is Mode.APPLY or (least.verb is Verb.RESTART and not reloadable):
        return least
    if mode is Mode.RESTART:
        return Step(Verb.RESTART, name, "as asked for", changes)
    left = f"; {least.why}: apply brings that about" if least.verb is Verb.RESTART else ""
    return Step(Verb.RELOAD, name, f"as asked for{left}", changes)


def _least(app: Wanted, known: Known) -> Step:
    """The least that makes an app that runs what the file says."""
    if known.differs:
        return Step(Verb.RESTART, app.name, known.differs)
    if known.options is None and known.state == "starting":
        return Step(Verb.KEEP, app.name, "is starting just now; plan again when it is up")
    if known.options is None:
        silent = "its master does not answer"
        why = silent if known.state == "silent" else "another release of forkcluster runs it"
        return Step(Verb.RESTART, app.name, why)
    return _compare(app, known, known.options)


def _compare(app: Wanted, known: Known, now: Options) -> Step:
    found = between(now, app.options)
    options = {change.option for change in found}
    deep = [name for name in NEED_RESTART if name in options]
    if deep:
        why = f"{', '.join(deep)} {'holds' if len(deep) == 1 else 'hold'} from its start on"
        return Step(Verb.RESTART, app.name, why, found)
    if known.asked or options - {"instances"}:
        return Step(Verb.RELOAD, app.name, known.asked or "its options differ", found)
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
    refused = sum(step.verb is Verb.REFUSE for step in steps)
    kept -= refused
    words += [f"{refused} refused"] if refused else []
    if not words:
        return "nothing to do"
    return ", ".join([*words, *([f"{kept} left as {'it is' if kept == 1 else 'they are'}"] if kept else [])])

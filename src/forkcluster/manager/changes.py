"""What differs between two sets of options, for a person: masked, variable by variable. Pure."""

from collections.abc import Iterator

from forkcluster.dataclass import dataclass, names
from forkcluster.manager.secrets import mask
from forkcluster.options.frozen import Options
from forkcluster.options.kinds import PairList
from forkcluster.options.table import BY_NAME, Option


@dataclass(frozen=True, slots=True)
class Change:
    """One difference. `before` and `after` may be shown; None: it was, or is, not there."""

    option: str
    key: str
    before: str | None
    after: str | None

    def __str__(self) -> str:
        if self.before is None:
            return f"{self.key} = {self.after}"
        if self.after is None:
            return f"{self.key} = {self.before}, removed"
        same = " (another value)" if self.before == self.after else ""
        return f"{self.key}: {self.before} → {self.after}{same}"


def between(before: Options, after: Options) -> tuple[Change, ...]:
    """Give all differences, in the order of the table; the name excepted."""
    return tuple(
        change
        for name in names(Options)
        if name != "name" and getattr(before, name) != getattr(after, name)
        for change in _of_option(BY_NAME[name], getattr(before, name), getattr(after, name))
    )


def _of_option(option: Option, before: object, after: object) -> Iterator[Change]:
    if isinstance(option.kind, PairList):
        yield from _of_pairs(option, before, after)
    else:
        yield Change(option.name, option.name, _shown(option, before), _shown(option, after))


def _of_pairs(option: Option, before: object, after: object) -> Iterator[Change]:
    """Each variable or field by itself; the order alone is one difference, too."""
    old, new = _pairs(before), _pairs(after)
    if old == new:
        yield Change(option.name, option.name, ", ".join(old), ", ".join(new))
    for name in dict.fromkeys([*old, *new]):
        if old.get(name) != new.get(name):
            was, becomes = (None if name not in pairs else mask(name, pairs[name]) for pairs in (old, new))
            yield Change(option.name, f"{option.name}.{name}", was, becomes)


def _pairs(value: object) -> dict[str, str]:
    return {str(name): str(text) for name, text in value} if isinstance(value, tuple) else {}


def _shown(option: Option, value: object) -> str:
    shown = option.show(value)  # type: ignore[arg-type]
    return mask(option.name, shown) or '""'

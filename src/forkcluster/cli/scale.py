"""`forkcluster scale`: more or fewer workers, without a reload."""

from collections.abc import Sequence

import click

from forkcluster.cli import choosing
from forkcluster.cli.results import Results
from forkcluster.errors import ForkclusterError, StateError, UsageError
from forkcluster.manager import scaling
from forkcluster.manager.register import App, Register

HELP = """Have N workers, N more (+N) or fewer (-N), or one for each CPU (max). Workers that are too many
finish what they are doing. The number holds until the configuration's own changes.

\b
Examples:
  forkcluster scale shop 4
  forkcluster scale shop -1"""


class ScaleCommand(click.Command):
    """The last word is the number: -1 is one, and no option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, [_guarded(word) for word in args])


def build() -> click.Command:
    """Make the command."""
    plain = choosing.command(
        "scale", _scale, HELP, choosing.targets(), choosing.waiting("until they serve"), [choosing.as_json()]
    )
    return ScaleCommand("scale", params=plain.params, callback=_scale, help=plain.help)


def _guarded(word: str) -> str:
    """Hide a minus from click's parser, which would take -1 for an option."""
    return f"\N{MINUS SIGN}{word[1:]}" if word[:1] == "-" and word[1:].isdecimal() else word


def _scale(
    targets: Sequence[str],
    only: Sequence[str],
    wait: bool,
    timeout: float | None,
    as_json: bool,
) -> int:
    *names, number = (word.replace("\N{MINUS SIGN}", "-") for word in targets)
    if not names:
        raise UsageError("scale needs a TARGET and a number", "forkcluster scale shop 4")
    scaling.check(number)
    register, apps = choosing.chosen(names, only)
    results = Results(as_json=as_json)
    for app in apps:
        try:
            _one(register, app, number, results, wait=wait, timeout=timeout)
        except ForkclusterError as error:
            results.bad(app.name, error)
    return results.finish("no app is registered: nothing to scale")


def _one(
    register: Register, app: App, number: str, results: Results, *, wait: bool, timeout: float | None
) -> None:
    if app.foreground and not app.control:
        raise StateError(f"{app.name} has no control socket")
    before, workers = scaling.scale(register, app, number)
    facts = {"before": before, "workers": workers}
    if not app.running:
        results.good(app.name, f"will have {workers} workers when it is started", **facts)
        return
    if wait:
        scaling.settle(app, workers, timeout)
    change = f"has {workers} workers as before" if before == workers else f"{before} → {workers} workers"
    results.good(app.name, change, **facts)

"""How the manager's commands are told which apps: the parameters they share, and what those come to."""

import os
from collections.abc import Callable, Iterator, Sequence

import click

from forkcluster.cli import streams
from forkcluster.cli.results import Results
from forkcluster.cli.serve import directory_of_words
from forkcluster.errors import ForkclusterError
from forkcluster.manager import inputs
from forkcluster.manager.register import App, Register
from forkcluster.manager.status import look
from forkcluster.manager.targets import GRAMMAR, only, resolve


def targets(*, required: bool = True) -> list[click.Parameter]:
    """The apps a command is for, and --only."""
    return [
        click.Argument(
            ["targets"],
            nargs=-1,
            required=required,
            metavar="TARGET..." if required else "[TARGET]...",
            shell_complete=_names,
        ),
        click.Option(
            ["--only"], multiple=True, metavar="NAMES", help="Of these take only the apps named here."
        ),
    ]


def _names(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Give the names of apps that a shell may put here."""
    try:
        return [app.name for app in Register.find(os.environ).apps() if app.name.startswith(incomplete)]
    except ForkclusterError:
        return []


def waiting(what: str) -> list[click.Parameter]:
    """--wait, --no-wait and --timeout."""
    return [
        click.Option(["--wait/--no-wait"], default=True, help=f"Wait {what}.  [default: wait]"),
        click.Option(
            ["--timeout"],
            type=click.FloatRange(min=0),
            metavar="SECONDS",
            help="Wait no longer than this; the exit code is then 75.",
        ),
    ]


def parallel(default: int = 2) -> click.Parameter:
    """--parallel."""
    return click.Option(
        ["--parallel"],
        type=click.IntRange(min=1),
        default=default,
        metavar="N",
        help=f"How many apps to do at the same time.  [default: {default}]",
    )


def update_env() -> click.Parameter:
    """--update-env."""
    return click.Option(
        ["-a", "--update-env"], is_flag=True, help="Take the environment of this terminal from now on."
    )


def batches(apps: Sequence[App], size: int) -> Iterator[Sequence[App]]:
    """Give the apps, `size` at a time."""
    for start in range(0, len(apps), size):
        yield apps[start : start + size]


def as_json() -> click.Parameter:
    """--json."""
    return click.Option(["as_json", "--json"], is_flag=True, help="Print JSON.")


def command(
    name: str, callback: Callable[..., object], help: str, *parameters: Sequence[click.Parameter]
) -> click.Command:
    """Make a command of these parameters; its targets are explained."""
    flat = [each for group in parameters for each in group]
    takes = any(each.name == "targets" for each in flat)
    text = f"{help}\n\nTARGET: {GRAMMAR}." if takes else help
    return click.Command(name, params=flat, callback=callback, help=text)


def tell_silent(apps: Sequence[App]) -> None:
    """Say which masters do not answer, before they are waited for; one without a socket is not asked."""
    for view in look([app for app in apps if app.control is not None], figures=False):
        if view.state == "silent":
            pid = view.app.pid
            text = f"{view.app.name}: its master does not answer; it is waited for (kill -9 {pid} ends it)"
            streams.tell(text, err=True)


def tell_unwritten(what: ForkclusterError) -> None:
    """Say what could not be written down about apps that are stopped all the same."""
    text = "the apps are stopped all the same, but until this is written resurrect and a boot start them"
    streams.tell(f"{click.style('forkcluster:', fg='yellow')} {what}\n  {text}", err=True)


def forget_inputs(register: Register, apps: Sequence[App], results: Results) -> None:
    """Remove what came through standard input for apps that are forgotten."""
    try:
        inputs.forget(register, [app.record for app in apps if app.record is not None])
    except ForkclusterError as error:
        results.bad("standard input", error)


def chosen(words: Sequence[str], names: Sequence[str] = ()) -> tuple[Register, list[App]]:
    """Give the register and the apps that were meant. Raise NotFoundError."""
    register = Register.find(os.environ)
    return register, only(names, resolve(words, register.apps(), directory_of_words()))

"""`forkcluster [serve] TARGET`: read the options, then report on them or become the master."""

import os
from collections.abc import Mapping

import click

from forkcluster.cli import serve, streams
from forkcluster.cli.index import INDEX
from forkcluster.cli.options import TableCommand, flags, table_options
from forkcluster.cli.words import FUTURE, NEEDLESS
from forkcluster.errors import UsageError, did_you_mean
from forkcluster.options.file import reference
from forkcluster.options.frozen import Request
from forkcluster.options.read import read
from forkcluster.options.table import BY_NAME

EPILOG = """\b
Examples:
  forkcluster app:application -i 0
  forkcluster shop.wsgi -i 4 --bind :8000
  forkcluster                          in a Django project, or beside an app.py

Every option may also be set in forkcluster.toml ([app] table) or by a variable: --drain-timeout is
FORKCLUSTER_DRAIN_TIMEOUT. Flags are strongest, then variables, then the file."""


class ServeCommand(TableCommand):
    """The server's own command, whose word may be left out."""

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_usage("forkcluster", "[serve] [TARGET] [-i N] [--bind ADDRESS]... [OPTIONS]")


def build() -> click.Command:
    """Make the command from the table."""
    target = BY_NAME["target"]
    parameters = [
        click.Argument([target.name], required=False, metavar=target.kind.metavar),
        *table_options(),
        click.Option(
            ["--check-config"], is_flag=True, help="Read all options, say whether they are good, and exit."
        ),
        click.Option(
            ["--print-config"], is_flag=True, help="Print what holds and where it comes from, and exit."
        ),
    ]
    return ServeCommand(
        "serve",
        params=parameters,
        callback=_serve,
        help="Serve a Python web application on every CPU.\n\n"
        f"TARGET: {target.help} Without one, a Django project or an app.py is looked for.",
        epilog=EPILOG,
    )


def _serve(check_config: bool, print_config: bool, **values: object) -> None:
    """Read the options, then report on them or become the master."""
    target = values.get("target")
    if target in FUTURE:
        raise UsageError(
            f"the command {target} is not in this release yet",
            f"a module of that name is meant? Say {target}:application, or ./{target}.py",
        )
    if isinstance(target, str) and target in NEEDLESS:
        raise UsageError(
            f"there is no command {target}, for it is not needed: {NEEDLESS[target]}",
            f"a module of that name is meant? Say {target}:application, or ./{target}.py",
        )
    request = request_of(flags(values))
    reading = read(request, os.environ)
    elsewhere = values.get("chdir") or values.get("pythonpath") or reading.options.exec_mode == "fork"
    if isinstance(target, str) and not elsewhere:
        _refuse_misspelt(target)
    if print_config or check_config:
        from forkcluster.cli import report

    if print_config:
        streams.say(report.settings(reading), nl=False)
    elif check_config:
        streams.say(report.verdict(reading))
    else:
        if reading.options.venv and reading.options.exec_mode != "fork":
            from forkcluster.manager.interpreter import interpreter_of, prove

            prove(interpreter_of(reading.options))
        serve.become_master(reading.launch(request))


def _refuse_misspelt(word: str) -> None:
    """Raise UsageError for a bare word that is nearly a command, and no module that lies here."""
    if not word.isidentifier() or os.path.exists(word) or os.path.exists(f"{word}.py"):
        return
    if near := did_you_mean(word, [entry.name for entry in INDEX]):
        raise UsageError(
            f"there is no command {word}, and no module of that name here",
            f"{near} A module that lies elsewhere: {word}:application",
        )


def request_of(given: Mapping[str, tuple[str, ...]]) -> Request:
    """What was asked for; an app of a file with several is read as if one were beside that file."""
    directory = serve.working_directory()
    if "app" not in given or "config" not in given:
        return Request(given, directory)
    named = reference(os.path.join(directory, given["config"][-1]), given["app"][-1])
    return Request({**given, **named.flags}, named.directory)

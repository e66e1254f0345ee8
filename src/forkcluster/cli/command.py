"""The command `forkcluster`: parameters generated from the table of options, errors that say what to try."""

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from forkcluster import __version__
from forkcluster.cli import report, serve
from forkcluster.cli.words import FOREIGN, FUTURE
from forkcluster.errors import EXIT_FAILURE, EXIT_OK, ForkclusterError, UsageError
from forkcluster.options.file import reference
from forkcluster.options.frozen import Request
from forkcluster.options.kinds import Switch
from forkcluster.options.read import read
from forkcluster.options.table import BY_NAME, GROUPS, TABLE, Option

EPILOG = """\b
Examples:
  forkcluster app:application -i 0
  forkcluster shop.wsgi -i 4 --bind :8000
  forkcluster                          in a Django project, or beside an app.py

Every option may also be set in forkcluster.toml ([app] table) or by a variable: --drain-timeout is
FORKCLUSTER_DRAIN_TIMEOUT. Flags are strongest, then variables, then the file."""


class TableOption(click.Option):
    """A flag of an option of the table."""

    def __init__(self, option: Option) -> None:
        self.group = option.group
        names = "/".join(filter(None, (option.flags[-1], option.off_flag)))
        declarations = [option.name, *option.flags[:-1], names]
        if isinstance(option.kind, Switch):
            super().__init__(declarations, default=None, help=_help(option))
        else:
            super().__init__(
                declarations,
                multiple=option.repeats,
                metavar=option.kind.metavar,
                help=_help(option),
                type=str,
            )


class ServeCommand(click.Command):
    """The command, its help parted by groups."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        parameters = [parameter for parameter in self.get_params(ctx) if isinstance(parameter, click.Option)]
        for group in (*GROUPS, ""):
            rows = [p.get_help_record(ctx) for p in parameters if getattr(p, "group", "") == group]
            with formatter.section(group or "And"):
                formatter.write_dl([row for row in rows if row is not None])

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_usage(ctx.command_path, "[TARGET] [-i N] [--bind ADDRESS]... [OPTIONS]")


def build() -> click.Command:
    """Make the command from the table."""
    parameters: list[click.Parameter] = [
        click.Argument(
            [option.name],
            required=False,
            metavar=option.kind.metavar,
            nargs=-1 if option.repeats else 1,
        )
        if option.positional
        else TableOption(option)
        for option in TABLE
    ]
    parameters += [
        click.Option(
            ["--check-config"], is_flag=True, help="Read all options, say whether they are good, and exit."
        ),
        click.Option(
            ["--print-config"], is_flag=True, help="Print what holds and where it comes from, and exit."
        ),
    ]
    command = ServeCommand(
        "forkcluster",
        params=parameters,
        callback=_serve,
        help="Serve a Python web application on every CPU.\n\n"
        f"TARGET: {BY_NAME['target'].help} Without one, a Django project or an app.py is looked for.",
        epilog=EPILOG,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    )
    return click.version_option(__version__, prog_name="forkcluster")(command)


def run(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command and exit with its code; every expected error becomes a message on standard error."""
    try:
        code = build().main(arguments, prog_name="forkcluster", standalone_mode=False)
    except click.NoSuchOption as error:
        error.show()
        if error.option_name in FOREIGN:
            click.echo(f"Try: {FOREIGN[error.option_name]}.", err=True)
        code = error.exit_code
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, BrokenPipeError):
        code = EXIT_FAILURE
    except ForkclusterError as error:
        click.echo(f"{click.style('forkcluster:', fg='red')} {error}", err=True)
        code = error.exit_code
    sys.exit(code if isinstance(code, int) else EXIT_OK)


def _serve(check_config: bool, print_config: bool, **values: object) -> None:
    """Read the options, then report on them or become the master."""
    target = values.get("target")
    if target in FUTURE:
        raise UsageError(
            f"the command {target} is not in this release yet; forkcluster TARGET serves in the foreground",
            f"a module of that name is meant? Say {target}:application, or ./{target}.py",
        )
    request = _request(flags(values))
    reading = read(request, os.environ)
    if print_config:
        click.echo(report.settings(reading), nl=False)
    elif check_config:
        click.echo(report.verdict(reading))
    else:
        serve.become_master(reading.launch(request))


def _request(given: dict[str, tuple[str, ...]]) -> Request:
    """What was asked for; an app of a file with several is read as if one were beside that file."""
    directory = serve.working_directory()
    if "app" not in given or "config" not in given:
        return Request(given, directory)
    named = reference(os.path.join(directory, given["config"][-1]), given["app"][-1])
    return Request({**given, **named.flags}, named.directory)


def flags(values: dict[str, object]) -> dict[str, tuple[str, ...]]:
    """What click parsed, as texts by option; what was not given is left out."""
    found: dict[str, tuple[str, ...]] = {}
    for name, value in values.items():
        if isinstance(value, bool):
            found[name] = ("true" if value else "false",)
        elif isinstance(value, tuple) and value:
            found[name] = tuple(map(str, value))
        elif isinstance(value, str):
            found[name] = (value,)
    return found


def _help(option: Option) -> str:
    """The option's help with its unit and what holds without it."""
    default = option.implied or option.default or ""
    if isinstance(option.kind, Switch):
        default = "on" if option.default == "true" else ""
    unit = f" {option.unit}" if option.unit and default.isdigit() else ""
    return f"{option.help}  [default: {default}{unit}]" if default else option.help

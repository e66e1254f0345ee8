"""`forkcluster run`: all apps of a file in the foreground, for containers."""

import os
import sys
from collections.abc import Sequence
from typing import Final

import click

from forkcluster import log
from forkcluster.cli.serve import working_directory
from forkcluster.errors import UsageError
from forkcluster.manager import ecosystem, relay
from forkcluster.manager.child import Program
from forkcluster.manager.foreground import Foreground, Formats
from forkcluster.manager.interpreter import interpreter_of, prove
from forkcluster.manager.starting import Flags, base_environment

HELP = """Run all apps of a configuration file in the foreground: for containers, where this may be process 1.

What apps print comes out here, each line with its app's name. TERM and INT stop all apps, those first on
which no other depends, and let them finish; HUP reloads them, QUIT ends them at once. The first app that
fails stops the others, and its exit code is ours."""

PRINTING: Final[Flags] = {"capture_output": (), "out_file": (), "error_file": ()}
"""What apps print is not kept in files: it comes out here. So says a reload, too."""


def build() -> click.Command:
    """Make the command."""
    parameters = [
        click.Argument(["file"], required=False, metavar="[FILE]"),
        click.Option(["--only"], multiple=True, metavar="NAMES", help="Take only the apps named here."),
        click.Option(
            ["env_name", "--env"], metavar="NAME", help="Take the variables of env_NAME over those of env."
        ),
        click.Option(["as_json", "--json"], is_flag=True, help="Print each line as a JSON object."),
        click.Option(["--raw"], is_flag=True, help="Print lines as they are."),
    ]
    return click.Command("run", params=parameters, callback=_run, help=HELP)


def _run(file: str | None, only: Sequence[str], env_name: str | None, as_json: bool, raw: bool) -> int:
    if as_json and raw:
        raise UsageError("--json and --raw contradict each other", "drop one")
    directory = working_directory()
    path = ecosystem.find(directory) if file is None else os.path.join(directory, file)
    flags = {**PRINTING, **({"log_format": ("json",)} if as_json else {})}
    source = ecosystem.from_file(path, os.environ)
    found = ecosystem.load(source, os.environ, env_name=env_name, only=only, flags=flags).started()
    if not found.apps:
        raise UsageError(f"no app of {path} is started by itself", "--only NAME takes one all the same")
    environment = base_environment(os.environ)
    programs = []
    for app in found.apps:
        python = interpreter_of(app.reading.options)
        prove(python)
        programs.append(Program(app.name, app.reading.launch(app.request), python, environment))
    names = [program.name for program in programs]
    formats: Formats | None
    if as_json:
        log.configure("forkcluster", format="json")
        formats = relay.as_json
    else:
        colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        formats = None if raw else lambda name, _: relay.prefixed(names, name, colour=colour)
    return Foreground(programs, found.depends, formats, os.environ).run()

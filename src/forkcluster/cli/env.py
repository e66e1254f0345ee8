"""`forkcluster env`: what an app finds in its environment; secrets are masked."""

import json
from collections.abc import Mapping, Sequence

import click

from forkcluster.cli import choosing, streams
from forkcluster.errors import EXIT_OK, StateError
from forkcluster.manager.register import App
from forkcluster.manager.secrets import masked
from forkcluster.options.read import read

HELP = """Show the environment that an app has, or will have when it is started next. Values that look like
secrets are masked."""


def build() -> click.Command:
    """Make the command."""
    show = click.Option(["--show-secrets"], is_flag=True, help="Mask nothing.")
    return choosing.command("env", _env, HELP, choosing.targets(), [show, choosing.as_json()])


def _env(targets: Sequence[str], only: Sequence[str], show_secrets: bool, as_json: bool) -> int:
    _, apps = choosing.chosen(targets, only)
    found = {app.name: environment_of(app) for app in apps}
    if not show_secrets:
        found = {name: masked(variables) for name, variables in found.items()}
    if as_json:
        streams.say(json.dumps(found, indent=2, ensure_ascii=False))
        return EXIT_OK
    for name, variables in found.items():
        if len(found) > 1:
            streams.say(f"# {name}")
        for variable, text in sorted(variables.items()):
            streams.say(f"{variable}={text}")
    return EXIT_OK


def environment_of(app: App) -> Mapping[str, str]:
    """Give an app's base environment with what its options set. Raise ForkclusterError."""
    if app.record is not None:
        options = read(app.record.request, app.record.environment).options
        return {**app.record.environment, **dict(options.env)}
    if app.pid is None:
        raise StateError(f"{app.name} has no record that can be read", app.fault)
    try:
        with open(f"/proc/{app.pid}/environ", encoding="utf-8", errors="surrogateescape") as file:
            pairs = (line.partition("=") for line in file.read().split("\0") if "=" in line)
            return {name: text for name, _, text in pairs}
    except OSError as error:
        raise StateError(f"reading the environment of {app.name}: {error.strerror}") from error

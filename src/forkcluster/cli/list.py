"""`forkcluster list`: every app in a table for people, plain when it is piped."""

import json
import os
from collections.abc import Sequence
from typing import Final

import click

from forkcluster.cli import choosing, streams
from forkcluster.cli.quantities import duration, milliseconds, percent, size
from forkcluster.cli.serve import directory_of_words
from forkcluster.cli.table import Column, show
from forkcluster.errors import EXIT_OK
from forkcluster.manager.register import Register
from forkcluster.manager.status import View, look, number, part, reason
from forkcluster.manager.targets import only as only_these
from forkcluster.manager.targets import resolve
from forkcluster.manager.views import described

HELP = """Show all apps, or those that are named: what they are doing and what they use."""

COLOURS: Final = {
    "ready": "green", "starting": "cyan", "reloading": "cyan", "stopping": "yellow", "degraded": "yellow",
    "waiting": "yellow", "stopped": "bright_black", "errored": "red", "lost": "red", "silent": "red",
    "damaged": "red",
}  # fmt: skip


def build() -> click.Command:
    """Make the command."""
    return choosing.command("list", list_apps, HELP, choosing.targets(required=False), [choosing.as_json()])


def list_apps(targets: Sequence[str], only: Sequence[str], as_json: bool) -> int:
    """Print the table, or JSON; give the exit code."""
    register = Register.find(os.environ)
    apps = register.apps()
    views = look(only_these(only, resolve(targets, apps, directory_of_words()) if targets else apps))
    if as_json:
        streams.say(json.dumps([described(view) for view in views], indent=2, ensure_ascii=False))
    elif views:
        streams.say(show(COLUMNS, views), nl=False)
    else:
        streams.say("no app is registered: forkcluster start TARGET starts one")
    return EXIT_OK


def _id(view: View) -> str:
    return str(view.app.record.id) if view.app.record else ""


def _namespace(view: View) -> str:
    return view.app.record.namespace if view.app.record else str(view.status.get("namespace", ""))


def _mode(view: View) -> str:
    mode = view.app.record.mode if view.app.record else str(view.status.get("mode", ""))
    return f"{mode} (foreground)" if view.app.foreground else mode


def _instances(view: View) -> str:
    wanted = view.status.get("wanted")
    return f"{view.ready}/{wanted}" if isinstance(wanted, int) else ""


def _restarts(view: View) -> str:
    return str(view.restarts)


def _rate(view: View) -> str:
    rate = number(part(view.status, "figures"), "requests_per_second")
    return "" if rate is None else f"{rate:.1f}"


def _latency(view: View) -> str:
    return milliseconds(number(part(view.status, "figures"), "p99"))


COLUMNS: Final[tuple[Column[View], ...]] = (
    Column("id", _id, right=True),
    Column("name", lambda view: view.app.name, style=lambda view: "bold", most=32),
    Column("namespace", _namespace, rank=9, most=20),
    Column("mode", _mode, rank=6),
    Column("ready", _instances, rank=1, right=True),
    Column("pid", lambda view: str(view.app.pid or ""), rank=7, right=True),
    Column("uptime", lambda view: duration(view.uptime), rank=3, right=True),
    Column("restarts", _restarts, rank=4, right=True),
    Column("status", lambda view: view.state, style=lambda view: COLOURS[view.state]),
    Column("cpu", lambda view: percent(view.figures.cpu), rank=2, right=True),
    Column("memory", lambda view: size(view.figures.memory), rank=2, right=True),
    Column("req/s", _rate, rank=5, right=True),
    Column("p99", _latency, rank=5, right=True),
    Column("last reason", reason, rank=8, most=40),
)

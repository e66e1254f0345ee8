"""`forkcluster describe`: all that is known of an app, for people."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import click

from forkcluster.cli import choosing, streams
from forkcluster.cli.quantities import duration, milliseconds, percent, size
from forkcluster.cli.table import Column, show
from forkcluster.errors import EXIT_OK
from forkcluster.manager.events import events_of, line_of
from forkcluster.manager.status import View, look, meaning
from forkcluster.manager.views import described

HELP = """Show all that is known of apps: what was asked for, what they are doing, their workers and latest
events."""

EVENTS = 10
Worker = Mapping[str, object]


def build() -> click.Command:
    """Make the command."""
    return choosing.command("describe", _describe, HELP, choosing.targets(), [choosing.as_json()])


def _describe(targets: Sequence[str], only: Sequence[str], as_json: bool) -> int:
    _, apps = choosing.chosen(targets, only)
    views = look(apps)
    if as_json:
        found = [{**described(view), "events": _events(view, EVENTS)} for view in views]
        streams.say(json.dumps(found, indent=2, ensure_ascii=False))
        return EXIT_OK
    for view in views:
        _print(view)
    return EXIT_OK


def _events(view: View, count: int) -> list[Mapping[str, object]]:
    """The latest events; none of a master that does not answer."""
    return events_of(view.app, count) if view.status or not view.app.running else []


def _print(view: View) -> None:
    facts = described(view)
    streams.say(f"{click.style(view.app.name, bold=True)} is {view.state}: {meaning(view)}")
    for label, text in _rows(view, facts):
        if text:
            streams.say(f"  {click.style(f'{label:<12}', dim=True)} {text}")
    workers = facts["workers"]
    if isinstance(workers, list) and workers:
        streams.say(show(WORKERS, workers), nl=False)
    if view.app.fault:
        streams.say(view.app.fault)
    failure = view.app.outcome.failure if view.app.outcome and view.state == "errored" else None
    if failure is not None:
        streams.say(f"{failure}\n{getattr(failure, 'details', '')}".rstrip("\n"))
    for event in _events(view, EVENTS):
        streams.say(line_of(event))


def _id(view: View) -> str:
    if view.app.record:
        return str(view.app.record.id)
    return "none: it runs in the foreground" if view.app.foreground else ""


def _rows(view: View, facts: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    record = view.app.record
    urls, logs, flags = facts["urls"], facts["logs"], facts["flags"]
    yield "id", _id(view)
    yield "namespace", str(facts["namespace"] or "")
    yield "mode", str(facts["mode"] or "")
    yield "target", str(facts["target"] or "")
    yield "directory", str(facts["directory"] or "")
    yield "options", _options(flags if isinstance(flags, dict) else {})
    yield "listening", ", ".join(map(str, urls)) if isinstance(urls, list) else ""
    yield "workers", f"{view.ready} of {facts['instances']} ready" if facts["instances"] else ""
    yield "generation", str(facts["generation"] or "")
    yield "pid", str(facts["pid"] or "")
    yield "uptime", duration(view.uptime)
    yield "created", time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.created)) if record else ""
    yield "restarts", f"{view.restarts}{_because(facts)}"
    yield "cpu", percent(view.figures.cpu)
    yield "memory", size(view.figures.memory)
    yield "requests", _pace(facts)
    yield "control", str(facts["control"] or "")
    if isinstance(logs, dict):
        yield "output", str(logs["out"] or "")
        yield "errors", str(logs["error"] or "")
    yield "forkcluster", str(facts["version"] or "")


def _because(facts: Mapping[str, object]) -> str:
    return f" ({facts['reason']})" if facts["reason"] else ""


def _pace(facts: Mapping[str, object]) -> str:
    rate, p99 = facts["rate"], facts["p99"]
    if not isinstance(rate, int | float):
        return ""
    slow = f", p99 {milliseconds(p99)}" if isinstance(p99, int | float) else ""
    return f"{rate:.1f} a second{slow}"


def _options(flags: Mapping[str, Sequence[str]]) -> str:
    """The flags as they would be typed."""
    words = [
        f"--{name.replace('_', '-')} {text}"
        for name, texts in flags.items()
        for text in texts
        if name not in ("target", "args")
    ]
    return " ".join([*words, *(["--", *flags["args"]] if flags.get("args") else [])])


def _cell(name: str, *, right: bool = False, rank: int = 0) -> Column[Worker]:
    return Column(name, lambda worker: str(worker.get(name, "")), rank=rank, right=right)


WORKERS: Final[tuple[Column[Worker], ...]] = (
    _cell("slot", right=True),
    _cell("pid", right=True),
    _cell("generation", right=True, rank=3),
    _cell("state"),
    _cell("requests", right=True),
    _cell("connections", right=True, rank=1),
    Column("in flight", lambda worker: str(worker.get("in_flight", "")), rank=2, right=True),
)

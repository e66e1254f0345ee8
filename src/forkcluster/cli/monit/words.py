"""What the panes say of one app, as rows and lines. Pure; knows no widgets."""

import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

from forkcluster.cli.quantities import duration, milliseconds, size
from forkcluster.manager.status import View, number, part, reason

WORKERS: Final = (
    "slot",
    "state",
    "gen",
    "pid",
    "age",
    "requests",
    "errors",
    "in flight",
    "conns",
    "oldest request",
)
LEVELS: Final = {"warning": "yellow", "error": "red"}


def workers(view: View) -> list[tuple[str, ...]]:
    """Give a row of WORKERS for each worker."""
    found = view.status.get("workers")
    return [_worker(each) for each in found] if isinstance(found, list) else []


def _worker(worker: Mapping[str, Any]) -> tuple[str, ...]:
    oldest = worker.get("oldest")
    asked = f"{milliseconds(oldest.get('age'))} {oldest.get('method')} {oldest.get('path')}" if oldest else ""
    state = "draining" if worker.get("leaving") else str(worker.get("state", ""))
    count = {
        name: worker.get(name)
        for name in ("slot", "generation", "pid", "requests", "errors", "in_flight", "open")
    }
    shown = {name: "" if value is None else str(value) for name, value in count.items()}
    return (
        shown["slot"], state, shown["generation"], shown["pid"], duration(worker.get("uptime")),
        shown["requests"], shown["errors"], shown["in_flight"], shown["open"], asked,
    )  # fmt: skip


def event(body: Mapping[str, Any]) -> tuple[str, str]:
    """Give an event as a line, and the colour of its level."""
    fields = body.get("fields")
    said = " ".join(f"{name}={value}" for name, value in fields.items()) if isinstance(fields, dict) else ""
    moment = str(body.get("time", ""))[11:19]
    return f"{moment}  {body.get('text', '')}  {said}".rstrip(), LEVELS.get(str(body.get("level")), "")


def details(view: View) -> Iterator[tuple[str, str]]:
    """Give what is to be known of an app, as pairs of a word and its value."""
    app, status = view.app, view.status
    record, counts = app.record, part(status, "counts")
    listeners = status.get("listeners")
    yield "state", f"{view.state} ({reason(view)})" if reason(view) else view.state
    yield "target", record.target if record else str(status.get("target", ""))
    yield "directory", record.request.directory if record else ""
    if isinstance(listeners, list):
        yield "listening", " ".join(str(each.get("url")) for each in listeners)
    yield "admin", str(status.get("admin") or "")
    yield "generation", str(status.get("generation", ""))
    yield "uptime", duration(view.uptime)
    yield "restarts", str(view.restarts)
    exits = {why: count for why, count in part(counts, "exits").items() if count}
    yield "ended", ", ".join(f"{count} {why}" for why, count in exits.items())
    yield "memory", f"{size(view.figures.memory)} (PSS of {view.figures.processes} processes)"
    yield "errors", f"{number(part(status, 'figures'), 'errors_per_second') or 0:.1f} a second"
    if record:
        yield "output", app.place.output
        yield "errors to", app.place.error
        yield "created", time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.created))
    yield "version", str(status.get("version", ""))

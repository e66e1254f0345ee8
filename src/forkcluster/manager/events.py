"""What has happened to an app: asked of its master, or read from the file that outlives it."""

import json
import os
from collections.abc import Mapping

from forkcluster.manager.control import ask
from forkcluster.manager.register import App

TAIL = 256 * 1024  # bytes; enough for some hundred events
PATIENCE = 5.0

Event = Mapping[str, object]


def events_of(app: App, count: int) -> list[Event]:
    """Give an app's latest events, the oldest of them first. Raise ForkclusterError."""
    if app.control is not None:
        found = ask(app.control, "status", timeout=PATIENCE, events=count).get("events")
        return found[-count:] if isinstance(found, list) else []
    return _kept(app.place.events, count)


def _kept(path: str, count: int) -> list[Event]:
    """Read the end of the file; a line that is no event is passed over."""
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(0, size - TAIL))
            lines = file.read().splitlines()[1 if size > TAIL else 0 :]
    except OSError:
        return []
    events: list[Event] = []
    for line in lines[-count:]:
        try:
            value = json.loads(line)
        except ValueError:
            continue
        events += [value] if isinstance(value, dict) else []
    return events


def line_of(event: Event) -> str:
    """An event as a person reads it: time, level, text, fields."""
    fields = event.get("fields")
    pairs = fields.items() if isinstance(fields, dict) else ()
    words = "".join(f" {name}={value}" for name, value in pairs)
    first, *rest = str(event.get("text", "")).rstrip("\n").split("\n")
    head = f"{event.get('time', '')}  {event.get('level', '')!s:<7}  {first}{words}"
    return "\n    ".join([head, *rest])

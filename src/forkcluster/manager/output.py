"""Where an app's output is, and what its lines say: files, stamps, records. Reads, and changes nothing.

Twin of `logger/records.py`, which writes what is read here.
"""

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from forkcluster.dataclass import dataclass, replace
from forkcluster.manager.control import ask
from forkcluster.manager.register import App
from forkcluster.options.read import read
from forkcluster.wire.capture import ERROR, OUT, LogOrder
from forkcluster.wire.destinations import order_of

LINE: Final = re.compile(r"(?s)(.*?) (\d+|mold|master|logger) ([|:+]) (.*)")
PATIENCE: Final = 2.0  # seconds for a master to say where its output goes
STREAMS: Final = (OUT, ERROR)


@dataclass(frozen=True, slots=True)
class File:
    """One file of an app's output."""

    app: str
    stream: str
    path: str


@dataclass(frozen=True, slots=True)
class Record:
    """A line with those that belong to it. Time and worker are empty when the file does not tell them.

    `joint`: what stands between it and what came before, if it goes on with that; None: it begins a record.
    """

    file: File
    text: str
    time: str = ""
    worker: str = ""
    joint: str | None = None


def files(app: App, streams: Iterable[str] = STREAMS) -> list[File]:
    """Give the files of an app's output, as its master says or as its next start would have it.

    Raise ForkclusterError when that cannot be told.
    """
    return files_of(whereabouts(app), app.name, streams)


def whereabouts(app: App, timeout: float = PATIENCE) -> LogOrder:
    """Say where an app's output goes, after asking its master if there is one. Raise ForkclusterError."""
    status = ask(app.control, "status", events=0, timeout=timeout) if app.control is not None else {}
    return order_for(app, status)


def files_of(order: LogOrder, name: str, streams: Iterable[str]) -> list[File]:
    """Give the files that output of the app `name` goes to, and those of each slot that are there."""
    found = [File(name, stream, path) for stream in streams for path in _paths(order, stream)]
    return list({file.path: file for file in reversed(found)}.values())[::-1]


def order_for(app: App, status: Mapping[str, object]) -> LogOrder:
    """Say where an app's output goes, as its master's `status` says (empty: there is none), or its options.

    Raise ForkclusterError.
    """
    output = status.get("output")
    if isinstance(output, dict):
        return LogOrder(app.name, str(output["out"]), str(output["error"]), output["apart"] is True)
    if app.record is None:
        return LogOrder(app.name, "", "")
    options = read(app.record.request, app.record.environment).options
    return order_of(options, app.place, managed=True)


def _paths(order: LogOrder, stream: str) -> list[str]:
    path = order.path(stream, "")
    if path in ("", "-"):
        return []
    if not order.apart:
        return [path]
    stem, suffix = os.path.splitext(os.path.basename(path))
    slots = re.compile(rf"{re.escape(stem)}-\d+{re.escape(suffix)}")
    directory = os.path.dirname(path)
    names = sorted(os.listdir(directory)) if os.path.isdir(directory) else []
    return [path, *(os.path.join(directory, name) for name in names if slots.fullmatch(name))]


def parse(file: File, line: str) -> Record:
    """Understand one line of a file, without its end; a line that is none of the logger's is a record."""
    if line.startswith("{") and (record := _from_json(file, line)):
        return record
    found = LINE.fullmatch(line)
    if found is None:
        return Record(file, line)
    time, worker, mark, text = found.groups()
    return Record(file, text, time, worker, {"|": None, ":": "\n", "+": ""}[mark])


def _from_json(file: File, line: str) -> Record | None:
    try:
        values = json.loads(line)
        text, time, worker = values["message"], values["time"], values["worker"]
    except (ValueError, KeyError, TypeError):
        return None
    if not all(isinstance(each, str) for each in (text, time, worker)):
        return None
    return Record(file, text, time, worker, "\n" if values.get("continues") is True else None)


def joined(records: Iterable[Record]) -> Iterator[Record]:
    """Put the lines of each record together."""
    present: Record | None = None
    for record in records:
        if present and goes_on(record, present):
            present = replace(present, text=f"{present.text}{record.joint}{record.text}")
            continue
        if present:
            yield present
        present = record
    if present:
        yield present


def goes_on(record: Record, before: Record) -> bool:
    """Tell whether a line belongs to the record before it."""
    return record.joint is not None and (record.worker, record.file) == (before.worker, before.file)

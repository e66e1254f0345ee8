"""`forkcluster logs`: the last lines of apps, and those that come."""

import contextlib
import heapq
import json
import os
import re
import sys
import time
from collections.abc import Callable, Sequence
from typing import Final

import click

from forkcluster.cli import choosing, streams
from forkcluster.errors import EXIT_FAILURE, EXIT_INTERRUPTED, EXIT_OK, ForkclusterError, NotFoundError
from forkcluster.manager.following import Following
from forkcluster.manager.output import PATIENCE, STREAMS, File, Record, joined, parse
from forkcluster.manager.register import App, Register
from forkcluster.manager.tail import last_lines
from forkcluster.wire.capture import ERROR, OUT

HELP = """Show the last lines of what apps have printed, then those that come. Without TARGET: of all apps."""

LOOK: Final = 0.2  # seconds between looks for more
AGAIN: Final = 1.0  # seconds between looks for further files
AGAIN_PATIENCE: Final = 0.3  # seconds for a master that was started meanwhile to say where its output goes
COLOURS: Final = ("cyan", "green", "yellow", "blue", "magenta", "bright_cyan", "bright_green", "bright_blue")
MOST_BEFORE: Final = 500  # lines that are read more, so that the first record is whole
CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
COLOUR: Final = re.compile(r"(\x1b\[[0-9;:]*m)")


def build() -> click.Command:
    """Make the command."""
    parameters = [
        click.Option(["only_error", "--err"], is_flag=True, help="Only standard error, and our own log."),
        click.Option(["only_out", "--out"], is_flag=True, help="Only standard output."),
        click.Option(
            ["--lines", "-n"], type=click.IntRange(0), default=15, metavar="N",
            help="How many lines of each file are shown first.  [default: 15]",
        ),
        click.Option(
            ["--follow/--nostream"], default=True, help="Go on with what comes, or end.  [default: follow]"
        ),
        click.Option(["--raw"], is_flag=True, help="Only what was printed, no names before it."),
        click.Option(["--timestamp", "-t"], is_flag=True, help="Say when."),
        click.Option(["--highlight"], metavar="TEXT", help="Mark this text."),
    ]  # fmt: skip
    return choosing.command(
        "logs", _logs, HELP, choosing.targets(required=False), parameters, [choosing.as_json()]
    )


def _logs(
    targets: Sequence[str],
    only: Sequence[str],
    *,
    only_error: bool,
    only_out: bool,
    lines: int,
    follow: bool,
    raw: bool,
    timestamp: bool,
    highlight: str | None,
    as_json: bool,
) -> int:
    kinds = (ERROR,) if only_error and not only_out else (OUT,) if only_out and not only_error else STREAMS
    following = Following(Register.find(os.environ).home, kinds)
    found = [file for app in _apps(targets, only) for file in following.files(app, PATIENCE)]
    if not found:
        which = f"of {' '.join(targets)}" if targets else "of an app"
        raise NotFoundError(
            f"there are no files with output {which}",
            "forkcluster list shows what there is; --disable-logs, or a file - or off, keeps none",
        )
    printer = Printer(found, raw=raw, timestamp=timestamp, highlight=highlight, as_json=as_json)
    ends = _show_last(found, lines, printer)
    if follow and ends:
        try:
            following.begin(found, ends)
            _follow(following, lambda: _apps(targets, only), printer)
        except KeyboardInterrupt:
            return EXIT_INTERRUPTED
    return EXIT_OK if len(ends) == len(found) else EXIT_FAILURE


def _apps(targets: Sequence[str], only: Sequence[str]) -> list[App]:
    if targets:
        return choosing.chosen(targets, only)[1]
    return Register.find(os.environ).apps()


def _show_last(found: Sequence[File], lines: int, printer: "Printer") -> dict[File, int]:
    """Show the last records, by time where the files tell it; give where each readable file was read to."""
    shown, ends = [], {}
    for file in found:
        try:
            last, ends[file] = last_lines(file.path, lines + MOST_BEFORE if lines else 0)
        except OSError as error:
            streams.tell(f"reading {file.path}: {error.strerror or error}", err=True)
            continue
        parsed = [parse(file, line.decode("utf-8", "backslashreplace")) for line in last]
        start = max(0, len(parsed) - lines)
        while 0 < start < len(parsed) and parsed[start].joint is not None:
            start -= 1
        shown.append(list(joined(parsed[start:])))
    for record in heapq.merge(*shown, key=lambda record: record.time):
        printer.show(record)
    return ends


def _follow(following: Following, apps: Callable[[], Sequence[App]], printer: "Printer") -> None:
    again = time.monotonic() + AGAIN
    while True:
        for file, lines in following.look():
            for record in joined(parse(file, line.decode("utf-8", "backslashreplace")) for line in lines):
                printer.show(record)
        sys.stdout.flush()
        time.sleep(LOOK)
        if time.monotonic() >= again:
            _take_up(following, apps)
            again = time.monotonic() + AGAIN


def _take_up(following: Following, apps: Callable[[], Sequence[App]]) -> None:
    """Follow the files that have come. An app that is gone, or does not answer yet, has none."""
    with contextlib.suppress(ForkclusterError):
        for app in apps():
            with contextlib.suppress(ForkclusterError):
                for file in following.files(app, AGAIN_PATIENCE):
                    try:
                        following.take_up(file)
                    except OSError as error:
                        streams.tell(f"reading {file.path}: {error.strerror or error}", err=True)


class Printer:
    """Prints records: a bar of the app's colour, its name and the worker before each line."""

    def __init__(
        self, found: Sequence[File], *, raw: bool, timestamp: bool, highlight: str | None, as_json: bool
    ) -> None:
        self._colours: dict[str, str] = {}
        self._width = 0
        for file in found:
            self._meet(file.app)
        self._raw = raw
        self._timestamp = timestamp
        self._highlight = highlight
        self._as_json = as_json

    def _meet(self, name: str) -> None:
        self._colours.setdefault(name, COLOURS[len(self._colours) % len(COLOURS)])
        self._width = max(self._width, len(name))

    def show(self, record: Record) -> None:
        """Print one record, however many lines it has."""
        if self._as_json:
            streams.say(json.dumps(described(record), ensure_ascii=False))
            return
        for line in record.text.split("\n"):
            streams.say(self._head(record) + self._marked(printable(line)))

    def _head(self, record: Record) -> str:
        file = record.file
        time = f"{record.time} " if self._timestamp and record.time else ""
        if self._raw:
            return time
        self._meet(file.app)
        name = click.style(f"{file.app:<{self._width}} {record.worker:>6}", fg=self._colours[file.app])
        bar = click.style("|", fg="red" if file.stream == ERROR else "green")
        return f"{time}{name} {bar} "

    def _marked(self, line: str) -> str:
        if not self._highlight:
            return line
        return line.replace(self._highlight, click.style(self._highlight, reverse=True))


def described(record: Record) -> dict[str, str | None]:
    """Give a record as plain values."""
    file = record.file
    return {
        "app": file.app,
        "stream": file.stream,
        "time": record.time or None,
        "worker": record.worker or None,
        "message": record.text,
    }


def printable(line: str) -> str:
    """Escape what would steer a terminal, all but colours, which end with the line."""
    parts = COLOUR.split(line)
    safe = "".join(part if at % 2 else CONTROL.sub(_escaped, part) for at, part in enumerate(parts))
    return f"{safe}\x1b[0m" if len(parts) > 1 else safe


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()

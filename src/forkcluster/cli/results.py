"""What a command did to each app: a line for people as it happens, or one JSON document at the end. Owns the
exit code: the first failure's.
"""

import json
from collections.abc import Mapping

import click

from forkcluster.cli.streams import UnwrittenError, tell
from forkcluster.errors import EXIT_FAILURE, EXIT_INTERRUPTED, EXIT_OK, ForkclusterError


class Results:
    """Collects what became of each app."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._rows: list[dict[str, object]] = []
        self._notes: dict[str, list[str]] = {}
        self._code = EXIT_OK
        self._unwritten: UnwrittenError | None = None

    def good(self, name: str, text: str, **facts: object) -> None:
        """Say what was done."""
        self._rows.append({"name": name, "ok": True, **facts})
        if not self._as_json:
            self._tell(f"{click.style('●', fg='green')} {click.style(name, bold=True)} {text}")

    def add(self, name: str, text: str, **facts: object) -> None:
        """Give what was asked for, bare: for scripts."""
        self._rows.append({"name": name, "ok": True, **facts})
        if not self._as_json:
            self._tell(text)

    def note(self, name: str, text: str) -> None:
        """Say what goes with what is done; in JSON it is among the `notes` of the app's result."""
        self._notes.setdefault(name, []).append(text)
        if not self._as_json:
            self._tell(f"{click.style('●', fg='yellow')} {click.style(name, bold=True)} {text}", err=True)

    def bad(self, name: str, error: ForkclusterError) -> None:
        """Say what failed, with the application's traceback if there is one."""
        self._code = self._code or error.exit_code
        self._rows.append({"name": name, "ok": False, "error": error.to_json()})
        if self._as_json:
            return
        self._tell(f"{click.style('●', fg='red')} {click.style(name, bold=True)}: {error}", err=True)
        if details := getattr(error, "details", ""):
            self._tell(details.rstrip("\n"), err=True)

    def interrupted(self, text: str) -> None:
        """Say that a Ctrl-C has ended the waiting."""
        self._code = EXIT_INTERRUPTED
        self._tell(f"\n{text}", err=True)

    def finish(self, nothing: str = "") -> int:
        """Print what is left to print; give the exit code. `nothing` is said when there was nothing to do."""
        if self._as_json:
            rows = [
                {**row, "notes": notes} if (notes := self._notes.get(str(row["name"]))) else row
                for row in self._rows
            ]
            self._tell(json.dumps(rows, indent=2, ensure_ascii=False))
        elif nothing and not self._rows:
            self._tell(nothing)
        if self._unwritten is not None:
            tell(f"{click.style('forkcluster:', fg='red')} {self._unwritten}", err=True)
        return self._code

    def _tell(self, text: str, *, err: bool = False) -> None:
        """Print a line. One that cannot be written is a failure, and the work goes on."""
        error = tell(text, err=err)
        if error is not None:
            self._code = self._code or EXIT_FAILURE
            if not isinstance(error, BrokenPipeError):  # a reader that has left wants no more
                self._unwritten = UnwrittenError("standard error" if err else "standard output", error)


def notes_of(answer: Mapping[str, object]) -> str:
    """What a master has noted of what it did: a line for each, to follow the one that says what was done."""
    notes = answer.get("notes")
    return "".join(f"\n  note: {note}" for note in notes) if isinstance(notes, list) else ""

"""What a command did to each app: a line for people as it happens, or one JSON document at the end. Owns the
exit code: the first failure's.
"""

import json

import click

from forkcluster.errors import EXIT_INTERRUPTED, EXIT_OK, ForkclusterError


class Results:
    """Collects what became of each app."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._rows: list[dict[str, object]] = []
        self._code = EXIT_OK

    def good(self, name: str, text: str, **facts: object) -> None:
        """Say what was done."""
        self._rows.append({"name": name, "ok": True, **facts})
        if not self._as_json:
            click.echo(f"{click.style('●', fg='green')} {click.style(name, bold=True)} {text}")

    def add(self, name: str, text: str, **facts: object) -> None:
        """Give what was asked for, bare: for scripts."""
        self._rows.append({"name": name, "ok": True, **facts})
        if not self._as_json:
            click.echo(text)

    def bad(self, name: str, error: ForkclusterError) -> None:
        """Say what failed, with the application's traceback if there is one."""
        self._code = self._code or error.exit_code
        self._rows.append({"name": name, "ok": False, "error": error.to_json()})
        if self._as_json:
            return
        click.echo(f"{click.style('●', fg='red')} {click.style(name, bold=True)}: {error}", err=True)
        if details := getattr(error, "details", ""):
            click.echo(details.rstrip("\n"), err=True)

    def interrupted(self, text: str) -> None:
        """Say that a Ctrl-C has ended the waiting."""
        self._code = EXIT_INTERRUPTED
        click.echo(f"\n{text}", err=True)

    def finish(self, nothing: str = "") -> int:
        """Print what is left to print; give the exit code. `nothing` is said when there was nothing to do."""
        if self._as_json:
            click.echo(json.dumps(self._rows, indent=2, ensure_ascii=False))
        elif nothing and not self._rows:
            click.echo(nothing)
        return self._code

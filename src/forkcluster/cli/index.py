"""The commands of `forkcluster`: their names, aliases and where they are. A command is imported when it is
used, so that serving never loads the manager.
"""

from dataclasses import dataclass
from importlib import import_module
from typing import Final

import click

SECTIONS: Final = ("Serve", "Start and stop", "Look", "Keep")


@dataclass(frozen=True, slots=True)
class Entry:
    """One command. `module` below `forkcluster.cli` has a function `build` that makes it."""

    name: str
    module: str
    section: str
    help: str
    aliases: tuple[str, ...] = ()

    def load(self) -> click.Command:
        """Import and make the command."""
        command = import_module(f"forkcluster.cli.{self.module}").build()
        if not isinstance(command, click.Command):
            raise TypeError(f"forkcluster.cli.{self.module}.build makes no command")
        return command


INDEX: Final = (
    Entry("serve", "serving", "Serve", "Serve one application in the foreground; this word may be left out."),
    Entry(
        "start", "start", "Start and stop", "Start an application, or a registered app, in the background."
    ),
    Entry("stop", "stop", "Start and stop", "Stop apps; they stay registered."),
    Entry("delete", "delete", "Start and stop", "Stop apps and forget them.", ("del",)),
    Entry("list", "list", "Look", "Show all apps.", ("ls", "l", "ps", "status")),
)

DEFAULT: Final = "serve"
BY_WORD: Final = {word: entry for entry in INDEX for word in (entry.name, *entry.aliases)}

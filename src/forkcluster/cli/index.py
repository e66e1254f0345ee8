"""The commands of `forkcluster`: their names, aliases and where they are. A command is imported when it is
used, so that serving never loads the manager.
"""

from importlib import import_module
from typing import Final

import click

from forkcluster.dataclass import dataclass

SECTIONS: Final = ("Serve", "Start and stop", "Files", "Look", "Keep")


@dataclass(frozen=True, slots=True)
class Entry:
    """One command. `module` below `forkcluster.cli` has a function, `build`, that makes it."""

    name: str
    module: str
    section: str
    help: str
    aliases: tuple[str, ...] = ()
    build: str = "build"

    def load(self) -> click.Command:
        """Import and make the command."""
        command = getattr(import_module(f"forkcluster.cli.{self.module}"), self.build)()
        if not isinstance(command, click.Command):
            raise TypeError(f"forkcluster.cli.{self.module}.{self.build} makes no command")
        return command


# fmt: off
INDEX: Final = (
    Entry("serve", "serving", "Serve", "Serve one application in the foreground; this word may be left out."),
    Entry(
        "start", "start", "Start and stop", "Start an application, or a registered app, in the background."
    ),
    Entry("restart", "restart", "Start and stop", "Stop apps and start them again."),
    Entry("reload", "reload", "Start and stop", "Load new code, worker by worker; no request is lost."),
    Entry("scale", "scale", "Start and stop", "Change the number of workers: N, +N, -N or max."),
    Entry("stop", "stop", "Start and stop", "Stop apps; they stay registered."),
    Entry("delete", "delete", "Start and stop", "Stop apps and forget them.", ("del",)),
    Entry("kill", "kill", "Start and stop", "Stop and forget every managed app."),
    Entry("init", "init", "Files", "Write a sample of the ecosystem file.", ("ecosystem",)),
    Entry("plan", "plan", "Files", "Say what apply would do."),
    Entry("apply", "apply", "Files", "Make what runs what a file says."),
    Entry("run", "run", "Files", "Run all apps of a file in the foreground, for containers."),
    Entry(
        "start-or-reload", "apply", "Files", "Start the apps of a file; reload those that run.",
        ("startOrReload", "startOrGracefulReload"), "build_or_reload",
    ),
    Entry(
        "start-or-restart", "apply", "Files", "Start the apps of a file; restart those that run.",
        ("startOrRestart",), "build_or_restart",
    ),
    Entry("import", "importing", "Files", "Take over a configuration of PM2 or gunicorn."),
    Entry("completion", "completion", "Keep", "Print what makes a shell complete commands."),
    Entry("logs", "logs", "Look", "Show what apps have printed, and follow it.", ("log",)),
    Entry("flush", "flush", "Keep", "Empty the logs of apps."),
    Entry("reload-logs", "reopen", "Keep", "Have apps open their log files anew.", ("reloadLogs",)),
    Entry("list", "list", "Look", "Show all apps.", ("ls", "l", "ps", "status")),
    Entry("monit", "monit", "Look", "Show all apps live, on the whole screen.", ("dashboard", "dash")),
    Entry("jlist", "jlist", "Look", "Print all that is known of all apps, as JSON.", ("prettylist",)),
    Entry("describe", "describe", "Look", "Show all that is known of an app.", ("desc", "info", "show")),
    Entry("history", "history", "Look", "Show what has happened to an app.", ("events",)),
    Entry("env", "env", "Look", "Show an app's environment; secrets are masked."),
    Entry("pid", "pid", "Look", "Print the pids of apps' masters, or of their workers."),
    Entry("id", "id", "Look", "Print the ids of apps."),
    Entry("ping", "ping", "Look", "See whether every master answers."),
    Entry("reset", "reset", "Look", "Count restarts from zero again."),
    Entry("signal", "signal", "Start and stop", "Send a signal to workers.", ("sendSignal",)),
    Entry("save", "save", "Keep", "Keep the list of apps for resurrect.", ("dump",)),
    Entry("resurrect", "resurrect", "Keep", "Start all apps that should run and do not."),
    Entry("cleardump", "cleardump", "Keep", "Forget what save has kept."),
    Entry("startup", "startup", "Keep", "Have systemd start the apps when the machine boots."),
    Entry("unstartup", "startup", "Keep", "Undo startup.", build="build_undo"),
)
# fmt: on

DEFAULT: Final = "serve"
BY_WORD: Final = {word: entry for entry in INDEX for word in (entry.name, *entry.aliases)}

"""A person at a terminal: a home of their own, a project directory, and the command `forkcluster`."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from harness import PATIENCE, until

from forkcluster.manager.register import Register
from forkcluster.manager.status import look
from forkcluster.manager.views import described

APP = """
import os
VERSION = {version!r}

def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{{VERSION}} {{os.getpid()}}".encode()]
"""


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


@dataclass
class Shell:
    """Runs commands in `directory`; every app that it has started is gone after `clean_up`."""

    directory: Path
    home: Path
    environment: dict = field(default_factory=dict)

    def write_app(self, version="one", name="app"):
        """Write an application that answers its version and its pid."""
        (self.directory / f"{name}.py").write_text(APP.format(version=version))

    def write(self, name, text):
        """Write a file of the project."""
        (self.directory / name).write_text(text)

    def variables(self):
        inherited = {name: text for name, text in os.environ.items() if not name.startswith("FORKCLUSTER_")}
        ours = {
            "PWD": str(self.directory),
            "PYTHONDONTWRITEBYTECODE": "1",
            "FORKCLUSTER_HOME": str(self.home),
        }
        return {**inherited, **ours, "NO_COLOR": "1", **self.environment}

    def command(self, *words):
        return [sys.executable, "-m", "forkcluster", *map(str, words)]

    def begin(self, *words, **settings):
        """Start a command without waiting for its end."""
        return subprocess.Popen(
            self.command(*words),
            cwd=self.directory,
            env=self.variables(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **settings,
        )

    def run(self, *words, code=0, stdin=""):
        """Run a command to its end; its exit code must be `code` (None: any)."""
        done = subprocess.run(
            self.command(*words),
            cwd=self.directory,
            env=self.variables(),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=3 * PATIENCE,
        )
        shown = "{…}" if "--json" in words else done.stdout
        print(f"$ forkcluster {' '.join(map(str, words))}\n{shown}{done.stderr}[{done.returncode}]")
        assert code in (None, done.returncode), done.stderr
        return Done(done.returncode, done.stdout, done.stderr)

    def start(self, *words, code=0):
        """Start the app `app` on a port of its own, unless the words say otherwise."""
        return self.run("start", *(words or ("app:application",)), "--bind", "127.0.0.1:0", code=code)

    def list(self):
        """What `list --json` says, by name."""
        return {view.app.name: described(view) for view in look(self.apps(), figures=False)}

    def states(self):
        """Name → what it is doing, as `list` tells it."""
        return {view.app.name: view.state for view in look(self.apps(), figures=False)}

    def get(self, name="app", path="/"):
        """What the app answers, as words."""
        host, port = re.search(r"http://([\d.]+):(\d+)", self.list()[name]["urls"][0]).groups()
        connection = http.client.HTTPConnection(host, int(port), timeout=PATIENCE)
        try:
            connection.request("GET", path)
            return connection.getresponse().read().decode().split()
        finally:
            connection.close()

    def apps(self):
        """The register as it is."""
        return Register(str(self.home)).apps() if (self.home / "apps").is_dir() else []

    def masters(self):
        """Pids of all masters, by name."""
        return {app.name: app.pid for app in self.apps() if app.pid}

    def kill_master(self, name="app"):
        """kill -9, and wait until the lock is free and everything below the master has gone."""
        pid = self.masters()[name]
        below = {each["pid"] for each in self.list()[name]["workers"]}
        os.kill(pid, signal.SIGKILL)
        until(lambda: name not in self.masters(), "the master's end")
        until(lambda: not any(alive(each) for each in below), "the workers' end")

    def clean_up(self):
        """End what is left."""
        for pid in self.masters().values():
            for each in (*children(pid), pid):
                try:
                    os.kill(each, signal.SIGKILL)
                except ProcessLookupError:
                    continue
        until(lambda: not self.masters(), "the end of all masters")


def alive(pid):
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def children(pid):
    """The pids of a process's children."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        found += map(int, task.read_text().split())
    return found

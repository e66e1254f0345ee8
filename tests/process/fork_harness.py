"""What tests of fork mode run, and how they look at it."""

import contextlib
import os
import signal
import stat
import sys
from pathlib import Path

from harness import Server, processes, until

from forkcluster.wire.client import NotRunningError, ask

PYTHON = f"#!{sys.executable}\n"

# Says who it is in a line of its own, then waits; TERM ends it with status 0.
# It says so in one write: print() would write word by word, between the words of other instances.
WORKER = """
import os, signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
started = " ".join(["started", os.environ["FORKCLUSTER_INSTANCE"], str(os.getpid()), *sys.argv[1:]])
os.write(1, started.encode() + b"\\n")
while True:
    signal.pause()
"""


class ForkServer(Server):
    """A forkcluster in the foreground that runs a command."""

    def boot(self):
        """Start it and wait until every process is ready."""
        self.start()
        self.wait_for("Ctrl-C")
        return self

    def processes(self, role=None):
        """Give the master and all that carries this test's home in its environment, zombies not."""
        mark = f"FORKCLUSTER_HOME={self.directory}/home".encode()
        found = []
        for name in filter(str.isdecimal, os.listdir("/proc")):
            try:
                ours = mark in Path(f"/proc/{name}/environ").read_bytes().split(b"\0")
                session = os.getsid(int(name))
            except OSError:
                continue
            if ours:
                found += [each for each in processes(session) if each.pid == int(name)]
        return [each for each in found if role in (None, each.role)]

    def clean_up(self):
        """End whatever is left."""
        left = self.processes()
        for process in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        super().clean_up()

    def status(self):
        return ask(self.control, "status")

    def rows(self, state=None):
        """What status says of the processes, by slot; of those in that state."""
        return [row for row in self.status()["workers"] if state in (None, row["state"])]

    def try_rows(self):
        """As rows, or None while nobody listens yet."""
        try:
            return self.rows()
        except NotRunningError:
            return None

    def pids(self):
        """The pids of the ready processes, by slot."""
        return [row["pid"] for row in self.rows("ready")]

    def until_ready(self, count):
        """Wait for that many ready processes and nothing else; give their pids."""
        until(lambda: len(self.rows()) == count == len(self.pids()), f"{count} ready processes")
        return self.pids()


def write(directory, name, text):
    """Write an executable script."""
    path = Path(directory) / name
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    return path


def alive(pid):
    """Whether that process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def environment(pid):
    """The environment a process was started with."""
    items = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return dict(item.decode().split("=", 1) for item in items if item)


def descriptors(pid):
    """What the descriptors of a process are."""
    return {int(name): os.readlink(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd")}

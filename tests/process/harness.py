"""Runs the real command in a temporary directory on an ephemeral port, and looks at its processes."""

import http.client
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

PATIENCE = 20.0

LIMITED = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]),) * 2)
os.execv(sys.argv[2], sys.argv[2:])
"""

APP = """
import json, os
VERSION = {version!r}

def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({{"pid": os.getpid(), "version": VERSION}}).encode()]
"""


def until(condition, what, patience=PATIENCE):
    """Wait for a condition with a deadline; give its first true value."""
    deadline = time.monotonic() + patience
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited {patience:g} s for {what}"
        select.select([], [], [], 0.01)
    return value


def runs(*command):
    """Whether that works here."""
    return (
        shutil.which(command[0]) is not None and subprocess.run(command, capture_output=True).returncode == 0
    )


@dataclass(frozen=True)
class Process:
    """One line of the process table."""

    pid: int
    parent: int
    state: str
    threads: int
    title: str

    @property
    def role(self):
        found = re.match(r"forkcluster: (\w+)", self.title)
        return found[1] if found else ""


FILES = ("stat", "cmdline")  # of any process here: names and arguments need not be UTF-8


def processes(session):
    """Give all processes of a session, zombies too unless they are init's to reap."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                stat, words = (Path(f"/proc/{name}/{file}").read_text(errors="replace") for file in FILES)
                title = words.replace("\0", " ").strip()
            except OSError:
                continue
            fields = stat.rpartition(")")[2].split()
            if int(fields[3]) == session and (fields[0], fields[1]) != ("Z", "1"):
                found.append(Process(int(name), int(fields[1]), fields[0], int(fields[17]), title))
    return found


@dataclass
class Server:
    """A forkcluster in the foreground. Its output, log and all, is in `output`."""

    directory: Path
    arguments: tuple = ()
    workers: int = 1
    target: str = "app:application"
    cwd: str = ""
    output: str = ""
    address: tuple = ()
    environment: dict = field(default_factory=dict)
    bind: tuple = ("127.0.0.1:0",)
    descriptors_most: int = 0  # limit for all its processes; 0: ours
    wrapper: tuple = ()

    def start(self):
        """Start it, without waiting."""
        command = [*self.wrapper, sys.executable, "-m", "forkcluster", self.target]
        command += ["-i", str(self.workers)] if self.workers else []  # 0: as configured
        command += [*(word for address in self.bind for word in ("--bind", address)), *self.arguments]
        if self.descriptors_most:
            command = [sys.executable, "-c", LIMITED, str(self.descriptors_most), *command]
        cwd = self.cwd or str(self.directory)
        environment = {**os.environ, "PWD": cwd, "PYTHONDONTWRITEBYTECODE": "1"}
        environment |= {"FORKCLUSTER_HOME": f"{self.directory}/home", **self.environment}
        self.process = subprocess.Popen(
            command,
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        os.set_blocking(self.process.stdout.fileno(), False)
        return self

    def boot(self):
        """Start it and wait until it is ready."""
        return self.start().find_address()

    def find_address(self):
        """Wait until it is ready, and learn where."""
        found = self.wait_for(r"listening=\"?http://([\d.]+):(\d+)")
        self.wait_for(r"Ctrl-C|\"event\": \"ready\"")  # the start screen is out, its files are closed
        self.address = (found[1], int(found[2]))
        return self

    @property
    def pid(self):
        return self.process.pid

    def write_app(self, version):
        """Write the app anew."""
        (self.directory / "app.py").write_text(APP.format(version=version))
        return self

    # -- output

    def drain(self, timeout=0.0):
        """Take what was printed; False at the end of it."""
        readable, _, _ = select.select([self.process.stdout], [], [], timeout)
        while readable:
            try:
                data = os.read(self.process.stdout.fileno(), 65536)
            except BlockingIOError:
                return True
            if not data:
                return False
            self.output += data.decode("utf-8", "replace")
        return True

    def wait_for(self, pattern, patience=PATIENCE, since=0):
        """Wait until the output from `since` on matches."""
        deadline = time.monotonic() + patience
        while True:
            found = re.search(pattern, self.output[since:])
            if found:
                return found
            left = deadline - time.monotonic()
            assert left > 0, f"waited {patience:g} s for {pattern!r} in the output"
            assert self.drain(left) or re.search(pattern, self.output[since:]), f"ended without {pattern!r}"

    # -- steering

    def send(self, number, pid=None):
        os.kill(pid or self.pid, number)

    def reload(self, outcome="reload done"):
        """HUP, and wait for the outcome."""
        mark = len(self.output)
        self.send(signal.SIGHUP)
        self.wait_for(outcome, since=mark)

    def wait(self, patience=PATIENCE):
        """Wait for the end; give the exit code."""
        deadline = time.monotonic() + patience
        while self.drain(0.05):
            assert time.monotonic() < deadline, f"not ended after {patience:g} s"
            if self.process.poll() is not None:
                break
        code = self.process.wait(max(0.1, deadline - time.monotonic()))
        self.drain()
        return code

    def stop(self, number=signal.SIGTERM):
        """Stop it; give the exit code."""
        self.send(number)
        return self.wait()

    # -- asking

    @property
    def control(self):
        """The path of the control socket."""
        return f"{self.directory}/home/apps/app/control.sock"

    def get(self, path="/"):
        """Give status and body of an answer on a connection of its own."""
        connection = http.client.HTTPConnection(*self.address, timeout=PATIENCE)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    # -- looking

    def processes(self, role=None):
        found = processes(self.pid)
        return [process for process in found if role is None or process.role == role]

    def worker_pids(self):
        return {process.pid for process in self.processes("worker") if process.state != "Z"}

    def wait_for_workers(self, count):
        return until(lambda: len(self.worker_pids()) == count and self.worker_pids(), f"{count} workers")

    def descriptors(self):
        """How many the master has; for a moment those of an ended process, which it has yet to close, too."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def clean_up(self):
        """End whatever is left; give it."""
        left = processes(self.pid)
        for process in left:
            try:
                os.kill(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait(PATIENCE)
        self.drain()
        self.process.stdout.close()
        return left

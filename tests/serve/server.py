"""Starts the real command for a test, reads its log, looks at its processes, and stops it.

Nothing here waits by sleeping: the log is a pipe, an end is a process's end.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from client import DEADLINE, Answer, Client

from forkcluster._scoreboard import Scoreboard

APPS = Path(__file__).resolve().parents[1] / "apps"
T = TypeVar("T")


def until(look: Callable[[], T], what: str, deadline: float = DEADLINE) -> T:
    """Look again until it is true, for what the system tells nobody (descriptors, processes): its result."""
    end = time.monotonic() + deadline
    tick = threading.Event()
    while not (seen := look()):
        assert time.monotonic() < end, f"not within {deadline} s: {what}"
        tick.wait(0.005)
    return seen


class Server:
    """A running forkcluster. `target` is looked for in tests/apps."""

    def __init__(self, target: str, *options: str, cwd: Path, env: dict[str, str] | None = None) -> None:
        self.cwd = cwd
        self.lines: list[str] = []
        self._news = threading.Condition()
        self._ended = False
        environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("FORKCLUSTER_")},
            "PYTHONPATH": os.pathsep.join([str(APPS), *filter(None, [os.environ.get("PYTHONPATH")])]),
            "FORKCLUSTER_HOME": str(cwd / "home"),
            "PYTHONUNBUFFERED": "1",
            **(env or {}),
        }
        bind = () if any(option.startswith("--bind") for option in options) else ("--bind=127.0.0.1:0",)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "forkcluster", target, *bind, *options],
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        ready = self.wait_log(r"\bready app=.*listening=(.*?) workers=", 30)
        found = re.search(r"127\.0\.0\.1\D{1,4}(\d+)", ready[1])
        self.port = int(found[1]) if found else 0
        self.address: tuple[str, int] = ("127.0.0.1", self.port)

    # -- the log --------------------------------

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._news:
                self.lines.append(line.decode(errors="replace").rstrip("\n"))
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    def wait_log(self, pattern: str, deadline: float = DEADLINE) -> re.Match[str]:
        """Wait for a line of the log (or of the application's output) that matches."""
        end = time.monotonic() + deadline
        at = 0
        with self._news:
            while True:
                for line in self.lines[at:]:
                    if found := re.search(pattern, line):
                        return found
                at = len(self.lines)
                left = end - time.monotonic()
                assert left > 0 and not self._ended, f"no line like {pattern!r} in the log:\n{self.log}"
                self._news.wait(left)

    @property
    def log(self) -> str:
        """All that was written so far."""
        return "\n".join(self.lines)

    # -- processes --------------------------------

    def workers(self) -> list[int]:
        """Pids of the live workers; waits until there is one."""
        return until(self._workers, "a worker")

    def _workers(self) -> list[int]:
        pids = []
        for path in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                parent = int(path.read_text(errors="replace").rpartition(")")[2].split()[1])
                title = (path.parent / "cmdline").read_bytes()
                if parent == self.process.pid and title.startswith(b"forkcluster: worker"):
                    pids.append(int(path.parent.name))
        return sorted(pids)

    def descriptors(self, pid: int) -> dict[int, str]:
        """What a process has open."""
        found = {}
        for path in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                found[int(path.name)] = os.readlink(path)
        return found

    def line(self) -> dict[str, object]:
        """What the scoreboard says of the first worker."""
        files = self.descriptors(self.process.pid).items()
        board = next(number for number, name in files if "forkcluster-scoreboard" in name)
        descriptor = os.open(f"/proc/{self.process.pid}/fd/{board}", os.O_RDONLY)
        try:
            view = Scoreboard(descriptor)
        finally:
            os.close(descriptor)
        line = view.line(0)
        view.close()
        return line

    def client(self, receive_buffer: int | None = None) -> Client:
        """Connect."""
        return Client(self.address, receive_buffer)

    def url(self, path: str) -> str:
        """Make a URL for client libraries."""
        return f"http://127.0.0.1:{self.port}{path}"

    def stop(self) -> int:
        """Ask the master to stop; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            code = self.kill()
        self._reader.join(DEADLINE)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code

    def kill(self) -> int:
        """End the whole session at once."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        return self.process.wait(DEADLINE)


def let_go(fifo: str) -> None:
    """Let the application that waits on the FIFO go on."""
    os.close(os.open(fifo, os.O_WRONLY))


def assert_refused(answer: Answer, status: int) -> None:
    """An answer of the server's own: whole, plain, and the last."""
    assert (status, "close", "text/plain") == (
        answer.status,
        answer.one("Connection"),
        answer.one("Content-Type"),
    )
    assert f"{status} {answer.phrase}\n".encode() == answer.body
    assert answer.one("Server") == "forkcluster" and answer.one("Date")

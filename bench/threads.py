"""What a call that takes long does to everybody else on its worker. `make bench-threads`, or

    python bench/threads.py [together ready compute hold loaded] [--rounds 20] [--peers PYTHON]

together: eight views that sleep 100 ms, on one worker: until the last is answered. ready: 64 connections of
one worker are readable at once (it was stopped meanwhile), and the first view sleeps 1 s: until the last of
the other 63 is answered. compute, hold: one of two workers computes for 1 s, or is in C code that holds the
GIL for 1 s: until the last of those who are on that worker and ask in the same moment is answered, by either,
and the slowest answer to the other worker's clients in that second. loaded: a view of 20 times 0.4 ms of
waiting and 0.4 ms of CPU, on a worker that is saturated with hellos from 8 other connections; gunicorn
gthread takes turns with us, with as many threads. Each round gives one figure, each row has their median and
p95, in ms. On two CPUs a worker that computes takes one, and the other worker shares the other with us.

Standard library only; loaded needs gcc, and gunicorn in the environment of --peers.
"""

import argparse
import contextlib
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from run import BUILD, PATIENCE, build, free_port, on, wait_until_it_answers

APP = """
import ctypes, os, time

C = ctypes.PyDLL(None)  # holds the GIL

def burn(seconds):
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass

def application(environ, start_response):
    what = environ["PATH_INFO"][1:]
    if what == "sleep":
        time.sleep(1)
    elif what == "tenth":
        time.sleep(0.1)
    elif what == "compute":
        burn(1)
    elif what == "hold":
        C.usleep(999_999)
    elif what == "interleave":
        for _ in range(20):
            time.sleep(0.0004)
            burn(0.0004)
    body = b"%10d" % os.getpid()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""
THREADS = "8"
OURS = ("-m", "forkcluster", "app:application", "--threads", THREADS, "--log-level", "error")
GTHREAD = ("-m", "gunicorn", "app:application", "-k", "gthread", "--threads", THREADS, "--log-level", "error")
BARS = {
    "together": "150",
    "ready": "30 (median)",
    "compute: its own": "15, 50",
    "hold: its own": "15, 50",
    "compute: of the other": "no delay",
    "hold: of the other": "no delay",
    "loaded: ours / gthread": "1.2",
}
SIZE = len(b"%10d" % 0)


# -- servers


@contextlib.contextmanager
def serving(command: list[str], cpus: set[int]) -> Iterator[int]:
    """A server of the application on these CPUs; gives its port."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory, "app.py").write_text(APP)
        port = free_port()
        environment = os.environ | {"FORKCLUSTER_HOME": f"{directory}/home", "PWD": directory}
        with on(cpus):
            process = subprocess.Popen(
                [*command, "-b", f"127.0.0.1:{port}"],
                cwd=directory,
                env=environment,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
        try:
            wait_until_it_answers(process, port)
            yield port
        finally:
            process.terminate()
            process.wait(PATIENCE)


def ours(workers: int, cpus: set[int]) -> contextlib.AbstractContextManager[int]:
    """Ourselves, with so many workers."""
    return serving([sys.executable, *OURS, "-i", str(workers)], cpus)


# -- clients


class Client:
    """One keep-alive connection."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, path: str = "/") -> None:
        """Ask."""
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())

    def take(self) -> int:
        """Wait for the answer: the worker that gives it."""
        answer = b""
        while b"\r\n\r\n" not in answer or len(answer.partition(b"\r\n\r\n")[2]) < SIZE:
            part = self.socket.recv(4096)
            if not part:
                raise RuntimeError(f"the connection ended after {answer!r}")
            answer += part
        if not answer.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"not 200: {answer!r}")
        return int(answer[-SIZE:])

    def ask(self, path: str = "/") -> int:
        """Both."""
        self.send(path)
        return self.take()


@contextlib.contextmanager
def clients(port: int, count: int) -> Iterator[list[Client]]:
    """So many connections, each of which has had an answer."""
    made = [Client(port) for _ in range(count)]
    try:
        for each in made:
            each.ask()
        yield made
    finally:
        for each in made:
            each.socket.close()


def ms(since: float) -> float:
    """Milliseconds from then to now, on the monotonic clock."""
    return (time.monotonic() - since) * 1000


# -- what is measured: each function gives its rows


Rows = dict[str, list[float]]


@dataclass(frozen=True)
class Settings:
    """How much, on which CPUs, and beside whom."""

    rounds: int
    peers: str
    all_cpus: set[int] = field(default_factory=lambda: set(os.sched_getaffinity(0)))

    @property
    def apart(self) -> tuple[set[int], set[int]]:
        """CPUs for one worker and for its clients: different ones if there are two."""
        cpus = sorted(self.all_cpus)
        return {cpus[0]}, set(cpus[1:]) or set(cpus)


def together(settings: Settings) -> Rows:
    """Eight sleeps of 100 ms at once."""
    times = []
    with ours(1, settings.all_cpus) as port, clients(port, 8) as eight:
        for _ in range(settings.rounds):
            begun = time.monotonic()
            for each in eight:
                each.send("/tenth")
            for each in eight:
                each.take()
            times.append(ms(begun))
    return {"together": times}


def ready(settings: Settings) -> Rows:
    """The first of 64 that are readable at once sleeps."""
    times = []
    with ours(1, settings.all_cpus) as port, clients(port, 64) as all_of_them:
        first, *others = all_of_them
        worker = first.ask()
        for _ in range(settings.rounds):
            os.kill(worker, signal.SIGSTOP)
            for each in all_of_them:
                each.send("/sleep" if each is first else "/")
            begun = time.monotonic()
            os.kill(worker, signal.SIGCONT)
            for each in others:
                each.take()
            times.append(ms(begun))
            first.take()
    return {"ready": times}


def stuck(settings: Settings, view: str) -> Rows:
    """One of two workers is in a view for a second."""
    own, other = [], []
    with ours(2, settings.all_cpus) as port, clients(port, 16) as all_of_them:
        for _ in range(settings.rounds):
            mine, theirs = two_sides(all_of_them)
            begun = time.monotonic()
            for each in mine:
                each.send(f"/{view}" if each is mine[0] else "/")
            for each in mine[1:]:
                each.take()
            own.append(ms(begun))
            slowest = 0.0
            while ms(begun) < 900:
                for each in theirs:
                    asked = time.monotonic()
                    each.ask()
                    slowest = max(slowest, ms(asked))
                time.sleep(0.005)
            other.append(slowest)
            mine[0].take()
    return {f"{view}: its own": own, f"{view}: of the other": other}


def two_sides(connections: list[Client]) -> tuple[list[Client], list[Client]]:
    """The connections of one worker and those of the other, when each has had four for a while."""
    deadline = time.monotonic() + PATIENCE
    before: list[int] = []
    while time.monotonic() < deadline:
        held = [each.ask() for each in connections]
        if held == before and len(set(held)) == 2 and min(map(held.count, held)) >= 4:
            pairs = list(zip(connections, held, strict=True))
            mine, theirs = ([each for each, pid in pairs if pid == side] for side in set(held))
            return mine, theirs
        before = held
        time.sleep(0.3)  # longer than connections take to find their worker
    raise RuntimeError("the connections do not settle on both workers")


def loaded(settings: Settings) -> Rows:
    """The interleaved view beside a saturating load, with us and with gunicorn gthread in turns."""
    build()
    found: Rows = {"loaded: ours": [], "loaded: gthread": []}
    server_cpus, client_cpus = settings.apart
    commands = {
        "loaded: ours": [sys.executable, *OURS, "-i", "1"],
        "loaded: gthread": [settings.peers, *GTHREAD, "-w", "1"],
    }
    for _ in range(3):
        for name, command in commands.items():
            with serving(command, server_cpus) as port, on(client_cpus):
                found[name] += interleaved(port, settings.rounds)
    return found


def interleaved(port: int, rounds: int) -> list[float]:
    """The times of so many such views while others ask for hello."""
    times = []
    load = subprocess.Popen([BUILD / "load", "-c", "8", "-d", "60", str(port)], stdout=subprocess.DEVNULL)
    try:
        with clients(port, 1) as (asker,):
            asker.ask("/interleave")
            for _ in range(rounds):
                begun = time.monotonic()
                asker.ask("/interleave")
                times.append(ms(begun))
    finally:
        load.terminate()
        load.wait()
    return times


WHAT: dict[str, Callable[[Settings], Rows]] = {
    "together": together,
    "ready": ready,
    "compute": lambda settings: stuck(settings, "compute"),
    "hold": lambda settings: stuck(settings, "hold"),
    "loaded": loaded,
}


# -- the table


def table(rows: Rows) -> str:
    """The result as Markdown, with the bar of each row."""
    lines = ["| what | rounds | median ms | p95 ms | bar |", "|---|---|---|---|---|"]
    for name, times in rows.items():
        p95 = statistics.quantiles(times, n=20, method="inclusive")[18]
        bar = BARS.get(name, "")
        lines.append(f"| {name} | {len(times)} | {statistics.median(times):.1f} | {p95:.1f} | {bar} |")
    if "loaded: ours" in rows:
        ratio = statistics.median(rows["loaded: ours"]) / statistics.median(rows["loaded: gthread"])
        lines.append(f"| loaded: ours / gthread | | {ratio:.2f} | | {BARS['loaded: ours / gthread']} |")
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """Measure what is asked for, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", nargs="*", help=f"of {' '.join(WHAT)}; all if none is named")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--peers", default=sys.executable, help="the interpreter that has gunicorn")
    given = parser.parse_args(arguments)
    unknown = set(given.what) - set(WHAT)
    if unknown:
        parser.error(f"unknown: {' '.join(sorted(unknown))}")
    settings = Settings(given.rounds, given.peers)
    rows: Rows = {}
    for name in given.what or WHAT:
        rows |= WHAT[name](settings)
    print(table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

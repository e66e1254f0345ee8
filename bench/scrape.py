"""Compares the app's latency and CPU with and without scrapers: 100 that ask for /metrics without a pause,
and one that reads its answer a byte a second.

    python bench/scrape.py [--rounds 5] [--seconds 4] [--rate 1000]

The app (two workers, a hello) is asked at a fixed pace that leaves CPUs free, on connections that stay open:
a saturated one would only show how the kernel divides CPUs among the programs here. App and admin
process share one CPU, so that the second has nowhere to hide; the client and the scrapers have the other, and
the scrapers run at the lowest priority there, as if they were on another machine.
Rounds with and without them take turns, and each figure is the median of its rounds. Workers' CPU time is
/proc's schedstat. Standard library only.
"""

import argparse
import contextlib
import http.client
import os
import re
import select
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from run import build

SCRAPERS = 100
CONNECTIONS = 8
HELLO = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
CPUS = os.sched_getaffinity(0)
METRICS = b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"
APP = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "6")])
    return [b"hello\\n"]
"""


class Round(NamedTuple):
    """What one round has shown: seconds, CPU seconds per request, the admin's share of a core, scrapes."""

    p50: float
    p99: float
    workers: float
    admin: float
    scrapes: int


class Pids(NamedTuple):
    """The processes that are measured."""

    workers: list[int]
    admin: int


def cpu_seconds(pids: list[int]) -> float:
    """The CPU time that all threads of the processes have used."""
    files = [file for pid in pids for file in Path(f"/proc/{pid}/task").glob("*/schedstat")]
    return sum(int(file.read_text().split()[0]) for file in files) / 1e9


def pids_of(session: int) -> Pids:
    """Find the app's processes by their titles."""
    found: dict[str, list[int]] = {"worker": [], "admin": []}
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            title = Path(f"/proc/{name}/cmdline").read_bytes().decode(errors="replace")
            role = re.match(r"forkcluster: (worker|admin)", title)
            if role and os.getsid(int(name)) == session:
                found[role[1]].append(int(name))
    return Pids(found["worker"], found["admin"][0])


@contextlib.contextmanager
def running() -> Iterator[tuple[int, int, int]]:
    """An app of two workers; give its session, its port, and its admin's."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory, "app.py").write_text(APP)
        command = [sys.executable, "-m", "forkcluster", "app:application", "-i", "2"]
        command += ["--bind", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
        environment = {**os.environ, "FORKCLUSTER_HOME": f"{directory}/home"}
        os.sched_setaffinity(0, {min(CPUS)})
        with subprocess.Popen(
            command,
            cwd=directory,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as server:
            os.sched_setaffinity(0, {max(CPUS)})
            try:
                yield (server.pid, *ports(server))
            finally:
                server.send_signal(signal.SIGTERM)


def ports(server: subprocess.Popen[str]) -> tuple[int, int]:
    """Read the ports of the app and of its admin from the start screen."""
    printed = ""
    while "Ctrl-C" not in printed:
        line = server.stdout.readline() if server.stdout else ""
        if not line:
            raise RuntimeError(f"the app does not start:\n{printed}")
        printed += line
    app = re.search(r"listening=\"?http://127.0.0.1:(\d+)", printed)
    admin = re.search(r"admin\S*\s+http://127.0.0.1:(\d+)", printed)
    if not app or not admin:
        raise RuntimeError(f"no address is told:\n{printed}")
    return int(app[1]), int(admin[1])


def scrape(port: int, over: int) -> int:
    """Scrape without a pause on SCRAPERS connections, and a byte a second on another, until the descriptor
    `over` is at its end; give the whole answers.
    """
    lines = {}
    for _ in range(SCRAPERS):
        line = socket.create_connection(("127.0.0.1", port))
        line.sendall(METRICS)
        lines[line.fileno()] = (line, bytearray())
    slow = socket.socket()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.connect(("127.0.0.1", port))
    slow.sendall(METRICS * 8)
    poll = select.poll()
    for descriptor in (*lines, over):
        poll.register(descriptor, select.POLLIN)
    answers, next_byte = 0, 0.0
    while True:
        if time.monotonic() >= next_byte:
            slow.recv(1, socket.MSG_DONTWAIT) if next_byte else None
            next_byte = time.monotonic() + 1
        for descriptor, _ in poll.poll(1000):
            if descriptor == over:
                return answers
            line, got = lines[descriptor]
            got += line.recv(1 << 18)
            head, found, body = got.partition(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE) if found else None
            if length and len(body) >= int(length[1]):
                answers += 1
                got.clear()
                line.sendall(METRICS)


@contextlib.contextmanager
def scraped(port: int) -> Iterator[Callable[[], int]]:
    """Have a process of its own scrape; what is given ends it and tells its whole answers."""
    over, end = os.pipe()
    told, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(end)
        os.nice(19)
        try:
            os.write(tell, str(scrape(port, over)).encode())
        finally:
            os._exit(0)
    os.close(over)
    os.close(tell)

    def count() -> int:
        os.close(end)
        return int(os.read(told, 32) or b"-1")

    try:
        yield count
    finally:
        os.waitpid(pid, 0)
        os.close(told)


def paced(port: int, rate: float, seconds: float) -> list[float]:
    """Ask at a fixed pace; give the seconds that each answer took, from when it was due."""
    lines = [socket.create_connection(("127.0.0.1", port)) for _ in range(CONNECTIONS)]
    took, start = [], time.monotonic()
    for number in range(int(rate * seconds)):
        due = start + number / rate
        time.sleep(max(0.0, due - time.monotonic()))
        line = lines[number % CONNECTIONS]
        line.sendall(HELLO)
        if not line.recv(4096).endswith(b"hello\n"):
            raise RuntimeError("a wrong answer")
        took.append(time.monotonic() - due)
    return took


def measure(pids: Pids, port: int, admin: int, settings: argparse.Namespace, *, scrapers: bool) -> Round:
    """One round."""
    with scraped(admin) if scrapers else contextlib.nullcontext(lambda: 0) as count:
        if scrapers:
            time.sleep(0.5)  # all are connected
        before, admin_before, began = cpu_seconds(pids.workers), cpu_seconds([pids.admin]), time.monotonic()
        took = sorted(paced(port, settings.rate, settings.seconds))
        seconds = time.monotonic() - began
        used, admin_used = cpu_seconds(pids.workers) - before, cpu_seconds([pids.admin]) - admin_before
        scrapes = count()
    p50, p99 = took[len(took) // 2], took[len(took) * 99 // 100]
    return Round(p50, p99, used / len(took), admin_used / seconds, scrapes)


def show(name: str, rounds: list[Round]) -> None:
    """Print medians, and how far the rounds differ."""
    cells = [name]
    for figures in list(zip(*rounds, strict=True))[:3]:
        middle = statistics.median(figures)
        cells += [f"{middle * 1e6:.0f} µs", f"{(max(figures) - min(figures)) / middle:.0%}"]
    share = statistics.median(each.admin for each in rounds)
    answers = statistics.median(each.scrapes for each in rounds)
    print(f"| {' | '.join(cells)} | {share:.1%} | {answers:.0f} |")


def main(arguments: list[str]) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--rate", type=float, default=1000, help="requests per second")
    settings = parser.parse_args(arguments)
    build()
    without, beside = [], []
    with running() as (session, port, admin):
        line = http.client.HTTPConnection("127.0.0.1", admin)
        line.request("GET", "/metrics")  # the first who asks starts the admin process
        line.getresponse().read()
        line.close()
        pids = pids_of(session)
        paced(port, settings.rate, 1)
        for _ in range(settings.rounds):
            without.append(measure(pids, port, admin, settings, scrapers=False))
            beside.append(measure(pids, port, admin, settings, scrapers=True))
    print(
        "| | p50 | spread | p99 | spread | workers' CPU per request | spread | admin, of a core | scrapes |"
    )
    print(f"|{'---|' * 9}")
    show("alone", without)
    show(f"{SCRAPERS} scrapers", beside)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Compares the app's latency and CPU with and without scrapers: 100 that ask for /metrics without a pause,
and one that reads its answer a byte a second.

    python bench/scrape.py [--rounds 9] [--seconds 4] [--rate 1000]

The app (two workers, a hello) is asked at a fixed pace that leaves CPUs free, on connections that stay open:
a saturated one would only show how the kernel divides CPUs among the programs here. App and admin
process share one CPU, so that the second has nowhere to hide; the client and the scrapers have the other, and
the scrapers run at the lowest priority there, as if they were on another machine. The control: the same
scrapers ask an unrelated process of the lowest priority on the app's CPU.
The rounds take turns, and each figure is the median of its rounds. Workers' CPU time is /proc's schedstat, as
is how long they were ready to run and did not: that figure knows nothing of the client's own delays.
Standard library only.
"""

import argparse
import contextlib
import http.client
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from scrapers import SCRAPERS, scraped, standing_in

CONNECTIONS = 8
HELLO = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
CPUS = os.sched_getaffinity(0)
APP = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "6")])
    return [b"hello\\n"]
"""


class Round(NamedTuple):
    """What one round has shown: seconds, of CPU and of waiting for it per request, the share of a core that
    whoever was scraped used, scrapes.
    """

    p50: float
    p99: float
    used: float
    waited: float
    scraped: float
    scrapes: int


class Pids(NamedTuple):
    """The processes that are measured."""

    workers: list[int]
    admin: int


class Target(NamedTuple):
    """Who is scraped."""

    pid: int
    port: int


def cpu_seconds(pids: list[int]) -> tuple[float, float]:
    """The CPU time that all threads of the processes have used, and that they have waited for."""
    files = [file for pid in pids for file in Path(f"/proc/{pid}/task").glob("*/schedstat")]
    figures = [file.read_text().split() for file in files]
    used, waited = (sum(int(each[column]) for each in figures) / 1e9 for column in (0, 1))
    return used, waited


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


def measure(workers: list[int], port: int, settings: argparse.Namespace, target: Target | None) -> Round:
    """One round, with scrapers of the target."""
    with scraped(target.port) if target else contextlib.nullcontext(lambda: 0) as count:
        if target:
            time.sleep(0.5)  # all are connected
        asked = [target.pid] if target else []
        before, asked_before, began = cpu_seconds(workers), cpu_seconds(asked)[0], time.monotonic()
        took = sorted(paced(port, settings.rate, settings.seconds))
        seconds = time.monotonic() - began
        used, waited = (now - then for now, then in zip(cpu_seconds(workers), before, strict=True))
        share = (cpu_seconds(asked)[0] - asked_before) / seconds
        scrapes = count()
    p50, p99 = took[len(took) // 2], took[len(took) * 99 // 100]
    return Round(p50, p99, used / len(took), waited / len(took), share, scrapes)


def fetch(admin: int) -> bytes:
    """The page of metrics."""
    line = http.client.HTTPConnection("127.0.0.1", admin)
    try:
        line.request("GET", "/metrics")
        return line.getresponse().read()
    finally:
        line.close()


def show(name: str, rounds: list[Round]) -> None:
    """Print medians, and how far the rounds differ."""
    cells = [name]
    for figures in list(zip(*rounds, strict=True))[:4]:
        middle = statistics.median(figures)
        cells += [f"{middle * 1e6:.1f} µs", f"{(max(figures) - min(figures)) / middle:.0%}"]
    share = statistics.median(each.scraped for each in rounds)
    answers = statistics.median(each.scrapes for each in rounds)
    print(f"| {' | '.join(cells)} | {share:.1%} | {answers:.0f} |")


def main(arguments: list[str]) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--rate", type=float, default=1000, help="requests per second")
    settings = parser.parse_args(arguments)
    names = ("alone", "control", f"{SCRAPERS} scrapers")
    rounds: dict[str, list[Round]] = {name: [] for name in names}
    with running() as (session, port, admin):
        page = fetch(admin)  # the first who asks starts the admin process
        pids = pids_of(session)
        paced(port, settings.rate, 1)
        with standing_in(page, min(CPUS)) as (stranger, strange):
            targets = (None, Target(stranger, strange), Target(pids.admin, admin))
            for _ in range(settings.rounds):
                for name, target in zip(names, targets, strict=True):
                    rounds[name].append(measure(pids.workers, port, settings, target))
    figures = ("p50", "p99", "workers' CPU per request", "their wait for it")
    print(f"| | {' | spread | '.join(figures)} | spread | the scraped, of a core | scrapes |")
    print(f"|{'---|' * 11}")
    for name in names:
        show(name, rounds[name])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

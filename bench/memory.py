"""The memory of a Django with four workers, beside the servers that fork it as well.

    python bench/memory.py [--requests 250] [--rounds 3] [--servers forkcluster,uwsgi] [--peers PYTHON]

Proportional set size, the sum over all the server's processes: at the first answers (a hello), and when every
worker has given some hundreds of pages and the collector has run. Servers take turns; the table has medians.
Pages of program text count by their share: other processes of that interpreter lower all rows alike. Django
is installed beside the servers. Owns these figures only; starting and ending is run.py's.
"""

import argparse
import http.client
import os
import re
import statistics
import sys
import tempfile
import time
from pathlib import Path

from run import free_port, running
from servers import HOST, LONE, Server

APP = "django_page:application"
WORKERS = 4
TOGETHER = 8  # connections at a time, so that all workers have some
SETTLE = 2.0  # seconds for the last worker to boot
GUNICORN = ("{python}", "-m", "gunicorn", APP, "-b", HOST, "-w", "{workers}", "--log-level", "warning")
SERVERS = (
    Server(
        "forkcluster", "WSGI", "forkcluster",
        ("{python}", "-m", "forkcluster", APP, "-i", "{workers}", "-b", HOST, "--log-level", "warning"),
    ),
    Server("fastpysgi", "WSGI", "fastpysgi", (*LONE, "fastpysgi", "{port}", "{workers}", APP)),
    Server(
        "uwsgi", "WSGI", "uwsgidecorators",
        ("{bin}/uwsgi", "--module", APP, "--master", "--processes", "{workers}", "--die-on-term",
         "--need-app", "--disable-logging", "--http-socket", HOST),
    ),
    Server("gunicorn-preload", "WSGI", "gunicorn", (*GUNICORN, "--preload")),
    Server("gunicorn", "WSGI", "gunicorn", GUNICORN),
)  # fmt: skip


def family(session: int) -> list[int]:
    """The processes of a session."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            fields = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session:
            found.append(int(name))
    return found


def pss(session: int) -> float:
    """Their proportional set size, in MiB."""
    return (
        sum(
            int(re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)[1])
            for pid in family(session)
        )
        / 1024
    )


def ask(port: int, path: str, count: int) -> None:
    """Some requests, each on a connection of its own, several of them open at a time. Raises RuntimeError."""
    for _ in range(count // TOGETHER):
        connections = [http.client.HTTPConnection("127.0.0.1", port, timeout=30) for _ in range(TOGETHER)]
        for each in connections:
            each.request("GET", path, headers={"Connection": "close"})
        for each in connections:
            answer = each.getresponse()
            if answer.status != 200 or not answer.read():
                raise RuntimeError(f"{path} gives {answer.status}")
            each.close()


def measure(server: Server, settings: argparse.Namespace) -> tuple[float, float]:
    """Give the MiB after hellos, and after pages."""
    port = free_port()
    argv = server.argv(settings.peers, port, WORKERS)
    with running(argv, port, os.sched_getaffinity(0), proof=lambda port: None) as session:
        time.sleep(SETTLE)
        ask(port, "/", 50 * WORKERS)
        cold = pss(session)
        ask(port, "/page", settings.requests * WORKERS)
        return cold, pss(session)


def main(arguments: list[str]) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=250, help="pages for each worker")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--servers", help="only these, by comma")
    parser.add_argument("--peers", default=sys.executable, help="the interpreter that has servers and Django")
    settings = parser.parse_args(arguments)
    wanted = settings.servers.split(",") if settings.servers else [each.name for each in SERVERS]
    there = [each for each in SERVERS if each.name in wanted and each.installed(settings.peers)]
    samples = {each.name: [] for each in there}
    with tempfile.TemporaryDirectory() as directory:
        os.environ["BENCH_DATABASE"] = f"{directory}/users.sqlite3"
        for _ in range(settings.rounds):
            for each in there:
                samples[each.name].append(measure(each, settings))
    print(f"MiB of {WORKERS} workers, median of {settings.rounds} rounds\n")
    print(f"| server | hello | {settings.requests} pages a worker |\n|---|---|---|")
    for name, rounds in sorted(
        samples.items(), key=lambda item: statistics.median(each[1] for each in item[1])
    ):
        cold, used = (statistics.median(column) for column in zip(*rounds, strict=True))
        print(f"| {name} | {cold:.1f} | {used:.1f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

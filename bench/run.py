"""Compares forkcluster with the servers that are installed, and with a C program that only reads and writes.

    python bench/run.py [--load hello|echo|close] [--workers 1] [--rounds 3] [--seconds 3] [--peers PYTHON]

Servers take turns, one at a time, round after round, so that a slow minute of the machine strikes all alike.
The figure that counts is the server's CPU time per request, user and system, of all its processes, read from
/proc: unlike requests per second it does not depend on how fast the client can ask. The table has the median
of the rounds, its spread (largest less smallest, by the median), and the ratios to the C program and to
forkcluster. Standard library only; needs gcc. Owns the measuring; servers.py says which servers there are.
"""

import argparse
import contextlib
import http.client
import json
import os
import platform
import re
import select
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from servers import BUILD, BY_NAME, HERE, SERVERS, Server

from apps import HELLO

PATIENCE = 20.0
TICK = os.sysconf("SC_CLK_TCK")
BODY = 10240
# The client's arguments for each load, and the lines that say the same to wrk.
LOADS = {
    "hello": ([], ""),
    "echo": (["-b", str(BODY)], f'wrk.method = "POST"\nwrk.body = string.rep("x", {BODY})\n'),
    "close": (["-x"], 'wrk.headers["Connection"] = "close"\n'),
}
COLUMNS = (
    "server", "interface", "CPU µs/request", "spread", "/ limit", "/ forkcluster", "requests/s",
    "p50 ms", "p99 ms", "errors",
)  # fmt: skip
SEEN = ("requests", "errors", "seconds", "p50_ms", "p99_ms")


@dataclass(frozen=True)
class Sample:
    """One round of one server."""

    requests: int
    errors: int
    seconds: float
    cpu: float  # seconds of all the server's processes
    p50_ms: float
    p99_ms: float

    @property
    def micros(self) -> float:
        """CPU time per request, in microseconds."""
        return self.cpu / self.requests * 1e6 if self.requests else float("inf")

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.requests / self.seconds


def build() -> None:
    """Compile the ceiling and the client."""
    BUILD.mkdir(parents=True, exist_ok=True)
    for name in ("limit", "load"):
        flags = ["-std=c11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra"]
        subprocess.run(["gcc", *flags, HERE / f"{name}.c", "-o", BUILD / name], check=True)


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def cpu_seconds(session: int) -> float:
    """CPU time that the living processes of a session have used; all threads, to a hundredth of a second."""
    ticks = 0
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == session:
                ticks += int(fields[11]) + int(fields[12])
    return ticks / TICK


def wait_until_it_answers(process: subprocess.Popen, port: int) -> None:
    """Ask until there is an answer. Raises RuntimeError when the server ends or stays silent."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as ours:
            ours.settimeout(2)
            ours.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            if ours.recv(12):
                return
        select.select([], [], [], 0.05)
    raise RuntimeError(f"no answer (exit code {process.poll()})")


def prove(port: int) -> None:
    """Ask for the hello and the echo, and look at them. Raises RuntimeError when they are something else."""
    for method, body, expected in (("GET", None, HELLO), ("POST", b"x" * BODY, b"x" * BODY)):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        connection.request(method, "/", body)
        answer = connection.getresponse()
        if (answer.status, answer.read()) != (200, expected):
            raise RuntimeError(f"the answer to {method} is not what the application gives")
        connection.close()


@contextlib.contextmanager
def on(cpus: set[int]):
    """What is started in here runs on these CPUs; we ourselves return to ours."""
    ours = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, ours)


@contextlib.contextmanager
def running(command: list[str], port: int, cpus: set[int], proof: Callable[[int], None] = prove):
    """Run a server in a session of its own on these CPUs, and give its id; gone at the end, all of it."""
    with tempfile.TemporaryFile() as output:
        streams = {"stdin": subprocess.DEVNULL, "stdout": output, "stderr": output}
        with on(cpus):
            process = subprocess.Popen(command, cwd=HERE, start_new_session=True, **streams)
        try:
            wait_until_it_answers(process, port)
            proof(port)
            yield process.pid
        except RuntimeError as error:
            output.seek(0)
            raise RuntimeError(f"{error}\n{output.read().decode(errors='replace')}") from None
        finally:
            with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
                os.killpg(process.pid, signal.SIGTERM)
                process.wait(5)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def ask(settings: argparse.Namespace, port: int, seconds: int, cpus: set[int]) -> dict:
    """Run the client for so long on these CPUs; give what it counted."""
    arguments, lua = LOADS[settings.load]
    connections = str(settings.connections)
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script, on(cpus):
        script.write(lua)
        script.flush()
        if settings.client == "own":
            command = [BUILD / "load", "-c", connections, "-d", str(seconds), *arguments, str(port)]
        else:
            command = [
                "wrk",
                "-t",
                "1",
                "-c",
                connections,
                "-d",
                str(seconds),
                "--latency",
                "-s",
                script.name,
            ]
            command += [f"http://127.0.0.1:{port}/"]
        report = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return json.loads(report) if settings.client == "own" else read_wrk(report)


def read_wrk(text: str) -> dict:
    """The figures of wrk's report."""
    units = {"us": 0.001, "ms": 1, "s": 1000, "m": 60000}
    done = re.search(r"(\d+) requests in ([\d.]+)(us|ms|s|m)", text)
    if done is None:
        raise RuntimeError(f"wrk said:\n{text}")
    figures = {"requests": int(done[1]), "seconds": float(done[2]) * units[done[3]] / 1000}
    for part in ("50", "99"):
        found = re.search(rf"{part}%\s+([\d.]+)(us|ms|s|m)", text)
        figures[f"p{part}_ms"] = float(found[1]) * units[found[2]] if found else 0.0
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    sockets = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    figures["errors"] = (int(failed[1]) if failed else 0) + (
        sum(map(int, sockets.groups())) if sockets else 0
    )
    return figures


def measure(server: Server, settings: argparse.Namespace) -> Sample:
    """One round: start, warm up, ask, stop. One worker and its client get a CPU each, if there are two."""
    mine = sorted(os.sched_getaffinity(0))
    apart = settings.workers == 1 and len(mine) > 1
    servers, clients = ({mine[0]}, {mine[1]}) if apart else (set(mine), set(mine))
    port = free_port()
    with running(server.argv(settings.peers, port, settings.workers), port, servers) as session:
        ask(settings, port, 1, clients)
        before = cpu_seconds(session)
        seen = ask(settings, port, settings.seconds, clients)
        return Sample(**{key: seen[key] for key in SEEN}, cpu=cpu_seconds(session) - before)


def table(samples: dict[str, list[Sample]], settings: argparse.Namespace) -> str:
    """The result as Markdown, cheapest first."""
    cost = {name: statistics.median(each.micros for each in rounds) for name, rounds in samples.items()}
    lines = [
        f"{settings.load}, {settings.workers} worker(s), {settings.connections} connections, "
        f"{settings.rounds} rounds of {settings.seconds} s, client {settings.client}, "
        f"Python {settings.version}, Linux {platform.release()}, {os.cpu_count()} CPUs",
        "",
        f"| {' | '.join(COLUMNS)} |",
        "|---" * len(COLUMNS) + "|",
    ]
    for name in sorted(samples, key=cost.__getitem__):
        lines.append(f"| {' | '.join([name, BY_NAME[name].interface, *row(name, samples[name], cost)])} |")
    return "\n".join(lines)


def row(name: str, rounds: list[Sample], cost: dict[str, float]) -> list[str]:
    """The figures of one server, as COLUMNS names them."""
    micros = [each.micros for each in rounds]
    rate, p50, p99 = (
        statistics.median(getattr(each, key) for each in rounds) for key in ("rate", "p50_ms", "p99_ms")
    )
    return [
        f"{cost[name]:.2f}",
        f"{(max(micros) - min(micros)) / cost[name]:.0%}",
        *(f"{cost[name] / cost[other]:.2f}" if other in cost else "" for other in ("limit", "forkcluster")),
        f"{rate:,.0f}",
        f"{p50:.2f}",
        f"{p99:.2f}",
        str(sum(each.errors for each in rounds)),
    ]


def settings_of(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--load", choices=LOADS, default="hello")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--servers", help="only these, by comma")
    parser.add_argument(
        "--client", choices=("auto", "wrk", "own"), default="auto", help="auto: wrk if there is one"
    )
    parser.add_argument("--peers", default=sys.executable, help="the interpreter that has the servers")
    settings = parser.parse_args(arguments)
    if settings.client == "auto":
        settings.client = "wrk" if shutil.which("wrk") else "own"
    version = [settings.peers, "-c", "import platform; print(platform.python_version())"]
    settings.version = subprocess.run(version, capture_output=True, text=True, check=True).stdout.strip()
    return settings


def main(arguments: list[str]) -> int:
    """Measure and print; 1 when a server could not be measured."""
    settings = settings_of(arguments)
    build()
    wanted = settings.servers.split(",") if settings.servers else list(BY_NAME)
    there = [server for server in SERVERS if server.name in wanted and server.installed(settings.peers)]
    missing = [name for name in wanted if name not in {server.name for server in there}]
    if missing:
        print(f"not installed, left out: {', '.join(missing)}", file=sys.stderr)
    samples: dict[str, list[Sample]] = {}
    failures = 0
    for turn in range(settings.rounds):
        for server in there:
            try:
                sample = measure(server, settings)
            except (RuntimeError, subprocess.CalledProcessError) as error:
                failures += 1
                print(f"round {turn + 1}: {server.name} failed: {error}", file=sys.stderr)
                continue
            samples.setdefault(server.name, []).append(sample)
            print(
                f"round {turn + 1}: {server.name} {sample.micros:.2f} µs, {sample.rate:,.0f}/s",
                file=sys.stderr,
            )
    print(table(samples, settings))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

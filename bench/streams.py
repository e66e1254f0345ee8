"""Compares what a stream of 100 MiB costs the ASGI servers that are installed, down and up: CPU time per MiB.

    python bench/streams.py [--rounds 9] [--servers forkcluster-asgi,uvicorn] [--peers PYTHON]

One worker on a CPU of its own, one client; servers take turns. CPU time is that of /proc's schedstat, to the
nanosecond, of all the server's threads. Standard library only. run.py owns starting and stopping servers.
"""

import argparse
import contextlib
import os
import socket
import statistics
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from run import PATIENCE, build, free_port, running
from servers import SERVERS, Server

from apps import STREAM

MIB = STREAM >> 20
COLUMNS = ("server", "down, CPU µs/MiB", "spread", "up, CPU µs/MiB", "spread")


def cpu_micros(session: int) -> float:
    """CPU time that the threads of a session have used."""
    used = 0
    for process in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[3]) != session:
                continue
            for thread in os.listdir(f"/proc/{process}/task"):
                used += int(Path(f"/proc/{process}/task/{thread}/schedstat").read_text().split()[0])
    return used / 1e3


def down(port: int) -> None:
    """Take the whole stream."""
    buffer = bytearray(1 << 20)
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as ours:
        ours.sendall(b"GET /down HTTP/1.1\r\nHost: a\r\n\r\n")
        count = ours.recv_into(buffer)
        count -= bytes(buffer[:count]).index(b"\r\n\r\n") + 4
        while count < STREAM:
            more = ours.recv_into(buffer)
            if more == 0:
                raise RuntimeError(f"the stream ended after {count} bytes")
            count += more


def up(port: int) -> None:
    """Send as much, and be told how much came."""
    piece = b"x" * (1 << 20)
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as ours:
        ours.sendall(b"POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % STREAM)
        for _ in range(MIB):
            ours.sendall(piece)
        answer = b""
        while not answer.partition(b"\r\n\r\n")[2]:
            more = ours.recv(65536)
            if not more:
                raise RuntimeError("the server closed without an answer")
            answer += more
    if str(STREAM).encode() not in answer:
        raise RuntimeError(f"not what was sent: {answer!r}")


def measure(command: list[str], port: int) -> tuple[float, float]:
    """CPU microseconds per MiB, down and up, after one of each to warm up."""
    cpus = sorted(os.sched_getaffinity(0))
    figures = []
    with running(command, port, {cpus[0]}) as session:
        os.sched_setaffinity(0, {cpus[-1]})
        try:
            for stream in (down, up):
                stream(port)
                before = cpu_micros(session)
                stream(port)
                stream(port)
                figures.append((cpu_micros(session) - before) / MIB / 2)
        finally:
            os.sched_setaffinity(0, cpus)
    return figures[0], figures[1]


def row(name: str, rounds: list[tuple[float, float]]) -> str:
    """Medians and spreads."""
    cells = [name]
    for figures in zip(*rounds, strict=True):
        middle = statistics.median(figures)
        cells += [f"{middle:,.1f}", f"{(max(figures) - min(figures)) / middle:.0%}"]
    return f"| {' | '.join(cells)} |"


def settings_of(description: str, rounds: int, arguments: list[str]) -> argparse.Namespace:
    """Read the command line of a comparison."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--servers", help="only these, by comma")
    parser.add_argument("--peers", default=sys.executable, help="the interpreter that has the servers")
    return parser.parse_args(arguments)


def compare(
    servers: Iterable[Server],
    settings: argparse.Namespace,
    measure: Callable[[list[str], int], tuple[float, float]],
    columns: tuple[str, ...],
) -> int:
    """Measure the ASGI servers in turns and print the table; 1 when one could not be measured."""
    build()
    wanted = settings.servers.split(",") if settings.servers else [each.name for each in servers]
    there = [each for each in servers if each.interface == "ASGI" and each.name in wanted]
    there = [each for each in there if each.installed(settings.peers)]
    samples: dict[str, list[tuple[float, float]]] = {}
    failures = 0
    for _ in range(settings.rounds):
        for server in there:
            port = free_port()
            try:
                figures = measure(server.argv(settings.peers, port, 1), port)
            except (RuntimeError, OSError) as error:
                failures += 1
                print(f"{server.name} failed: {error}", file=sys.stderr)
                continue
            samples.setdefault(server.name, []).append(figures)
    print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
    for name in sorted(samples, key=lambda name: statistics.median(samples[name])):
        print(row(name, samples[name]))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(compare(SERVERS, settings_of(__doc__, 9, sys.argv[1:]), measure, COLUMNS))

"""Figures of a cluster that one worker does not have.

    python bench/cluster.py tail     # p99 with --balance least and kernel, most of the workers busy
    python bench/cluster.py close    # CPU time and hand-overs per connection, with least and kernel
    python bench/cluster.py replace  # from kill -9 of a worker to the first answer of its replacement

tail: 4 workers of one thread, requests that sleep for an exponential time of 10 ms in the mean, Poisson
arrivals at 70 % of what the workers can do, over 32 keep-alive connections. A request takes a connection that
is free; its time counts from its arrival. close: two workers, saturated by bench/load.c, which makes a
connection for each request; client and workers have CPUs of their own. The modes take turns, round after
round. Standard library only; close needs gcc.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from run import BUILD, PATIENCE, build, cpu_seconds, free_port, on, wait_until_it_answers

from forkcluster.manager.control import ask

APP = """
import os, random, time
def application(environ, start_response):
    if environ["PATH_INFO"] == "/sleep":
        time.sleep(random.expovariate(100))
    start_response("200 OK", [("Content-Length", "5")])
    return [b"%5d" % (os.getpid() % 100000)]
"""
MODES = ("least", "kernel")
MEAN = 0.01  # seconds that a request sleeps
LOAD = 0.7
CONNECTIONS = 32


@contextlib.contextmanager
def cluster(workers: int, *arguments: str):
    """A forkcluster of that many workers of one thread; gives its port and its home."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory, "app.py").write_text(APP)
        port = free_port()
        command = [sys.executable, "-m", "forkcluster", "app:application", "-i", str(workers)]
        command += ["-b", f"127.0.0.1:{port}", "--log-level", "error", "--threads", "1", *arguments]
        environment = os.environ | {"FORKCLUSTER_HOME": f"{directory}/home", "PWD": directory}
        process = subprocess.Popen(
            command, cwd=directory, env=environment, stdout=subprocess.DEVNULL, start_new_session=True
        )
        try:
            wait_until_it_answers(process, port)
            wait_for_workers(directory, workers)
            yield process, port, directory
        finally:
            process.terminate()
            process.wait(PATIENCE)


def status(directory: str) -> dict:
    return ask(f"{directory}/home/apps/app/control.sock", "status")


def wait_for_workers(directory: str, count: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while [w["state"] for w in status(directory)["workers"]].count("ready") < count:
        assert time.monotonic() < deadline, "not all workers became ready"
        time.sleep(0.05)


# -- tail


class Client:
    """Open loop: requests arrive when they do, whatever the server makes of them."""

    def __init__(self, port: int, rate: float) -> None:
        self.port, self.rate = port, rate
        self.free: asyncio.Queue = asyncio.Queue()
        self.times: list[float] = []

    async def run(self, seconds: float) -> list[float]:
        """Give the time of every request."""
        opening = (asyncio.open_connection("127.0.0.1", self.port) for _ in range(CONNECTIONS))
        connections = await asyncio.gather(*opening)  # at once: each mode spreads them as it does
        await asyncio.gather(*(self._ask(connection, "/") for connection in connections))
        random.shuffle(connections)
        for connection in connections:
            self.free.put_nowait(connection)
        await asyncio.sleep(0.5)  # connections find their workers
        at = begun = time.monotonic()
        tasks = []
        while at < begun + seconds:
            at += random.expovariate(self.rate)
            await asyncio.sleep(max(0.0, at - time.monotonic()))
            tasks.append(asyncio.create_task(self._request(at)))
        await asyncio.gather(*tasks)
        while not self.free.empty():
            self.free.get_nowait()[1].close()
        return self.times

    async def _request(self, arrived: float) -> None:
        connection = await self.free.get()
        await self._ask(connection, "/sleep")
        self.times.append(time.monotonic() - arrived)
        self.free.put_nowait(connection)

    async def _ask(self, connection, path: str) -> None:
        reader, writer = connection
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(5)


def tail(rounds: int, seconds: float) -> None:
    """Print p50 and p99 of both modes."""
    found: dict[str, list[list[float]]] = {mode: [] for mode in MODES}
    for _ in range(rounds):
        for mode in MODES:
            with cluster(4, "--balance", mode) as (_, port, _directory):
                times = asyncio.run(Client(port, 4 / MEAN * LOAD).run(seconds))
            cuts = statistics.quantiles(times, n=100)
            found[mode].append([cuts[49] * 1000, cuts[98] * 1000])
            print(f"{mode:6} p50 {cuts[49] * 1000:5.1f} ms  p99 {cuts[98] * 1000:5.1f} ms  ({len(times)})")
    p99 = {mode: statistics.median(each[1] for each in found[mode]) for mode in MODES}
    print(f"median p99: {p99}, least / kernel = {p99['least'] / p99['kernel']:.2f}")


# -- close


def close(rounds: int, seconds: float) -> None:
    """Print the CPU time of a connection in both modes, and how many were handed over."""
    build()
    cpus = sorted(os.sched_getaffinity(0))
    clients, servers = set(cpus[:1]), set(cpus[1:]) or set(cpus)
    cost: dict[str, list[float]] = {mode: [] for mode in MODES}
    for _ in range(rounds):
        for mode in MODES:
            with on(servers), cluster(2, "--balance", mode) as (process, port, _directory):
                before = cpu_seconds(process.pid)
                client = [str(BUILD / "load"), str(port), "-d", str(int(seconds)), "-c", "64", "-x"]
                with on(clients):
                    seen = json.loads(subprocess.run(client, capture_output=True, check=True).stdout)
                micros = (cpu_seconds(process.pid) - before) / seen["requests"] * 1e6
                moved = handed_over(process.pid)
            cost[mode].append(micros)
            print(
                f"{mode:6} {micros:6.2f} us  {moved / seen['requests']:.3f} hand-overs a connection, "
                f"{seen['errors']} errors"
            )
    medians = {mode: round(statistics.median(cost[mode]), 2) for mode in MODES}
    print(f"median: {medians}, least / kernel = {medians['least'] / medians['kernel']:.3f}")


def handed_over(pid: int) -> int:
    """How many connections the workers of that master have passed on, from its scoreboard."""
    from forkcluster import _scoreboard

    for name in os.listdir(f"/proc/{pid}/fd"):
        if "forkcluster-scoreboard" in os.readlink(f"/proc/{pid}/fd/{name}"):
            descriptor = os.open(f"/proc/{pid}/fd/{name}", os.O_RDONLY)
            board = _scoreboard.Scoreboard(descriptor)
            moved = sum(board.line(seat)["handed_out"] for seat in range(16))
            board.close()
            os.close(descriptor)
            return moved
    raise AssertionError("the master has no scoreboard")


# -- replace


def replace(rounds: int, _seconds: float) -> None:
    """Print the time from each kill to the first answer of the replacement."""
    times = []
    with cluster(1) as (_, port, directory):
        for _ in range(rounds):
            time.sleep(1.3)  # longer than min_uptime: it is replaced at once
            (worker,) = status(directory)["workers"]
            begun = time.monotonic()
            os.kill(worker["pid"], signal.SIGKILL)
            with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
                client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                assert client.recv(4096).startswith(b"HTTP/1.1 200"), "the queue must keep the client"
            times.append((time.monotonic() - begun) * 1000)
    print("ms:", " ".join(f"{each:.1f}" for each in times), f"median {statistics.median(times):.1f}")


def main(arguments: list[str]) -> int:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=("tail", "close", "replace"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8)
    settings = parser.parse_args(arguments)
    {"tail": tail, "close": close, "replace": replace}[settings.what](settings.rounds, settings.seconds)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Counts the instructions that one request costs a worker, under callgrind. Hardly any noise: a change shows.

    python bench/instructions.py           count, and write bench/instructions.json
    python bench/instructions.py --check   count, and compare with it: 3 % more is a failure

A worker is started as after its fork, the client of load.c asks it on one connection, and the worker retires.
This is done twice for each case, with few and with many requests; the difference is what the requests cost:
start, end and the monitor's ticks fall out. All threads count, since which of them serves is the worker's
business. Both run on one CPU, the client only when the worker sleeps: so that each request finds it asleep,
and none is there early by chance. In cases called busy it is the other way round: the worker runs only when
64 connections have all asked, as under full load. Counts of another Python or compiler are not comparable,
and are not compared. Needs valgrind.
"""

import contextlib
import json
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from run import BUILD, build
from servers import HERE

from forkcluster import _scoreboard
from forkcluster.wire.channel import channel_pair
from forkcluster.wire.messages import Kind, Message

RESULT = HERE / "instructions.json"
TOLERANCE = 0.03
FEW, MANY = 200, 2200
PATIENCE = 120.0
WSGI, ASGI = ("apps:wsgi", "wsgi"), ("apps:asgi", "asgi")  # what is asked, its interface
ONE_THREAD = ("apps:wsgi", "wsgi:1")
BUSY = ["-c", "64"]
CASES = {
    "hello": (WSGI, []),
    "hello_one_thread": (ONE_THREAD, []),
    "echo_10k": (WSGI, ["-b", "10240"]),
    "fields_20": (WSGI, ["-f", "20"]),
    "connection_per_request": (WSGI, ["-x"]),
    "hello_busy": (WSGI, BUSY),
    "asgi_hello": (ASGI, []),
    "asgi_hello_busy": (ASGI, BUSY),
    "asgi_echo_10k": (ASGI, ["-b", "10240"]),
    "asgi_fields_20": (ASGI, ["-f", "20"]),
}


def count(
    app: tuple[str, str], arguments: list[str], requests: int, counting: Callable[[Path], int] | None = None
) -> int:
    """The instructions of a worker that is asked so often, start and end included: all, or as `counting` says
    of the profile of each thread.
    """
    ours, theirs = channel_pair()
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        board = _scoreboard.create("instructions")
        _scoreboard.Scoreboard(board, writable=True).claim(0, 1, 0, 1)
        descriptors = (theirs.fileno(), board, listener.fileno())
        profile = f"{folder}/profile"
        valgrind = [
            "valgrind",
            "-q",
            "--tool=callgrind",
            "--separate-threads=yes",
            f"--callgrind-out-file={profile}",
        ]
        quietly = ["chrt", "--idle", "0"] if shutil.which("chrt") else ["nice", "-n", "19"]
        first, last = (quietly, []) if arguments == BUSY else ([], quietly)
        command = [*first, *valgrind, sys.executable, "-B", "one_worker.py", *app]
        command += map(str, descriptors)
        environment = {**os.environ, "PYTHONHASHSEED": "0"}
        with subprocess.Popen(command, cwd=HERE, env=environment, pass_fds=descriptors) as worker:
            try:
                theirs.close()
                os.close(board)
                wait_for(ours, Kind.READY)
                client = [BUILD / "load", "-c", "1", "-n", str(requests), *arguments]
                port = str(listener.getsockname()[1])
                seen = json.loads(
                    subprocess.run([*last, *client, port], capture_output=True, check=True).stdout
                )
                ours.send(Message(Kind.RETIRE, "", 0, 1, deadline_ns=time.monotonic_ns() + 10**10))
                worker.wait(PATIENCE)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    worker.kill()
        if worker.returncode != 0 or seen["requests"] != requests:
            raise RuntimeError(f"{seen}, exit code {worker.returncode}")
        return sum(map(counting or total, Path(folder).glob("profile-*")))


def total(profile: Path) -> int:
    """The instructions of the thread whose profile this is."""
    found = re.search(r"^(?:totals|summary): (\d+)", profile.read_text(), re.MULTILINE)
    return int(found[1]) if found else 0


def wait_for(channel, kind: Kind) -> None:
    """Read the worker's messages until one of a kind. Raises RuntimeError when it ends or fails before."""
    while True:
        heard = channel.receive(wait=True)
        if heard is None or heard[0].kind == Kind.FAILED:
            raise RuntimeError(heard[0].text if heard else "the worker ended before it was ready")
        if heard[0].kind == kind:
            return


def per_request(app: tuple[str, str], arguments: list[str]) -> int:
    """The instructions that one request costs. What disturbs a run only adds: the least of two counts."""
    many, few = (min(count(app, arguments, requests) for _ in range(2)) for requests in (MANY, FEW))
    return round((many - few) / (MANY - FEW))


def surroundings() -> dict[str, str]:
    """What the counts depend on beside our code."""
    compiler = subprocess.run(["gcc", "-dumpfullversion"], capture_output=True, text=True, check=True)
    return {
        "python": platform.python_version(),
        "gcc": compiler.stdout.strip(),
        "machine": platform.machine(),
    }


def compare(kept: dict[str, int], counted: dict[str, int]) -> list[str]:
    """A line for each case: before, now, and by how much it grew."""
    lines = []
    for case, now in counted.items():
        before = kept.get(case, now)
        grown = now / before - 1
        verdict = "too many" if grown > TOLERANCE else "fewer: write it anew" if grown < -TOLERANCE else "ok"
        lines.append(f"{case:24} {before:8} {now:8} {grown:+7.1%}  {verdict}")
    return lines


def main(arguments: list[str]) -> int:
    """Count, then write or check; 1 when a case costs more than it may."""
    if shutil.which("valgrind") is None:
        print("instructions: no valgrind here, nothing counted")
        return 0
    here = surroundings()
    kept = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    if arguments == ["--check"] and kept.get("surroundings") != here:
        print(f"instructions: not compared: kept with {kept.get('surroundings')}, here is {here}")
        return 0
    build()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    counted = {case: per_request(*what) for case, what in CASES.items()}
    lines = compare(kept.get("instructions", {}), counted)
    print("\n".join(lines))
    if arguments == ["--check"]:
        return 1 if any(line.endswith("too many") for line in lines) else 0
    RESULT.write_text(json.dumps({"surroundings": here, "instructions": counted}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

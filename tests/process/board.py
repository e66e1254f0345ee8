"""What a running cluster's scoreboard and the kernel say of its workers and connections."""

import os
from pathlib import Path

from harness import until
from strict import Connection

from forkcluster import _scoreboard

STOPPED = "T"
SANITIZED = "libasan" in os.environ.get("LD_PRELOAD", "")  # it keeps what was freed


def lines(each):
    """The lines of all live workers, by pid, from the master's scoreboard."""
    for name in os.listdir(f"/proc/{each.pid}/fd"):
        path = f"/proc/{each.pid}/fd/{name}"
        if "forkcluster-scoreboard" in os.readlink(path):
            descriptor = os.open(path, os.O_RDONLY)
            try:
                board = _scoreboard.Scoreboard(descriptor)
            finally:
                os.close(descriptor)
            found = [board.line(seat) for seat in range(64)]
            board.close()
            return {line["pid"]: line for line in found if line["state"] != "empty"}
    raise AssertionError("the master has no scoreboard")


def total(each, name):
    return sum(line[name] for line in lines(each).values())


def capacity(each):
    """How many workers serve. The better of two looks: in one, a line may be read before its worker gets
    ready, and the next after the worker that it replaces has left.
    """
    looks = [[line["state"] for line in lines(each).values()] for _ in range(2)]
    return max(states.count("ready") + states.count("busy") for states in looks)


def state(pid):
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def resident(pid):
    """Its resident set in bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def stopped(each):
    """The pid of the one worker that has stopped itself."""
    return until(lambda: [p for p in each.worker_pids() if state(p) == STOPPED], "a worker to stop")[0]


def wait_for_ready(each, count):
    """Wait until so many workers serve and know each other."""
    until(lambda: [r["state"] for r in lines(each).values()].count("ready") == count, f"{count} ready")


def idle_connections(each, count):
    """Connections that have asked once and stay."""
    made = []
    for _ in range(count):
        made.append(Connection(each.address))
        made[-1].ask()
    return made


def close_all(connections):
    for connection in connections:
        connection.close()


def held_by(each, pid, connections):
    """Those of the connections that the process has a descriptor of, by the kernel's word."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    port = each.address[1]
    inodes = {int(row[2][-4:], 16): row[9] for row in rows if int(row[1][-4:], 16) == port}
    links = [os.readlink(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd")]
    return [c for c in connections if f"socket:[{inodes.get(c.socket.getsockname()[1])}]" in links]

"""What a killed master of commands has left: found by a variable that all its processes inherited, and ended.

Who holds an app's lock knows that no master of it lives, so that what bears its mark is nobody's.
"""

import contextlib
import os
import select
import signal
import time

from forkcluster.wire.channel import close_all
from forkcluster.wire.kernel import pidfd_of

VARIABLE = "FORKCLUSTER_PROCESS"
STUCK = 5.0  # seconds after KILL; what is still there then cannot be killed
BLIND_LOOK = 0.05  # seconds between two looks at what has no pidfd


def mark(directory: str) -> str:
    """Give the variable's text, new each time, for a process of the app whose place that directory is.

    It names the directory itself, too, since a path may mean another one elsewhere (in a container) or later,
    and the master, which is us. Of no place: empty, or removed meanwhile.
    """
    token, me = os.urandom(8).hex(), os.getpid()
    if not os.path.isabs(directory):
        return token
    try:
        return f"{directory}:{_identity(directory)}:{me}.{_started(me)}:{token}"
    except OSError:
        return token


def _identity(directory: str) -> str:
    info = os.stat(directory)
    return f"{info.st_dev}.{info.st_ino}"


def _started(pid: int) -> str:
    """When a process began (clock ticks since boot): with its pid it names it; empty: it has ended."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            text = file.read()
    except OSError:
        return ""
    fields = text[text.rindex(")") + 2 :].split()
    return "" if fields[0] in "ZX" else fields[19]


def bearers(directory: str) -> list[int]:
    """Give the living processes that bear the mark of the app whose place that directory is."""
    return [int(name) for name in os.listdir("/proc") if name.isdecimal() and _bears(int(name), directory)]


def end(directory: str, number: signal.Signals, timeout: float) -> list[int]:
    """End what bears the app's mark: ask by `number`, KILL after `timeout` seconds; wait.

    Gives the pids of those that could not be killed. The app's lock is held by the caller.
    """
    asked: dict[int, int] = {}  # pid: pidfd, or -1
    left: list[int] = []
    for signum, patience in ((number, timeout), (signal.SIGKILL, STUCK)):
        until = time.monotonic() + patience
        told: set[int] = set()
        while (left := bearers(directory)) and time.monotonic() < until:
            for pid in left:
                if pid not in told:
                    _send(pid, directory, signum, asked)
                    told.add(pid)
            _await([asked[pid] for pid in left if pid in asked], until)
    close_all([pidfd for pidfd in asked.values() if pidfd >= 0])
    return left


def _bears(pid: int, directory: str) -> bool:
    """Tell whether it bears the mark, and is not this process or one that waits for it."""
    start = f"{VARIABLE}={directory}:"
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            variables = os.fsdecode(file.read()).split("\0")
        found = next((each[len(start) :] for each in variables if each.startswith(start)), None)
        if found is None or pid in (os.getpid(), os.getppid()):
            return False
        identity, master, _ = found.split(":")
        number, _, started = master.partition(".")
        return (
            identity == _identity(directory)
            and os.readlink(f"/proc/{pid}/ns/pid") == os.readlink("/proc/self/ns/pid")
            and _started(int(number)) != started  # else its master lives
        )
    except (OSError, ValueError):
        return False


def _send(pid: int, directory: str, number: signal.Signals, asked: dict[int, int]) -> None:
    """Signal it; the pidfd is opened first, and then looked whether it is still the same process."""
    pidfd = asked[pid] if pid in asked else pidfd_of(pid)
    asked[pid] = pidfd
    if not _bears(pid, directory):
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if pidfd >= 0:
            signal.pidfd_send_signal(pidfd, number)
        else:
            os.kill(pid, number)


def _await(pidfds: list[int], until: float) -> None:
    """Wait until one of them has ended, or for a moment where a pidfd is wanting."""
    waiting = select.poll()
    for pidfd in pidfds:
        if pidfd >= 0:
            waiting.register(pidfd, select.POLLIN)
    left = max(0.0, until - time.monotonic())
    waiting.poll(1000 * (min(left, BLIND_LOOK) if -1 in pidfds or not pidfds else left))

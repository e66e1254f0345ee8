"""The master's child processes: waits for those it knows by pidfd, or by SIGCHLD where the kernel has none or
no descriptor is free, then reaps strays.

The master is a subreaper, so an application's orphans become its children; they are reaped, never counted. A
worker whose pid is not known yet (its mold has not answered) must not be taken for a stray: see
`reap_strays`.
"""

import os
import signal
from collections.abc import Callable

from forkcluster import log
from forkcluster.dataclass import dataclass
from forkcluster.master.loop import Loop
from forkcluster.wire.kernel import pidfd_of

TICK = os.sysconf("SC_CLK_TCK")


class End(str):
    """How a process ended, in words; `code` is its exit status, or minus the signal that killed it."""

    __slots__ = ("code",)
    code: int


Ended = Callable[[End], None]
Spent = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Child:
    """One known child process. The pidfd is owned by Children; -1: none."""

    pid: int
    pidfd: int
    ended: Ended
    spent: Spent | None


class Children:
    """Known children by pid."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._known: dict[int, Child] = {}
        self._blind = False  # some child has no pidfd, which was told

    def adopt(self, pid: int, ended: Ended, pidfd: int | None = None, spent: Spent | None = None) -> None:
        """Wait for a child; call `ended` with words about its end once it is reaped. Steals `pidfd`.

        Before that `spent` is called with the CPU time that it used, in nanoseconds.

        A child of ours keeps its pid until we reap it, so opening the pidfd here cannot meet another process.
        """
        child = Child(pid, pidfd_of(pid) if pidfd is None else pidfd, ended, spent)
        self._known[pid] = child
        if child.pidfd >= 0:
            self._loop.watch(child.pidfd, lambda: self._reap(child))
        elif not self._blind:
            self._blind = True
            log.warning("no pidfd is to be had; children are waited for by SIGCHLD")

    def known(self, pid: int) -> bool:
        """Tell whether that pid is a child we wait for."""
        return pid in self._known

    def pids(self) -> set[int]:
        """Give the pids of all children we wait for."""
        return set(self._known)

    def kill(self, pid: int) -> None:
        """SIGKILL a known child; nothing happens when it is gone."""
        self.send_signal(pid, signal.SIGKILL)

    def send_signal(self, pid: int, number: int) -> bool:
        """Send a signal to a known child; False when it is gone, or may not be signalled."""
        child = self._known.get(pid)
        if child is None:
            return False
        try:
            if child.pidfd >= 0:
                signal.pidfd_send_signal(child.pidfd, number)
            else:
                os.kill(pid, number)  # its pid is its own until we reap it
        except (ProcessLookupError, PermissionError):
            return False
        return True

    def reap_strays(self, *, expecting: bool) -> None:
        """Reap dead children that we do not know; none while a worker's pid is unknown (`expecting`)."""
        if self._blind:
            for blind in [child for child in self._known.values() if child.pidfd < 0]:
                self._reap(blind)
        while True:
            try:
                dead = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if dead is None:
                return
            child = self._known.get(dead.si_pid)
            if child is not None:
                self._reap(child)
            elif expecting:
                return
            else:
                os.waitid(os.P_PID, dead.si_pid, os.WEXITED | os.WNOHANG)

    def _reap(self, child: Child) -> None:
        flags = os.WEXITED | os.WNOHANG
        try:
            if child.spent is not None and os.waitid(os.P_PID, child.pid, flags | os.WNOWAIT) is not None:
                child.spent(cpu_time(child.pid))  # only a zombie's figure is final
            result = os.waitid(os.P_PID, child.pid, flags)
        except ChildProcessError:
            # Dead before the process in the middle of its fork: ours when that ends, which SIGCHLD tells.
            self._loop.unwatch(child.pidfd)
            return
        if result is None:
            return
        if child.pidfd >= 0:
            self._loop.unwatch(child.pidfd)
            os.close(child.pidfd)
        del self._known[child.pid]
        end = End(describe_end(result.si_code, result.si_status))
        end.code = result.si_status if result.si_code == os.CLD_EXITED else -result.si_status
        child.ended(end)


def cpu_time(pid: int) -> int:
    """Give the CPU time of a process that is not reaped yet, in ns; 0 without /proc (proc_pid_stat(5))."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * 1_000_000_000 // TICK
    except (OSError, ValueError, IndexError):
        return 0


def describe_end(code: int, status: int) -> str:
    """Say how a process ended, from the `si_code` and `si_status` of waitid(2)."""
    if code == os.CLD_EXITED:
        return f"exited with status {status}"
    try:
        name = signal.Signals(status).name
    except ValueError:
        name = f"signal {status}"
    return f"was killed by {name}" + (" (core dumped)" if code == os.CLD_DUMPED else "")

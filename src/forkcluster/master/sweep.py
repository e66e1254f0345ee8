"""Ends what is left of a tree of processes: signals each by pidfd, and looks again when they are gone.

A pid may have been given to another process between the look and the signal; so the pidfd is opened first,
and the process it stands for is compared with what was seen.
"""

import contextlib
import os
import signal
from collections.abc import Callable

from forkcluster import log
from forkcluster.master.loop import Loop
from forkcluster.master.trees import Entry, entry
from forkcluster.wire.channel import close_all
from forkcluster.wire.kernel import pidfd_of

STUCK = 5.0  # seconds after KILL; what is still there then cannot be killed
BLIND_LOOK = 0.05  # seconds between two looks at what has no pidfd

Find = Callable[[], list[Entry]]


class Sweep:
    """One tree on its way out; calls `gone` once, when nothing is left of it. Owns its members' pidfds."""

    def __init__(self, loop: Loop, find: Find, gone: Callable[[], None]) -> None:
        self._loop = loop
        self._find = find
        self._gone = gone
        self._number = signal.SIGTERM
        self._pidfds: dict[int, int] = {}
        self._look_at: float | None = None  # some member has no pidfd
        self._stuck_at: float | None = None
        self.done = False

    def send(self, number: signal.Signals) -> None:
        """Send it to all members, and to those that turn up later."""
        self._number = number
        if number is signal.SIGKILL and self._stuck_at is None:
            self._stuck_at = self._loop.now() + STUCK
        self._round()

    def deadline(self) -> float | None:
        """Give the time at which `expire` must be called, None when nothing is waited for."""
        times = [time for time in (self._stuck_at, self._look_at) if time is not None]
        return None if self.done else min(times, default=None)

    def expire(self, now: float) -> None:
        """Look at what has no pidfd; give up on what survives KILL (it hangs in the kernel)."""
        if not self.done and self._look_at is not None and now >= self._look_at:
            self._look_at = None
            self._round()
        if not self.done and self._stuck_at is not None and now >= self._stuck_at:
            log.error("a process cannot be killed; it is left", pids=" ".join(map(str, self._pidfds)))
            self._finish()

    def _round(self) -> None:
        """Signal all members that are there now; without any, it is done."""
        if self.done:
            return
        found = self._find()
        for member in found:
            self._signal(member)
        if not found:
            self._finish()
        elif not self._pidfds and self._look_at is None:
            self._look_at = self._loop.now()  # they ended between the look and the signal: look again

    def _signal(self, member: Entry) -> None:
        if member.pid not in self._pidfds:
            pidfd = pidfd_of(member.pid)
            now = entry(member.pid)
            if now is None or now.started != member.started:
                close_all([pidfd] if pidfd >= 0 else [])
                return
            if pidfd < 0:  # a sandbox that has none, or no descriptor is free
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(member.pid, self._number)
                self._look_at = self._loop.now() + BLIND_LOOK
                return
            self._pidfds[member.pid] = pidfd
            self._loop.watch(pidfd, lambda: self._ended(member.pid))
        with contextlib.suppress(ProcessLookupError, PermissionError):
            signal.pidfd_send_signal(self._pidfds[member.pid], self._number)

    def _ended(self, pid: int) -> None:
        self._forget(pid)
        if not self._pidfds:
            self._round()

    def _forget(self, pid: int) -> None:
        pidfd = self._pidfds.pop(pid, -1)
        self._loop.unwatch(pidfd)
        if pidfd >= 0:
            os.close(pidfd)

    def _finish(self) -> None:
        self.done = True
        for pid in list(self._pidfds):
            self._forget(pid)
        self._gone()


class Clearing:
    """A sweep before the app begins: asks first, and kills when the time is over."""

    def __init__(self, loop: Loop, find: Find, gone: Callable[[], None]) -> None:
        self._loop = loop
        self._sweep = Sweep(loop, find, gone)
        self._kill_at: float | None = None

    def begin(self, number: signal.Signals, timeout: float) -> None:
        """Ask all by that signal; SIGKILL comes after `timeout` seconds."""
        self._kill_at = self._loop.now() + timeout
        self._sweep.send(number)

    def deadline(self) -> float | None:
        """Give the time at which `expire` must be called, None when it is over."""
        times = [time for time in (self._sweep.deadline(), self._kill_at) if time is not None]
        return None if self._sweep.done else min(times, default=None)

    def expire(self, now: float) -> None:
        """Kill what is left when it is time to."""
        if not self._sweep.done and self._kill_at is not None and now >= self._kill_at:
            self._kill_at = None
            self._sweep.send(signal.SIGKILL)
        self._sweep.expire(now)

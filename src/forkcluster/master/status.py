"""What the control socket's `status` says of an app, beyond its workers and events: what list, monit, the
dashboard and the metrics are made of.

Cheap: a few C calls, and TCP_INFO of the listeners. Ages and durations are seconds.
"""

import socket
import struct
from collections.abc import Callable
from typing import Protocol

from forkcluster.dataclass import dataclass
from forkcluster.master.listeners import Listener
from forkcluster.master.rates import Figures
from forkcluster.master.tally import REASONS, Tally
from forkcluster.wire.control import Body

# Where struct tcp_info (tcp(7)) of a listening socket has its queue: tcpi_unacked, tcpi_sacked.
QUEUE = struct.Struct("24x2I")


class Counted(Protocol):
    """What is asked of a policy, whatever the mode."""

    tally: Tally

    @property
    def announced(self) -> bool:
        """Whether the first boot is over."""

    @property
    def stopping(self) -> bool:
        """Whether the end has been asked for, or has come."""

    def capacity(self) -> int:
        """Count the slots that are as they should be."""


@dataclass(frozen=True, slots=True)
class Status:
    """Gathers it. `listeners` gives those of the generation that serves; a cluster has figures and molds."""

    policy: Counted
    listeners: Callable[[], tuple[Listener, ...]]
    started: float  # CLOCK_MONOTONIC seconds
    min_ready: int
    admin: str | None  # the admin listener's address
    figures: Callable[[float], Figures | None] = lambda _now: None
    molds: Callable[[], list[int]] = list

    def body(self, now: float) -> Body:
        """Give it as the control socket tells it."""
        figures = self.figures(now)
        why = unready(self.policy, self.min_ready)
        return {
            "ready": not why,
            "unready": why or None,
            "uptime": now - self.started,
            "admin": self.admin,
            "figures": None if figures is None else _figures(figures),
            "counts": _counts(self.policy.tally, now),
            "listeners": [_listener(each) for each in self.listeners()],
            "molds": self.molds(),
        }


def unready(policy: Counted, min_ready: int) -> str:
    """Say why the app should not be sent requests; empty when it should. Pure."""
    if policy.stopping:
        return "it is being stopped"
    if not policy.announced:
        return "it is booting"
    ready = policy.capacity()
    return f"{ready} workers are ready, fewer than {min_ready}" if ready < min_ready else ""


def _figures(figures: Figures) -> Body:
    """The app's pace over the last seconds."""
    return {
        "seconds": round(figures.seconds, 1),
        "requests_per_second": round(figures.requests_per_second, 2),
        "errors_per_second": round(figures.errors_per_second, 2),
        "p50": figures.p50,
        "p99": figures.p99,
    }


def _counts(tally: Tally, now: float) -> Body:
    """What has been counted since the app started."""
    last = tally.last_reload
    return {
        "starts": tally.starts,
        "restarts": tally.restarts,
        "last_restart": dict(zip(("reason", "how"), tally.last_restart, strict=True)),
        "exits": {reason: tally.exits[reason] for reason in REASONS},
        "reloads": {
            ("done" if done else "failed"): {"count": each.count, "seconds": each.seconds}
            for done, each in tally.reloads.items()
        },
        "last_reload": None if last is None else {"done": last[1], "age": now - last[0]},
    }


def _listener(listener: Listener) -> Body:
    """Where it is, and its accept queue: connections in it and the most it takes; None where nobody tells."""
    found: Body = {"url": listener.url, "queued": None, "backlog": None}
    if listener.socket.family != socket.AF_UNIX:
        info = listener.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, QUEUE.size)
        found["queued"], found["backlog"] = QUEUE.unpack(info)
    return found

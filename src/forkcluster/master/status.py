"""What the control socket's `status` says of an app: the one answer that list, describe, monit, the dashboard
and the metrics are made of.

Everything here is cheap: a few C calls, no file but TCP_INFO of the listeners. Times of day and ages are
seconds.
"""

import os
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass

from forkcluster import __version__
from forkcluster.master.cluster import Cluster
from forkcluster.master.crew import Crew
from forkcluster.master.history import History
from forkcluster.master.listeners import Listener
from forkcluster.master.rates import Figures, Rates
from forkcluster.master.tally import REASONS, Tally
from forkcluster.options.frozen import Options
from forkcluster.wire.control import Body

# Where struct tcp_info (tcp(7)) of a listening socket has its queue: tcpi_unacked, tcpi_sacked.
QUEUE = struct.Struct("24x2I")


@dataclass(frozen=True, slots=True)
class Status:
    """Gathers the answer. `listeners` gives those of the generation that serves."""

    cluster: Cluster
    crew: Crew
    history: History
    rates: Rates
    options: Options
    listeners: Callable[[], tuple[Listener, ...]]
    started: float  # CLOCK_MONOTONIC seconds
    admin: str | None = None  # the admin listener's address

    def body(self, now: float, events: int) -> Body:
        """Give the answer with the latest `events` events."""
        cluster = self.cluster
        figures = self.rates.figures(now)
        return {
            "ok": True,
            "version": __version__,
            "app": self.options.name,
            "target": self.options.target,
            "pid": os.getpid(),
            "uptime": now - self.started,
            "ready": cluster.announced and not cluster.stopping,
            "stopping": cluster.stopping,
            "generation": cluster.current,
            "reloading": cluster.roll.phase.value if cluster.roll else None,
            "wanted": cluster.target,
            "admin": self.admin,
            "figures": None if figures is None else _figures(figures),
            "counts": _counts(cluster.tally, now),
            "listeners": [_listener(each) for each in self.listeners()],
            "molds": self.crew.mold_pids(),
            "workers": self.crew.describe(cluster, now, figures),
            "events": self.history.latest(events),
        }


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

"""Tells a service manager how the app is, as sd_notify(3) and systemd.service(5) have it: READY, RELOADING,
STOPPING, STATUS, WATCHDOG.

What is told follows from facts alone: `update` sends what has changed. Without NOTIFY_SOCKET nothing is told;
errors are ignored, for a server must not fail because nobody listens.
"""

import contextlib
import os
import socket
import time
from collections.abc import MutableMapping

from forkcluster.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Standing:
    """How the app is. `reloading` is the generation that is being brought, 0 when none is."""

    ready: bool = False
    reloading: int = 0
    stopping: bool = False
    status: str = ""


class Notifier:
    """Owns its socket. The variables are taken out of `environment`, so that no child believes them."""

    def __init__(self, environment: MutableMapping[str, str]) -> None:
        path = environment.pop("NOTIFY_SOCKET", "")
        usec, pid = environment.pop("WATCHDOG_USEC", ""), environment.pop("WATCHDOG_PID", "")
        ours = pid in ("", str(os.getpid()))
        self._address = "\0" + path[1:] if path.startswith("@") else path
        self._interval = int(usec) / 2e6 if path and usec.isdecimal() and ours and int(usec) else None
        self._next = 0.0
        self._told = Standing()
        self._socket: socket.socket | None = None
        if path:
            kind = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
            self._socket = socket.socket(socket.AF_UNIX, kind)

    def update(self, standing: Standing) -> None:
        """Tell what has changed since the last call."""
        told, self._told = self._told, standing
        if standing == told or self._socket is None:
            return
        words = []
        if standing.stopping and not told.stopping:
            words.append("STOPPING=1")
        elif standing.reloading and standing.reloading != told.reloading:
            words.append(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
        elif standing.ready and (not told.ready or told.reloading) and not standing.reloading:
            words.append("READY=1")
        if standing.status != told.status:
            words.append(f"STATUS={standing.status}")
        self._send("\n".join(words))

    def deadline(self) -> float | None:
        """Give the time at which `expire` must be called, None without a watchdog."""
        return self._next if self._interval else None

    def expire(self, now: float) -> None:
        """Pet the watchdog, at half its time."""
        if self._interval and now >= self._next:
            self._next = now + self._interval
            self._send("WATCHDOG=1")

    def close(self) -> None:
        """Close the socket; idempotent."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, text: str) -> None:
        if self._socket is not None and text:
            with contextlib.suppress(OSError):
                self._socket.sendto(text.encode(), self._address)

"""Keeps the watcher alive, which asks for reloads when files change. Knows nothing of files."""

import os
import sys
import time

from forkcluster import log
from forkcluster.master.backoff import Backoff
from forkcluster.master.children import Children
from forkcluster.master.loop import Loop
from forkcluster.master.spawn import spawn_watcher
from forkcluster.options.frozen import Options
from forkcluster.wire.orders import WatchOrder

STEADY = 5.0  # seconds; a watcher that lived so long is started again at once


class Watching:
    """At most one watcher; none before `start`."""

    def __init__(
        self, loop: Loop, children: Children, options: Options, directory: str, control: str
    ) -> None:
        self._loop = loop
        self._children = children
        self._options = options
        self._directory = directory
        self._control = control
        self._pid = 0
        self._started = 0.0
        self._start_at: float | None = None
        self._since = time.time()  # when the app began to be loaded, or nobody watched any more
        self._backoff = Backoff()

    def start(self) -> None:
        """Start the watcher."""
        self._start_at = None
        self._started = self._loop.now()
        options = self._options
        paths = tuple(os.path.join(self._directory, path) for path in options.watch_path or (".",))
        order = WatchOrder(self._control, paths, options.ignore_watch, options.watch_delay, self._since)
        try:
            self._pid = spawn_watcher(options.name, sys.executable, self._directory, order)
        except OSError as error:
            self._ended(f"could not be started: {error.strerror}")
            return
        self._children.adopt(self._pid, self._ended)

    def deadline(self) -> float | None:
        """Give the time at which `expire` must be called, None when the watcher runs."""
        return self._start_at

    def expire(self, now: float) -> None:
        """Start it again, when it is time to."""
        if self._start_at is not None and now >= self._start_at:
            self.start()

    def stop(self) -> None:
        """Kill it and wait for its end."""
        self._start_at = None
        if self._pid:
            self._children.kill(self._pid)
            os.waitpid(self._pid, 0)

    def _ended(self, how: str) -> None:
        self._pid = 0
        self._since = time.time()
        wait = self._backoff.after_death(self._loop.now() - self._started, STEADY)
        self._start_at = self._loop.now() + wait
        log.error("the watcher ended; it is started again", how=how, next_in=wait)

"""Keeps the admin process: polls its listener, starts it on the first connection, again after it has ended.

The master never accepts there: whoever connects waits in the kernel's queue until the process is up. It gets
the listener, a descriptor of the scoreboard that cannot be mapped writable, and one control connection.
"""

import os
import socket

from forkcluster import log
from forkcluster.dataclass import replace
from forkcluster.errors import ConfigurationError
from forkcluster.master.backoff import Backoff
from forkcluster.master.bind import BindSpec
from forkcluster.master.children import Children
from forkcluster.master.control import Handle
from forkcluster.master.kept import KeptLine
from forkcluster.master.listeners import Listener, open_one
from forkcluster.master.loop import Loop
from forkcluster.master.spawn import spawn_admin
from forkcluster.options.address import Unix, parse
from forkcluster.options.frozen import Options
from forkcluster.wire.orders import AdminOrder

BACKLOG = 128
LEAST_TOKEN = 8
STEADY = 5.0  # seconds; a process that lived so long is started again at once


class Admin:
    """At most one admin process. Owns its listener, and a read-only descriptor of the scoreboard."""

    def __init__(
        self,
        loop: Loop,
        children: Children,
        *,
        listener: Listener,
        board: int,
        options: Options,
        app_metrics: str,
        handle: Handle,
    ) -> None:
        self.url = listener.url
        self._loop = loop
        self._children = children
        self._listener = listener
        self._board = reopen_read_only(board)
        self._options = options
        self._app_metrics = app_metrics
        self._outdated = False  # the process is ended because it is not as `follow` has said
        self._token = read_token(options.admin_actions)
        self._handle = handle
        self._line: KeptLine | None = None
        self._pid = 0
        self._started = 0.0
        self._listen_at: float | None = None
        self._backoff = Backoff()
        loop.watch(listener.fd, self._start)

    def deadline(self) -> float | None:
        """Give the time at which `expire` must be called, None when nothing is waited for."""
        return self._listen_at

    def expire(self, now: float) -> None:
        """Poll the listener again, when it is time to."""
        if self._listen_at is not None and now >= self._listen_at:
            self._listen_at = None
            self._loop.watch(self._listener.fd, self._start)

    def follow(self, user: str | None, group: str | None, app_metrics: str) -> None:
        """Have it be who workers are by now, and read their metrics: the next connection starts a new one."""
        options = replace(self._options, user=user, group=group)
        if (options, app_metrics) == (self._options, self._app_metrics):
            return
        self._options, self._app_metrics = options, app_metrics
        if self._pid:
            self._outdated = True
            self._children.kill(self._pid)

    def close(self) -> None:
        """Kill the process, wait for its end, close the listener."""
        self._listen_at = None
        self._loop.unwatch(self._listener.fd)
        if self._line is not None:
            self._line.close()
        if self._pid:
            self._children.kill(self._pid)
            os.waitpid(self._pid, 0)
        self._listener.close()
        os.close(self._board)

    def _start(self) -> None:
        """Somebody has connected."""
        self._loop.unwatch(self._listener.fd)
        self._started = self._loop.now()
        try:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        except OSError as error:
            self._ended(f"could not be started: {error.strerror}")
            return
        try:
            self._pid = spawn_admin(self._order(theirs.fileno()))
        except OSError as error:
            ours.close()
            self._ended(f"could not be started: {error.strerror}")
            return
        finally:
            theirs.close()
        self._line = KeptLine(self._loop, ours, self._handle, self._cut)
        self._children.adopt(self._pid, self._ended)

    def _order(self, control: int) -> AdminOrder:
        options = self._options
        return AdminOrder(
            app=options.name,
            master=os.getpid(),
            listener=self._listener.fd,
            board=self._board,
            control=control,
            user=options.user,
            group=options.group,
            log_level=options.log_level,
            log_format=options.log_format,
            app_metrics=self._app_metrics,
            mode=options.exec_mode,
            token=self._token,
        )

    def _cut(self) -> None:
        """A process without its line is of no use."""
        if self._pid:
            self._children.kill(self._pid)

    def _ended(self, how: str) -> None:
        self._pid = 0
        if self._line is not None:
            self._line.close()
            self._line = None
        if self._outdated:
            self._outdated = False
            self._listen_at = self._loop.now()
            return
        wait = self._backoff.after_death(self._loop.now() - self._started, STEADY)
        self._listen_at = self._loop.now() + wait
        log.error("the admin process ended; the next connection starts it again", how=how, next_in=wait)


def open_admin(wanted: str | None, default: str, directory: str) -> Listener | None:
    """Listen where --admin says: nowhere when that is "off", at the unix socket `default` when None.

    Raise BindError.
    """
    if wanted == "off":
        return None
    if wanted is None:
        return open_one(Unix(default), BindSpec("/", backlog=BACKLOG, socket_mode=0o600))
    return open_one(parse(wanted), BindSpec(directory, backlog=BACKLOG, option="--admin"))


def read_token(text: str | None) -> str:
    """Give the token of --admin-actions: the text itself, or the first line of the file it names.

    Empty: no actions. Raise ConfigurationError.
    """
    if text is None or not text.startswith(("/", "./")):
        return text or ""
    try:
        with open(text, encoding="utf-8") as file:
            token = file.readline(1024).strip()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise ConfigurationError(
            f"reading the token of --admin-actions from {text}: {why}",
            "write one there (openssl rand -hex 24), readable for who starts the app",
        ) from error
    if len(token) < LEAST_TOKEN:
        text = f"the token in {text} has fewer than {LEAST_TOKEN} characters"
        raise ConfigurationError(text, "openssl rand -hex 24 makes a good one")
    return token


def reopen_read_only(board: int) -> int:
    """Give a descriptor of the same memory that cannot be mapped writable; without /proc, a duplicate."""
    try:
        return os.open(f"/proc/self/fd/{board}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return os.dup(board)

"""The logger's main: hears the master, takes from pipes, writes to files; asleep when nothing is printed.

One thread, no user code. It ends when the master says so, or when the master is gone and nobody can print any
more. It may be killed at any moment: the master starts another one with the same pipes, memfds and journal,
which goes on to the byte (see `journal`, `source`).
"""

import json
import os
import select
import signal
import time

from forkcluster import _process, log
from forkcluster.logger.files import Files
from forkcluster.logger.records import Form
from forkcluster.logger.source import Source
from forkcluster.logger.target import Target
from forkcluster.logger.writer import Writer
from forkcluster.wire.capture import Label, LogOrder, labels_from_text
from forkcluster.wire.channel import Channel, Sent, close_all
from forkcluster.wire.messages import Kind, Message
from forkcluster.wire.title import set_title, title_of

QUIET = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1)
ORPHAN_PATIENCE = 5.0  # seconds for which we serve what outlives the master
LAST_TRIES = 1.0  # seconds for what is still in pipes, or cannot be written, when we end
GATHER = 0.005  # seconds between turns with little to do
PLENTY = 64 * 1024  # bytes


def main(argv: list[str]) -> int:
    """Be the logger of the master `argv[2]` on the channel `argv[1]`."""
    _process.quiet_signals(QUIET)
    channel = Channel.adopt(int(argv[1]))
    if os.getppid() != int(argv[2]):
        return 1
    heard = channel.receive(wait=True)
    if heard is None or heard[0].kind is not Kind.LOAD:
        return 0
    order_file, journal = heard[1]
    order = LogOrder.from_file(order_file)
    os.close(order_file)
    set_title(title_of("logger", order.app))
    log.configure("logger")
    _take_identity(order)
    Logger(channel, order, journal).run()
    return 0


def _take_identity(order: LogOrder) -> None:
    if order.user is None and order.group is None:
        return
    from forkcluster.wire.identity import become, resolve  # most loggers do without its memory

    identity = resolve(order.user, order.group)
    if identity is not None:
        become(identity)


class Logger:
    """The pipes, the files, and the line to the master."""

    def __init__(self, channel: Channel, order: LogOrder, journal: int) -> None:
        self._channel = channel
        self._files = Files(order, journal)
        self._writer = Writer(Form(order.app, order.kind, order.date_format))
        self._sources: dict[int, tuple[Source, Target]] = {}  # by reading end
        self._poll = select.epoll()
        self._poll.register(channel.fileno(), select.EPOLLIN)
        self._waiting: dict[int, Target] = {}  # streams that are stuck, by descriptor
        self._told: dict[str, tuple[str, int]] = {}
        self._end_at: float | None = None
        self._last = 0.0  # when the last turn began
        self._moved = 0  # bytes that it took from pipes

    def run(self) -> None:
        """Serve until the end."""
        while self._end_at is None or (self._sources and time.monotonic() < self._end_at):
            self._turn()
        self._finish()

    def _turn(self) -> None:
        ready = [fd for fd, _ in self._poll.poll(self._timeout())]
        now = self._gather()
        for fd in ready:
            if fd in self._sources:
                self._moved += self._pull(self._sources[fd][0], now)
            elif fd in self._waiting:
                self._poll.unregister(fd)
                self._waiting.pop(fd).retry(now, ready=True)
            else:
                self._hear()
        self._files.tend(now)
        for target in self._files.targets:
            self._serve(target, now)

    def _gather(self) -> float:
        """Let lines gather when the last turn was just now and had little to do; give the time."""
        if self._moved < PLENTY and (left := self._last + GATHER - time.monotonic()) > 0:
            time.sleep(left)
        self._moved, self._last = 0, time.monotonic()
        return self._last

    def _timeout(self) -> float | None:
        times = [self._files.wake_at(), self._end_at]
        times += [source.wake_at() for source, target in self._sources.values() if not target.why]
        times += [target.retry_at for target in self._files.targets if target.why]
        known = [each for each in times if each is not None]
        return max(0.0, min(known) - time.monotonic()) if known else None

    # -- pipes and files

    def _pull(self, source: Source, now: float) -> int:
        moved = source.pull(now)
        if source.ended:
            self._poll.unregister(source.reader)
        return moved

    def _serve(self, target: Target, now: float, *, final: bool = False) -> None:
        """Write what the pipes of a file hold, tell what could not be written, part from pipes that ended."""
        target.retry(now)
        while not target.why and self._writer.write(target, now, final=final):
            self._files.rotate_if_grown(target, now)
        if target.why:
            self._writer.hold(target)
        self._tell(target)
        if target.why and target.stream >= 0 and target.stream not in self._waiting:
            self._waiting[target.stream] = target
            self._poll.register(target.stream, select.EPOLLOUT)
        for source in [each for each in target.sources if each.ended and not each.pending]:
            # Told first: as long as the master may hand it to a successor, the journal must know its place.
            ended = Message(Kind.ENDED, source.last_words, arg=source.label.number)
            if self._channel.send(ended) is not Sent.FULL:
                del self._sources[source.reader]
                target.part(source)

    def _finish(self) -> None:
        """Write what there is, also what has no end, for as long as it may take."""
        until = time.monotonic() + LAST_TRIES
        while (now := time.monotonic()) < until:
            moved = sum(self._pull(each, now) for each, _ in self._sources.values() if not each.ended)
            for target in self._files.targets:
                self._serve(target, now, final=True)
            if any(target.why for target in self._files.targets):
                time.sleep(GATHER)
            elif not moved:
                return

    # -- the master

    def _hear(self) -> None:
        heard = self._channel.receive()
        if heard is None:
            self._poll.unregister(self._channel.fileno())
            self._end_at = time.monotonic() + ORPHAN_PATIENCE
            return
        message, descriptors = heard
        match message.kind:
            case Kind.TAKE:
                self._take(labels_from_text(message.text), descriptors)
                return
            case Kind.REOPEN:
                self._files.reopen()
            case Kind.FLUSH:
                self._files.empty()
                self._channel.send(Message(Kind.FLUSHED))
            case Kind.EXIT:
                self._end_at = time.monotonic()
        close_all(descriptors)

    def _take(self, labels: list[Label], descriptors: list[int]) -> None:
        for label, reader, spool in zip(labels, descriptors[::2], descriptors[1::2], strict=True):
            target = self._files.find(label)
            self._sources[reader] = (target.adopt(label, reader, spool), target)
            self._poll.register(reader, select.EPOLLIN)

    def _tell(self, target: Target) -> None:
        """Tell the master that a file cannot be written, that it can be again, what was dropped."""
        state = (target.why, target.dropped)
        if self._told.get(target.path, ("", 0)) != state:
            self._told[target.path] = state
            report = {"path": target.path, "why": target.why, "dropped": target.dropped}
            self._channel.send(Message(Kind.TROUBLE, json.dumps(report)))

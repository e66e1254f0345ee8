"""The app's output on its way to files: makes a pipe for each stream of each process, keeps the reading ends
and what the logger has taken from them, and keeps a logger alive.

What is printed never passes through here. Whoever dies, nothing is lost: pipes, memfds and journal are the
master's, and the next logger gets them all. Knows nothing of lines and files.
"""

import fcntl
import json
import os
import signal
import sys
import time
from collections.abc import Callable

from forkcluster import log
from forkcluster.dataclass import dataclass
from forkcluster.master.backoff import Backoff
from forkcluster.master.children import Children
from forkcluster.master.last_words import LastWords
from forkcluster.master.loop import Loop
from forkcluster.master.spawn import spawn_logger
from forkcluster.wire.capture import ERROR, MOST_SOURCES, OUT, Label, LogOrder, labels_to_text
from forkcluster.wire.channel import Channel, Sent, channel_pair, close_all
from forkcluster.wire.kernel import is_stopped, memory_file
from forkcluster.wire.messages import Kind, Message, MessageError

ROOM = 256 * 1024  # bytes that a pipe holds while nobody reads; a user may have 64 MiB of them
STEADY = 5.0  # seconds; a logger that lived so long is replaced at once
MOST_FAULTS = 5  # ends in a row by a fault of its own, after which a logger only drops
LOOK_EVERY = 5.0  # seconds between looks whether somebody has stopped it
LONGEST_WAIT = 1.0  # seconds without a logger: whoever prints much stands still meanwhile
END_PATIENCE = 3.0  # seconds for a logger that was told to end
END_STEP = 0.005  # seconds between looks whether it has

Say = Callable[[str, str, "dict[str, log.Field]"], None]


@dataclass(frozen=True, slots=True)
class Pipe:
    """The reading end of a pipe, and the memfd that holds what the logger has taken from it."""

    label: Label
    reader: int
    spool: int


class Capture:
    """All pipes of one app, and at most one logger."""

    def __init__(self, loop: Loop, children: Children, order: LogOrder, say: Say) -> None:
        self._loop = loop
        self._children = children
        self.order = order
        self._say = say
        self._journal = memory_file("forkcluster-log-journal")
        self._pipes: dict[int, Pipe] = {}
        self._numbers = 0
        self._pid = 0
        self._channel: Channel | None = None
        self._started = 0.0
        self._start_at: float | None = None
        self._look_at: float | None = None
        self._backoff = Backoff()
        self._faults = 0
        self._flushing: list[Callable[[], None]] = []
        self.trouble: dict[str, str] = {}  # by path: why a file cannot be written
        self.dropped = 0  # lines, ever
        self._counted: dict[str, int] = {}  # of those, by path, what the present logger has told
        self.restarts = -1
        self.last_words = LastWords(loop.now)

    # -- pipes

    def streams(self, worker: str, generation: int) -> tuple[int, int]:
        """Make the pipes of a new process; give their writing ends, owned by the caller. Raise OSError."""
        out = self.stream(worker, generation, OUT)
        try:
            error = self.stream(worker, generation, ERROR)
        except OSError:
            os.close(out)
            raise
        self.last_words.begin(worker, (self._numbers - 1, self._numbers))
        return out, error

    def stream(self, worker: str, generation: int, stream: str) -> int:
        """Make one pipe; give its writing end, owned by the caller. Raise OSError."""
        self._numbers += 1
        spool = memory_file("forkcluster-log-spool")
        try:
            reader, writer = os.pipe2(os.O_CLOEXEC)
        except OSError:
            os.close(spool)
            raise
        try:
            fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, ROOM)
        except OSError:
            log.debug("a pipe stays small", worker=worker)  # the user's allowance is used up
        pipe = Pipe(Label(self._numbers, worker, generation, stream), reader, spool)
        self._pipes[self._numbers] = pipe
        self._give([pipe])
        return writer

    def _give(self, pipes: list[Pipe]) -> None:
        """Hand pipes to the logger; one that does not read its channel is replaced."""
        if self._channel is None:
            return
        text = labels_to_text([pipe.label for pipe in pipes])
        descriptors = [each for pipe in pipes for each in (pipe.reader, pipe.spool)]
        if self._channel.send(Message(Kind.TAKE, text), descriptors) is Sent.FULL:
            log.error("the logger does not read its channel; it is replaced", pid=self._pid)
            self._children.kill(self._pid)

    # -- the logger

    @property
    def pid(self) -> int:
        """The logger's, 0 when there is none."""
        return self._pid

    def start(self) -> None:
        """Start a logger and hand it everything."""
        self._start_at = None
        self._started = self._loop.now()
        ours, theirs = channel_pair()
        try:
            self._pid = spawn_logger(self.order.app, sys.executable, theirs)
        except OSError as error:
            ours.close()
            self._ended(f"could not be started: {error.strerror}")
            return
        finally:
            theirs.close()
        self.restarts += 1
        self._look_at = self._started + LOOK_EVERY
        self._channel = ours
        self._children.adopt(self._pid, self._ended)
        self._loop.watch(ours.fileno(), lambda: self._hear(ours))
        order = self._present_order().to_file()
        ours.send(Message(Kind.LOAD), [order, self._journal])
        os.close(order)
        pipes = list(self._pipes.values())
        for at in range(0, len(pipes), MOST_SOURCES):
            self._give(pipes[at : at + MOST_SOURCES])
        if self._flushing:
            ours.send(Message(Kind.FLUSH))

    def _present_order(self) -> LogOrder:
        """Give the order; one to drop everything when there is a line that no logger survives."""
        if self._faults < MOST_FAULTS:
            return self.order
        self._say("error", "the logger fails again and again: what is printed is dropped", {})
        return self.order._replace(out="", error="")

    def deadline(self) -> float | None:
        """Give the time at which `expire` must be called, None when nothing is waited for."""
        times = [self._start_at, self._look_at, self.last_words.deadline()]
        return min((time for time in times if time is not None), default=None)

    def expire(self, now: float) -> None:
        """Start it again or look at it, when it is time to; answer who has waited enough for last words."""
        self.last_words.expire()
        if self._start_at is not None and now >= self._start_at:
            self.start()
        if self._look_at is not None and now >= self._look_at:
            self._look_at = now + LOOK_EVERY
            self._wake()

    def _wake(self) -> None:
        """Have it go on if it was stopped (SIGSTOP): whoever prints much would wait for ever."""
        if is_stopped(self._pid):
            self._say("warning", "somebody has stopped the logger; it is told to go on", {"pid": self._pid})
            self._children.send_signal(self._pid, signal.SIGCONT)

    def reopen(self) -> None:
        """Have all files opened anew."""
        if self._channel is not None:
            self._channel.send(Message(Kind.REOPEN))

    def flush(self, done: Callable[[], None]) -> None:
        """Have all files emptied; call `done` when they are."""
        self._flushing.append(done)
        if self._channel is not None:
            self._channel.send(Message(Kind.FLUSH))

    def close(self) -> None:
        """Have the logger write what is left, and wait for its end; no process of the app writes any more."""
        self._start_at = None
        if self._channel is None and self._pipes:
            self.start()
        if self._channel is not None:
            self._channel.send(Message(Kind.EXIT))
            self._wait()
            self._loop.unwatch(self._channel.fileno())
            self._channel.close()
        for pipe in self._pipes.values():
            close_all([pipe.reader, pipe.spool])
        self._pipes.clear()
        os.close(self._journal)

    def _wait(self) -> None:
        """Wait for its end, and do not wait for ever."""
        until = self._loop.now() + END_PATIENCE
        while not os.waitpid(self._pid, os.WNOHANG)[0]:
            if self._loop.now() >= until:
                log.error("the logger does not end; it is killed", pid=self._pid)
                self._children.kill(self._pid)
                os.waitpid(self._pid, 0)
                return
            time.sleep(END_STEP)

    def _hear(self, channel: Channel) -> None:
        try:
            heard = channel.receive()
        except BlockingIOError:
            return
        except (MessageError, OSError) as error:
            log.error("cannot understand the logger; it is replaced", pid=self._pid, error=str(error))
            heard = None
        if heard is None:
            self._loop.unwatch(channel.fileno())
            self._children.kill(self._pid)
            return
        message, descriptors = heard
        close_all(descriptors)
        match message.kind:
            case Kind.ENDED:
                pipe = self._pipes.pop(message.arg, None)
                if pipe is not None:
                    close_all([pipe.reader, pipe.spool])
                self.last_words.ended(message.arg, message.text)
            case Kind.FLUSHED:
                waiting, self._flushing = self._flushing, []
                for done in waiting:
                    done()
            case Kind.TROUBLE:
                self._note(json.loads(message.text))

    def _note(self, report: "dict[str, str | int]") -> None:
        """Tell once that a file cannot be written, and once that it can be again."""
        path, why, dropped = str(report["path"]), str(report["why"]), int(report["dropped"])
        before = self.trouble.pop(path, "")
        if why:
            self.trouble[path] = why
        self.dropped += dropped - self._counted.get(path, 0)
        self._counted[path] = dropped
        if why and not before:
            self._say(
                "error",
                "output cannot be written; it is kept as long as there is room",
                {"path": path, "why": why},
            )
        elif before and not why:
            self._say("info", "output is written again", {"path": path, "dropped": dropped})

    def _ended(self, how: str) -> None:
        if self._channel is not None:
            while self._channel.fileno() in self._loop:
                self._hear(self._channel)
            self._channel.close()
        self._channel, self._pid, self._look_at = None, 0, None
        self._counted.clear()
        lived = self._loop.now() - self._started
        self._faults = self._faults + how.startswith("exited") if lived < STEADY else 0
        wait = min(self._backoff.after_death(lived, STEADY), LONGEST_WAIT)
        self._start_at = self._loop.now() + wait
        self._say(
            "error", "the logger ended; another one goes on where it stopped", {"how": how, "next_in": wait}
        )

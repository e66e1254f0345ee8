"""All apps of a file in the foreground: each one's master a child of this process, which may be PID 1.

Starts them in order, passes on what they print and the signals that come, reaps whatever the kernel hands to
it, and ends with the exit code of the first app that fails. One thread; an app is ready when its master says
READY=1, as to systemd.
"""

import contextlib
import os
import select
import selectors
import signal
import socket
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from forkcluster import log
from forkcluster.dataclass import dataclass, field
from forkcluster.manager import schedule
from forkcluster.manager.child import Child, Program, spawn
from forkcluster.manager.relay import Format, Lines
from forkcluster.manager.schedule import Depends, Schedule

FORWARDED: Final = (signal.SIGHUP, signal.SIGUSR1)
STOPPING: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)

Formats = Callable[[str, str], Format]
"""App and stream to how its lines look."""


@dataclass()
class Foreground:
    """The apps of one `forkcluster run`. `programs` in the file's order; `formats` gives each line's look."""

    programs: Sequence[Program]
    depends: Depends
    formats: Formats | None  # None: what is printed is inherited
    environment: Mapping[str, str]
    _children: dict[str, Child] = field(default_factory=dict)
    _code: int = 0
    _stopping: bool = False
    _interrupted: bool = False

    def run(self) -> int:
        """Run until all have ended; give the exit code."""
        self._starting = Schedule(self.depends)
        self._ending = Schedule(schedule.turned(self.depends))
        self._told = False
        with contextlib.ExitStack() as stack:
            self._directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="forkcluster-run-"))
            self._selector = stack.enter_context(selectors.DefaultSelector())
            self._listen_to_signals(stack)
            try:
                self._begin()
                while self._children:
                    self._turn()
            finally:
                for child in self._children.values():
                    child.kill()
        return self._code

    # -- what happens

    def _turn(self) -> None:
        for key, _ in self._selector.select():
            key.data()
        self._reap()
        if self._stopping:
            self._end()
        else:
            self._begin()
        if self._starting.done and not self._told and not self._stopping:
            self._told = True
            tell(self.environment, "READY=1")

    def _begin(self) -> None:
        """Start the apps whose turn it is."""
        programs = {program.name: program for program in self.programs}
        for name in self._starting.next():
            child = spawn(programs[name], self._directory, relayed=self.formats is not None)
            self._children[name] = child
            self._selector.register(child.notify, selectors.EVENT_READ, lambda c=child: self._hear(c))
            for stream, pipe in child.pipes.items():
                lines = self._lines(name, stream)
                self._selector.register(
                    pipe, selectors.EVENT_READ, lambda p=pipe, t=lines: self._pass_on(p, t)
                )

    def _lines(self, name: str, stream: str) -> Lines:
        formats = self.formats
        if formats is None:
            raise AssertionError("nothing is relayed")
        number = 1 if stream == "out" else 2
        return Lines(formats(name, stream), lambda data: _write(number, data))

    def _hear(self, child: Child) -> None:
        with contextlib.suppress(BlockingIOError):
            if b"READY=1" in child.notify.recv(4096).split(b"\n"):
                self._starting.ready.add(child.name)

    def _pass_on(self, pipe: int, lines: Lines) -> bool:
        """Pass on what has come; tell whether more may."""
        try:
            data = os.read(pipe, 65536)
        except BlockingIOError:
            return False
        if data:
            lines.feed(data)
            return True
        self._close(pipe, lines)
        return False

    def _close(self, pipe: int, lines: Lines) -> None:
        lines.end()
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(pipe)
            os.close(pipe)

    # -- ends

    def _reap(self) -> None:
        """Wait for whoever has ended: our children, and as PID 1 everybody's orphans."""
        with contextlib.suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                pid, status = found
                name = next((name for name, child in self._children.items() if child.pid == pid), None)
                if name is not None:
                    self._ended(self._children.pop(name), os.waitstatus_to_exitcode(status))

    def _ended(self, child: Child, code: int) -> None:
        for pipe in child.pipes.values():
            key = self._selector.get_map().get(pipe)
            while key is not None and key.data():
                pass  # what it said last
        self._ending.ready.add(child.name)
        self._selector.unregister(child.notify)
        child.close(lambda pipe: pipe in self._selector.get_map())
        if code == 0:
            self._starting.ready.add(child.name)  # it has done what it was there for
            return
        how = f"was killed by signal {-code}" if code < 0 else f"exited with status {code}"
        self._starting.failed.add(child.name)
        if not self._stopping:
            log.error(f"{child.name} {how}; stopping all apps", app=child.name)
            self._code = code if code > 0 else 128 - code
            self._stop()

    # -- signals

    def _listen_to_signals(self, stack: contextlib.ExitStack) -> None:
        reader, writer = socket.socketpair()
        for end in (reader, writer):
            stack.enter_context(end)
            end.setblocking(False)
        before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        stack.callback(signal.set_wakeup_fd, before)
        for number in (*FORWARDED, *STOPPING, signal.SIGCHLD):
            stack.callback(signal.signal, number, signal.signal(number, lambda *_: None))
        self._selector.register(reader, selectors.EVENT_READ, lambda: self._hear_signals(reader))

    def _hear_signals(self, reader: socket.socket) -> None:
        for number in reader.recv(4096):
            if number in FORWARDED:
                self._send(number, self._children)
            elif number in STOPPING:
                again = number == signal.SIGINT and self._interrupted
                self._interrupted = self._interrupted or number == signal.SIGINT
                self._stop()
                if number == signal.SIGQUIT or again:
                    self._send(signal.SIGQUIT, self._children)

    def _stop(self) -> None:
        if not self._stopping:
            self._stopping = True
            self._ending.ready |= self.depends.keys() - self._children.keys()
            tell(self.environment, "STOPPING=1")

    def _end(self) -> None:
        """Tell those apps to stop on which no other app depends any more."""
        self._send(signal.SIGTERM, self._ending.next())

    def _send(self, number: int, names: "Sequence[str] | Mapping[str, Child]") -> None:
        for name in names:
            if name in self._children:
                self._children[name].send(number)


def _write(number: int, data: bytes) -> None:
    """Write it all, waiting for a slow reader; one that went away is no reason to stop serving."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(number, view) :]
        except BlockingIOError:
            select.select([], [number], [])
        except OSError:
            return


def tell(environment: Mapping[str, str], text: str) -> None:
    """Tell the service manager that started us, if there is one (sd_notify(3)); nobody need listen."""
    path = environment.get("NOTIFY_SOCKET", "")
    if not path:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line, contextlib.suppress(OSError):
        line.sendto(text.encode(), "\0" + path[1:] if path.startswith("@") else path)

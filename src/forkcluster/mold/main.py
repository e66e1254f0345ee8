"""The mold's main: greet, load the app, then sleep in recvmsg and fork on request; end of file ends it.

Holds no listener, no inbox and no event loop: what a worker needs comes with FORK and is closed here again.
It ends by `_exit`: the app's atexit functions belong to its workers, some of which still use what those would
remove. What was loaded and cannot be forked has no workers: the processes that its import has started are
told to end.
"""

import contextlib
import io
import os
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

from forkcluster import _process, _scoreboard, log
from forkcluster.errors import ConfigurationError
from forkcluster.mold.app_metrics import Hook, Identity
from forkcluster.mold.collector import Collector
from forkcluster.mold.load import Loaded, describe_failure, load, prepare
from forkcluster.mold.verdict import children, judge, open_descriptors, wants_loop
from forkcluster.wire.channel import Channel, close_all
from forkcluster.wire.forks import QUIET, ForkGuard
from forkcluster.wire.hooks import Occasion, run
from forkcluster.wire.identity import become, resolve
from forkcluster.wire.messages import Kind, Message
from forkcluster.wire.orders import LoadOrder, LoadReport
from forkcluster.wire.stacks import register, unregister
from forkcluster.wire.stops import is_asked, stop_here
from forkcluster.wire.title import set_title, title_of
from forkcluster.worker.main import WorkerSpec, work


def main(argv: list[str]) -> int:
    """Be the mold of the master `argv[2]` on the channel `argv[1]`; a worker forked from it returns its exit
    code.
    """
    _process.quiet_signals(QUIET)
    _process.set_parent_death_signal(signal.SIGKILL)
    if os.getppid() != int(argv[2]):
        return 1
    channel = Channel.adopt(int(argv[1]))
    reader, writer = register()
    stop_here("mold-before-hello", int(argv[3].rpartition("g")[2]))
    channel.send(Message(Kind.MOLD_HELLO, _scoreboard.layout_hash()), [reader])
    os.close(reader)
    heard = channel.receive(wait=True)
    if heard is None or heard[0].kind is not Kind.LOAD:
        return 0
    mold = Mold(channel, writer)
    try:
        order_file, *own_log = heard[1]
        order = LoadOrder.from_file(order_file)
        set_title(title_of("mold", order.options.name, f"g{order.generation}"))
        _set_up_output(order, *own_log)
        _take_identity(order)
        mold.load(order)
    except BaseException as error:  # the boundary of the app's import: SystemExit and KeyboardInterrupt too
        channel.send(Message(Kind.FAILED, describe_failure(error)))
        mold.end_children()
        _leave(1)
    return work(mold.serve(order))


class Mold:
    """What is loaded, and the line to the master."""

    def __init__(self, channel: Channel, stacks: int) -> None:
        self._channel = channel
        self._stacks = stacks
        self._collector = Collector()
        self._loaded: Loaded | None = None
        self._called = Identity("")  # by the application's own metrics
        self._guard = ForkGuard(self._part)
        self._forkable = True
        self._children: frozenset[int] = frozenset()  # those of a hook, which are there before the import

    def load(self, order: LoadOrder) -> None:
        """Load the app unless the mold is to stay bare, and report. Raise what the import raises."""
        prepare(order)
        if order.app_metrics:
            # Molds of two generations may live at one time, never of four.
            self._called.become(f"mold{order.generation % 4}")
            Hook(order.app_metrics, self._called).install()
        if order.hook:
            run(order.options, Occasion(order.hook, order.options.name, order.generation))
        if order.bare:
            self._report(LoadReport(), order.generation)
            return
        before, self._children = open_descriptors(), frozenset(children())
        try:
            with self._collector.loading():
                self._loaded = load(order)
        except Exception as error:
            if order.options.preload == "always" or not wants_loop(error):
                raise
            reason = f"its import wants a running event loop ({error})"
            report = LoadReport("asgi", reason, forkable=False, reasons=(reason,), wants_loop=True)
            self._report(report, order.generation)
            return
        _process.immortalize()  # workers share what the import has defined
        _process.trim_memory()
        _process.fill_holes()  # what the import has freed would be copied by every worker that uses it
        reasons = judge(before, self._children)
        self._forkable = not reasons or order.options.preload == "always"
        report = LoadReport(self._loaded.interface, self._loaded.decided, self._forkable, tuple(reasons))
        self._report(report, order.generation)

    def serve(self, order: LoadOrder) -> WorkerSpec:
        """Fork on request until told to exit; returns only in a worker."""
        while True:
            heard = self._channel.receive(wait=True)
            if heard is None or heard[0].kind is Kind.EXIT:
                if not self._forkable:
                    self.end_children()
                _leave(0)
            message, descriptors = heard
            if message.kind is Kind.HOOK:
                _run_late(order, message.text)
            if message.kind is Kind.LOG and log.log.fd != 2:
                log.log.replace(descriptors.pop())
            if message.kind is not Kind.FORK:
                close_all(descriptors)
                continue
            if self._fork(message, order.generation):
                return self._spec(order, message, descriptors)
            close_all(descriptors)

    def end_children(self) -> None:
        """Tell the processes to end that the import has started for nothing."""
        for pid in children():
            if pid not in self._children:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGTERM)

    def _fork(self, message: Message, generation: int) -> bool:
        """Fork; tell the master; True in the worker."""
        where = (message.arg, message.epoch, generation)
        _flush()
        self._collector.freeze()
        stop_here("mold-before-fork", *where)
        self._guard.awake = False
        try:
            role, pid = _process.double_fork(_stop_in_the_middle(*where))
        except OSError as error:
            text, number = error.strerror or str(error), error.errno or 0
            self._guard.awake = True
            self._channel.send(Message(Kind.FORK_FAILED, text, message.seat, message.epoch, arg=number))
            return False
        if role == _process.ROLE_WORKER:
            self._channel.close()
            unregister()
            self._called.become(str(message.seat))
            os.close(self._stacks)
            self._collector.resume()
            return True
        self._guard.awake = True
        stop_here("mold-before-forked", *where)
        self._channel.send(Message(Kind.FORKED, "", message.seat, message.epoch, arg=pid))
        return False

    def _spec(self, order: LoadOrder, message: Message, descriptors: list[int]) -> WorkerSpec:
        words = message.text.split()
        streams = (descriptors.pop(3), descriptors.pop(3)) if "streams" in words else None
        channel, scoreboard, inbox, *listeners = descriptors
        return WorkerSpec(
            seat=message.seat,
            epoch=message.epoch,
            slot=message.arg,
            generation=order.generation,
            hold="hold" in words,
            streams=streams,
            stamped=order.stamped,
            channel=channel,
            scoreboard=scoreboard,
            inbox=inbox,
            listeners=tuple(listeners),
            options=order.options,
            access_log=order.access_log,
            application=self._loaded.application if self._loaded else None,
            interface=self._loaded.interface if self._loaded else order.interface,
            load=lambda: _load(order),
            wants_loop=wants_loop,
            describe_failure=describe_failure,
        )

    def _part(self) -> None:
        """In a child that the import forks."""
        channel = self._channel.fileno()
        self._channel.detach()
        unregister()
        close_all([channel, self._stacks])

    def _report(self, report: LoadReport, generation: int) -> None:
        stop_here("mold-before-loaded", generation)
        self._channel.send(Message(Kind.LOADED, report.to_json()))


def _set_up_output(order: LoadOrder, own_log: int = 2) -> None:
    """Say where our log goes; have what the app prints leave line by line, as on a terminal."""
    log.configure(
        "mold", order.options.log_level, order.options.log_format, fd=own_log, stamped=order.stamped
    )
    if order.captured:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(line_buffering=True)


def _stop_in_the_middle(slot: int, epoch: int, generation: int) -> int:
    """Where the process between mold and worker shall stop itself, for a test; 0: nowhere."""
    if is_asked("middle", slot, epoch, generation):
        return _process.STOP_MIDDLE
    return _process.STOP_MIDDLE_FORKED if is_asked("middle-forked", slot, epoch, generation) else 0


def _run_late(order: LoadOrder, hook: str) -> None:
    """Run a hook when the app is up; what it raises is told and changes nothing."""
    try:
        run(order.options, Occasion(hook, order.options.name, order.generation))
    except Exception as error:
        log.error(f"error in the hook {hook}\n{describe_failure(error)}")


def _take_identity(order: LoadOrder) -> None:
    """Become the user and group asked for, before any line of the app has run. Raise ForkclusterError."""
    if order.options.umask is not None:
        os.umask(order.options.umask)
    identity = resolve(order.options.user, order.options.group)
    if identity is None:
        return
    try:
        become(identity)
    except OSError as error:
        text = f"becoming user {identity.uid}, group {identity.gid}: {error.strerror}"
        raise ConfigurationError(
            text, "a container may forbid it: it needs CAP_SETUID and CAP_SETGID"
        ) from error
    _process.set_parent_death_signal(signal.SIGKILL)  # a change of user has cleared it


def _load(order: LoadOrder) -> tuple[Callable[..., object], str]:
    """Import the app in a worker of a bare mold; give it with its interface."""
    loaded = load(order)
    return loaded.application, loaded.interface


def _flush() -> None:
    """Write out what the app has printed, so that no worker prints it again."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            try:
                stream.flush()
            except (OSError, ValueError):
                continue


def _leave(code: int) -> NoReturn:
    _flush()
    os._exit(code)

"""The molds of one app as the edge holds them: channels, pids, and the workers each was asked for. Performs
orders about molds, and turns what their channels and ends say into events. Decides nothing.
"""

import errno
import os
import shlex
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial

from forkcluster import _scoreboard, log
from forkcluster.dataclass import dataclass, replace
from forkcluster.errors import InternalError
from forkcluster.master import events as on
from forkcluster.master.app_metrics import Directories
from forkcluster.master.children import Children
from forkcluster.master.loop import Loop
from forkcluster.master.output import Output
from forkcluster.master.release import Release, pin_python
from forkcluster.master.seats import Ref
from forkcluster.master.spawn import spawn_mold
from forkcluster.master.stacks import Stacks
from forkcluster.wire.channel import Channel, Sent, channel_pair, close_all
from forkcluster.wire.kernel import is_stopped
from forkcluster.wire.messages import LOG_OPERATING, Kind, Message, MessageError
from forkcluster.wire.orders import LoadOrder, LoadReport
from forkcluster.wire.program import origin
from forkcluster.wire.stacks import STACKS_SIGNAL

SCARCE = (errno.EAGAIN, errno.ENOMEM)  # of a fork: too many processes, or no memory

Emit = Callable[[on.Event], None]


@dataclass(slots=True)
class MoldHand:
    """A mold as the edge holds it."""

    pid: int
    channel: Channel
    python: str
    order: LoadOrder
    asked: set[Ref]
    stacks: int = -1  # the pipe its stacks come through


class Molds:
    """All molds of one app. `born` hears which pid a worker has, `unborn` that there will be none."""

    def __init__(
        self,
        loop: Loop,
        children: Children,
        emit: Emit,
        stacks: Stacks,
        *,
        app_metrics: Directories,
        output: Output,
        born: Callable[[Ref, int], None],
        unborn: Callable[[Ref], None],
    ) -> None:
        self._loop = loop
        self._children = children
        self._emit = emit
        self._stacks = stacks
        self._app_metrics = app_metrics
        self._output = output
        self._worker_born = born
        self._worker_unborn = unborn
        self._hooked = 0  # the newest generation whose mold was told to run its hook
        self._molds: dict[int, MoldHand] = {}
        self.reports: dict[int, LoadReport] = {}

    def expecting(self) -> bool:
        """Tell whether a worker may have been born whose pid we do not know."""
        return any(mold.asked for mold in self._molds.values())

    def pids(self) -> list[int]:
        """Give their pids."""
        return [mold.pid for mold in self._molds.values()]

    # -- orders ----------------------------------------------------------------------------------------------

    def start(self, number: int, release: Release, *, bare: bool) -> None:
        """Exec a mold; an exec that fails is a mold that failed and ended."""
        try:
            pid, ours = _exec(release, self._output)
        except OSError as error:
            text = f"cannot start {release.python} in {release.directory}: {error.strerror or error}"
            self._emit(on.MoldFailed(number, text))
            self._emit(on.MoldEnded(number, "could not be started"))
            return
        known = self.reports.get(release.generation, LoadReport()).known
        hook = ""
        if release.generation > self._hooked:
            hook = "on_reload" if self._hooked else "on_starting"
            self._hooked = release.generation
        order = LoadOrder(
            generation=release.generation,
            directory=release.directory,
            bare=bare,
            options=replace(release.options, admin_actions=None),  # no token where the application runs
            access_log=release.access_log,
            interface=known,
            hook=hook,
            app_metrics=self._app_metrics.of(release.options.user, release.options.group),
            captured=self._output.capture is not None,
            stamped=self._output.stamped,
        )
        self._molds[number] = MoldHand(pid, ours, release.python, order, set())
        self._children.adopt(pid, lambda how: self._ended(number, how))
        self._loop.watch(ours.fileno(), lambda: self._hear(number))

    def ask(self, number: int, who: Ref, message: Message, descriptors: Sequence[int]) -> Sent:
        """Ask a mold for a worker (Kind.FORK) with these descriptors (borrowed)."""
        if number not in self._molds:
            return Sent.CLOSED
        mold = self._molds[number]
        sent = mold.channel.send(message, descriptors)
        if sent is Sent.OK:
            mold.asked.add(who)
        return sent

    def settle(self, who: Ref) -> None:
        """Wait no longer for that worker: it was born, or never will be."""
        for mold in self._molds.values():
            mold.asked.discard(who)

    def run_hook(self, generation: int, hook: str) -> None:
        """Have a hook run in the mold of that generation."""
        for mold in self._molds.values():
            if mold.order.generation == generation:
                mold.channel.send(Message(Kind.HOOK, hook))

    def end(self, number: int) -> None:
        """Tell it to exit."""
        if number in self._molds:
            self._molds[number].channel.send(Message(Kind.EXIT))

    def kill(self, number: int) -> None:
        """SIGKILL it."""
        if number in self._molds:
            self._children.kill(self._molds[number].pid)

    def wake(self, number: int) -> None:
        """Have it go on if it was stopped (SIGSTOP)."""
        mold = self._molds.get(number)
        if mold is not None and is_stopped(mold.pid):
            log.warning("the mold does not fork: somebody has stopped it; it is told to go on", pid=mold.pid)
            self._children.send_signal(mold.pid, signal.SIGCONT)

    def ask_stacks(self, number: int, done: Callable[[str], None]) -> None:
        """Have it write its stacks; call `done` with them."""
        mold = self._molds.get(number)
        if mold is None or mold.stacks < 0:
            done("(the mold has not come so far that it could tell)")
            return
        ask = partial(self._children.send_signal, mold.pid, STACKS_SIGNAL)
        self._stacks.collect(number, mold.stacks, ask, done)

    def reopen_own_log(self, own_log: Sequence[int]) -> None:
        """Hand all of them the file of our log, opened anew."""
        for mold in self._molds.values():
            mold.channel.send(Message(Kind.LOG, arg=LOG_OPERATING), own_log)

    # -- what is heard ---------------------------------------------------------------------------------------

    def _hear(self, number: int) -> None:
        mold = self._molds[number]
        heard = receive(mold.channel, "mold", mold.pid)
        if heard is None:
            self._loop.unwatch(mold.channel.fileno())
            return
        message, descriptors = heard
        if message.kind is Kind.MOLD_HELLO and descriptors and mold.stacks < 0:
            mold.stacks = descriptors.pop()
        close_all(descriptors)
        who = Ref(message.seat, message.epoch)
        match message.kind:
            case Kind.MOLD_HELLO:
                self._greet(number, mold, message.text)
            case Kind.LOADED:
                self._loaded(number, message.text)
            case Kind.FAILED:
                self._emit(on.MoldFailed(number, message.text))
            case Kind.FORKED:
                self._worker_born(who, message.arg)
            case Kind.FORK_FAILED:
                self._fork_failed(mold, who, message)

    def _fork_failed(self, mold: MoldHand, who: Ref, message: Message) -> None:
        """Give the worker up, unless it has said hello: then only the process that should tell has died."""
        if who in mold.asked:
            mold.asked.discard(who)
            self._worker_unborn(who)
            self._emit(on.ForkFailed(who, message.text, message.arg in SCARCE))

    def _greet(self, number: int, mold: MoldHand, layout: str) -> None:
        try:
            if layout == _scoreboard.layout_hash():
                order = mold.order.to_file()
                mold.channel.send(Message(Kind.LOAD), [order, *self._output.own_log()])
                os.close(order)
                return
            text = (
                f"the release has another forkcluster (layout {layout}, running {_scoreboard.layout_hash()}):"
                " restart the app instead of reloading it"
            )
        except OSError as error:
            text = f"telling the mold what to load: {error.strerror}"
        self._emit(on.MoldFailed(number, text))
        self.kill(number)

    def _loaded(self, number: int, text: str) -> None:
        try:
            report = LoadReport.from_json(text)
        except InternalError as error:
            self._emit(on.MoldFailed(number, str(error)))
            self.kill(number)
            return
        if not self._molds[number].order.bare:
            self.reports[self._molds[number].order.generation] = report
        self._emit(on.MoldLoaded(number, report.forkable, report.reasons))

    def _ended(self, number: int, how: str) -> None:
        while self._molds[number].channel.fileno() in self._loop:
            self._hear(number)
        mold = self._molds.pop(number)
        self._stacks.finish(number)
        close_all([mold.stacks] if mold.stacks >= 0 else [])
        mold.channel.close()
        if mold.stacks < 0 and how.startswith("exited") and mold.python != pin_python(sys.executable):
            self._emit(on.MoldFailed(number, _speechless(mold.python, how)))
        self._emit(on.MoldEnded(number, how))
        for who in sorted(mold.asked):
            self._worker_unborn(who)
            self._emit(on.ForkFailed(who, f"the mold {how}"))


def _exec(release: Release, output: Output) -> tuple[int, Channel]:
    """Exec a mold; give its pid and our end of its channel. Raise OSError."""
    streams = output.streams("mold", release.generation)
    ours, theirs = channel_pair()
    try:
        return spawn_mold(release, theirs, streams), ours
    except OSError:
        ours.close()
        raise
    finally:
        theirs.close()
        close_all(streams or ())


def _speechless(python: str, how: str) -> str:
    """Say what is likely wrong with an interpreter that is not the master's own."""
    return (
        f"the mold {how} before it could say anything: does {python} have forkcluster?\n"
        f"  {shlex.quote(python)} -m pip install {shlex.quote(origin())}"
    )


def receive(channel: Channel, role: str, pid: int) -> tuple[Message, list[int]] | None:
    """Take one message; None at the end, which is also where a peer that does not speak our language is."""
    try:
        return channel.receive(whole=False)
    except BlockingIOError:
        return None
    except (MessageError, OSError) as error:
        log.error(f"cannot understand a {role}", pid=pid, error=str(error))
        return None

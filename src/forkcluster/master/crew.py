"""The processes of one app as the edge holds them: channels, pids. Performs orders about workers, and turns
what their channels and ends say into events. Decides nothing; molds are `molds.Molds`', inboxes
`inboxes.Inboxes`'.
"""

import os
import signal
from collections.abc import Callable, Collection, Sequence
from functools import partial

from forkcluster import _scoreboard, log
from forkcluster.dataclass import dataclass
from forkcluster.master import actions as do
from forkcluster.master import events as on
from forkcluster.master.app_metrics import Directories
from forkcluster.master.children import Children
from forkcluster.master.cluster import Cluster
from forkcluster.master.inboxes import Inboxes, Listeners
from forkcluster.master.loop import Loop
from forkcluster.master.molds import Emit, Molds, receive
from forkcluster.master.oom import OomCounter
from forkcluster.master.output import Output
from forkcluster.master.rates import Rates
from forkcluster.master.seats import Ref
from forkcluster.master.stacks import Stacks, read_rest
from forkcluster.master.tally import SlotTally
from forkcluster.wire.channel import Channel, Sent, channel_pair, close_all
from forkcluster.wire.messages import LOG_OPERATING, Kind, Message
from forkcluster.wire.stacks import STACKS_SIGNAL


@dataclass(slots=True)
class WorkerHand:
    """A worker as the edge holds it; `pid` is 0 until the mold or the worker has told it."""

    channel: Channel
    generation: int = 0
    before: tuple[int, ...] = ()  # what the seat's line had counted for others
    pid: int = 0
    doomed: bool = False
    stacks: int = -1  # the pipe its stacks come through


class Crew:
    """All molds and workers of one app."""

    def __init__(
        self,
        loop: Loop,
        children: Children,
        emit: Emit,
        *,
        board: int,
        cluster: Cluster,
        listeners: Listeners,
        app_metrics: Directories,
        output: Output,
    ) -> None:
        self._loop = loop
        self._output = output
        self._children = children
        self._emit = emit
        self._cluster = cluster
        self._app_metrics = app_metrics
        self._board_fd = board
        self._board = _scoreboard.Scoreboard(board, writable=True)
        self.rates = Rates(self._board.totals, _scoreboard.bucket_bounds())
        self.stacks = Stacks(loop)
        self._oom = OomCounter()
        self.inboxes = Inboxes(self._board, self.tell, listeners)
        self._workers: dict[Ref, WorkerHand] = {}
        self.molds = Molds(
            loop,
            children,
            emit,
            self.stacks,
            app_metrics=app_metrics,
            output=output,
            born=self._born,
            unborn=self._drop,
        )

    def fork(self, order: do.Fork, listeners: Sequence[int]) -> None:
        """Ask a mold for a worker in that seat, with its channel, the scoreboard, its inbox and the
        listeners (borrowed).
        """
        who, number = order.who, order.mold
        ends: tuple[Channel, ...] = ()
        try:
            ends = ours, theirs = channel_pair()
            inbox = self.inboxes.make(who)
            streams = self._output.streams(str(order.slot), order.generation) or ()
        except OSError as error:
            for end in ends:
                end.close()
            self.inboxes.drop(who)
            self._emit(on.ForkFailed(who, f"no descriptors for it: {error.strerror}", scarce=True))
            return
        self._board.claim(who.seat, who.epoch, order.slot, order.generation)
        before = tuple(self._board.line(who.seat)["requests"])
        self._workers[who] = WorkerHand(ours, order.generation, before)
        words = ["hold"] * order.hold + ["streams"] * bool(streams)
        message = Message(Kind.FORK, " ".join(words), who.seat, who.epoch, arg=order.slot)
        descriptors = [theirs.fileno(), self._board_fd, inbox, *streams, *listeners]
        sent = self.molds.ask(number, who, message, descriptors)
        theirs.close()
        close_all(streams)
        if sent is Sent.OK:
            self._loop.watch(ours.fileno(), lambda: self._hear_worker(who))
        else:
            self._drop(who)
            text = f"the mold's channel is {sent.value}"
            self._emit(on.ForkFailed(who, text, scarce=sent is Sent.FULL))

    def answers(self, generation: int) -> tuple[int, int]:
        """Count what the live workers of a generation have answered, and how much of that with 5xx."""
        answers = failed = 0
        for who, hand in self._workers.items():
            if hand.generation == generation:
                now = self._board.line(who.seat)["requests"]
                by_class = [count - before for count, before in zip(now, hand.before, strict=True)]
                answers += sum(by_class[1:])
                failed += by_class[5]
        return answers, failed

    def look(self) -> "list[_scoreboard.Look]":
        """Give what every worker's line says of its requests."""
        return self._board.look()

    def publish(self, *, ready: bool) -> None:
        """Say on the scoreboard whether the app can be sent requests."""
        self._board.ready = ready

    def ended_before(self, who: Ref) -> int:
        """Give how many requests the seat's line had counted when the worker took it over."""
        hand = self._workers.get(who)
        return sum(hand.before) if hand else 0

    def examine(self, who: Ref | int, done: Callable[[str], None]) -> None:
        """Have a worker, or the mold of that number, write its stacks; call `done` with them."""
        if isinstance(who, Ref):
            self.ask_stacks(who, done)
            return
        self.molds.ask_stacks(who, done)

    def ask_stacks(self, who: Ref, done: Callable[[str], None]) -> None:
        """Have the worker write the stacks of all its threads; call `done` with them."""
        hand = self._workers.get(who)
        if hand is None or hand.stacks < 0:
            done("(the worker is not there yet, or not any more)")
            return
        ask = partial(self._children.send_signal, hand.pid, STACKS_SIGNAL)
        self.stacks.collect(who, hand.stacks, ask, done)

    def describe(self) -> list[dict[str, object]]:
        """Say for every worker, by slot, what it is, does and has done (counted since its own start)."""
        found: list[dict[str, object]] = []
        now = self._loop.now()
        figures = self.rates.figures(now)
        pace = figures.by_seat if figures else ()
        for worker in sorted(self._cluster.workers.values(), key=lambda worker: (worker.slot, worker.who)):
            seat = worker.who.seat
            line = self._board.line(seat)
            hand = self._workers.get(worker.who)
            before = hand.before if hand and hand.before else (0,) * len(line["requests"])
            own = [count - old for count, old in zip(line["requests"], before, strict=True)]
            slot = self._cluster.tally.slots.get(worker.slot, SlotTally())
            found.append(
                {
                    "slot": worker.slot,
                    "seat": seat,
                    "epoch": worker.who.epoch,
                    "pid": worker.pid,
                    "generation": worker.generation,
                    "state": line["state"],
                    "since_ns": line["started_ns"],
                    "leaving": worker.leaving or worker.ending,
                    "in_flight": line["in_flight"],
                    "open": line["open"],
                    "requests": sum(own),
                    "errors": own[-1],
                    "requests_per_second": round(pace[seat] if seat < len(pace) else 0.0, 2),
                    "uptime": None if worker.ready_at is None else now - worker.ready_at,
                    "restarts": slot.restarts,
                    "last_end": slot.how or None,
                    "oldest": line["oldest"],
                }
            )
        return found

    def send_signal(self, number: signal.Signals, slots: Collection[int] | None) -> list[int]:
        """Send a signal to the workers of these slots (None: all); give their pids."""
        reached = []
        for who, hand in self._workers.items():
            slot = self._board.line(who.seat)["slot"]
            if hand.pid and (slots is None or slot in slots) and self._children.send_signal(hand.pid, number):
                reached.append(hand.pid)
        return reached

    def tell(self, who: Ref, message: Message, descriptors: Sequence[int] = ()) -> bool:
        """Send a worker a message; one that cannot be told is gone, or will be killed at its deadline."""
        hand = self._workers.get(who)
        if hand is None:
            return False
        sent = hand.channel.send(message, descriptors)
        if sent is Sent.FULL:
            log.warning("a worker does not read its channel", seat=who.seat, pid=hand.pid)
        return sent is Sent.OK

    def retire(self, who: Ref, deadline: float, *, final: bool) -> None:
        """Tell a worker to drain until `deadline` (CLOCK_MONOTONIC seconds); `final`: everybody does."""
        self.inboxes.leave(who)
        self.tell(who, Message(Kind.RETIRE, "", *who, arg=int(final), deadline_ns=int(deadline * 1e9)))

    def tell_all(self, kind: Kind, descriptors: Sequence[int] = (), arg: int = 0) -> None:
        """Send all workers a message, each in its own name."""
        for who in list(self._workers):
            self.tell(who, Message(kind, "", *who, arg=arg), descriptors)

    def reopen_own_logs(self) -> None:
        """Hand the file of our log, opened anew, to all our processes."""
        own_log = self._output.own_log()
        if own_log:
            self.molds.reopen_own_log(own_log)
            self.tell_all(Kind.LOG, own_log, arg=LOG_OPERATING)

    def kill(self, who: Ref) -> None:
        """SIGKILL a worker; one not born yet is killed at birth."""
        hand = self._workers.get(who)
        if hand is not None:
            hand.doomed = True
            self._children.kill(hand.pid)

    def _hear_worker(self, who: Ref) -> None:
        hand = self._workers[who]
        heard = receive(hand.channel, "worker", hand.pid)
        if heard is None:
            self._loop.unwatch(hand.channel.fileno())
            self._emit(on.WorkerLost(who))
            return
        message, descriptors = heard
        if Ref(message.seat, message.epoch) != who:
            log.error(
                "a message in another worker's name", seat=who.seat, pid=hand.pid, kind=message.kind.name
            )
            close_all(descriptors)
            return
        match message.kind:
            case Kind.HELLO:
                pidfd = descriptors.pop() if len(descriptors) > 1 else None
                if descriptors and hand.stacks < 0:
                    hand.stacks = descriptors.pop()
                self._born(who, message.arg, pidfd)
            case Kind.READY:
                self.inboxes.open(who)
                self._emit(on.WorkerReady(who))
            case Kind.FAILED:
                self._emit(on.WorkerFailed(who, message.text))
            case Kind.LEAVE:
                self._emit(on.WorkerLeaves(who, message.text))
        close_all(descriptors)

    def _born(self, who: Ref, pid: int, pidfd: int | None = None) -> None:
        hand = self._workers.get(who)
        self.molds.settle(who)
        if hand is None or hand.pid:
            close_all([] if pidfd is None else [pidfd])
            return
        hand.pid = pid
        spent = partial(self._board.add_cpu, who.seat)
        self._children.adopt(pid, lambda how: self._worker_ended(who, how), pidfd, spent)
        if hand.doomed:
            self._children.kill(pid)
        self._emit(on.WorkerBorn(who, pid))

    def _worker_ended(self, who: Ref, how: str) -> None:
        while self._workers[who].channel.fileno() in self._loop:
            self._hear_worker(who)
        killed = how.startswith("was killed by SIGKILL") and not self._workers[who].doomed
        oom = killed and self._oom.risen()
        if oom:
            how += ", for want of memory (the cgroup's oom_kill has risen)"
        last_words = self._last_words(who) if how.startswith("was killed") else ""
        self._drop(who)
        self._app_metrics.forget(who.seat)
        self.tell_all(Kind.NUDGE)
        self._emit(on.WorkerEnded(who, how, oom, last_words))

    def _last_words(self, who: Ref) -> str:
        """Give the stacks that a worker wrote when it was killed by its own fault (faulthandler)."""
        stacks = self._workers[who].stacks
        self.stacks.finish(who)
        return read_rest(stacks) if stacks >= 0 else ""

    def _drop(self, who: Ref) -> None:
        hand = self._workers.pop(who, None)
        if hand is None:
            return
        self.stacks.finish(who)
        if hand.stacks >= 0:
            os.close(hand.stacks)
        self._loop.unwatch(hand.channel.fileno())
        hand.channel.close()
        self._board.reset(who.seat)
        self.inboxes.drop(who)
        self.molds.settle(who)

    def close(self) -> None:
        """Unmap the scoreboard; every process is gone."""
        self.inboxes.close()
        self._board.close()

"""The processes of a fork-mode app as the edge holds them: executes the command, hears what it says, ends its
tree.

Turns what happens to them into events; decides nothing.
"""

import os
import signal
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial

from forkcluster import _process
from forkcluster.dataclass import dataclass
from forkcluster.errors import ForkclusterError
from forkcluster.master import fleet_actions as order
from forkcluster.master import fleet_events as heard
from forkcluster.master import trees
from forkcluster.master.children import Children, End
from forkcluster.master.fleet_board import FleetBoard
from forkcluster.master.loop import Loop
from forkcluster.master.readiness import ReadySocket
from forkcluster.master.release import Release
from forkcluster.master.sweep import Sweep
from forkcluster.options.frozen import Options
from forkcluster.options.program import Program, compose
from forkcluster.wire import leftovers
from forkcluster.wire.channel import close_all
from forkcluster.wire.identity import Identity, resolve

Emit = Callable[[heard.Event], None]
Streams = Callable[[str, int], tuple[int, int] | None]
"""Gives, for a slot and a generation, standard output and error, owned by the caller; None: they are ours."""

NOT_INHERITED = ("LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID", "NOTIFY_SOCKET")


@dataclass(slots=True)
class Hand:
    """One process as the edge holds it; `pid` is 0 before it is there and after it was reaped."""

    number: int
    slot: int
    token: str
    signal: signal.Signals
    treekill: bool
    main: int = 0  # its pid, and its session's, as long as anything of the tree is left
    pid: int = 0
    ready: ReadySocket | None = None
    sweep: Sweep | None = None


class Processes:
    """All processes of one app."""

    def __init__(
        self,
        loop: Loop,
        children: Children,
        board: FleetBoard,
        emit: Emit,
        streams: Streams,
        *,
        directory: str,
    ) -> None:
        """`directory` is the app's place, by which a later master would know what this one has left."""
        self._loop = loop
        self._children = children
        self._fleet = board.fleet
        self._emit = emit
        self._streams = streams
        self._board = board
        self._directory = directory
        self._hands: dict[int, Hand] = {}
        self._null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    # -- orders ----------------------------------------------------------------------------------------------

    def spawn(self, wanted: order.Spawn, release: Release, sockets: Sequence[tuple[int, str]]) -> None:
        """Execute the release's command in that slot; `sockets` are listeners (borrowed) and their names."""
        options = release.options
        number = signal_of(options)
        token = leftovers.mark(self._directory if options.treekill else "")
        hand = Hand(wanted.number, wanted.slot, token, number, options.treekill)
        try:
            hand.pid = hand.main = self._execute(hand, release, sockets)
        except (ForkclusterError, OSError) as error:
            self._drop(hand)
            text = error.strerror if isinstance(error, OSError) else str(error)
            self._emit(heard.SpawnFailed(wanted.number, f"could not be started: {text}"))
            return
        self._hands[wanted.number] = hand
        self._board.begin(hand.number, hand.pid)
        spent = partial(self._board.end, hand.number)
        self._children.adopt(hand.pid, lambda how: self._ended(hand, how), spent=spent)
        self._emit(heard.Spawned(wanted.number, hand.pid))

    def ask(self, number: int) -> None:
        """Ask the process to end."""
        hand = self._hands.get(number)
        if hand is not None:
            self._children.send_signal(hand.pid, hand.signal)

    def sweep(self, number: int) -> None:
        """Ask what is left of the tree to end."""
        hand = self._hands.get(number)
        if hand is not None:
            self._sweep_of(hand).send(hand.signal)

    def kill_tree(self, number: int) -> None:
        """SIGKILL the whole tree, until nothing of it is left."""
        hand = self._hands.get(number)
        if hand is not None:
            self._sweep_of(hand).send(signal.SIGKILL)

    def kill_strays(self, gone: Callable[[], None]) -> Sweep:
        """SIGKILL what nobody knows: it left its session, its parents and its environment."""
        sweep = Sweep(self._loop, lambda: trees.strays(self._children.pids()), gone)
        sweep.send(signal.SIGKILL)
        return sweep

    # -- asking ----------------------------------------------------------------------------------------------

    def describe(self) -> list[dict[str, object]]:
        """Say for every process, and every slot that has none, what it is and does."""
        fleet = self._fleet
        rows: list[dict[str, object]] = []
        for slot, facts in sorted(fleet.slots.items()):
            common = {"slot": slot, "restarts": facts.restarts, "last": facts.last}
            rows += [
                {
                    **common,
                    "pid": process.pid,
                    "generation": process.generation,
                    "state": process.state.value,
                    "since_ns": int(process.started_at * 1e9),
                    "leaving": process.leaving or process.ending,
                }
                for process in fleet.of(slot)
            ]
            if not fleet.of(slot):
                state = fleet.state_of(slot).value
                rows.append(
                    {**common, "pid": None, "generation": facts.rested, "state": state, "leaving": False}
                )
        return rows

    def send_signal(self, number: signal.Signals, slots: Collection[int] | None) -> list[int]:
        """Send a signal to the processes (not their trees) of these slots, None: all; give their pids."""
        return [
            hand.pid
            for hand in self._hands.values()
            if (slots is None or hand.slot in slots) and self._children.send_signal(hand.pid, number)
        ]

    def tree(self, number: int) -> list[trees.Entry]:
        """Give the living members of a process's tree."""
        hand = self._hands.get(number)
        return [] if hand is None else self._members(hand)

    def deadline(self) -> float | None:
        """Give the time at which `expire` must be called, None when nothing is waited for."""
        times = [hand.sweep.deadline() for hand in self._hands.values() if hand.sweep]
        return min((time for time in times if time is not None), default=None)

    def expire(self, now: float) -> None:
        """Give up on what cannot be killed."""
        for hand in list(self._hands.values()):
            if hand.sweep is not None:
                hand.sweep.expire(now)

    def close(self) -> None:
        """Close what is ours; every process is gone."""
        for hand in list(self._hands.values()):
            self._drop(hand)
        os.close(self._null)

    # -- ours ------------------------------------------------------------------------------------------------

    def _execute(self, hand: Hand, release: Release, sockets: Sequence[tuple[int, str]]) -> int:
        """Execute; give the pid. Raise OSError or ForkclusterError."""
        options = release.options
        identity = resolve(options.user, options.group)
        if options.wait_ready:
            hand.ready = ReadySocket(
                self._loop,
                identity.uid if identity else os.geteuid(),
                lambda pid: trees.within(pid, hand.main, hand.token),
                partial(self._hear, hand),
            )
        base = {name: text for name, text in release.environment.items() if name not in NOT_INHERITED}
        base |= _home_of(identity) | dict(options.env)
        program = compose(options, release.directory, base, release.python)
        environment = environment_of(base, program, hand, release, [name for _, name in sockets])
        streams = self._streams(str(hand.slot), release.generation)
        try:
            return _process.spawn(
                os.fsencode(program.path),
                [os.fsencode(word) for word in program.argv],
                [os.fsencode(f"{name}={text}") for name, text in environment.items()],
                os.fsencode(release.directory),
                [self._null, *(streams or (1, 2)), *(descriptor for descriptor, _ in sockets)],
                umask=-1 if options.umask is None else options.umask,
                identity=(identity.uid, identity.gid, list(identity.groups)) if identity else None,
                death_signal=hand.signal,
                listen_pid=bool(sockets),
            )
        finally:
            close_all(streams or ())

    def _hear(self, hand: Hand, name: str, value: str) -> None:
        if (name, value) == ("READY", "1"):
            self._emit(heard.ProcessReady(hand.number))
        elif (name, value) == ("STOPPING", "1"):
            self._emit(heard.ProcessStopping(hand.number))

    def _ended(self, hand: Hand, how: End) -> None:
        hand.pid = 0
        self._emit(heard.ProcessEnded(hand.number, how.code, how))

    def _sweep_of(self, hand: Hand) -> Sweep:
        if hand.sweep is None or hand.sweep.done:
            hand.sweep = Sweep(self._loop, lambda: self._members(hand), lambda: self._gone(hand))
        return hand.sweep

    def _members(self, hand: Hand) -> list[trees.Entry]:
        if not hand.treekill:
            main = trees.entry(hand.pid) if hand.pid else None
            return [main] if main is not None and main.alive else []
        others = self._children.pids() - {hand.pid}
        return trees.members(hand.main, hand.token, others | ({hand.pid} if hand.pid else set()))

    def _gone(self, hand: Hand) -> None:
        if hand.pid:
            return  # its end is still to be told; the policy sweeps once more then
        self._drop(hand)
        self._emit(heard.TreeGone(hand.number))

    def _drop(self, hand: Hand) -> None:
        self._hands.pop(hand.number, None)
        if hand.ready is not None:
            hand.ready.close()


def signal_of(options: Options) -> signal.Signals:
    """Give the signal that asks a process of the app to end."""
    return signal.Signals[f"SIG{options.kill_signal.removeprefix('SIG')}"]


def environment_of(
    base: Mapping[str, str], program: Program, hand: Hand, release: Release, sockets: Sequence[str]
) -> dict[str, str]:
    """Compose a process's environment: the app's, what the program needs, its number, and where to report."""
    options = release.options
    environment = {
        **base,
        **program.variables,
        options.instance_var: str(hand.slot),
        leftovers.VARIABLE: hand.token,
    }
    name = options.increment_var
    if name is not None and environment.get(name, "").isdecimal():
        environment[name] = str(int(environment[name]) + hand.slot)
    if hand.ready is not None:
        environment["NOTIFY_SOCKET"] = hand.ready.address
    if sockets:
        environment |= {"LISTEN_FDS": str(len(sockets)), "LISTEN_FDNAMES": ":".join(sockets)}
    return environment


def _home_of(identity: Identity | None) -> dict[str, str]:
    if identity is None or not identity.name:
        return {}
    return {"USER": identity.name, "LOGNAME": identity.name, "HOME": identity.home}

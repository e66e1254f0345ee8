"""The master of fork mode: performs what `fleet.Fleet` decides about the processes of one command."""

import os
from collections import deque
from collections.abc import Callable

from forkcluster import log
from forkcluster.dataclass import replace
from forkcluster.errors import ApplicationError, ForkclusterError
from forkcluster.master import actions as do
from forkcluster.master import events as on
from forkcluster.master import fleet_actions as order
from forkcluster.master import fleet_events as heard
from forkcluster.master import trees
from forkcluster.master.clustered import count_workers, rules_of
from forkcluster.master.commands import Commands
from forkcluster.master.fleet import Fleet
from forkcluster.master.fleet_board import FleetBoard
from forkcluster.master.fleet_facts import FleetLimits
from forkcluster.master.listeners import Listener
from forkcluster.master.master import Master, Outside, Timed, restart_notes
from forkcluster.master.memory import MemoryLimit
from forkcluster.master.notify import Standing
from forkcluster.master.processes import Processes, signal_of
from forkcluster.master.ready import fork_screen, show
from forkcluster.master.release import Release
from forkcluster.master.roll import Outcome
from forkcluster.master.sockets import Sockets
from forkcluster.master.status import Status, unready
from forkcluster.master.sweep import Clearing
from forkcluster.options.address import Inherited
from forkcluster.options.frozen import Launch, Options
from forkcluster.wire import leftovers

MOST_RESTARTS = 16


class ForkMaster(Master):
    """The master of an app that is any command; its processes inherit the listeners, if there are some."""

    def __init__(self, launch: Launch, outside: Outside, sockets: Sockets) -> None:
        super().__init__(launch, outside)
        options = launch.options
        self._events: deque[heard.Event] = deque()
        self._blamed: int | None = None  # the slot by which the reload failed that is concluded next
        self._last_words = ""  # of the process by which the app is over
        self._sockets = sockets
        self._set_blocking(1)
        self._fleet = Fleet(count_workers(options), limits_of(options))
        emit = self._events.append
        self._board = FleetBoard(options.name, self._fleet)
        self._directory = outside.home.place.directory
        self._processes = Processes(
            self._loop,
            self._children,
            self._board,
            emit,
            self._output.streams,
            directory=self._directory,
        )
        status = Status(
            self._fleet,
            lambda: sockets.of(self._fleet.current),
            self._started,
            options.min_ready,
            self._open_admin(outside.home, self._board.descriptor),
        )
        self._commands = Commands(
            self._fleet,
            self._processes,
            emit,
            self._history,
            options=options,
            placed=self._placed,
            status=status,
        )
        self._memory = MemoryLimit(self._loop, self._fleet, self._processes, emit, options.max_memory)
        self._timed += [
            Timed(self._processes.deadline, self._processes.expire),
            Timed(self._memory.deadline, self._memory.expire),
        ]

    def _begin(self) -> None:
        found = self._left()
        if not found:
            self._events.append(heard.Begin())
            return
        pids = " ".join(str(each.pid) for each in found)
        self._say("warning", "processes of a master that was killed are ended first", {"pids": pids})
        clearing = Clearing(self._loop, self._left, self._cleared)
        self._timed.append(Timed(clearing.deadline, clearing.expire))
        clearing.begin(signal_of(self._launch.options), self._launch.options.drain_timeout)

    def _left(self) -> list[trees.Entry]:
        found = [trees.entry(pid) for pid in leftovers.bearers(self._directory)]
        return [each for each in found if each is not None and each.alive]

    def _cleared(self) -> None:
        if not self._fleet.stopping:
            self._events.append(heard.Begin())

    def _take(self, event: on.Common) -> None:
        self._events.append(event)

    def _settle(self) -> None:
        while self._events:
            actions = self._fleet.step(self._events.popleft(), self._loop.now())
            # Before anybody is told of it: who hears that the app is up may ask at once.
            self._board.publish(ready=not unready(self._fleet, self._launch.options.min_ready))
            for action in actions:
                self._perform(action)

    def _policy_deadline(self, now: float) -> float | None:
        return self._fleet.deadline(now)

    def _wanted(self) -> int:
        return self._fleet.target

    def _failure(self) -> str:
        return "\n".join(filter(None, [self._fleet.failure, self._last_words])) if self._exit_code else ""

    def _tell_end(self, code: int) -> None:
        if self._fleet.over and not code and not self._fleet.announced:
            self._report.ready(pid=os.getpid(), urls=(), workers=0)  # it did what it had to do, and ended
        super()._tell_end(code)

    def _standing(self) -> Standing:
        fleet = self._fleet
        status = f"{len(fleet.ready())} of {fleet.target} processes ready, generation {fleet.current}"
        if fleet.roll is not None:
            status = f"reloading: {fleet.roll.phase.value}"
        return Standing(fleet.announced, fleet.roll.generation if fleet.roll else 0, fleet.stopping, status)

    def _perform(self, action: order.Action) -> None:  # noqa: PLR0912  one line per action
        match action:
            case order.Spawn(generation=generation):
                sockets = [(each.fd, _name(each)) for each in self._sockets.of(generation)]
                self._processes.spawn(action, self._releases[generation], sockets)
            case order.Ask(number):
                self._processes.ask(number)
            case order.Sweep(number):
                self._processes.sweep(number)
            case order.KillTree(number):
                self._processes.kill_tree(number)
            case order.Stumbled(text, slot):
                self._stumbled(text, slot)
            case order.Blame(slot):
                self._blamed = slot
            case do.ReadConfiguration(generation):
                self._read_configuration(generation)
            case do.Conclude(outcome):
                self._conclude(outcome)
            case do.Say(level, text, fields):
                self._say(level, text, dict(fields))
            case do.Announce():
                self._announce()
            case do.Commit(generation):
                self._releases = {n: r for n, r in self._releases.items() if n >= generation}
                self._sockets.commit(generation)
                self._memory.limit = self._releases[generation].options.max_memory
                self._committed(self._releases[generation].options)
            case do.Abandon(generation):
                self._releases.pop(generation, None)
                self._sockets.abandon(generation)
            case do.Finish(code):
                self._finish(code)

    def _configured(self, generation: int, result: Release | str) -> None:
        if isinstance(result, str):
            self._events.append(on.ConfigurationRefused(generation, result))
            return
        options = result.options
        if self._fleet.roll is None or self._fleet.roll.generation != generation:
            return  # given up meanwhile, by a stop
        try:
            self._sockets.prepare(generation, options.bind, self._fleet.current)
            self._sockets.listen(generation)  # systemd's programs expect no less
            self._set_blocking(generation)
        except ForkclusterError as error:
            self._refuse(generation, error)
            return
        self._releases[generation] = result
        notes = restart_notes(self._launch.options, options)
        self._events.append(
            on.Configured(generation, count_workers(options), limits_of(options), notes=notes)
        )

    def _set_blocking(self, generation: int) -> None:
        """Leave listeners as a program expects them that systemd starts."""
        for listener in self._sockets.of(generation):
            listener.socket.setblocking(True)

    def _hear_last_words(self, slot: int, then: Callable[[str], None]) -> None:
        """Call `then` with what the process of the slot printed last, if that goes to a logger of ours."""
        if self._output.capture is None:
            then("")
        else:
            self._output.capture.last_words.ask(str(slot), then)

    def _stumbled(self, text: str, slot: int) -> None:
        """Tell whoever waits for the first start; the policy tries again."""

        def tell(words: str) -> None:
            if self._fleet.announced or self._exit_code is not None:
                return  # it has come up meanwhile, or is over: that is told instead
            remedy = f"it goes on trying; forkcluster logs {self._launch.options.name} shows what it prints"
            error = ApplicationError(f"the first start: {text}", remedy, details=words)
            self._report.failed(error, goes_on=True)

        self._hear_last_words(slot, tell)

    def _conclude(self, outcome: Outcome) -> None:
        slot, self._blamed = self._blamed, None
        if slot is None:
            super()._conclude(outcome)
            return

        def conclude(words: str) -> None:
            reason = "\n".join(filter(None, [outcome.reason, words]))
            super(ForkMaster, self)._conclude(replace(outcome, reason=reason))

        self._hear_last_words(slot, conclude)

    def _announce(self) -> None:
        options = self._launch.options
        count = len(self._fleet.ready())
        urls = tuple(listener.url for listener in self._sockets.of(self._fleet.current))
        fields: dict[str, log.Field] = {"app": options.name, "processes": count, "pid": os.getpid()}
        self._say("info", "ready", {**fields, "event": "up"})
        seconds = self._loop.now() - self._started
        if not self._launch.managed:
            show(fork_screen(options, urls, count, seconds, self._admin.url if self._admin else None))
        self._report.ready(pid=os.getpid(), urls=urls, workers=count, seconds=round(seconds, 3))
        if self._watching is not None:
            self._watching.start()

    def _finish(self, code: int) -> None:
        """End when the last stray is gone, too."""

        def done() -> None:
            if code and self._fleet.failed_slot is not None:
                self._hear_last_words(self._fleet.failed_slot, over)
            else:
                self._exit_code = code

        def over(words: str) -> None:
            self._last_words, self._exit_code = words, code

        if self._launch.options.treekill:
            sweep = self._processes.kill_strays(done)
            self._timed.append(Timed(sweep.deadline, sweep.expire))
        else:
            done()

    def _logs_reopened(self) -> None:
        """Processes keep their own files."""

    def _close(self) -> None:
        self._processes.close()
        self._board.close()


def limits_of(options: Options) -> FleetLimits:
    """Pick what the policy obeys."""
    return FleetLimits(
        boot_timeout=options.boot_timeout,
        drain_timeout=options.drain_timeout,
        min_uptime=options.min_uptime,
        observe=options.observe,
        rules=rules_of(options, MOST_RESTARTS),
        wait_ready=options.wait_ready,
        overlap=options.wait_ready and options.overlap,
        scheduled=options.cron_restart is not None,
    )


def _name(listener: Listener) -> str:
    """The name under which a program finds the socket (sd_listen_fds_with_names(3))."""
    named = listener.address.name if isinstance(listener.address, Inherited) else ""
    return named or "unknown"

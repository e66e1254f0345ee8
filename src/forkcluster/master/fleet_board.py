"""The scoreboard of fork mode: one line for each process, written by the master alone, for the admin process
to read. The programs know nothing of it, so whatever tells of requests stays zero.
"""

from forkcluster import _scoreboard
from forkcluster.master.fleet import Fleet
from forkcluster.master.seats import Ref, SeatTable
from forkcluster.wire.states import State

WORDS: "dict[State, _scoreboard.State]" = {
    State.STARTING: "booting",
    State.READY: "ready",
    State.STOPPING: "draining",
}


class FleetBoard:
    """Who has which line of a fleet's scoreboard, which it owns."""

    def __init__(self, app: str, fleet: Fleet) -> None:
        self.descriptor = _scoreboard.create(app)
        self._board = _scoreboard.Scoreboard(self.descriptor, writable=True)
        self.fleet = fleet
        self._seats = SeatTable(_scoreboard.SEATS)
        self._owners: dict[int, Ref] = {}  # by the number of the process

    def publish(self, *, ready: bool) -> None:
        """Write down what the policy knows; `ready`: the app does its work."""
        self._board.ready = ready
        self._board.generation = self.fleet.current
        processes = self.fleet.processes
        for number in [number for number in self._owners if number not in processes]:
            who = self._owners.pop(number)
            self._board.reset(who.seat)
            self._seats.free(who)
        for number, process in processes.items():
            if number in self._owners:
                self._board.set_state(self._owners[number].seat, WORDS[process.state])

    def begin(self, number: int, pid: int) -> None:
        """Give a new process its line, if there is a free one."""
        who = self._seats.take()
        process = self.fleet.processes[number]
        if who is not None:
            self._owners[number] = who
            self._board.claim(*who, process.slot, process.generation)
            self._board.set_pid(who.seat, pid)

    def end(self, number: int, spent: int) -> None:
        """Count the CPU time (ns) of a process that has ended; others of its tree may be left."""
        who = self._owners.get(number)
        if who is not None:
            self._board.set_pid(who.seat, 0)
            self._board.add_cpu(who.seat, spent)

    def close(self) -> None:
        """Unmap it."""
        self._board.close()

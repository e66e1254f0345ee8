"""Which generation holds which listeners: a reload binds what is new before anything else, lets clients
connect to it when a worker is there to serve them, and closes what it drops when it is committed.

A listener that both generations have is the same socket. Knows no policy.
"""

import contextlib
import socket

from forkcluster import _process
from forkcluster.dataclass import replace
from forkcluster.errors import BindError
from forkcluster.master.bind import BindSpec, listen
from forkcluster.master.listeners import Listener, open_all
from forkcluster.options.address import Inherited

Listeners = tuple[Listener, ...]


class Sockets:
    """The listeners of every generation that still counts. Owns them."""

    def __init__(self, first: Listeners, spec: BindSpec) -> None:
        self._by_generation: dict[int, Listeners] = {1: first}
        # From now on the loop must not wait, and a new address has nobody yet who serves it.
        self._spec = replace(spec, patience=0.0, listens=False)

    def of(self, generation: int) -> Listeners:
        """Give that generation's listeners."""
        return self._by_generation[generation]

    def descriptors(self, generation: int) -> list[int]:
        """Give their descriptors, in the order in which workers know them."""
        return [listener.fd for listener in self.of(generation)]

    def all_descriptors(self) -> set[int]:
        """Give the descriptors of all generations."""
        return {listener.fd for each in self._by_generation.values() for listener in each}

    def prepare(self, generation: int, binds: tuple[str, ...], current: int) -> None:
        """Bind what that generation needs and the current one has not. Raise BindError, nothing bound then.

        systemd's sockets were passed once, at the start: without --bind they are kept, if it passed any; so
        is having none at all, in fork mode. A
        unix socket whose file was deleted is bound again.
        """
        present = self.of(current)
        if not binds and (
            not present or any(isinstance(listener.address, Inherited) for listener in present)
        ):
            self._by_generation[generation] = present
        else:
            keep = {listener.address: listener for listener in present if listener.intact}
            self._by_generation[generation] = open_all(binds, self._spec, {}, keep)

    def drops(self, generation: int, current: int) -> bool:
        """Tell whether the current generation has a listener that the other has not."""
        kept = {id(listener) for listener in self.of(generation)}
        return any(id(listener) not in kept for listener in self.of(current))

    def listen(self, generation: int) -> None:
        """Let clients connect to all that generation has: somebody serves them. Raise BindError.

        A unix socket that nobody could connect to yet looks like one that a dead process has left: another
        server may have put its own there.
        """
        for listener in self.of(generation):
            accepts = listener.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            if not accepts and not listener.intact:
                raise BindError(f"listening on {listener.address}: its file was removed or replaced")
            try:
                listen(listener.socket, self._spec.backlog)
            except OSError as error:
                raise BindError(f"listening on {listener.address}: {error.strerror}") from error

    def commit(self, generation: int) -> None:
        """Close what only older generations had: their workers finish what is queued there."""
        self._forget([number for number in self._by_generation if number < generation])

    def abandon(self, generation: int) -> None:
        """Close what only that generation has."""
        self._forget([number for number in self._by_generation if number == generation])

    def stop(self) -> None:
        """Close them all for clients; workers serve what is queued. Their generations go on without any."""
        for listener in {id(each): each for known in self._by_generation.values() for each in known}.values():
            _shut(listener)
        self._by_generation = dict.fromkeys(self._by_generation, ())

    def close(self) -> None:
        """Close them all; the files of unix sockets are removed."""
        self._forget(list(self._by_generation))

    def _forget(self, numbers: list[int]) -> None:
        gone = [listener for number in numbers for listener in self._by_generation.pop(number)]
        kept = {id(listener) for each in self._by_generation.values() for listener in each}
        for listener in gone:
            if id(listener) not in kept:
                _shut(listener)


def _shut(listener: Listener) -> None:
    """Close our copy and let nobody connect any more: who holds the last copies serves what is queued.

    systemd's sockets stay open for the next start, and what waits there waits for that.
    """
    if listener.socket.family != socket.AF_UNIX and not isinstance(listener.address, Inherited):
        with contextlib.suppress(OSError):  # without it a client of the last moment may be reset
            _process.refuse_handshakes(listener.fd)
    listener.close()

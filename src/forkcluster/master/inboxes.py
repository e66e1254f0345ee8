"""The inboxes of an app's workers, as the edge holds them: the master makes them and keeps both ends of each.

It introduces ready workers to each other, and whatever a worker did not take (it died, left, or does not
read) goes to others; with nobody ready it is kept until somebody is. Connections pass through without being
looked at. The accept queues are looked at, too: a wake-up may have gone to a worker that does not come.
Decides nothing but who has least to do.
"""

import errno
import os
import select
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence

from forkcluster import _fdpass, _scoreboard, log
from forkcluster.dataclass import dataclass, field
from forkcluster.master.seats import Ref
from forkcluster.master.stale import Stranding, Watch
from forkcluster.wire.messages import Kind, Message

LOOK_EVERY = 0.25
RECORDS = 8192  # bytes that the records of a full message take at most

Tell = Callable[[Ref, Message, Sequence[int]], bool]
Listeners = Callable[[], Iterable[int]]


@dataclass(slots=True)
class Inbox:
    """One worker's queue of connections. `known`: it is introduced to the others; `open`: and may be sent to.

    One that was told to leave still meets whoever comes after it: it may have connections to hand over.
    """

    sender: socket.socket
    receiver: socket.socket
    known: bool = False
    open: bool = False
    unknown: set[Ref] = field(default_factory=set)  # peers it could not be told of yet


class Inboxes:
    """All inboxes of one app. `tell` sends a worker a message and says whether it took it; `listeners` gives
    the listening sockets (borrowed).
    """

    def __init__(self, board: _scoreboard.Scoreboard, tell: Tell, listeners: Listeners) -> None:
        self._board = board
        self._tell = tell
        self._listeners = listeners
        self._inboxes: dict[Ref, Inbox] = {}
        self._watch = Watch()
        self._stranding = Stranding()
        self._kept: list[_fdpass.Connection] = []
        self._look_at = 0.0

    def make(self, who: Ref) -> int:
        """Make an inbox; give its receiving end, which stays ours. Raise OSError."""
        sender, receiver = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._inboxes[who] = Inbox(sender, receiver)
        return receiver.fileno()

    def open(self, who: Ref) -> None:
        """Introduce a ready worker to the others and them to it; it gets what was kept."""
        inbox = self._inboxes[who]
        for theirs in self._inboxes.values():
            if theirs.known:
                theirs.unknown.add(who)
        inbox.unknown.update(other for other, theirs in self._inboxes.items() if theirs.open)
        inbox.known = inbox.open = True
        self._introduce()
        self._dispatch()

    def leave(self, who: Ref) -> None:
        """Note that a worker was told to leave: it is sent nothing more."""
        if who in self._inboxes:
            self._inboxes[who].open = False

    def drop(self, who: Ref) -> None:
        """Close the inbox of a worker that is no more; what it has not taken goes to others."""
        inbox = self._inboxes.pop(who, None)
        if inbox is None:
            return
        inbox.receiver.shutdown(socket.SHUT_RD)  # an atomic close: what was sent before stays readable
        self._collect(who, inbox)
        inbox.sender.close()
        inbox.receiver.close()
        for other in self._inboxes.values():
            other.unknown.discard(who)
        self._dispatch()

    def look_at(self) -> float | None:
        """Give the time of the next look; None while there is nobody to hand anything to."""
        return self._look_at if len(self._inboxes) > 1 or self._kept else None

    def look(self, now: float) -> None:
        """Look at all inboxes when it is time: take from those who do not read, try again what failed."""
        if self.look_at() is None or now < self._look_at:
            return
        self._look_at = now + LOOK_EVERY
        self._introduce()
        names = list(self._inboxes)
        loads = self._board.loads([who.seat for who in names])
        taken = {who: load[1] for who, load in zip(names, loads, strict=True)}
        readable = self._readable()
        holding = [who for who in names if self._holds(self._inboxes[who].receiver, readable)]
        for who in self._watch.look(taken, holding, now):
            self._relieve(who)
        if self._stranding.look(waiting=not readable.keys().isdisjoint(self._listeners()), now=now):
            self._nudge()
        self._dispatch()

    def close(self) -> None:
        """Close what was kept; every worker is gone."""
        for connection in self._kept:
            os.close(connection.fd)
        self._kept = []

    # -- peers -----------------------------------------------------------------------------------------------

    def _introduce(self) -> None:
        for who, inbox in self._inboxes.items():
            for other in sorted(inbox.unknown):
                end = self._inboxes[other].sender.fileno()
                if not self._tell(who, Message(Kind.PEER, "", *other), [end]):
                    break
                inbox.unknown.discard(other)

    # -- what others did not take ----------------------------------------------------------------------------

    def _readable(self) -> dict[int, int]:
        """Give the inboxes and accept queues that can be read, with what poll(2) says of each."""
        poller = select.poll()
        for inbox in self._inboxes.values():
            poller.register(inbox.receiver, select.POLLIN | select.POLLRDHUP)
        for listener in self._listeners():
            poller.register(listener, select.POLLIN)
        return {descriptor: seen for descriptor, seen in poller.poll(0) if seen & select.POLLIN}

    def _holds(self, receiver: socket.socket, readable: Mapping[int, int]) -> bool:
        """Tell whether an inbox holds a message; one that was shut can be read for ever."""
        seen = readable.get(receiver.fileno(), 0)
        if not seen & select.POLLRDHUP:
            return bool(seen)
        try:
            return bool(receiver.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
        except OSError:
            return False

    def _nudge(self) -> None:
        """Have every worker look at listeners and inbox without waiting for an event."""
        for each in self._inboxes:
            self._tell(each, Message(Kind.NUDGE, "", *each), ())

    def _relieve(self, who: Ref) -> None:
        """Take what a worker does not read; only if there is somebody to give it to."""
        if not [other for other in self._takers() if other != who]:
            return
        self._board.set_stale(who.seat)
        count = self._collect(who, self._inboxes[who])
        log.warning("a worker does not take connections; others do", seat=who.seat, connections=count)
        self._dispatch()
        self._nudge()  # it may sleep on a wake-up for a new connection, too

    def _collect(self, who: Ref, inbox: Inbox) -> int:
        count = 0
        while True:
            try:
                received = _fdpass.receive_connections(inbox.receiver)
            except BlockingIOError:
                return count
            except OSError as error:
                log.error("connections of an inbox are lost", seat=who.seat, error=str(error))
                if error.errno in (errno.EMFILE, errno.EBADMSG):
                    continue  # of one message
                return count
            if received is None:
                return count
            self._kept += received
            count += len(received)

    def _dispatch(self) -> None:
        while self._kept:
            batch = _first_message(self._kept)
            if not any(self._send(who, batch) for who in self._takers()):
                return
            del self._kept[: len(batch)]
            for connection in batch:
                os.close(connection.fd)

    def _takers(self) -> list[Ref]:
        """Give the workers that take connections, those with least to do first."""
        names = [who for who, inbox in self._inboxes.items() if inbox.open]
        loads = zip(names, self._board.loads([who.seat for who in names]), strict=True)
        able = [(idle + max(0, sent - taken), who) for who, (sent, taken, idle, _, ready) in loads if ready]
        return [who for _, who in sorted(able)]

    def _send(self, who: Ref, batch: Sequence[_fdpass.Connection]) -> bool:
        self._board.add_sent(who.seat, len(batch))
        try:
            return _fdpass.send_connections(self._inboxes[who].sender, batch)
        except OSError:  # it leaves, or the system has no room: the next one, or later
            return False


def _first_message(connections: Sequence[_fdpass.Connection]) -> Sequence[_fdpass.Connection]:
    """Give as many of the first connections as fit one message."""
    count, size = 0, RECORDS
    for connection in connections[: _fdpass.MOST]:
        size += len(connection.unread)
        if size > _fdpass.MOST_BYTES:
            break
        count += 1
    return connections[:count]

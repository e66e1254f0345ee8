"""The master's inboxes, on real sockets and a real scoreboard: nothing that a worker did not take is lost."""

import os
import socket

import pytest

from forkcluster import _fdpass, _scoreboard
from forkcluster.master.inboxes import Inboxes
from forkcluster.master.seats import Ref
from forkcluster.wire.messages import Kind

WORKERS = [Ref(0, 1), Ref(1, 1), Ref(2, 1)]


class World:
    """Three workers; what they are told, and connections to be sent."""

    def __init__(self):
        self.descriptor = _scoreboard.create("test")
        self.board = _scoreboard.Scoreboard(self.descriptor, writable=True)
        self.told = []
        self.deaf = set()
        self.senders = {}  # (who, peer): the sending end that who was given
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.inboxes = Inboxes(self.board, self.tell, lambda: [self.listener.fileno()])
        self.receivers = {}
        self.clients = []
        for who in WORKERS:
            self.board.claim(who.seat, who.epoch, who.seat, 1)
            self.receivers[who] = os.dup(self.inboxes.make(who))

    def tell(self, who, message, descriptors):
        if who in self.deaf:
            return False
        self.told.append((who, message.kind, Ref(message.seat, message.epoch)))
        if message.kind is Kind.PEER:
            self.senders[who, Ref(message.seat, message.epoch)] = os.dup(descriptors[0])
        return True

    def ready(self, who):
        self.board.set_state(who.seat, "ready")
        self.inboxes.open(who)

    def send(self, sender, receiver):
        """One worker sends another a connection; give its client."""
        ours, theirs = socket.socketpair()
        self.clients.append(ours)
        self.board.add_sent(receiver.seat, 1)
        with theirs:
            channel = self.senders[sender, receiver]
            assert _fdpass.send_connections(channel, [_fdpass.Connection(theirs.fileno())])
        return ours

    def answer(self, who):
        """Be the worker: take all, say hello on each; how many."""
        count = 0
        while True:
            try:
                received = _fdpass.receive_connections(self.receivers[who])
            except BlockingIOError:
                return count
            for connection in received or ():
                os.write(connection.fd, b"hello")
                os.close(connection.fd)
                count += 1
            if received is None:
                return count

    def close(self):
        for who in WORKERS:
            self.inboxes.drop(who)
        self.inboxes.close()
        self.board.close()
        self.listener.close()
        for descriptor in [self.descriptor, *self.senders.values(), *self.receivers.values()]:
            os.close(descriptor)
        for client in self.clients:
            client.close()


@pytest.fixture
def world():
    """Workers and their inboxes; no descriptor is left."""
    before = os.listdir("/proc/self/fd")
    made = World()
    yield made
    made.close()
    assert len(before) == len(os.listdir("/proc/self/fd"))


def test_ready_workers_learn_of_each_other(world):
    """The first is told of nobody, then each new one of all, and all of it."""
    one, two, three = WORKERS
    for who in WORKERS:
        world.ready(who)
    introduced = {(who, peer) for who, kind, peer in world.told if kind is Kind.PEER}
    assert {(one, two), (two, one), (one, three), (two, three), (three, one), (three, two)} == introduced
    assert 6 == len(world.told)


def test_introduction_that_could_not_be_told_is_told_later(world):
    """A full channel costs a look, not a peer."""
    one, two, _ = WORKERS
    world.ready(one)
    world.deaf = {one}
    world.ready(two)
    assert [(two, Kind.PEER, one)] == world.told
    world.deaf = set()
    world.inboxes.look(1.0)
    assert (one, Kind.PEER, two) in world.told


def test_what_a_dead_worker_had_not_taken_goes_to_another(world):
    """Its inbox is read to the end and sent on."""
    one, two, three = WORKERS
    for who in WORKERS:
        world.ready(who)
    clients = [world.send(one, two) for _ in range(20)]
    world.board.reset(two.seat)
    world.inboxes.drop(two)
    assert 20 == world.answer(one) + world.answer(three)
    assert [b"hello"] * 20 == [client.recv(5) for client in clients]
    assert 20 == world.board.line(one.seat)["sent"] + world.board.line(three.seat)["sent"]


def test_connections_are_kept_until_somebody_is_ready(world):
    """All ready workers die; the next one that is ready gets what they had not taken."""
    one, two, three = WORKERS
    world.ready(one)
    world.ready(two)
    client = world.send(one, two)
    for who in (one, two):
        world.board.reset(who.seat)
        world.inboxes.drop(who)
    world.ready(three)
    assert 1 == world.answer(three)
    assert b"hello" == client.recv(5)


def test_sender_finds_the_inbox_of_a_dropped_worker_shut(world):
    """Whoever sends after the drop learns it, and keeps the connection."""
    one, two, _ = WORKERS
    world.ready(one)
    world.ready(two)
    world.inboxes.drop(two)
    with pytest.raises(BrokenPipeError):
        world.send(one, two)


def test_stale_inbox_is_emptied_and_all_are_nudged(world):
    """What a worker does not read others get; it is marked, and all look for what it was woken for."""
    one, two, three = WORKERS
    for who in WORKERS:
        world.ready(who)
    client = world.send(one, two)
    for at in (1.0, 1.3, 1.6):
        world.inboxes.look(at)
    assert [(who, Kind.NUDGE, who) for who in WORKERS] == world.told[-3:]
    assert (1, 0) == (world.board.line(two.seat)["stale"], world.answer(two))
    assert 1 == world.answer(one) + world.answer(three)
    assert b"hello" == client.recv(5)


@pytest.mark.parametrize(("sent", "answered"), [(0, 0), (2, 2)])
def test_inbox_that_was_shut_is_stale_only_if_it_holds_something(world, sent, answered):
    """A worker that leaves has shut its inbox, which can then be read for ever; stopped, it may not have."""
    one, two, three = WORKERS
    for who in WORKERS:
        world.ready(who)
    for _ in range(sent):
        world.send(one, two)
    with socket.socket(fileno=os.dup(world.receivers[two])) as inbox:
        inbox.shutdown(socket.SHUT_RD)
    world.inboxes.leave(two)
    for at in (1.0, 1.3, 1.6):
        world.inboxes.look(at)
    assert answered == world.answer(one) + world.answer(three)
    assert bool(sent) == bool(world.board.line(two.seat)["stale"])


def test_connection_that_nobody_accepts_has_all_nudged(world):
    """The worker that was woken for it may be stopped; the others sleep."""
    for who in WORKERS:
        world.ready(who)
    with socket.create_connection(world.listener.getsockname()):
        for at in (1.0, 1.3):
            world.inboxes.look(at)
        assert [(who, Kind.NUDGE, who) for who in WORKERS] == world.told[-3:]


def test_stale_inbox_is_left_alone_when_nobody_else_serves(world):
    """Better late than nowhere."""
    one, two, _ = WORKERS
    world.ready(one)
    world.ready(two)
    client = world.send(one, two)
    world.board.set_state(one.seat, "draining")
    for at in (1.0, 1.3, 1.6, 1.9):
        world.inboxes.look(at)
    assert 0 == world.board.line(two.seat)["stale"]
    assert 1 == world.answer(two)
    assert b"hello" == client.recv(5)


def test_worker_told_to_leave_is_sent_nothing(world):
    """It will shut its inbox; others are better."""
    one, two, three = WORKERS
    for who in WORKERS:
        world.ready(who)
    world.inboxes.leave(one)
    world.send(one, two)
    world.board.reset(two.seat)
    world.inboxes.drop(two)
    assert (0, 1) == (world.answer(one), world.answer(three))


def test_worker_told_to_leave_meets_those_who_come_later(world):
    """They do not meet it: it hands over for as long as it has something, and takes nothing."""
    first, second, third = WORKERS
    world.ready(first)
    world.ready(second)
    world.inboxes.leave(first)
    world.told.clear()
    world.ready(third)
    assert {(first, third), (second, third), (third, second)} == {(who, peer) for who, _, peer in world.told}


def test_lone_worker_needs_no_looks(world):
    """With nobody to hand anything to the master sleeps."""
    for who in WORKERS[1:]:
        world.inboxes.drop(who)
    assert None is world.inboxes.look_at()

"""Ending apps while other commands end, start and delete them, too."""

import os
import socket
import threading

import pytest

from forkcluster.manager import ending
from forkcluster.manager.register import App, Register
from forkcluster.wire.home import Lock, make_place

MOMENT = 0.3  # seconds in which a stop that gives up would have ended
PATIENCE = 10.0  # seconds


@pytest.fixture
def app(tmp_path):
    """An app with a place, in a home of its own."""
    place = Register(str(tmp_path)).place("app")
    make_place(place)
    return App(place)


@pytest.fixture
def lock(app):
    """The lock of the app, as its master holds it."""
    lock = Lock.take(app.place.lock)
    lock.note(pid=1, control=app.place.control)
    yield lock
    lock.close()


def leave(lock):
    """The master ends."""
    lock.close()


def replace(lock):
    """Another command has started a new master."""
    lock.note(pid=2)


def drop_one(listener):
    """Take one connection, and end it with a reset."""
    line, _ = listener.accept()
    line.recv(1)
    line.close()


@pytest.mark.parametrize("end", [leave, replace])
@pytest.mark.parametrize("listens", [True, False])
def test_a_stop_that_is_not_heard_waits_for_the_end_that_another_command_brings(app, lock, end, listens):
    """Its connection is reset, or refused; the goal is reached all the same."""
    app = App(app.place, holder={"pid": 1})
    told = []
    stop = threading.Thread(target=lambda: ending.stop([app], None, lambda _, error: told.append(error)))
    with socket.socket(socket.AF_UNIX) as listener:
        if listens:
            listener.bind(app.place.control)
            listener.listen()
        stop.start()
        if listens:
            drop_one(listener)
        stop.join(MOMENT)
        assert [] == told
        end(lock)
        stop.join(PATIENCE)
    assert [None] == told


def test_an_app_that_another_command_has_forgotten_is_forgotten(app):
    """Two deletes at once both reach their goal."""
    register = Register(app.place.home)
    register.forget(app)
    register.forget(app)
    assert not os.path.lexists(app.place.directory)

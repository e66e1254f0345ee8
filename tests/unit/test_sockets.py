"""Which generation holds which listeners."""

import os

import pytest

from forkcluster.errors import BindError
from forkcluster.master.bind import BindSpec
from forkcluster.master.listeners import open_all
from forkcluster.master.sockets import Sockets


def test_a_unix_socket_that_another_has_replaced_before_it_listens_fails_the_reload(tmp_path):
    """Nobody would find it: while it does not listen it looks like one that a dead process has left."""
    spec = BindSpec(directory=str(tmp_path), backlog=16)
    sockets = Sockets(open_all(["unix:first.sock"], spec, {}), spec)
    sockets.prepare(2, ("unix:first.sock", "unix:second.sock"), 1)
    (other,) = open_all(["unix:second.sock"], spec, {})
    with pytest.raises(BindError, match=r"second\.sock: its file was removed or replaced"):
        sockets.listen(2)
    sockets.abandon(2)
    assert other.intact
    os.unlink(tmp_path / "first.sock")  # it listens since long: those who know it go on
    sockets.prepare(3, ("unix:third.sock",), 1)
    sockets.listen(1)
    sockets.listen(3)
    sockets.stop()
    other.close()

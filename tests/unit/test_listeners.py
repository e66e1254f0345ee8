"""The listeners of an app: all or none, systemd's where none are asked for, nobody else's files removed."""

import json
import os
import socket
import subprocess
import sys

import pytest

from forkcluster.errors import BindError
from forkcluster.master.bind import BindSpec
from forkcluster.master.listeners import open_all, take_passed
from forkcluster.options.address import Tcp

ACTIVATED = """
import json, os, sys
from forkcluster.errors import BindError
from forkcluster.master.bind import BindSpec
from forkcluster.master.listeners import open_all
passed, count, binds = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
os.dup2(passed, 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=count, LISTEN_FDNAMES="web")
try:
    found = open_all(binds, BindSpec("."), os.environ)
    answer = [[str(each.address), getattr(each.address, "name", ""), each.url] for each in found]
except BindError as error:
    answer = error.message
left = [name for name in os.environ if name.startswith("LISTEN_")]
print(json.dumps([answer, left, os.get_inheritable(3)]))
"""


@pytest.fixture
def spec(tmp_path):
    """How to bind in a directory of the test's own."""
    return BindSpec(str(tmp_path))


def activated(given, count="1", *binds):
    """Start a process as systemd would, with that socket as descriptor 3."""
    command = [sys.executable, "-c", ACTIVATED, str(given.fileno()), count, *binds]
    done = subprocess.run(command, pass_fds=[given.fileno()], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_several_addresses_at_once(tmp_path, spec):
    """TCP of both families and a unix socket; each knows its real address."""
    listeners = open_all(["127.0.0.1:0", "[::1]:0", "unix:a.sock"], spec, {})
    ports = [listener.socket.getsockname()[1] for listener in listeners[:2]]
    urls = [f"http://127.0.0.1:{ports[0]}", f"http://[::1]:{ports[1]}", f"unix:{tmp_path}/a.sock"]
    assert urls == [listener.url for listener in listeners]
    assert [("127.0.0.1", ports[0]), ("::1", ports[1]), ("localhost", 80)] == [
        each.server for each in listeners
    ]
    for listener in listeners:
        listener.close()
    assert [] == os.listdir(tmp_path)


def test_all_or_none(tmp_path, spec):
    """When one address is refused, those bound before are given up and their files removed."""
    with pytest.raises(BindError, match="192"):
        open_all(["unix:a.sock", "192.0.2.1:1"], spec, {})
    assert [] == os.listdir(tmp_path)


def test_the_same_address_twice_is_one_listener(spec):
    """Saying it twice is no error."""
    listeners = open_all(["unix:a.sock", "unix:a.sock"], spec, {})
    assert 1 == len(listeners)
    listeners[0].close()


def test_a_file_that_is_anothers_by_now_stays(tmp_path, spec):
    """Closing removes the unix socket's file only if it is still the one that was made."""
    (listener,) = open_all(["unix:a.sock"], spec, {})
    (tmp_path / "a.sock").unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(tmp_path / "a.sock"))
        listener.close()
        assert (tmp_path / "a.sock").is_socket()


def test_closing_twice_is_harmless(tmp_path, spec):
    """The second close does not touch a successor's file, even with the inode used again."""
    (listener,) = open_all(["unix:a.sock"], spec, {})
    listener.close()
    (successor,) = open_all(["unix:a.sock"], spec, {})
    listener.close()
    assert (tmp_path / "a.sock").is_socket()
    successor.close()


def test_a_kept_listener_is_used_again(spec):
    """A reload binds what is new and keeps the sockets of what is not."""
    (old,) = open_all(["127.0.0.1:0"], spec, {})
    kept, new = open_all(["127.0.0.1:0", "unix:a.sock"], spec, {}, keep={old.address: old})
    assert (old.fd, True) == (kept.fd, new.fd >= 0)
    with pytest.raises(BindError):
        open_all(["127.0.0.1:0", "192.0.2.1:1"], spec, {}, keep={Tcp("127.0.0.1", 0): old})
    assert old.fd >= 0
    old.close()
    new.close()


def test_systemds_sockets_are_taken_when_nobody_asked_for_others():
    """LISTEN_FDS is believed, its variables are removed, the descriptor is made close-on-exec."""
    with socket.create_server(("127.0.0.1", 0)) as given:
        url = f"http://127.0.0.1:{given.getsockname()[1]}"
        assert [[["fd://3", "web", url]], [], False] == activated(given)


def test_an_own_bind_is_stronger_than_systemds(tmp_path):
    """The variables are removed all the same, so that no child believes them."""
    with socket.create_server(("127.0.0.1", 0)) as given:
        answer, left, inheritable = activated(given, "1", f"unix:{tmp_path}/a.sock")
    assert ([f"unix:{tmp_path}/a.sock"], [], False) == ([each[0] for each in answer], left, inheritable)


def test_a_socket_that_systemd_promised_must_be_there():
    """A count beyond what is open is told by descriptor."""
    with socket.create_server(("127.0.0.1", 0)) as given:
        answer, left, _ = activated(given, "400")
    assert (True, []) == ("descriptor" in answer, left)


@pytest.mark.parametrize("pid", ["", "1", "x"])
def test_variables_meant_for_another_process_are_dropped(pid):
    """LISTEN_PID of someone else: nothing is taken, and the variables do not travel on."""
    environment = {"LISTEN_PID": pid, "LISTEN_FDS": "1", "LISTEN_FDNAMES": "web", "PATH": "/bin"}
    assert ([], {"PATH": "/bin"}) == (take_passed(environment), environment)


def test_a_count_that_is_no_number_is_refused():
    """systemd would not write it; whoever did should know."""
    with pytest.raises(BindError, match="no number"):
        take_passed({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "many"})

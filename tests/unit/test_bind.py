"""Listening sockets: made, adopted, refused with the reason and the remedy. Real sockets throughout."""

import errno
import os
import socket
import stat
import subprocess
import sys

import pytest

from forkcluster.dataclass import replace
from forkcluster.errors import BindError
from forkcluster.master import holder
from forkcluster.master.bind import BindSpec, bind, explain, listen
from forkcluster.options.address import Inherited, Tcp, Unix

HOLDER = """
import socket, sys
bound = socket.create_server(("127.0.0.1", 0))
print(bound.getsockname()[1], flush=True)
sys.stdin.read()
"""

LISTEN_AND_DIE = """
import os, socket, sys
bound = socket.socket(socket.AF_UNIX)
bound.bind(sys.argv[1])
bound.listen()
os._exit(0)
"""


@pytest.fixture
def spec(tmp_path):
    """How to bind in a directory of the test's own."""
    return BindSpec(str(tmp_path), backlog=16)


def leave_behind(path):
    """A unix socket whose owner is dead."""
    subprocess.run([sys.executable, "-c", LISTEN_AND_DIE, str(path)], check=True)


@pytest.mark.parametrize(
    "address", [Tcp("127.0.0.1", 0), Tcp("::1", 0), Tcp("localhost", 0), Unix("app.sock")]
)
def test_a_listener_listens_and_leaks_into_nobody(address, spec):
    """Listening, non-blocking, close-on-exec, whatever the address."""
    with bind(address, spec) as bound:
        listens = bound.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        assert (1, False, False) == (listens, bound.getblocking(), bound.get_inheritable())
        with socket.socket(bound.family) as client:
            client.connect(bound.getsockname())


@pytest.mark.parametrize("address", [Tcp("127.0.0.1", 0), Tcp("::1", 0), Unix("app.sock")])
def test_an_address_can_be_bound_before_anybody_may_connect(address, spec):
    """Whoever comes too early is refused, and does not wait for an answer that may never come."""
    with bind(address, replace(spec, listens=False)) as bound:
        for expected in (errno.ECONNREFUSED, 0):
            with socket.socket(bound.family) as client:
                assert expected == client.connect_ex(bound.getsockname())
            listen(bound, 16)


def test_an_address_that_is_bound_and_does_not_listen_yet_is_nobody_elses(spec):
    """Another with SO_REUSEADDR could bind it, too, and be the first to listen."""
    with bind(Tcp("127.0.0.1", 0), replace(spec, listens=False)) as bound:
        with pytest.raises(BindError, match="in use"):
            bind(Tcp("127.0.0.1", bound.getsockname()[1]), spec)
        listen(bound, 16)


def test_an_ipv6_listener_leaves_ipv4_to_others(spec):
    """[::]:port and 0.0.0.0:port stand side by side."""
    with bind(Tcp("::", 0), spec) as six, bind(Tcp("0.0.0.0", six.getsockname()[1]), spec) as four:
        assert six.getsockname()[1] == four.getsockname()[1]


def test_a_name_prefers_ipv4(spec):
    """localhost is 127.0.0.1, as every other tool on the machine will assume."""
    with bind(Tcp("localhost", 0), spec) as bound:
        assert "127.0.0.1" == bound.getsockname()[0]


def test_a_port_in_use_names_its_holder(spec):
    """The message has the pid and the command line of the process that listens there."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        port = int(other.stdout.readline())
        with pytest.raises(BindError) as caught:
            bind(Tcp("127.0.0.1", port), spec)
        other.stdin.close()
    assert f"held by pid {other.pid} ({sys.executable} -c" in caught.value.message
    assert "--bind" in caught.value.remedy


def test_a_port_that_nobody_holds_has_no_holder(spec):
    """Nothing is made up."""
    with bind(Tcp("127.0.0.1", 0), spec) as bound:
        port = bound.getsockname()[1]
    assert "" == holder.describe(port)


def test_the_table_of_sockets_is_understood():
    """Only listening sockets of that port count, by the text of /proc/net/tcp."""
    table = (  # cut after the inode, and without the times
        "  sl  local_address rem_address   st queue tr when uid timeout inode\n"
        "   0: 0100007F:1F40 00000000:0000 0A 00000000:00000000 00:00000000 0 0 0 41 1\n"
        "   1: 0100007F:1F40 0100007F:C350 01 00000000:00000000 00:00000000 0 0 0 42 1\n"
        "   2: 00000000:1F41 00000000:0000 0A 00000000:00000000 00:00000000 0 0 0 43 1\n"
    )
    assert ["41"] == holder.listening(table, 8000)


@pytest.mark.parametrize(
    ("number", "port", "words"),
    [
        (errno.EACCES, 80, ["below 1024", "setcap", ".socket", "authbind", "ip_unprivileged_port_start"]),
        (errno.EADDRNOTAVAIL, 8000, ["no address 192.0.2.1"]),
        (errno.EPERM, 8000, ["Operation not permitted"]),
    ],
)
def test_a_refusal_says_what_to_do(number, port, words):
    """What the system said, in whole sentences."""
    text = str(explain(Tcp("192.0.2.1", port), OSError(number, os.strerror(number))))
    assert [] == [word for word in words if word not in text]


def test_a_port_in_use_names_the_option_that_asked_for_it():
    """The admin's port is not changed by --bind."""
    error = OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
    assert "choose another port with --admin" in str(explain(Tcp("192.0.2.1", 8001), error, "--admin"))


def test_a_name_that_cannot_be_resolved_is_told(spec):
    """The resolver's own words, and the remedy."""
    with pytest.raises(BindError, match=r"nowhere\.invalid cannot be resolved"):
        bind(Tcp("nowhere.invalid", 8000), spec)


def test_a_stale_unix_socket_is_replaced(tmp_path, spec):
    """What a dead process left behind is no obstacle."""
    leave_behind(tmp_path / "app.sock")
    with bind(Unix("app.sock"), spec) as bound, socket.socket(socket.AF_UNIX) as client:
        client.connect(bound.getsockname())


def test_a_stale_unix_socket_stays_if_asked(tmp_path):
    """--no-reuse leaves it, and says so."""
    leave_behind(tmp_path / "app.sock")
    with pytest.raises(BindError, match="a dead process left its socket there"):
        bind(Unix("app.sock"), BindSpec(str(tmp_path), reuse=False))
    assert (tmp_path / "app.sock").is_socket()


def test_a_live_unix_socket_is_never_taken(tmp_path, spec):
    """Whoever listens there is named, and goes on listening."""
    with bind(Unix("app.sock"), spec) as bound:
        with pytest.raises(BindError, match=f"pid {os.getpid()} listens there"):
            bind(Unix("app.sock"), spec)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(bound.getsockname())


def test_a_busy_unix_socket_is_alive(tmp_path):
    """A full queue (EAGAIN) is no proof of death."""
    path = str(tmp_path / "app.sock")
    with socket.socket(socket.AF_UNIX) as bound, socket.socket(socket.AF_UNIX) as client:
        bound.bind(path)
        bound.listen(0)
        client.connect(path)
        with pytest.raises(BindError, match="could not be asked"):
            bind(Unix("app.sock"), BindSpec(str(tmp_path)))


@pytest.mark.parametrize("make", [lambda path: path.write_text("data"), lambda path: path.mkdir()])
def test_what_is_no_socket_is_never_removed(tmp_path, spec, make):
    """A file or a directory at the path is refused and left alone."""
    make(tmp_path / "app.sock")
    with pytest.raises(BindError, match="no socket is there"):
        bind(Unix("app.sock"), spec)
    assert (tmp_path / "app.sock").exists()


def test_a_symlink_to_a_socket_is_not_followed(tmp_path, spec):
    """A link is no socket: what it points to may be another's."""
    leave_behind(tmp_path / "other.sock")
    (tmp_path / "app.sock").symlink_to("other.sock")
    with pytest.raises(BindError, match="no socket is there"):
        bind(Unix("app.sock"), spec)
    assert (tmp_path / "other.sock").is_socket()


def test_permissions_of_a_unix_socket(tmp_path):
    """--socket-mode holds whatever the umask."""
    with bind(Unix("app.sock"), BindSpec(str(tmp_path), socket_mode=0o666)):
        assert 0o666 == stat.S_IMODE((tmp_path / "app.sock").stat().st_mode)


def test_the_umask_is_given_back(tmp_path):
    """Binding with restricted permissions leaves the process's umask as it was."""
    before = os.umask(0o027)
    try:
        with bind(Unix("app.sock"), BindSpec(str(tmp_path), socket_mode=0o600)):
            assert 0o027 == os.umask(0o027)
    finally:
        os.umask(before)


def test_owner_of_a_unix_socket(tmp_path):
    """By number; this user and group are always allowed."""
    with bind(Unix("app.sock"), BindSpec(str(tmp_path), socket_owner=f"{os.getuid()}:{os.getgid()}")):
        info = (tmp_path / "app.sock").stat()
        assert (os.getuid(), os.getgid()) == (info.st_uid, info.st_gid)


def test_an_unknown_owner_is_told_and_leaves_nothing(tmp_path):
    """No socket stays behind when its owner cannot be set."""
    with pytest.raises(BindError, match="no-such-user"):
        bind(Unix("app.sock"), BindSpec(str(tmp_path), socket_owner="no-such-user"))
    assert [] == os.listdir(tmp_path)


def test_a_missing_directory_is_told(spec):
    """The remedy names the directory to make."""
    with pytest.raises(BindError) as caught:
        bind(Unix("run/app.sock"), spec)
    assert "make the directory" in caught.value.remedy


def test_a_path_that_grows_too_long_is_told(tmp_path):
    """The limit counts the joined path."""
    deep = tmp_path / ("x" * 100)
    deep.mkdir()
    with pytest.raises(BindError, match="107 bytes"):
        bind(Unix("app.sock"), BindSpec(str(deep)))


def test_an_inherited_socket_is_taken_over(spec):
    """fd://N: non-blocking and close-on-exec from now on."""
    given = socket.create_server(("127.0.0.1", 0))
    os.set_inheritable(given.fileno(), True)
    with bind(Inherited(given.detach()), spec) as bound:
        assert (False, False) == (bound.getblocking(), bound.get_inheritable())


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (socket.socket, "does not listen"),
        (lambda: socket.socket(type=socket.SOCK_DGRAM), "no TCP or unix stream socket"),
    ],
)
def test_a_wrong_inherited_socket_is_refused_and_left_open(make, words, spec):
    """It belongs to whoever passed it."""
    with make() as given:
        with pytest.raises(BindError, match=words):
            bind(Inherited(given.fileno()), spec)
        os.fstat(given.fileno())


def test_a_descriptor_that_is_no_socket_is_refused(spec):
    """A file and a closed number are told apart by the system's words."""
    reader, writer = os.pipe()
    os.close(writer)
    with pytest.raises(BindError, match=f"fd://{reader}: Socket operation on non-socket"):
        bind(Inherited(reader), spec)
    os.close(reader)
    with pytest.raises(BindError, match=f"fd://{reader}: Bad file descriptor"):
        bind(Inherited(reader), spec)

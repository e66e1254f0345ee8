"""Reload as a transaction, in a real cluster: probe, observation, listeners."""

import os
import socket

import pytest
from harness import until

from forkcluster.errors import EXIT_BIND, BindError
from forkcluster.manager import control

HEALTH = """
import os
def application(environ, start_response):
    good = environ["PATH_INFO"] != "/health" or {good!r} in environ["HTTP_HOST"]
    start_response("200 OK" if good else "503 Not Yet", [("X-Key", environ.get("HTTP_X_KEY", ""))])
    return [{version!r}.encode()]
"""
PROBED = ("--probe-path", "/health", "--probe-host", "good.example", "--observe", "0")


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def test_probe_that_is_answered_2xx_lets_the_reload_pass(server):
    """The question has the Host it was told to have, and is not counted as a request."""
    each = server(arguments=PROBED)
    app = each.directory / "app.py"
    app.write_text(HEALTH.format(good="good", version="one"))
    each.boot()
    app.write_text(HEALTH.format(good="good", version="two"))
    each.reload()
    each.wait_for("probing the first worker")
    until(lambda: each.get()[1] == b"two", "the old worker to end")


KEYED = """
def application(environ, start_response):
    fields = environ.get("HTTP_X_KEY"), environ.get("HTTP_X_TWO")
    good = environ["PATH_INFO"] != "/health" or fields == ("a: b", "a: b")
    start_response("200 OK" if good else "403 No", [])
    return [b"%s"]
"""


def test_probe_has_the_fields_it_was_told_to_have(server):
    """--probe-header, twice; without them the application refuses, and the reload is rolled back."""
    given = ("--probe-header", "X-Key: a: b", "--probe-header", "X-Two: a: b")
    each = server(arguments=(*PROBED, *given))
    app = each.directory / "app.py"
    app.write_text(KEYED % "one")
    each.boot()
    app.write_text(KEYED % "two")
    each.reload()
    until(lambda: each.get()[1] == b"two", "the old worker to end")
    app.write_text((KEYED % "three").replace("X_KEY", "X_OTHER"))
    each.reload("reload failed")
    each.wait_for("was answered 403 No")
    assert b"two" == each.get()[1]


def test_probe_that_is_answered_503_rolls_back(server):
    """The old generation goes on, the log says what was asked and answered."""
    each = server(arguments=PROBED, workers=2)
    app = each.directory / "app.py"
    app.write_text(HEALTH.format(good="good", version="one"))
    each.boot()
    old = each.worker_pids()
    app.write_text(HEALTH.format(good="bad", version="two"))
    each.reload("reload failed")
    each.wait_for("GET /health with Host good.example was answered 503 Not Yet")
    assert b"one" == each.get()[1]
    until(lambda: each.worker_pids() == old, "the canary to end")


def test_probe_of_a_worker_that_hangs_rolls_back(server):
    """Nothing waits longer than probe_timeout; the canary never gets a client's connection."""
    each = server(arguments=(*PROBED, "--probe-timeout", "0.3")).boot()
    (each.directory / "app.py").write_text(
        "import threading\ndef application(environ, start_response):\n    threading.Event().wait()\n"
    )
    each.reload("reload failed")
    each.wait_for("the probe was not answered")
    assert 200 == each.get()[0]


def test_row_20_release_whose_workers_die_on_the_first_request_is_rolled_back(server):
    """Row 20: the import is fine, serving is not."""
    each = server(arguments=("--observe", "20"), workers=2).boot()
    (each.directory / "app.py").write_text(
        "import os\ndef application(environ, start_response):\n    os._exit(9)\n"
    )
    mark = len(each.output)
    each.process.send_signal(1)
    each.wait_for("worker ready", since=mark)
    until(lambda: not answered(each) or "reload failed" in each.output, "a request to meet a new worker")
    each.wait_for("a new worker died", since=mark)
    until(lambda: len(each.worker_pids()) == 2 and answered(each), "the old generation")
    assert 200 == each.get()[0]


def answered(each):
    """Ask once; tell whether an answer came."""
    each.drain()
    try:
        return each.get()[0] == 200
    except OSError:
        return False


def test_release_that_answers_only_5xx_is_rolled_back(server):
    """The observation counts what the new workers have answered."""
    each = server(arguments=("--observe", "1"), workers=1).boot()
    (each.directory / "app.py").write_text("def application(environ, start_response):\n    1 / 0\n")
    mark = len(each.output)
    each.process.send_signal(1)
    each.wait_for("worker ready", since=mark)
    until(lambda: each.get()[0] == 500, "the new worker's answer")
    each.wait_for("reload failed: the new workers answer only 5xx", since=mark)
    until(lambda: each.get()[0] == 200, "the old generation")


def test_new_bind_is_bound_and_a_dropped_one_closed_after_commit(server):
    """Row 64: the list of listeners changes with a reload."""
    each = server(arguments=("--observe", "0"))
    one, two = free_port(), free_port()
    config = each.directory / "forkcluster.toml"
    each.arguments = (*each.arguments, "--config", str(config))
    each.bind = ()
    config.write_text(f"[app]\nbind = '127.0.0.1:{one}'\n")
    each.boot()
    assert one == each.address[1]
    config.write_text(f"[app]\nbind = '127.0.0.1:{two}'\n")
    each.reload()
    each.address = ("127.0.0.1", two)
    assert 200 == each.get()[0]
    until(lambda: refused(one), "the dropped listener to close")


def test_dropped_bind_is_served_until_the_commit(server):
    """Who connects to it is answered or refused, also in the observation, and never reset."""
    each = server(arguments=("--observe", "1"))
    one, two = free_port(), free_port()
    config = each.directory / "forkcluster.toml"
    each.bind = ()
    config.write_text(f"[app]\nbind = ['127.0.0.1:{one}', '127.0.0.1:{two}']\n")
    each.boot()
    config.write_text(f"[app]\nbind = '127.0.0.1:{one}'\n")
    mark = len(each.output)
    each.process.send_signal(1)
    each.wait_for("worker ready .*generation=2", since=mark)
    answers = 0
    while (status := ask(two)) != 0:
        assert 200 == status
        answers += 1
    assert answers > 0
    each.wait_for("reload done", since=mark)


def ask(port):
    """Give the status of the answer, 0 when the connection is refused; a reset is an error."""
    try:
        client = socket.create_connection(("127.0.0.1", port), timeout=20)
    except ConnectionRefusedError:
        return 0
    with client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        return int(client.recv(12)[9:])


def test_added_bind_refuses_until_a_new_worker_serves_it(server, tmp_path):
    """It is bound before the application is loaded; nobody waits there for a release that is broken."""
    each = server(arguments=("--observe", "0"), bind=())
    one, two, path = free_port(), free_port(), tmp_path / "two.sock"
    config, app = each.directory / "forkcluster.toml", each.directory / "app.py"
    config.write_text(f"[app]\nbind = '127.0.0.1:{one}'\n")
    each.boot()
    good = app.read_text()
    config.write_text(f"[app]\nbind = ['127.0.0.1:{one}', '127.0.0.1:{two}', 'unix:{path}']\n")
    os.mkfifo(tmp_path / "gate")
    app.write_text(f"open({str(tmp_path / 'gate')!r}).read()\n1 / 0\n")
    mark = len(each.output)
    each.process.send_signal(1)
    with (tmp_path / "gate").open("w"), socket.socket(socket.AF_UNIX) as client:  # the app is being loaded
        assert 0 == ask(two)
        with pytest.raises(ConnectionRefusedError):
            client.connect(str(path))
        with pytest.raises(OSError, match="in use"):
            socket.create_server(("127.0.0.1", two))
    each.wait_for("reload failed", since=mark)
    assert (200, 0, False) == (ask(one), ask(two), path.exists())
    app.write_text(good)
    each.reload()
    assert (200, 200, True) == (ask(one), ask(two), path.exists())


def refused(port):
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) != 0


def test_bind_that_is_taken_refuses_the_reload(server):
    """Step one fails: nothing is changed, the address is named."""
    each = server(arguments=("--observe", "0"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config = each.directory / "forkcluster.toml"
        each.bind = ()
        config.write_text("[app]\nbind = '127.0.0.1:0'\n")
        each.boot()
        config.write_text(f"[app]\nbind = ['127.0.0.1:0', '127.0.0.1:{port}']\n")
        with pytest.raises(BindError, match="an address cannot be listened on") as caught:
            control.ask(each.control, "reload", timeout=20)
    assert (EXIT_BIND, True) == (caught.value.exit_code, f"on 127.0.0.1:{port}" in caught.value.remedy)
    assert 200 == each.get()[0]


@pytest.mark.parametrize("name", ["127.0..1", f"{'a' * 64}.example"])
def test_bind_to_what_is_no_name_refuses_the_reload(server, name):
    """The rules of names are the codec's, which raises no OSError; the app goes on."""
    each = server(arguments=("--observe", "0"))
    config = each.directory / "forkcluster.toml"
    each.bind = ()
    config.write_text("[app]\nbind = '127.0.0.1:0'\n")
    each.boot()
    config.write_text(f"[app]\nbind = ['127.0.0.1:0', '{name}:8000']\n")
    each.reload("reload failed: an address cannot be listened on")
    each.wait_for("cannot be resolved: it is not a name")
    assert 200 == each.get()[0]


def test_unix_socket_whose_file_was_deleted_is_bound_again_by_a_reload(server, tmp_path):
    """Row 56."""
    path = tmp_path / "app.sock"
    each = server(arguments=("--bind", f"unix:{path}", "--observe", "0")).boot()
    os.unlink(path)
    each.reload()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert b"HTTP/1.1 200" == client.recv(12)


@pytest.mark.parametrize("option", ["backlog = 100", "pid = 'other.pid'"])
def test_option_that_needs_a_restart_is_named_in_the_outcome(server, option):
    """A reload says what it could not bring about."""
    each = server(arguments=("--observe", "0"))
    config = each.directory / "forkcluster.toml"
    config.write_text("[app]\n")
    each.boot()
    config.write_text(f"[app]\n{option}\n")
    each.reload()
    each.wait_for(f"only a restart brings it about: {option.split()[0]}")

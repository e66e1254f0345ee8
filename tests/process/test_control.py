"""The control socket of a real master: its commands, its place, and clients that mean no good."""

import json
import os
import socket
import stat
import subprocess
import sys
import time

import pytest
from harness import processes, until

from forkcluster.errors import EXIT_BIND, EXIT_CONFIGURATION, ApplicationError, PeerError, UsageError
from forkcluster.manager.control import NotRunningError, ask
from forkcluster.wire.control import HEAD, MAGIC, VERSION


def test_status_says_what_every_worker_is_and_what_has_happened(server):
    """One request, one answer: pids, states, requests, the last events."""
    each = server(workers=2).boot()
    each.get()
    until(lambda: sum(w["requests"] for w in ask(each.control, "status")["workers"]) == 1, "it to be counted")
    status = ask(each.control, "status")
    assert each.pid == status["pid"]
    assert each.worker_pids() == {worker["pid"] for worker in status["workers"]}
    assert [0, 1] == [worker["slot"] for worker in status["workers"]]
    assert {"ready"} == {worker["state"] for worker in status["workers"]}
    assert "worker ready" in [event["text"] for event in status["events"]]


def test_reload_waits_and_gives_the_outcome(server):
    """The steps with their times."""
    each = server(arguments=("--observe", "0")).boot()
    each.write_app("two")
    answer = ask(each.control, "reload", timeout=20)
    assert 2 == answer["generation"]
    assert "loading the application" in [step["step"] for step in answer["steps"]]
    until(lambda: json.loads(each.get()[1])["version"] == "two", "the old worker to end")


def test_row_18_reload_that_fails_gives_the_traceback(server):
    """Row 18: whoever asked is told why."""
    each = server().boot()
    (each.directory / "app.py").write_text("raise RuntimeError('no database')\n")
    with pytest.raises(ApplicationError, match="the application could not be loaded") as caught:
        ask(each.control, "reload", timeout=20)
    assert "RuntimeError: no database" in caught.value.details


def test_reload_asked_during_a_reload_is_answered_by_the_next(server):
    """The one in progress may have read the old code already."""
    each = server(arguments=("--observe", "1")).boot()
    each.send(1)
    each.wait_for("reload started")
    assert 3 == ask(each.control, "reload", timeout=20)["generation"]


@pytest.mark.parametrize(("text", "workers"), [("3", 3), ("+1", 3), ("-1", 1)])
def test_scale_by_command(server, text, workers):
    """Absolute and relative."""
    each = server(workers=2).boot()
    assert {"ok": True, "before": 2, "workers": workers} == ask(each.control, "scale", workers=text)
    each.wait_for_workers(workers)


@pytest.mark.parametrize("text", ["0", "-2", "many", "", "100000", "+-3", "--2", "٣", "9" * 5000])
def test_scale_to_nonsense_is_refused(server, text):
    """Nothing changes."""
    each = server(workers=2).boot()
    with pytest.raises(UsageError, match="scaling to"):
        ask(each.control, "scale", workers=text)
    assert 2 == len(each.worker_pids())


@pytest.mark.parametrize(
    "request_",
    [
        {"environment": {"A": "b\0"}},
        {"environment": {"A=B": ""}},
        {"environment": {"A": "\ud800"}},
        {"request": {"flags": {}, "directory": "/\0"}},
    ],
    ids=["NUL", "equals", "surrogate", "directory"],
)
def test_what_no_environment_can_hold_is_refused(server, request_):
    """And the app goes on; a variable without a name, which some shells make, is left out."""
    each = server(workers=1, arguments=("--observe", "0")).boot()
    with pytest.raises(UsageError, match="cannot be a"):
        ask(each.control, "reload", timeout=20, **request_)
    kept = {"": "x", **os.environ}
    assert 2 == ask(each.control, "reload", timeout=20, environment=kept)["generation"]


def test_restart_replaces_every_worker_of_the_same_generation(server):
    """A roll without a reload; answered when all are new."""
    each = server(workers=2).boot()
    old = each.worker_pids()
    ask(each.control, "restart", timeout=20)
    until(lambda: not old & each.worker_pids() and len(each.worker_pids()) == 2, "new workers")
    assert {1} == {worker["generation"] for worker in ask(each.control, "status")["workers"]}


def test_stop_is_answered_at_the_end(server):
    """The answer is the last thing the master does; the socket's file is gone."""
    each = server(workers=2).boot()
    assert {"ok": True, "exit_code": 0} == ask(each.control, "stop", timeout=20)
    assert 0 == each.wait()
    assert [] == processes(each.pid)
    assert not os.path.exists(each.control)
    with pytest.raises(NotRunningError):
        ask(each.control, "status")


def test_signal_reaches_the_workers_of_a_slot(server):
    """TERM to one slot retires that worker."""
    each = server(workers=2).boot()
    (victim,) = [w["pid"] for w in ask(each.control, "status")["workers"] if w["slot"] == 1]
    assert [victim] == ask(each.control, "signal", signal="TERM", slot=1)["pids"]
    until(lambda: victim not in each.worker_pids() and len(each.worker_pids()) == 2, "a replacement")


@pytest.mark.parametrize(
    ("command", "arguments", "words"),
    [
        ("statsu", {}, "did you mean status"),
        ("signal", {"signal": "SEGV"}, "not sent to workers"),
        ("signal", {"signal": "TERM", "slot": 7}, "no worker has the slot 7"),
        ("status", {"events": -1}, "whole number"),
    ],
)
def test_nonsense_is_refused_in_words(server, command, arguments, words):
    """A person typed it."""
    each = server().boot()
    with pytest.raises(UsageError, match=words):
        ask(each.control, command, **arguments)


# -- its place


def test_socket_and_directories_are_private(server):
    """0700 and 0600, whatever the umask."""
    each = server()
    old = os.umask(0)
    try:
        each.boot()
    finally:
        os.umask(old)
    modes = [stat.S_IMODE(os.stat(path).st_mode) for path in (os.path.dirname(each.control), each.control)]
    assert [0o700, 0o600] == modes


def squat_file(home):
    (home / "apps" / "app" / "control.sock").write_text("squatted")


def squat_link(home):
    (home / "apps" / "app" / "control.sock").symlink_to("/dev/null")


def link_directory(home):
    (home / "apps" / "app").rename(home / "elsewhere")
    (home / "apps" / "app").symlink_to(home / "elsewhere")


def open_directory(home):
    (home / "apps" / "app").chmod(0o770)


@pytest.mark.parametrize(
    ("spoil", "words", "code"),
    [
        (squat_file, "something that is no socket is there", EXIT_BIND),
        (squat_link, "something that is no socket is there", EXIT_BIND),
        (link_directory, "it is a symbolic link", EXIT_CONFIGURATION),
        (open_directory, "others may write there", EXIT_CONFIGURATION),
    ],
)
def test_row_58_place_that_is_not_safe_is_refused(server, spoil, words, code):
    """Row 58: the start fails and says why."""
    each = server()
    home = each.directory / "home"
    for directory in (home, home / "apps", home / "apps" / "app"):
        directory.mkdir(mode=0o700)
    spoil(home)
    assert code == each.start().wait()
    assert words in each.output


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a directory away")
def test_row_58_directory_of_another_user_is_refused(server):
    """Row 58: its owner could replace the socket."""
    each = server()
    (each.directory / "home").mkdir(mode=0o700)
    os.chown(each.directory / "home", 65534, 65534)
    assert EXIT_CONFIGURATION == each.start().wait()
    assert "belongs to another user" in each.output


def test_no_writable_home_is_no_obstacle(server):
    """It runs all the same, and one line says where the control socket is."""
    each = server(environment={"FORKCLUSTER_HOME": "", "HOME": "/dev/null", "XDG_RUNTIME_DIR": "/dev/null"})
    each.boot()
    found = each.wait_for(r"no home for the control socket.*path=(\S+)")
    assert each.pid == ask(found[1], "status")["pid"]
    each.stop()
    assert not os.path.exists(found[1].removesuffix("/apps/app/control.sock"))


def test_control_off_makes_no_socket(server):
    """Asked for, it is left out."""
    each = server(arguments=("--control", "off")).boot()
    assert not os.path.exists(each.control)
    assert 0 == each.stop()


def test_second_app_of_the_same_name_gets_a_place_of_its_own(server):
    """Two projects may both be called app; a warning says how to tell them apart; nothing stays behind."""
    one = server().boot()
    two = server().boot()
    two.wait_for("another app of this name is registered.*registered_as=app-2")
    paths = [one.control, one.control.replace("/app/", "/app-2/")]
    assert [one.pid, two.pid] == [ask(path, "status")["pid"] for path in paths]
    two.stop()
    assert ["app"] == os.listdir(one.directory / "home" / "apps")


def test_socket_that_a_killed_master_left_is_replaced(server):
    """A stale file is no obstacle."""
    one = server().boot()
    one.send(9)
    one.process.wait()
    two = server().boot()
    assert two.pid == ask(two.control, "status")["pid"]


# -- clients that mean no good (row 59)


def connect(path):
    line = socket.socket(socket.AF_UNIX)
    line.connect(path)
    line.settimeout(10)
    return line


@pytest.mark.parametrize(
    "data", [b"GET / HTTP/1.1\r\n\r\n", os.urandom(100), HEAD.pack(MAGIC, VERSION, 1 << 30) + b"x" * 1000]
)
def test_row_59_garbage_and_a_gigabyte_announced_are_cut_at_once(server, data):
    """A readable refusal, then the end; nothing is kept for them."""
    each = server().boot()
    with connect(each.control) as line:
        line.sendall(data)
        answer = b""
        while chunk := line.recv(65536):
            answer += chunk
    assert b"reading a control message" in answer
    assert each.pid == ask(each.control, "status")["pid"]


def test_client_that_leaves_while_a_reload_runs_does_no_harm(server):
    """The reload goes on."""
    each = server(arguments=("--observe", "0")).boot()
    with pytest.raises(PeerError, match="no answer within"):
        ask(each.control, "reload", timeout=0.001)
    each.wait_for("reload done")
    assert each.pid == ask(each.control, "status")["pid"]


def test_row_59_a_thousand_silent_clients_neither_block_nor_grow_the_master(server):
    """The oldest silent one gives way; a command is answered at once, and descriptors stay bounded."""
    each = server().boot()
    before = each.descriptors()
    crowd = []
    try:
        for _ in range(1000):
            crowd.append(connect(each.control))
        begun = time.monotonic()
        assert each.pid == ask(each.control, "status", timeout=10)["pid"]
        assert time.monotonic() - begun < 5
        assert each.descriptors() <= before + 33
        assert 200 == each.get()[0]
    finally:
        for line in crowd:
            line.close()
    until(lambda: each.descriptors() <= before, f"{before} descriptors")


def test_row_59_client_that_never_reads_is_cut_and_delays_nobody(server):
    """Many answers asked for and none taken: the next command is answered at once."""
    each = server().boot()
    lines = [connect(each.control) for _ in range(20)]
    for line in lines:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        line.sendall(HEAD.pack(MAGIC, VERSION, 20) + b'{"command":"status"}')
    assert each.pid == ask(each.control, "status", timeout=5)["pid"]
    for line in lines:
        line.close()


def test_silent_client_is_cut_after_five_seconds(server):
    """The time for a request is limited."""
    each = server().boot()
    with connect(each.control) as line:
        assert b"" == line.recv(1)


@pytest.mark.skipif(os.getuid() != 0, reason="needs root to become another user")
def test_row_59_another_user_is_refused(server):
    """The peer's credentials are looked at, not only the file's mode."""
    each = server().boot()
    code = (
        "import os, socket, sys\n"
        "os.chdir(sys.argv[1]); s = socket.socket(socket.AF_UNIX)\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "s.connect('control.sock'); s.settimeout(10); print(s.recv(1))\n"
    )
    os.chmod(each.control, 0o666)
    os.chmod(os.path.dirname(each.control), 0o755)
    place = os.path.dirname(each.control)
    path = each.directory
    while str(path) != "/":
        path.chmod(path.stat().st_mode | 0o011)
        path = path.parent
    (each.directory / "home").chmod(0o711)
    (each.directory / "home" / "apps").chmod(0o711)
    done = subprocess.run([sys.executable, "-c", code, place], capture_output=True, text=True, timeout=20)
    assert "b''\n" == done.stdout
    each.wait_for("a stranger was refused.*uid=65534")

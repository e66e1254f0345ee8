"""Descriptors, processes and memory that run short. Rows 31 to 35 and 37."""

import contextlib
import os
import resource
import signal
import socket
from pathlib import Path

import pytest
from board import STOPPED, capacity, close_all, idle_connections, lines, state, total, wait_for_ready
from harness import until
from scene import CALLED, preload, serve_source, whole
from strict import Connection, Fault

from forkcluster.errors import PeerError
from forkcluster.manager.control import ask

EATING = """
import os, threading, time
EATEN = []

def give_back():
    while not os.path.exists("full"):
        time.sleep(0.01)
    while EATEN:
        os.close(EATEN.pop())

def application(environ, start_response):
    if environ["PATH_INFO"].startswith("/eat"):
        threading.Thread(target=give_back, daemon=True).start()
        try:
            while True:
                EATEN.append(os.open("/dev/null", os.O_RDONLY))
        except OSError:
            pass
    data = b'{"pid": %d, "path": "%s", "body": ""}' % (os.getpid(), environ["PATH_INFO"].encode())
    start_response("200 OK", [("Content-Length", str(len(data)))])
    return [data]
"""


def cpu_of(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_row_31_worker_without_a_descriptor_leaves_accepting_to_its_peers(server):
    """It closes idle connections rather than spin; every new client is answered; it recovers by itself."""
    each = serve_source(server, EATING, workers=2, descriptors_most=128)
    wait_for_ready(each, 2)
    door = Connection(each.address)
    eater = door.ask("/eat?")["pid"]
    before = cpu_of(eater)
    for _ in range(30):
        connection = Connection(each.address)
        assert eater != connection.ask(close=True)["pid"]
        connection.close()
    assert cpu_of(eater) - before < 0.5
    (each.directory / "full").touch()
    until(lambda: lines(each)[eater]["state"] == "ready", "it to take connections again")
    close_all([door])
    whole(each, workers=2)


def test_row_31_lone_worker_without_a_descriptor_serves_one_after_the_other(server):
    """With nobody else to accept it sheds idle connections, and nobody is refused or reset."""
    each = serve_source(server, EATING, descriptors_most=128)
    wait_for_ready(each, 1)
    idle = idle_connections(each, 20)
    door = Connection(each.address)
    door.ask("/eat?")
    for _ in range(20):
        connection = Connection(each.address)
        connection.ask(close=True)
        connection.close()
    assert total(each, "shed") > 0 or total(each, "accept_errors") > 0
    close_all([door, *idle])


def test_row_33_master_without_a_descriptor_supervises_on(server):
    """A control client is sent away, a killed worker is replaced as soon as there are descriptors again."""
    each = serve_source(server, CALLED, workers=2)
    wait_for_ready(each, 2)
    before = cpu_of(each.pid)
    used = max(map(int, os.listdir(f"/proc/{each.pid}/fd"))) + 1
    hard = resource.prlimit(each.pid, resource.RLIMIT_NOFILE)[1]
    resource.prlimit(each.pid, resource.RLIMIT_NOFILE, (used, hard))
    with contextlib.ExitStack() as stack:
        for _ in range(16):  # whatever is free below the limit is taken up by these
            client = stack.enter_context(socket.socket(socket.AF_UNIX))
            client.connect(each.control)
        with pytest.raises(PeerError):
            ask(each.control, "status", timeout=2)
        each.wait_for("clients of the control socket are sent away")
        victim = min(each.worker_pids())
        each.send(signal.SIGKILL, victim)
        each.wait_for("worker died")
        for _ in range(5):
            assert 200 == each.get()[0]
    resource.prlimit(each.pid, resource.RLIMIT_NOFILE, (hard, hard))
    whole(each, workers=2)
    assert cpu_of(each.pid) - before < 5
    assert 2 == len(ask(each.control, "status")["workers"])


SCARCE = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

pid_t
fork(void)
{
    pid_t (*real)(void) = (pid_t (*)(void))dlsym(RTLD_NEXT, "fork");

    if (access(getenv("SCARCE"), F_OK) == 0) {
        errno = EAGAIN;
        return -1;
    }
    return real();
}
"""


def test_row_34_want_of_processes_leaves_fewer_workers(server):
    """fork(2) says EAGAIN: it waits longer and longer, serves with what it has, and recovers."""
    each = server(workers=2)
    flag = each.directory / "scarce"
    (each.directory / "app.py").write_text(CALLED)
    each.environment = {**preload(each, "scarce", SCARCE), "SCARCE": str(flag)}
    each.boot()
    wait_for_ready(each, 2)
    flag.touch()
    (mold,) = [process.pid for process in each.processes("mold")]
    ask(each.control, "scale", workers="4")
    each.wait_for("could not be forked: Resource temporarily unavailable.*next_in=0.4")
    each.send(signal.SIGKILL, min(each.worker_pids()))
    each.wait_for("worker died")
    assert 1 == len(each.worker_pids())
    assert 200 == each.get()[0]
    each.reload("reload failed")
    assert 200 == each.get()[0]
    assert "the mold cannot fork" not in each.output
    flag.unlink()
    whole(each, workers=4)
    assert [mold] == [process.pid for process in each.processes("mold")]
    assert 200 == each.get()[0]


def test_row_35_connection_that_cannot_be_sent_is_kept(server):
    """The receiver is stopped and its inbox full: the sender serves what it has accepted."""
    each = serve_source(server, CALLED, workers=2)
    wait_for_ready(each, 2)
    victim, other = sorted(each.worker_pids())
    each.send(signal.SIGSTOP, victim)
    until(lambda: state(victim) == STOPPED, "it to stop")
    connections = []
    for _ in range(600):
        connections.append(Connection(each.address))
    answered = 0
    for connection in connections:
        with contextlib.suppress(Fault):
            answered += connection.ask()["pid"] == other
    assert 600 == answered
    assert 0 == total(each, "truncated")
    each.send(signal.SIGCONT, victim)
    close_all(connections)


GROWING = """
import os
HELD = []
def application(environ, start_response):
    if environ["PATH_INFO"].startswith("/grow"):
        HELD.append(b"x" * 120_000_000)
    data = b'{"pid": %d, "path": "%s", "body": ""}' % (os.getpid(), environ["PATH_INFO"].encode())
    start_response("200 OK", [("Content-Length", str(len(data)))])
    return [data]
"""


def test_row_37_workers_that_have_grown_are_replaced_one_at_a_time(server):
    """Both are over --max-memory; never is the capacity below two, and no connection is closed."""
    each = serve_source(server, GROWING, workers=2, arguments=("--max-memory", "80M"))
    wait_for_ready(each, 2)
    old = each.worker_pids()
    idle = idle_connections(each, 10)
    grown = set()
    while not old <= grown:  # the first may be replaced before the second is asked
        connection = Connection(each.address)
        grown.add(connection.ask("/grow?")["pid"])
        connection.close()

    fewest = 2

    def is_renewed():
        nonlocal fewest
        fewest = min(fewest, capacity(each))
        for connection in idle[:2]:
            connection.ask()
        return not old & each.worker_pids()

    until(is_renewed, "both to be replaced")
    assert 2 == fewest
    for connection in idle:
        connection.ask()
    each.wait_for("worker asks to be retired.*memory")
    close_all(idle)

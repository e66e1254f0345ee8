"""Signals in storms and at bad moments, crash loops, applications that end their workers. Rows 25, 27, 28,
66, 67 and 69.
"""

import contextlib
import http.client
import signal
import socket
import subprocess
import sys
import time

import pytest
from harness import processes, until

from forkcluster.manager.control import ask


def test_row_25_second_term_is_harmless_and_quit_is_fast(server):
    """A request that never ends is cut by QUIT, not by patience."""
    each = server()
    (each.directory / "app.py").write_text(
        "import pathlib, threading\n"
        "def application(environ, start_response):\n"
        "    pathlib.Path('called').touch()\n    threading.Event().wait()\n"
    )
    each.boot()
    code = f"import urllib.request as u; u.urlopen('http://127.0.0.1:{each.address[1]}/')"
    client = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    until((each.directory / "called").exists, "the request to run")
    for _ in range(3):
        each.send(signal.SIGTERM)
    each.wait_for("stopping")
    begun = time.monotonic()
    assert 0 == each.stop(signal.SIGQUIT)
    assert time.monotonic() - begun < 10
    client.wait(10)


def test_row_27_storm_of_signals_grows_nothing(server):
    """Thousands of HUP, USR1, USR2, TTIN and TTOU; it answers, with as many descriptors as before."""
    each = server(arguments=("--observe", "0")).boot()
    each.reload()
    until(lambda: len(each.processes()) == 3, "the old generation to end")
    before = each.descriptors()
    for _ in range(1000):
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTTIN, signal.SIGTTOU):
            each.send(number)
        each.drain()
    ask(each.control, "reload", timeout=60)
    ask(each.control, "scale", workers="1")

    def quiet():
        status = ask(each.control, "status")
        return not status["reloading"] and len(each.processes()) == 3

    until(quiet, "rest", patience=60)
    assert 200 == each.get()[0]
    until(lambda: each.descriptors() <= before, f"{before} descriptors")
    assert [] == [process for process in each.processes() if process.state == "Z"]


def test_row_69_crash_loop_of_all_workers_is_capped_and_heals_by_itself(server):
    """The cause goes, the cluster serves again without anybody's doing."""
    each = server(workers=2, arguments=("--min-uptime", "0.1"))
    flag = each.directory / "broken"
    (each.directory / "app.py").write_text(
        "def application(environ, start_response):\n    start_response('200 OK', [])\n    return [b'']\n"
    )
    (each.directory / "hooks.py").write_text(
        "import os, pathlib\n"
        "def check(occasion):\n    if pathlib.Path('broken').exists():\n        os._exit(7)\n"
    )
    each.arguments = (*each.arguments, "--post-fork", "hooks:check")
    each.boot()
    flag.touch()
    for pid in each.worker_pids():
        each.send(signal.SIGKILL, pid)
    each.wait_for("worker failed to boot.*exited with status 7.*next_in=0.4")
    flag.unlink()
    each.wait_for_workers(2)
    assert 200 == each.get()[0]


@pytest.mark.parametrize("call", ["os._exit(3)", "sys.exit(3)", "os.kill(os.getpid(), 11)"])
def test_row_67_application_that_ends_its_worker_is_replaced(server, call):
    """Whatever it calls, another worker serves."""
    each = server(workers=1)
    (each.directory / "app.py").write_text(
        "import os, sys\n"
        "def application(environ, start_response):\n"
        f"    if environ['PATH_INFO'] == '/end': {call}\n"
        "    start_response('200 OK', [])\n    return [b'']\n"
    )
    each.boot()
    (old,) = each.worker_pids()
    with contextlib.suppress(OSError):
        each.get("/end")
    until(lambda: each.worker_pids() and old not in each.worker_pids(), "a replacement")
    assert 200 == each.get()[0]


def test_row_28_signals_meant_for_the_group_do_not_touch_workers_or_mold(server):
    """INT, HUP, QUIT and USR1 to each of them: the same processes go on; TERM replaces a worker."""
    each = server(workers=1).boot()
    (worker,) = each.worker_pids()
    (mold,) = [process.pid for process in each.processes("mold")]
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1):
        for pid in (worker, mold):
            each.send(number, pid)
        assert 200 == each.get()[0]
    each.send(signal.SIGTERM, mold)
    assert {worker, mold} == {process.pid for process in each.processes() if process.pid != each.pid}
    each.send(signal.SIGTERM, worker)
    until(lambda: each.worker_pids() and worker not in each.worker_pids(), "a replacement")
    each.wait_for("worker ended.*exited with status 0")
    assert "Traceback" not in each.output


MEDDLING = """
import os, signal, threading
def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/thread":
        thread = threading.Thread(target=lambda: 1 / 0)
        thread.start()
        thread.join()
    if path == "/signals":
        try:
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
                signal.signal(number, signal.SIG_IGN)
        except ValueError:
            pass  # not on the main thread
    if path == "/close":
        os.closerange(3, 1000)
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""


@pytest.mark.parametrize("meddling", ["/thread", "/signals", "/close"])
def test_row_67_application_that_meddles_with_its_process_serves_on_or_is_replaced(server, meddling):
    """A thread that raises, ignored signals, closed descriptors: clients are served, and it stops."""
    each = server(workers=2, arguments=("--drain-timeout", "2", "--min-uptime", "0.1"))
    (each.directory / "app.py").write_text(MEDDLING)
    each.boot()
    with contextlib.suppress(OSError, http.client.HTTPException):
        each.get(meddling)

    def serves():
        try:
            return [each.get() for _ in range(10)] == [(200, b"ok")] * 10
        except (OSError, http.client.HTTPException):
            return False

    until(serves, "ten answers in a row")
    each.wait_for_workers(2)
    assert 0 == each.stop()
    assert [] == processes(each.pid)


FORKING = """
import os, subprocess
def application(environ, start_response):
    if environ["PATH_INFO"] == "/daemon":
        if os.fork() == 0:
            os.setpgid(0, 0)
            if os.fork() == 0:
                os.execvp("sleep", ["sleep", "30"])
            os._exit(0)
    if environ["PATH_INFO"] == "/zombie":
        if os.fork() == 0:
            os._exit(0)
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""


def test_row_66_daemons_and_zombies_of_the_app_are_not_taken_for_workers(server):
    """They are reaped when they end, hold no listener, and neither stop nor replacement waits for them."""
    each = server(workers=1)
    (each.directory / "app.py").write_text(FORKING)
    each.boot()
    (worker,) = each.worker_pids()  # before there are children that have not changed their titles yet
    for path in ("/daemon", "/zombie", "/daemon"):
        assert 200 == each.get(path)[0]
    each.send(signal.SIGKILL, worker)
    until(lambda: each.worker_pids() and worker not in each.worker_pids(), "a replacement")
    each.wait_for_workers(1)
    until(lambda: not [p for p in each.processes() if p.state == "Z"], "the zombies to be reaped")
    assert 0 == each.stop()
    left = processes(each.pid)
    assert {"sleep 30"} == {process.title for process in left}
    with socket.socket() as probe:
        probe.setsockopt(
            socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
        )  # past connections may linger, no listener
        probe.bind(each.address)

"""Rows of the table of faults that no other file has: storms of signals, bad moments, crash loops."""

import contextlib
import signal
import subprocess
import sys
import time

import pytest
from harness import processes, until

from forkcluster.manager.control import ask


def test_stop_during_the_first_boot_leaves_nothing(server):
    """Row 24: TERM while the application is being imported ends with 0, and the socket's file is gone."""
    each = server(workers=2, arguments=("--bind", "unix:app.sock", "--pid", "run.pid"))
    (each.directory / "app.py").write_text(
        "import pathlib, threading\npathlib.Path('importing').touch()\nthreading.Event().wait()\n"
    )
    each.start()
    until((each.directory / "importing").exists, "the import")
    assert 0 == each.stop()
    assert [] == processes(each.pid)
    assert [] == [name for name in ("app.sock", "run.pid") if (each.directory / name).exists()]


def test_second_term_is_harmless_and_quit_is_fast(server):
    """Row 25: a request that never ends is cut by QUIT, not by patience."""
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


def test_storm_of_signals_grows_nothing(server):
    """Row 27: thousands of HUP, USR1, USR2, TTIN and TTOU; it answers, with as many descriptors as before."""
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
    until(lambda: each.descriptors() == before, f"{before} descriptors")
    assert [] == [process for process in each.processes() if process.state == "Z"]


def test_crash_loop_of_all_workers_is_capped_and_heals_by_itself(server):
    """Row 69: the cause goes, the cluster serves again without anybody's doing."""
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
def test_application_that_ends_its_worker_is_replaced(server, call):
    """Row 67: whatever it calls, another worker serves."""
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

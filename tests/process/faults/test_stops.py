"""SIGSTOP of workers, molds and the master, and what goes on after SIGCONT. Rows 15 to 17, 26 and 29."""

import json
import signal
import time

import pytest
from board import STOPPED, close_all, idle_connections, lines, state, total, wait_for_ready
from harness import until
from scene import CALLED, go_on, serve_source, slots, stop_at, stopped_process, whole
from strict import Connection, Load


def test_row_15_idle_worker_that_is_stopped_is_gone_round_and_comes_back(serve):
    """Others answer everything new, its own connections wait; continued it serves again."""
    each = serve(workers=2)
    wait_for_ready(each, 2)
    victim, other = sorted(each.worker_pids())
    each.send(signal.SIGSTOP, victim)
    until(lambda: state(victim) == STOPPED, "it to stop")
    for _ in range(30):
        connection = Connection(each.address)
        assert other == connection.ask(body="posted", close=True)["pid"]
        connection.close()
    each.send(signal.SIGCONT, victim)

    def serves():
        connection = Connection(each.address)
        pid = connection.ask(close=True)["pid"]
        connection.close()
        return pid == victim

    until(serves, "it to serve again")
    assert {victim, other} == each.worker_pids()


@pytest.mark.parametrize("point", ["mold-before-hello", "mold-before-loaded"])
def test_row_16_mold_that_is_stopped_in_a_reload_is_given_up(server, point):
    """boot_timeout passes, the old generation goes on, and the next reload is done."""
    each = stop_at(server, f"{point}@2", arguments=("--boot-timeout", "3", "--observe", "0"), workers=2)
    old = each.worker_pids()
    each.reload("reload failed: the application could not be loaded; generation 1 goes on")
    each.wait_for("not loaded within 3 s")
    assert json.loads(each.get()[1])["pid"] in old
    assert old == each.worker_pids()
    whole(each, workers=2)
    each.reload()


def test_row_16_mold_that_is_stopped_does_not_keep_a_slot_empty(server):
    """Nobody waits for boot_timeout, a minute: the mold is told to go on."""
    each = serve_source(server, CALLED)
    (mold,) = each.processes("mold")
    each.send(signal.SIGSTOP, mold.pid)
    until(lambda: state(mold.pid) == STOPPED, "it to stop")
    (worker,) = each.worker_pids()
    each.send(signal.SIGKILL, worker)
    assert worker != json.loads(each.get()[1])["pid"]
    each.wait_for("somebody has stopped it")
    whole(each, workers=1)
    assert [mold.pid] == [process.pid for process in each.processes("mold")]


def test_row_17_master_that_is_stopped_harms_nobody(serve):
    """Serving goes on without it; afterwards it kills nobody for what it has missed."""
    each = serve(workers=2, arguments=("--request-timeout", "1", "--request-warn", "0.5"))
    wait_for_ready(each, 2)
    workers = each.worker_pids()
    with Load(each.address) as load:
        each.send(signal.SIGSTOP)
        until(lambda: state(each.pid) == STOPPED, "it to stop")
        begun = time.monotonic()
        until(lambda: time.monotonic() > begun + 2, "longer than any limit")
        before = load.answers.total()
        until(lambda: load.answers.total() > before + 50, "answers without a master")
        each.send(signal.SIGCONT)
        each.wait_for("the master was late")
        until(lambda: load.answers.total() > before + 100, "answers with one")
    assert {} == dict(load.faults)
    assert workers == each.worker_pids()


@pytest.mark.parametrize("point", ["worker-before-hello", "worker-before-ready"])
def test_row_26_term_to_a_worker_that_is_just_forked_is_honoured(server, point):
    """It comes before the worker has its handlers or its engine, and is not lost."""
    each = stop_at(server, f"{point}@1.2", workers=2)
    wait_for_ready(each, 2)
    each.send(signal.SIGKILL, next(p for p, line in lines(each).items() if line["slot"] == 1))
    newborn = stopped_process(each)
    each.send(signal.SIGTERM, newborn.pid)
    go_on(each, newborn)
    each.wait_for(f"worker asks to be retired.*SIGTERM.*pid={newborn.pid}")
    until(lambda: newborn.pid not in each.worker_pids(), "it to leave")
    whole(each, workers=2)
    assert [0, 1] == slots(each)


HANGS = {
    "thread": "threading.Thread(target=threading.Event().wait).start()",
    "atexit": "atexit.register(threading.Event().wait)",
    "gil": 'atexit.register(lambda: re.match("(a+)+$", "a" * 40 + "b"))',
}


@pytest.mark.parametrize("hang", HANGS)
def test_row_29_worker_that_hangs_on_its_way_out_is_killed_at_its_deadline(server, hang):
    """A thread, an atexit function, C code that keeps the GIL: nobody else is delayed."""
    source = CALLED.replace(
        "\ndef application",
        f"\nimport atexit, re, threading\ndef hang(occasion):\n    {HANGS[hang]}\n\ndef application",
        1,
    )
    arguments = ("--post-fork", "app:hang", "--drain-timeout", "1", "--observe", "0")
    each = serve_source(server, source, workers=2, arguments=arguments)
    old = each.worker_pids()
    connection = idle_connections(each, 1)[0]
    (each.directory / "app.py").write_text(CALLED + "\ndef hang(occasion):\n    pass\n")
    each.reload()
    connection.ask(body="posted")
    until(lambda: not old & each.worker_pids(), "the old workers to end", patience=5)
    connection.ask(body="posted")
    until(lambda: total(each, "in_flight") == 0, "the last answer to be counted")
    whole(each, workers=2)
    assert 0 == each.stop()
    close_all([connection])

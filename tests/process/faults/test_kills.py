"""kill -9 of workers, molds and the process between them, at each step. Rows 1 to 10 and 14."""

import os
import signal

import pytest
from board import close_all, held_by, idle_connections, lines, state, stopped, wait_for_ready
from harness import processes, until
from scene import CALLED, calls, go_on, kill_first, serve_source, slots, stop_at, stopped_process, whole
from strict import Connection, Fault

from forkcluster.manager.control import ask


def answered(each):
    return sum(sum(line["requests"]) for line in lines(each).values())


def requests_of_slot(each, slot):
    return sum(line["requests"][2] for line in lines(each).values() if line["slot"] == slot)


def test_row_01_idle_worker_killed_is_replaced_without_an_error(server):
    """Nobody loses an answer, and the seat's counters go on where they were."""
    each = serve_source(server, CALLED, workers=2)
    wait_for_ready(each, 2)
    for _ in range(8):
        each.get()
    until(lambda: answered(each) == 8, "the answers to be counted")
    victim = kill_first(each)
    for _ in range(50):
        connection = Connection(each.address)
        connection.ask(body="posted", close=True)
        connection.close()
    until(lambda: len(each.worker_pids() - {victim}) == 2, "a replacement")
    wait_for_ready(each, 2)
    until(lambda: answered(each) == 58, "the answers to be counted")
    assert 58 == len(calls(each))
    assert [0, 1] == slots(each)


def test_row_02_worker_killed_in_a_request_loses_that_and_what_it_held(serve):
    """Its running POST and its idle connections end; nothing is called a second time; others see nothing."""
    each = serve(workers=2)
    wait_for_ready(each, 2)
    connections = idle_connections(each, 20)
    until(lambda: not any(line["in_flight"] for line in lines(each).values()), "their answers' end")
    busy = Connection(each.address)
    busy.send("/hold?30", "posted")
    victim = until(lambda: [p for p, line in lines(each).items() if line["in_flight"]], "the POST")[0]
    until(lambda: sum(line["idle"] for line in lines(each).values()) == 20, "rest")
    held = held_by(each, victim, connections)
    each.send(signal.SIGKILL, victim)
    with pytest.raises(Fault, match=r"closed|reset"):
        busy.take()
    lost = set()
    for connection in connections:
        try:
            connection.ask(body="again")
        except Fault:
            lost.add(connection)
    assert set(held) == lost
    close_all([busy, *connections])


def test_row_02_request_of_a_killed_worker_is_never_replayed(server):
    """The application was called once."""
    each = serve_source(server, CALLED, workers=2)
    busy = Connection(each.address)
    busy.send("/hold?30", "posted")
    until(lambda: calls(each) == ["/hold"], "the call")
    victim = next(p for p, line in lines(each).items() if line["in_flight"])
    each.send(signal.SIGKILL, victim)
    with pytest.raises(Fault, match=r"closed|reset"):
        busy.take()
    each.wait_for_workers(2)
    each.get("/after")
    assert ["/hold", "/after"] == calls(each)
    busy.close()


def test_row_03_worker_killed_when_woken_leaves_the_connection_to_a_peer(serve):
    """The kernel has told nobody else of it: the others are nudged at the death."""
    each = serve(workers=2, environment={"FORKCLUSTER_STOP_AT": "accept-before@1.1"})
    wait_for_ready(each, 2)
    waiting = []
    while "T" not in map(state, each.worker_pids()):
        waiting.append(Connection(each.address))
        waiting[-1].send("/", "posted")
        until(lambda: not waiting[-1].is_open() or "T" in map(state, each.worker_pids()), "either")
    each.send(signal.SIGKILL, stopped(each))
    assert {"/"} == {connection.take("/", "posted")["path"] for connection in waiting}
    close_all(waiting)


@pytest.mark.parametrize("point", ["worker-before-hello", "worker-before-ready"])
def test_row_05_worker_killed_before_it_is_ready_is_a_failed_boot(server, point):
    """It is told and counted as one, the next is forked after a pause, the other serves meanwhile."""
    each = stop_at(server, f"{point}@1.2", workers=2)
    wait_for_ready(each, 2)
    each.send(signal.SIGKILL, next(p for p, line in lines(each).items() if line["slot"] == 1))
    unborn = stopped_process(each)
    assert 200 == each.get()[0]
    each.send(signal.SIGKILL, unborn.pid)
    each.wait_for("worker failed to boot.*SIGKILL.*next_in=0.[24]")
    whole(each, workers=2)
    assert [0, 1] == slots(each)


def test_row_06_all_workers_killed_at_once_keep_everybody_waiting(serve):
    """New clients are never refused: they wait in the queue and are answered; all slots come back."""
    each = serve(workers=3)
    wait_for_ready(each, 3)
    mold = {process.pid for process in each.processes("mold")}
    before = each.worker_pids()
    for pid in before:
        each.send(signal.SIGKILL, pid)
    clients = [Connection(each.address) for _ in range(30)]
    for number, client in enumerate(clients):
        client.send(f"/{number}", "posted")
    assert 30 == len([client.take(f"/{number}", "posted") for number, client in enumerate(clients)])
    whole(each, workers=3)
    assert not before & each.worker_pids()
    assert mold == {process.pid for process in each.processes("mold")}
    assert [0, 1, 2] == slots(each)
    close_all(clients)


def test_row_07_killed_mold_is_started_again_without_touching_workers(server):
    """The mold is only needed for the next fork, and there again when it is."""
    each = serve_source(server, CALLED, workers=2)
    workers = each.worker_pids()
    connection = idle_connections(each, 1)[0]
    (mold,) = [process.pid for process in each.processes("mold")]
    each.send(signal.SIGKILL, mold)
    each.wait_for("the mold ended")
    until(lambda: [p for p in each.processes("mold") if p.pid != mold and "g1" in p.title], "a new mold")
    assert workers == each.worker_pids()
    connection.ask(body="posted")
    each.send(signal.SIGKILL, min(workers))
    until(lambda: len(each.worker_pids() - {min(workers)}) == 2, "a replacement")
    connection.close()


@pytest.mark.parametrize("point", ["mold-before-fork", "mold-before-forked", "middle", "middle-forked"])
def test_row_08_mold_killed_in_a_fork_makes_no_slot_twice(server, point):
    """The half-born worker comes to nothing or ends by itself; a new mold forks the one that stays."""
    each = stop_at(server, f"{point}@1.2", workers=2)
    wait_for_ready(each, 2)
    (mold,) = [process.pid for process in each.processes("mold")]
    each.send(signal.SIGKILL, next(p for p, line in lines(each).items() if line["slot"] == 1))
    halfway = stopped_process(each)
    each.send(signal.SIGKILL, mold)
    if halfway.pid != mold:
        each.wait_for("the mold ended")
        go_on(each, halfway)
    for _ in range(5):
        assert 200 == each.get()[0]
    whole(each, workers=2)
    assert [0, 1] == slots(each)
    assert 0 == each.stop()


@pytest.mark.parametrize(("point", "failed"), [("middle", True), ("middle-forked", False)])
def test_row_09_process_between_mold_and_worker_killed_is_one_failed_fork(server, point, failed):
    """The mold hears the end of its pipe, reaps it and forks again; a worker that is born already stays."""
    each = stop_at(server, f"{point}@1.2", workers=2)
    wait_for_ready(each, 2)
    molds = {process.pid for process in each.processes("mold")}
    each.send(signal.SIGKILL, next(p for p, line in lines(each).items() if line["slot"] == 1))
    between = stopped_process(each)
    if not failed:
        until(lambda: len([p for p in each.processes("worker") if p.state == "S"]) == 2, "the worker's birth")
        wait_for_ready(each, 2)
    each.send(signal.SIGKILL, between.pid)
    if failed:
        each.wait_for("could not be forked")
    whole(each, workers=2)
    assert molds == {process.pid for process in each.processes("mold")}
    assert [0, 1] == slots(each)


def test_row_10_mold_that_cannot_fork_twice_is_replaced(server):
    """The server lives on; another mold of the same generation does what the first could not."""
    each = server(workers=2, environment={"FORKCLUSTER_STOP_AT": "middle@1"})
    each.start()
    each.send(signal.SIGKILL, stopped_process(each).pid)
    each.find_address()
    between = stopped_process(each)
    (mold,) = [process.pid for process in each.processes("mold") if process.pid != between.pid]
    each.send(signal.SIGKILL, between.pid)
    each.wait_for("the mold cannot fork; it is replaced")
    assert 200 == each.get()[0]
    go_on(each, stopped_process(each))
    whole(each, workers=2)
    assert mold not in {process.pid for process in each.processes("mold")}
    assert 200 == each.get()[0]


def test_row_14_killed_master_leaves_nothing_after_two_seconds(server):
    """Running requests are answered, then no worker and no mold stays."""
    each = serve_source(server, CALLED, workers=2)
    busy = Connection(each.address)
    busy.send("/hold?0.5", "posted")
    until(lambda: calls(each) == ["/hold"], "the call")
    each.send(signal.SIGKILL)
    each.process.wait(5)
    assert "posted" == busy.take("/hold", "posted", close=True)["body"]
    until(lambda: processes(each.pid) == [], "an empty session", patience=4)
    busy.close()


def test_row_69_crash_loop_of_one_slot_leaves_the_others_alone(server):
    """It waits longer each time; the other slot's worker is the same all along, and serves."""
    source = CALLED + (
        "\ndef check(occasion):\n"
        "    if occasion.slot == 1 and os.path.exists('broken'):\n        os._exit(7)\n"
    )
    each = serve_source(server, source, workers=2, arguments=("--post-fork", "app:check"))
    wait_for_ready(each, 2)
    (each.directory / "broken").touch()
    good = next(p for p, line in lines(each).items() if line["slot"] == 0)
    each.send(signal.SIGKILL, next(p for p, line in lines(each).items() if line["slot"] == 1))
    each.wait_for("worker failed to boot.*exited with status 7.*next_in=0.[48]")
    assert 200 == each.get()[0]
    assert {good} == each.worker_pids()
    os.unlink(each.directory / "broken")
    each.wait_for_workers(2)
    until(lambda: len(ask(each.control, "status")["workers"]) == 2, "both slots")
    assert good in each.worker_pids()

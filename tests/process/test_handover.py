"""Connections move between workers and nobody outside notices."""

import os
import resource
import signal
import time

import pytest
from board import (
    SANITIZED,
    STOPPED,
    close_all,
    held_by,
    idle_connections,
    lines,
    resident,
    state,
    stopped,
    total,
    wait_for_ready,
)
from harness import PATIENCE, until
from strict import Connection, Fault, Load

RELOADS = int(os.environ.get("FORKCLUSTER_TEST_RELOADS", "30"))


# -- reload ----------------------------------------------------------------------------------------------


def test_reloads_under_load_lose_nothing(serve):
    """Keep-alive, connection per request, slow and idle clients see nothing of it."""
    each = serve(workers=2, arguments=("--observe", "0"))
    each.reload()
    until(lambda: len(each.processes()) == 4, "master, mold and two workers")
    descriptors, memory = each.descriptors(), []
    with Load(each.address) as load:
        for _ in range(RELOADS):
            before = load.answers.total()
            each.reload()
            until(lambda b=before: load.answers.total() > b + 50, "answers between two reloads")
            memory.append(resident(each.pid))
        handed_in = total(each, "handed_in")
    until(lambda: each.descriptors() <= descriptors and len(each.processes()) == 4, "rest")
    assert SANITIZED or memory[-1] < memory[RELOADS // 2] + 2_000_000, "the master grows"
    assert {} == dict(load.faults)
    assert {"keep", "new", "slow", "idle"} == set(load.answers)
    assert len(load.pids) > RELOADS
    assert handed_in > RELOADS
    assert 0 == total(each, "truncated")


def test_idle_connections_outlive_reloads_without_a_request(serve):
    """A hundred connections that are silent through five reloads are all answered afterwards."""
    each = serve(workers=2, arguments=("--observe", "0"))
    connections = idle_connections(each, 100)
    for _ in range(5):
        old = each.worker_pids()
        each.reload()
        until(lambda o=old: not o & each.worker_pids(), "the old workers to end")
    assert [True] * 100 == [connection.is_open() for connection in connections]
    assert each.worker_pids() >= {connection.ask()["pid"] for connection in connections}
    close_all(connections)


def test_half_a_head_moves_with_its_bytes_and_its_deadline(serve):
    """A head begun before a reload and ended after it is answered; one never ended times out in its time."""
    each = serve(arguments=("--observe", "0", "--header-timeout", "5"))
    connection, slow = Connection(each.address), Connection(each.address)
    connection.send_bytes(b"GET /half HTTP/1.1\r\nHost: str")
    slow.send_bytes(b"GET /never HTTP/1.1\r\n")
    until(lambda: total(each, "bytes_in") >= 49, "both halves to arrive")
    (old,) = each.worker_pids()
    each.reload()
    until(lambda: old not in each.worker_pids(), "the old worker to end")
    connection.send_bytes(b"ict\r\n\r\n")
    answer = connection.take("/half")
    assert (True, "/half") == (answer["pid"] != old, answer["path"])
    with pytest.raises(Fault, match="status 408"):
        slow.take()
    close_all([connection, slow])


def test_pipelined_requests_are_all_answered_through_a_drain(serve):
    """Requests that wait behind a running one when the worker is retired are answered in order."""
    each = serve(arguments=("--observe", "0"))
    connection = Connection(each.address)
    paths = ["/hold?0.5", "/two", "/three"]
    for path in paths:
        connection.send(path)
    until(lambda: total(each, "in_flight") == 1, "the first to run")
    each.reload()
    assert ["/hold", "/two", "/three"] == [connection.take(path)["path"] for path in paths]
    connection.close()


def test_final_stop_answers_what_runs_and_closes_what_is_idle(serve):
    """With nobody to hand over to, idle connections get a plain end of file, running ones their answer."""
    each = serve(workers=2)
    wait_for_ready(each, 2)
    (idle,) = idle_connections(each, 1)
    busy = Connection(each.address)
    busy.send("/hold?0.3")
    until(lambda: total(each, "in_flight") == 1, "the request to run")
    each.send(signal.SIGTERM)
    assert "/hold" == busy.take(close=True)["path"]
    with pytest.raises(Fault, match="closed"):
        idle.take()
    assert 0 == each.wait()
    close_all([idle, busy])


# -- balance ---------------------------------------------------------------------------------------------


HANGS = ("--request-timeout", "1")  # a call that takes so long does


def holders(each, connections):
    """How many connections each worker holds, as the workers themselves say."""
    until(lambda: total(each, "open") == len(connections), "all connections to be seen")
    until(lambda: total(each, "idle") == len(connections), "all connections to be idle")
    return sorted(line["open"] for line in lines(each).values())


def is_quiet(each):
    """Whether no connection has been handed over for half a second."""
    before = total(each, "handed_out")
    each.drain(0.5)
    return before == total(each, "handed_out")


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("asks", [True, False])
def test_idle_connections_are_spread_evenly(serve, at_once, asks):
    """64 keep-alive connections on 4 workers: each holds 15 to 17, however they came."""
    each = serve(workers=4)
    wait_for_ready(each, 4)
    connections = []
    for _ in range(64):
        connections.append(Connection(each.address))
        if asks and not at_once:
            connections[-1].ask()
        elif not at_once:
            until(lambda: total(each, "idle") == len(connections), "it to be seen")
    if asks and at_once:
        for connection in connections:
            connection.send("/")
        for connection in connections:
            connection.take("/")
    until(lambda: [True] * 4 == [15 <= held <= 17 for held in holders(each, connections)], "them to be even")
    assert 64 == total(each, "accepted")
    close_all(connections)


def test_a_new_worker_gets_its_share_of_the_connections_that_stay(serve):
    """Scaling up: clients that keep their connections for good (a proxy's pool) use the new worker, too."""
    each = serve(workers=1)
    wait_for_ready(each, 1)
    connections = idle_connections(each, 24)
    each.drain(0.5)  # they have been looked at
    each.send(signal.SIGTTIN)
    until(lambda: holders(each, connections) == [12] * 2, "both to have their share")
    each.send(signal.SIGTTIN)
    until(lambda: holders(each, connections) == [8] * 3, "all to have their share")
    for connection in connections:
        connection.ask()
    close_all(connections)


def test_connections_that_say_nothing_are_shared_however_often_workers_come_and_go(serve):
    """Hand-overs are counted until the next answer, or until there is a new worker: none sticks for good."""
    each = serve(workers=1)
    wait_for_ready(each, 1)
    connections = idle_connections(each, 24)
    each.drain(0.5)  # they have been looked at
    for _ in range(6):
        each.send(signal.SIGTTIN)
        until(lambda: holders(each, connections) == [12] * 2, "both to have their share")
        each.send(signal.SIGTTOU)
        until(lambda: holders(each, connections) == [24], "one to have them all")
    close_all(connections)


@pytest.fixture
def many_descriptors():
    """Have room for thousands of sockets in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 8000:
        pytest.skip("too few descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_more_connections_than_an_inbox_holds_are_shared_with_a_new_worker(serve, many_descriptors):
    """What did not fit is tried again until all have their share."""
    each = serve(workers=1)
    wait_for_ready(each, 1)
    connections = [Connection(each.address) for _ in range(6000)]
    until(lambda: holders(each, connections) == [6000], "all to be idle")
    each.drain(0.5)
    each.send(signal.SIGTTIN)
    until(lambda: min(holders(each, connections)) >= 2999, "both to have their share")
    close_all(connections)


def test_the_successor_of_a_killed_worker_gets_its_share_of_the_others_connections(serve):
    """Also of those whose clients do not come anew."""
    each = serve(workers=3, arguments=("--min-uptime", "0"))
    wait_for_ready(each, 3)
    connections = idle_connections(each, 24)
    until(lambda: holders(each, connections) == [8] * 3, "them to be even")
    each.drain(0.5)
    victim = sorted(each.worker_pids())[0]
    lost = held_by(each, victim, connections)
    each.send(signal.SIGKILL, victim)
    left = [connection for connection in connections if connection not in lost]
    until(lambda: max(holders(each, left)) <= len(left) // 3 + 1, "all to have their share")
    close_all(connections)


def test_a_worker_on_hold_serves_nobody_though_it_is_the_only_one_left(serve):
    """What the hung old one sends to it goes to the old one's successor: who is on probation is asked by the
    master alone.
    """
    each = serve(workers=1, arguments=("--probe-path", "/hold?60", "--probe-timeout", "60", *HANGS))
    wait_for_ready(each, 1)
    connections = idle_connections(each, 6)
    (old,) = each.worker_pids()
    each.send(signal.SIGHUP)
    canary = until(lambda: [pid for pid in lines(each) if pid not in (0, old)], "the canary")[0]
    until(lambda: lines(each)[canary]["open"], "it to be asked")
    hung = Connection(each.address)
    hung.send("/hold?60")
    stand_in = until(lambda: [p for p, r in lines(each).items() if r["state"] == "ready" and p != old], "it")
    assert [canary] != stand_in
    assert set(stand_in) == {connection.ask()["pid"] for connection in connections}
    close_all([*connections, hung])


def test_connections_one_after_the_other_are_shared_without_handing_over(serve):
    """400 calls, a connection each: busiest and idlest of 4 workers differ by under 20 %, by turns alone."""
    each = serve(workers=4)
    wait_for_ready(each, 4)

    def accepted():
        return [line["accepted"] for _, line in sorted(lines(each).items())]

    def call_once():
        connection = Connection(each.address)
        connection.ask(close=True)
        connection.close()

    while 0 in accepted():  # ready is one thing, the first look of its acceptor another
        call_once()
    before, handed = accepted(), total(each, "handed_out")
    for _ in range(400):
        call_once()
    served = sorted(now - then for now, then in zip(accepted(), before, strict=True))
    assert 400 == sum(served)
    assert served[0] > 0.8 * served[-1], served
    assert total(each, "handed_out") - handed < 20


def test_kernel_balance_hands_nothing_over(serve):
    """--balance kernel: connections stay with the worker that accepted them."""
    each = serve(workers=4, arguments=("--balance", "kernel"))
    wait_for_ready(each, 4)
    connections = idle_connections(each, 32)
    assert (32, 0) == (total(each, "open"), total(each, "handed_out"))
    close_all(connections)


# -- deaths and stops ------------------------------------------------------------------------------------


def test_killed_worker_loses_only_what_it_held(serve):
    """kill -9: its own connections end, all others are answered, a new connection finds a worker."""
    each = serve(workers=2)
    wait_for_ready(each, 2)
    connections = idle_connections(each, 20)
    holders(each, connections)
    until(lambda: is_quiet(each), "connections to stay where they are")
    victim = sorted(each.worker_pids())[0]
    each.send(signal.SIGSTOP, victim)  # it moves none between our look and its end
    until(lambda: state(victim) == "T", "it to stop")
    held = lines(each)[victim]["open"]
    each.send(signal.SIGKILL, victim)
    each.wait_for("worker died")
    lost = 0
    for connection in connections:
        try:
            connection.ask()
        except Fault:
            lost += 1
    assert held == lost
    connections.append(Connection(each.address))
    assert "/new" == connections[-1].ask("/new?")["path"]
    close_all(connections)


def test_kills_under_load_lose_only_running_requests_and_held_connections(serve):
    """New connections are never refused and never time out while worker after worker is killed."""
    each = serve(workers=3, arguments=("--min-uptime", "0"))
    wait_for_ready(each, 3)
    with Load(each.address, keep=0, new=4, slow=0, idle=0) as load:
        for _ in range(10):
            before = load.answers.total()
            each.send(signal.SIGKILL, sorted(each.worker_pids())[0])
            until(lambda b=before: load.answers.total() > b + 100, "answers after the kill")
            each.wait_for_workers(3)
    assert set() == {
        name for name in load.faults if "refused" in name or "timeout" in name or "status" in name
    }
    assert load.faults.total() <= 10 * 2, load.faults


POINTS = ("handover-before-send", "handover-after-send", "inbox-before-receive", "inbox-after-receive")


def stop_in_a_handover(serve, point):
    """Two workers, and connections until the one in slot 1 has stopped itself at that point.

    It gives the other none for a second after that one's loop was held up, as by a machine with other work.
    """
    each = serve(workers=2, environment={"FORKCLUSTER_STOP_AT": f"{point}@1.1"})
    wait_for_ready(each, 2)
    connections, end = [], time.monotonic() + PATIENCE
    while STOPPED not in map(state, each.worker_pids()):
        assert time.monotonic() < end, f"no worker has stopped itself: {lines(each)}"
        if len(connections) == 200:
            close_all(connections)
            connections.clear()
        newest = Connection(each.address)
        connections.append(newest)
        newest.send("/")
        until(
            lambda c=newest: not c.is_open() or STOPPED in map(state, each.worker_pids()),
            "an answer, or a worker to stop",
        )
    return each, connections


def ask_all(connections):
    """Answers of the first request and of another; how many connections did not live to give both."""
    lost = 0
    for connection in connections:
        try:
            connection.take("/")
            connection.ask()
        except Fault:
            lost += 1
    return lost


@pytest.mark.parametrize("point", POINTS)
def test_row_15_worker_stopped_in_a_handover_loses_nothing(serve, point):
    """SIGSTOP at each step of a hand-over, then SIGCONT: every connection is answered, and again."""
    each, connections = stop_in_a_handover(serve, point)
    each.send(signal.SIGCONT, stopped(each))
    assert 0 == ask_all(connections)
    close_all(connections)


@pytest.mark.parametrize("point", POINTS)
def test_row_04_worker_killed_in_a_handover_loses_what_it_held_and_nothing_that_was_under_way(serve, point):
    """kill -9 at each step: what was sent and not received lives on; what it alone had is gone."""
    each, connections = stop_in_a_handover(serve, point)
    victim = stopped(each)
    (other,) = set(each.worker_pids()) - {victim}
    until(
        lambda: lines(each)[other]["sent"] == lines(each)[other]["taken"],
        "what was sent to the other to be there",
    )
    shared = held_by(each, other, connections)  # sent, and the sender's copies not yet closed
    alone = [connection for connection in held_by(each, victim, connections) if connection not in shared]
    each.send(signal.SIGKILL, victim)
    assert len(alone) == ask_all(connections)
    close_all(connections)


def test_row_15_inbox_of_a_stopped_worker_is_served_by_others(serve):
    """SIGSTOP of a receiver: others answer all that it does not hold itself; it is sent no more."""
    each, connections = stop_in_a_handover(serve, "inbox-before-receive")
    victim = stopped(each)
    each.wait_for("does not take connections")
    until(lambda: lines(each)[victim]["stale"] == 1, "it to be no candidate")
    own = held_by(each, victim, connections)
    others = [connection for connection in connections if connection not in own]
    answers = [(connection.take("/")["path"], connection.ask("/again?")["path"]) for connection in others]
    assert {("/", "/again")} == set(answers)
    assert STOPPED == state(victim)
    each.send(signal.SIGCONT, victim)
    until(lambda: lines(each)[victim]["stale"] == 0, "it to take again")
    assert 0 == ask_all(own)
    close_all(connections)


def test_row_15_connection_whose_worker_was_stopped_when_it_was_woken_is_served_by_another(serve):
    """The kernel has woken one worker for it and tells no other until the next connection comes."""
    each = serve(workers=2, environment={"FORKCLUSTER_STOP_AT": "accept-before@0.1"})
    wait_for_ready(each, 2)
    asked = 0
    while STOPPED not in map(state, each.worker_pids()):
        connection = Connection(each.address)
        assert "/" == connection.ask("/?")["path"]
        connection.close()
        asked += 1
        assert asked < 400, "no worker has stopped itself"


# -- descriptors -----------------------------------------------------------------------------------------

EATING_APP = """
import os
EATEN = []

def application(environ, start_response):
    if environ["PATH_INFO"] == "/eat":
        EATEN.extend(os.open("/dev/null", os.O_RDONLY) for _ in range(int(environ["QUERY_STRING"])))
    if environ["PATH_INFO"] == "/free":
        while EATEN:
            os.close(EATEN.pop())
    data = b'{"pid": %d, "path": "%s", "body": ""}' % (os.getpid(), environ["PATH_INFO"].encode())
    start_response("200 OK", [("Content-Length", str(len(data)))])
    return [data]
"""


def test_row_32_worker_short_of_descriptors_is_sent_nothing(server):
    """Its state says full, nothing is truncated, and it takes again when there is room."""
    each = server(workers=2, descriptors_most=256)
    (each.directory / "app.py").write_text(EATING_APP)
    each.boot()
    wait_for_ready(each, 2)
    door = Connection(each.address)
    eater = door.ask()["pid"]
    door.ask(f"/eat?{256 - len(os.listdir(f'/proc/{eater}/fd')) - 24}")
    connections = idle_connections(each, 24)
    until(lambda: lines(each)[eater]["state"] == "full", "it to be full")
    before = lines(each)[eater]
    connections += idle_connections(each, 40)
    full = lines(each)[eater]
    assert ("full", before["handed_in"], 0) == (full["state"], full["handed_in"], full["truncated"])
    for connection in [door, *connections]:  # one of them is still with it
        connection.ask("/free?")
    until(lambda: lines(each)[eater]["state"] == "ready", "it to be ready again")
    assert 65 == len([connection.ask() for connection in [door, *connections]])
    assert (0, 0) == (total(each, "truncated"), total(each, "shed"))
    close_all([door, *connections])


def test_row_32_worker_short_of_descriptors_hands_over_what_it_has(serve):
    """A reload of one whose limit is all but reached: the next, with the same limit, serves them all."""
    each = serve(workers=1, descriptors_most=256)
    wait_for_ready(each, 1)
    (old,) = each.worker_pids()
    connections = idle_connections(each, 1)
    connections += idle_connections(each, 256 - len(os.listdir(f"/proc/{old}/fd")) - 20)
    until(lambda: lines(each)[old]["state"] == "full", "it to be full")
    each.reload()
    (new,) = {connection.ask()["pid"] for connection in connections}
    assert new != old
    close_all(connections)

"""Calls that take long hold nobody else's request: other threads and other workers serve it.

The blocking views end when the test says so: what must be answered meanwhile is answered or the test fails.
"""

import signal
from pathlib import Path

import pytest
from blocking import has_begun, let_go, prepare, read_all
from harness import until
from strict import Connection
from test_handover import close_all, idle_connections, lines, total, wait_for_ready

KINDS = ("wait", "spin", "gil")
HOPS = 2  # moves of a connection between two answers, at most


@pytest.fixture
def serve(server):
    """Make servers of the blocking application; at the end whatever blocks is let go."""
    made = []

    def start(interface="wsgi", **settings):
        each = prepare(server(**settings), interface)
        made.append(each)
        each.boot()
        wait_for_ready(each, each.workers)
        return each

    yield start
    for each in made:
        let_go(each)


def hold(each, kind, connection=None):
    """Have a view block, on a connection of its own if none is given; give the connection when it does."""
    connection = connection or Connection(each.address)
    connection.send(f"/{kind}")
    until(lambda: has_begun(each), "the view to block")
    return connection


def settled(each, connections):
    """The workers that hold the connections, if none has moved for half a second."""
    before = [connection.ask()["pid"] for connection in connections]
    each.drain(0.5)
    return before == [connection.ask()["pid"] for connection in connections] and before


# -- threads ---------------------------------------------------------------------------------------------


def test_as_many_calls_run_at_once_as_there_are_threads(serve):
    """Eight views that end only when all eight have begun do end, on one worker."""
    each = serve(environment={"AT_ONCE": "8"})
    connections = [Connection(each.address) for _ in range(8)]
    for connection in connections:
        connection.send("/meet")
    answers = read_all(connections, ["/meet"] * 8)
    assert {(False, True)} == {(answer["main"], answer["multithread"]) for answer in answers}
    assert total(each, "promotions") >= 7
    close_all(connections)


def test_with_one_thread_no_two_calls_ever_run_at_once(serve):
    """--threads 1: every call is on the main thread, multithread is false, and calls never overlap."""
    each = serve(arguments=("--threads", "1"))
    connections = [Connection(each.address) for _ in range(8)]
    for _ in range(20):
        for connection in connections:
            connection.send("/alone")
        answers = read_all(connections, ["/alone"] * 8)
    assert {(True, False, 0)} == {(a["main"], a["multithread"], a["overlaps"]) for a in answers}
    assert 0 == total(each, "promotions")
    assert screen_says(each, "1 thread each")
    close_all(connections)


def test_every_call_runs_on_a_thread_like_any_other(serve):
    """With more threads no call is on the main thread, before and after one took the loop over."""
    each = serve()
    first = idle_connections(each, 1)[0]
    before = first.ask()["main"]
    holding = hold(each, "wait")
    during = first.ask()["main"]
    let_go(each)
    assert (False, False, False) == (before, during, holding.take("/wait")["main"])
    assert screen_says(each, "8 threads each")
    close_all([first, holding])


def test_the_switch_interval_is_short_only_while_threads_are_out(serve):
    """It is 0.2 ms while a call waits on another thread, and what it was before when that has come back."""
    each = serve()
    first = idle_connections(each, 1)[0]
    usual = first.ask()["interval"]
    holding = hold(each, "wait")
    during = first.ask()["interval"]
    let_go(each)
    holding.take("/wait")
    until(lambda: first.ask()["interval"] == usual, "the interval to be what it was")
    assert (True, 0.0002) == (usual > 0.001, round(during, 6))
    close_all([first, holding])


def screen_says(each, words):
    """Whether the start screen says so."""
    return words in each.output


def test_of_64_ready_connections_63_do_not_wait_for_the_first(serve):
    """All are readable before the worker looks at any, and the first that it takes blocks."""
    each = serve()
    connections = [Connection(each.address) for _ in range(64)]
    for connection in connections:
        connection.ask()
    (pid,) = each.worker_pids()
    each.send(signal.SIGSTOP, pid)
    for connection in connections:
        connection.send("/wait" if connection is connections[0] else "/")
    each.send(signal.SIGCONT, pid)
    read_all(connections[1:], ["/"] * 63)
    until(lambda: has_begun(each), "the first to block")
    assert connections[0].is_open()
    let_go(each)
    connections[0].take("/wait")
    close_all(connections)


def test_connections_not_yet_accepted_do_not_wait_either(serve):
    """Sixteen new connections with their requests stand in the accept queue behind one whose view blocks."""
    each = serve()
    (pid,) = each.worker_pids()
    each.send(signal.SIGSTOP, pid)
    connections = [Connection(each.address) for _ in range(17)]
    for connection in connections:
        connection.send("/wait" if connection is connections[0] else "/")
    each.send(signal.SIGCONT, pid)
    read_all(connections[1:], ["/"] * 16)
    let_go(each)
    connections[0].take("/wait")
    close_all(connections)


def test_threads_that_go_and_come_answer_every_request(serve):
    """Views of twenty short waits on twelve connections: calls are taken over and over, no answer is lost.

    Between two answers no connection moves more than twice.
    """
    each = serve(workers=2)
    connections = [Connection(each.address) for _ in range(12)]
    for turn in range(10):
        paths = ["/interleave" if (turn + index) % 3 else "/" for index in range(12)]
        for connection, path in zip(connections, paths, strict=True):
            connection.send(path)
        read_all(connections, paths)
    until(lambda: {(0, 0)} == {(r["in_flight"], r["threads_out"]) for r in lines(each).values()}, "all in")
    rows = lines(each).values()
    assert 120 == sum(row["requests"][2] for row in rows)
    assert all(row["calls"] % 2 == 0 for row in rows)
    assert total(each, "exports") <= 120 * HOPS
    close_all(connections)


# -- exports ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", ["threads-8", "threads-1", "asgi"])
def test_what_is_readable_behind_a_blocked_worker_is_served_by_its_peer(serve, how, kind):
    """Connections of the worker in question are answered while it is stuck, by whoever can."""
    threads = () if how == "asgi" else ("--threads", how[-1])
    each = serve("asgi" if how == "asgi" else "wsgi", workers=2, arguments=threads)
    connections = idle_connections(each, 12)
    pids = until(lambda: settled(each, connections), "connections to stay where they are")
    stuck = pids[0]
    its = [connection for connection, pid in zip(connections, pids, strict=True) if pid == stuck][1:]
    hold(each, kind, connections[0])
    answers = [connection.ask() for connection in its for _ in range(2)]
    alone = how != "threads-8" or kind == "gil"
    if alone and its:
        assert {stuck} != {answer["pid"] for answer in answers}
        assert total(each, "exports") > 0
        assert not {stuck} & {answer["pid"] for answer in answers}
    assert connections[0].is_open()
    let_go(each)
    assert stuck == connections[0].take(f"/{kind}")["pid"]
    until(lambda: {"ready"} == {row["state"] for row in lines(each).values()}, "nobody to be busy")
    close_all(connections)


@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
def test_connections_are_shared_evenly_again_after_a_long_call(serve, interface):
    """What went to the peer while a worker was stuck comes back when it is not."""
    each = serve(interface, workers=2)
    connections = idle_connections(each, 12)
    pids = until(lambda: settled(each, connections), "connections to stay where they are")
    hold(each, "gil", connections[0])
    gone = [connection.ask()["pid"] for connection in connections[1:]]
    assert 1 == len(set(gone) - {pids[0]}) == len(set(gone))
    each.drain(1.5)  # longer than a connection is looked at when nobody is stuck
    let_go(each)
    connections[0].take("/gil")
    until(lambda: 5 <= least(connections) <= 6, "both workers to have half of them")
    close_all(connections)


def least(connections):
    """How many of them the worker holds that holds fewest of two."""
    pids = [connection.ask()["pid"] for connection in connections]
    return min(map(pids.count, {*pids})) if len({*pids}) == 2 else 0


@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
def test_new_connections_go_past_a_blocked_worker(serve, interface):
    """While one worker is stuck in C code that holds the GIL, every new connection is answered."""
    each = serve(interface, workers=2)
    holding = hold(each, "gil")
    answers = []
    for _ in range(30):
        connection = Connection(each.address)
        answers.append(connection.ask()["pid"])
        connection.close()
    let_go(each)
    stuck = holding.take("/gil")["pid"]
    assert stuck not in answers[10:]  # it may have answered before it held the GIL
    holding.close()


def test_a_waiting_app_is_told_from_a_computing_one(serve):
    """The scoreboard counts the time of long calls: waiting or on the CPU."""
    each = serve()
    holding = hold(each, "wait")
    until(lambda: any(row["oldest"] for row in lines(each).values()), "it to be old")
    let_go(each)
    holding.take("/wait")
    until(lambda: total(each, "blocked_ns") > 0, "it to be counted")
    assert total(each, "blocked_ns") > total(each, "computed_ns")
    before = total(each, "computed_ns")
    assert holding.ask("/compute")["cpu"] > 0.2
    until(lambda: total(each, "computed_ns") - before > 1e8, "the time on the CPU to be counted")
    holding.close()


# -- life ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["wait", "spin"])
def test_a_call_that_runs_through_a_reload_is_answered(serve, kind):
    """A worker is retired while a thread is out: others are handed over, that one is waited for."""
    each = serve(arguments=("--observe", "0"))
    idle = idle_connections(each, 5)
    (old,) = each.worker_pids()
    holding = hold(each, kind)
    each.reload()
    until(lambda: old not in {connection.ask()["pid"] for connection in idle}, "the others to have moved")
    assert old in each.worker_pids()
    let_go(each)
    assert old == holding.take(f"/{kind}", close=True)["pid"]
    until(lambda: old not in each.worker_pids(), "the old worker to end")
    close_all([*idle, holding])


def test_a_stop_waits_for_calls_on_all_threads(serve):
    """Eight calls run when the server is stopped; all are answered, and it exits with 0."""
    each = serve()
    connections = [Connection(each.address) for _ in range(8)]
    for connection in connections:
        connection.send("/wait")
    until(lambda: total(each, "in_flight") == 8, "all to run")
    each.send(signal.SIGTERM)
    each.wait_for("stopping")
    let_go(each)
    for connection in connections:
        connection.take("/wait", close=True)
    assert 0 == each.wait()
    close_all(connections)


@pytest.mark.parametrize(("how", "calls"), [("threads-1", 1), ("threads-2", 2), ("asgi", 1)])
def test_a_drain_begins_while_all_threads_are_out(serve, how, calls):
    """Every thread blocks when the worker is retired: who is idle moves meanwhile, without asking."""
    asgi = how == "asgi"
    arguments = ("--observe", "0") if asgi else ("--observe", "0", "--threads", how[-1])
    each = serve("asgi" if asgi else "wsgi", arguments=arguments)
    idle = idle_connections(each, 3)
    (old,) = each.worker_pids()
    connections = [Connection(each.address) for _ in range(calls)]
    for connection in connections:
        connection.send("/wait")
    until(lambda: total(each, "in_flight") == calls, "all to run")
    each.reload()
    until(lambda: lines(each)[old]["open"] == calls, "the idle ones to have moved")
    assert old not in {connection.ask()["pid"] for connection in idle}
    assert "draining" == lines(each)[old]["state"]
    let_go(each)
    for connection in connections:
        connection.take("/wait", close=True)
    until(lambda: old not in each.worker_pids(), "the old worker to end")
    close_all([*connections, *idle])


def test_a_blocked_loop_gives_away_for_as_long_as_it_is_blocked(serve):
    """Hundreds of looks at a blocked event loop leave room for what comes after them."""
    each = serve("asgi", workers=2)
    connections = idle_connections(each, 12)
    pids = until(lambda: settled(each, connections), "connections to stay where they are")
    its = [connection for connection, pid in zip(connections, pids, strict=True) if pid == pids[0]][1:]
    hold(each, "wait", connections[0])
    until(lambda: {"busy"} & {row["state"] for row in lines(each).values()}, "it to be found out")
    each.drain(2.0)
    assert pids[0] not in {connection.ask()["pid"] for connection in its}
    assert connections[0].is_open()
    let_go(each)
    connections[0].take("/wait")
    close_all(connections)


@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
def test_an_idle_worker_is_not_woken(serve, interface):
    """A second after its last call the threads of a worker wake less than twice a second, all together."""
    each = serve(interface)
    idle_connections(each, 1)[0].close()
    assert until(lambda: sleeps(each, *each.worker_pids()), "two quiet seconds")


@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
def test_an_idle_worker_is_not_woken_to_look_whether_a_stopped_peer_is_back(serve, interface):
    """It looks ever less often, and a look is no call."""
    each = serve(interface, workers=2)
    wait_for_ready(each, 2)
    pid, other = sorted(each.worker_pids())
    each.send(signal.SIGSTOP, other)
    connections = [Connection(each.address) for _ in range(40)]
    for connection in connections:
        connection.send("/")
    until(lambda: lines(each)[pid]["idle"] > 8, "its share")
    assert until(lambda: sleeps(each, pid), "two quiet seconds")
    each.send(signal.SIGCONT, other)
    until(lambda: 16 <= lines(each)[pid]["idle"] <= 24, "both to have their share")
    close_all(connections)


def sleeps(each, pid):
    """Whether its threads wake less than twice a second, all together, for two seconds."""

    def wakes():
        tasks = Path(f"/proc/{pid}/task").glob("*/status")
        texts = [task.read_text() for task in tasks]
        return sum(int(text.partition("voluntary_ctxt_switches:")[2].split()[0]) for text in texts)

    before = wakes()
    each.drain(2.0)
    return wakes() - before < 4


def test_an_object_bound_to_its_thread_is_answered_with_the_remedy(server):
    """sqlite's ProgrammingError about threads is logged with a line that names --threads 1."""
    each = server()
    (each.directory / "app.py").write_text(
        "import sqlite3\n"
        "database = sqlite3.connect(':memory:')\n"
        "def application(environ, start_response):\n"
        "    database.execute('select 1')\n"
    )
    each.boot()
    assert 500 == each.get()[0]
    each.wait_for("need --threads 1")

"""Requests that hang and workers that have served enough, in a real cluster."""

import http.client
import json
import signal
import socket
import threading
from pathlib import Path

import pytest
from board import capacity, close_all, idle_connections, lines, wait_for_ready
from harness import runs, until

from forkcluster.manager.control import ask

SLOW = """
import os, threading
def stuck_here():
    threading.Event().wait()
def application(environ, start_response):
    if environ["PATH_INFO"] == "/stuck":
        stuck_here()
    if environ["PATH_INFO"] == "/stream":
        start_response("200 OK", [])
        def chunks():
            yield b"one"
            threading.Event().wait()
        return chunks()
    start_response("200 OK", [])
    return [str(os.getpid()).encode()]
"""
LENGTH = """
def application(environ, start_response):
    start_response("200 OK", [])
    return [str(len(environ["wsgi.input"].read())).encode()]
"""
SMALL_FILES = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
"""
STUCK_IN_C = """
import re
def application(environ, start_response):
    if environ["PATH_INFO"] == "/stuck":
        re.match("(a+)+$", "a" * 40 + "b")
    start_response("200 OK", [])
    return [b""]
"""


def request(each, path):
    """Send a request, and leave its answer unread."""
    client = socket.create_connection(each.address)
    client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    return client


def boot(server, source, *arguments, workers=1):
    each = server(arguments=arguments, workers=workers)
    (each.directory / "app.py").write_text(source)
    return each.boot()


@pytest.mark.parametrize(("source", "where"), [(SLOW, "in stuck_here"), (STUCK_IN_C, "in application")])
def test_row_30_request_over_the_soft_limit_is_logged_with_all_stacks_once(server, source, where):
    """Row 30: also when C code holds the GIL."""
    each = boot(server, source, "--request-warn", "0.3")
    client = request(each, "/stuck?x=1")
    each.wait_for("a request takes long.*GET /stuck")
    each.wait_for(f"File .*app.py.*{where}")
    (worker,) = each.worker_pids()
    oldest = ask(each.control, "status")["workers"][0]["oldest"]
    assert ["GET", "/stuck?x=1"] == oldest[1:]
    client.close()
    each.send(signal.SIGQUIT)
    each.wait()
    assert 1 == each.output.count("a request takes long")
    assert f"pid={worker}" in each.output


@pytest.mark.parametrize("source", [SLOW, STUCK_IN_C])
def test_row_30_worker_over_the_hard_limit_is_killed_and_replaced(server, source):
    """Row 30: told to drain, then killed; another serves meanwhile, the log names the request."""
    each = boot(server, source, "--request-timeout", "0.5", "--drain-timeout", "0.5")
    (old,) = each.worker_pids()
    with request(each, "/stuck"):
        each.wait_for("worker hangs; it is replaced.*GET /stuck without an answer")
        until(lambda: each.worker_pids() and old not in each.worker_pids(), "a replacement")
        assert 200 == each.get()[0]


ASLEEP = """
import os, time
def application(environ, start_response):
    if environ["PATH_INFO"] == "/stuck":
        time.sleep(600)
    data = b'{"pid": %d, "path": "%s", "body": ""}' % (os.getpid(), environ["PATH_INFO"].encode())
    start_response("200 OK", [("Content-Length", str(len(data)))])
    return [data]
"""
ASLEEP_ASGI = """
import json, os, time
async def application(scope, receive, send):
    if scope["type"] != "http":
        return
    if scope["path"] == "/stuck":
        time.sleep(600)
    data = json.dumps({"pid": os.getpid(), "path": scope["path"], "body": ""}).encode()
    length = [(b"content-length", b"%d" % len(data))]
    await send({"type": "http.response.start", "status": 200, "headers": length})
    await send({"type": "http.response.body", "body": data})
"""
IN_C = ASLEEP.replace("time.sleep(600)", "__import__('re').match('(a+)+$', 'a' * 40 + 'b')")


@pytest.mark.parametrize("source", [ASLEEP, IN_C, ASLEEP_ASGI], ids=["sleep", "gil", "loop"])
def test_row_30_worker_over_the_hard_limit_is_drained_of_all_else_first(server, source):
    """Its only thread never comes back: its idle connections are with its peer before it is killed."""
    each = boot(server, source, "--threads", "1", "--request-timeout", "2", "--drain-timeout", "2", workers=2)
    wait_for_ready(each, 2)
    idle = idle_connections(each, 12)
    until(lambda: [line["idle"] for line in lines(each).values()] == [6, 6], "six with each worker")
    with request(each, "/stuck"):
        (victim,) = until(lambda: [p for p, line in lines(each).items() if line["in_flight"]], "the request")
        each.wait_for(f"worker ended why=hang.*pid={victim}")
    assert 12 == len([connection.ask() for connection in idle])
    close_all(idle)


def test_answer_that_has_begun_is_no_hang(server):
    """The clock stops at the response head: a stream may last for hours."""
    each = boot(server, SLOW, "--request-timeout", "0.3", "--request-warn", "0.2")
    with request(each, "/stream") as client:
        assert client.recv(1000).startswith(b"HTTP/1.1 200")
        threading.Event().wait(1.0)  # nothing happens: there is nothing to wait for
        assert ask(each.control, "status")["workers"][0]["oldest"] is None
    each.drain()
    assert "hangs" not in each.output
    assert "takes long" not in each.output


def test_row_17_master_that_was_stopped_blames_nobody(server):
    """Row 17: after CONT no mass kill."""
    each = boot(server, SLOW, "--request-timeout", "1", workers=1)
    (worker,) = each.worker_pids()
    each.send(signal.SIGSTOP)
    client = request(each, "/stuck")
    threading.Event().wait(2.5)  # the master is stopped: no condition could be asked for
    each.send(signal.SIGCONT)
    each.wait_for("the master was late")
    client.close()
    each.wait_for(f"worker hangs.*pid={worker}")  # it does hang: found at the next look, not at the late one


def test_stacks_by_command(server):
    """Every worker, or that of one slot."""
    each = server(workers=2).boot()
    found = ask(each.control, "stacks")["workers"]
    assert [0, 1] == [worker["slot"] for worker in found]
    assert all("worker/main.py" in worker["stacks"] for worker in found)
    assert [1] == [worker["slot"] for worker in ask(each.control, "stacks", slot=1)["workers"]]


def test_stacks_of_a_stopped_worker_do_not_hold_anybody_up(server):
    """The answer says that it did not answer."""
    each = server(workers=1).boot()
    (worker,) = each.worker_pids()
    each.send(signal.SIGSTOP, worker)
    (found,) = ask(each.control, "stacks")["workers"]
    each.send(signal.SIGCONT, worker)
    assert "did not answer" in found["stacks"]


def test_worker_is_replaced_after_max_requests(server):
    """Row 37: no answer is lost."""
    each = server(arguments=("--max-requests", "20")).boot()
    (old,) = each.worker_pids()
    answers = []

    def replaced():
        answers.append(each.get())
        return json.loads(answers[-1][1])["pid"] != old

    until(replaced, "a new worker's answer")
    assert {200} == {status for status, _ in answers}
    assert len(answers) > 20
    each.wait_for("worker asks to be retired.*max_requests")


def test_worker_that_has_grown_is_replaced(server):
    """Row 37: by its resident set."""
    source = (
        "kept = []\ndef application(environ, start_response):\n"
        "    kept.append(bytearray(b'x' * (80 << 20)))\n"
        "    start_response('200 OK', [])\n    return [b'']\n"
    )
    each = boot(server, source, "--max-memory", "70M")
    (old,) = each.worker_pids()
    assert 200 == each.get()[0]
    each.wait_for("worker asks to be retired.*max_memory")
    until(lambda: each.worker_pids() and old not in each.worker_pids(), "a replacement")


def test_workers_are_replaced_by_age_one_at_a_time(server):
    """Capacity stays: at every look two workers serve, and never are there more than three that do."""
    each = server(workers=2, arguments=("--max-lifetime", "1"))
    each.boot()
    wait_for_ready(each, 2)
    old, counts = each.worker_pids(), set()

    def renewed():
        counts.add(capacity(each))
        return not old & each.worker_pids()

    until(renewed, "both to be replaced")
    assert {2, 3} >= counts
    each.wait_for("max_lifetime")
    assert 200 == each.get()[0]


CGROUP = (
    "unshare",
    "--mount",
    "sh",
    "-c",
    "mount -t tmpfs none /sys/fs/cgroup && mkdir /sys/fs/cgroup/memory && cd /sys/fs/cgroup && "
    'echo oom_kill 3 | tee memory.events > memory/memory.oom_control && cd - >/dev/null && exec "$@"',
    "sh",
)


@pytest.mark.skipif(not runs(*CGROUP, "true"), reason="new mount namespaces are not permitted here")
def test_worker_killed_for_want_of_memory_is_told_as_such(server):
    """SIGKILL while the cgroup's counter rises: the log, the history and the counters say oom."""
    each = server(wrapper=CGROUP).boot()
    (worker,) = each.worker_pids()
    root = Path(f"/proc/{each.pid}/root/sys/fs/cgroup")
    for place in (root / "memory.events", root / "memory" / "memory.oom_control"):
        place.write_text("oom_kill 4\n")
    each.send(signal.SIGKILL, worker)
    each.wait_for("worker died.*SIGKILL, for want of memory")
    (second,) = until(lambda: each.worker_pids() - {worker}, "a replacement")
    wait_for_ready(each, 1)
    each.send(signal.SIGKILL, second)
    each.wait_for('worker died.*how="was killed by SIGKILL" ')


def test_kill_tells_the_signal_in_status(server):
    """The event history says how a worker ended."""
    each = server(workers=1).boot()
    (worker,) = each.worker_pids()
    each.send(signal.SIGKILL, worker)
    each.wait_for("worker died")
    events = ask(each.control, "status")["events"]
    died = [event for event in events if event["text"] == "worker died"]
    assert ["was killed by SIGKILL"] == [event["fields"]["how"] for event in died]


# -- bodies in files -------------------------------------------------------------------------------------


def test_body_is_kept_in_shared_memory_where_no_directory_is_writable(server):
    """A container with a read-only root has /dev/shm, and a body above --body-buffer goes there."""
    each = server(arguments=("--body-buffer", "4K"), environment={"TMPDIR": "/proc"})
    (each.directory / "app.py").write_text(LENGTH)
    each.boot()
    client = http.client.HTTPConnection(*each.address, timeout=20)
    client.request("POST", "/", b"x" * 100_000)
    answer = client.getresponse()
    assert (200, b"100000") == (answer.status, answer.read())
    client.close()


def test_a_body_that_cannot_be_kept_is_refused_and_told(server):
    """RLIMIT_FSIZE stands for a full disk: 503, and the log says why, once a second."""
    each = server(arguments=("--body-buffer", "4K"))
    (each.directory / "app.py").write_text(SMALL_FILES + LENGTH)
    each.boot()
    for _ in range(20):
        client = http.client.HTTPConnection(*each.address, timeout=20)
        client.request("POST", "/", b"x" * 100_000)
        answer = client.getresponse()
        assert 503 == answer.status
        client.close()
    each.wait_for("error keeping the body of a request, which was answered 503")
    each.wait_for("File too large")
    assert each.output.count("error keeping the body") < 10

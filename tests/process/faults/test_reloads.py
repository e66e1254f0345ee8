"""Broken releases, and whatever can happen in the middle of a reload. Rows 18 to 24 and 50."""

import itertools
import os
import signal
import threading

import pytest
from board import SANITIZED, close_all, resident
from harness import processes, until
from scene import CALLED, calls, go_on, serve_source, stop_at, stopped_process, whole
from strict import Connection, Load

from forkcluster.errors import ApplicationError, ConfigurationError
from forkcluster.manager.control import ask

GOOD = """
import os
def application(environ, start_response):
    body = b"%s"
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""

HANGING = """
import threading

def wait_for_the_database():
    threading.Event().wait()

wait_for_the_database()
"""

# What is wrong with a release, and what the outcome says: one for each of the steps 1 to 6 of a reload.
BROKEN = {
    "configuration": ("", "the configuration cannot be used"),
    "import": ("raise RuntimeError('no database')", "RuntimeError: no database"),
    "exit": ("raise SystemExit(4)", "SystemExit: 4"),
    "segfault": ("import os; os.kill(os.getpid(), 11)", "the mold was killed by SIGSEGV"),
    "hang": ("import threading; threading.Event().wait()", "not loaded within 3 s"),
    "canary": (GOOD % "bad" + "def check(occasion):\n    os._exit(5)\n", "a new worker failed to boot"),
    "probe": (
        GOOD.replace("200 OK", "503 No") % "bad" + "def check(occasion):\n    pass\n",
        "was answered 503",
    ),
    "roll": (
        GOOD % "bad" + "def check(occasion):\n    if occasion.slot == 0:\n        os._exit(5)\n",
        "a new worker failed to boot",
    ),
    "observation": (
        GOOD % "bad" + "def check(occasion):\n"
        "    import threading\n    threading.Timer(1, os._exit, [6]).start()\n",
        "a new worker died",
    ),
}
CONFIGURATION = "[app]\nprobe_path = '/'\nobserve = 2\nboot_timeout = 3\n"


def generations(each):
    """Of all workers."""
    return [worker["generation"] for worker in ask(each.control, "status")["workers"]]


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_rows_18_to_21_release_broken_at_any_step_changes_nothing(server, workers):
    """Whoever asked is told why, all workers are of the old code, every answer has the old body."""
    each = server(workers=workers, arguments=("--post-fork", "app:check"))
    config = each.directory / "forkcluster.toml"
    app = each.directory / "app.py"
    config.write_text(CONFIGURATION)
    app.write_text(GOOD % "good" + "def check(occasion):\n    pass\n")
    each.boot()
    for step, (source, reason) in BROKEN.items():
        if step == "roll" and workers == 1:
            continue  # its only worker is the canary
        config.write_text("[app]\nobserve = 'a while'\n" if step == "configuration" else CONFIGURATION)
        app.write_text(source)
        fault = ConfigurationError if step == "configuration" else ApplicationError
        with pytest.raises(fault) as caught:
            ask(each.control, "reload", timeout=30)
        assert reason in f"{caught.value} {getattr(caught.value, 'details', '')}", step
        until(lambda: generations(each) == [1] * workers, f"{workers} workers of the old code after {step}")
        assert {(200, b"good")} == {each.get() for _ in range(5)}, step
    whole(each, workers)
    old = each.worker_pids()
    config.write_text(CONFIGURATION)
    app.write_text(GOOD % "new" + "def check(occasion):\n    pass\n")
    ask(each.control, "reload", timeout=30)
    until(lambda: not each.worker_pids() & old, "the old workers to end")
    assert {(200, b"new")} == {each.get() for _ in range(5)}


def test_row_19_import_that_hangs_tells_where(server):
    """The stacks of the mold are in the outcome."""
    each = server(arguments=("--boot-timeout", "3")).boot()
    (each.directory / "app.py").write_text(HANGING)
    with pytest.raises(ApplicationError, match="could not be loaded") as caught:
        ask(each.control, "reload", timeout=30)
    assert "in wait_for_the_database" in caught.value.details
    assert 200 == each.get()[0]


def test_row_19_worker_that_never_gets_ready_tells_where(server):
    """Also when it is not the mold that imports, at the first boot."""
    each = server(arguments=("--boot-timeout", "3", "--preload", "never"))
    (each.directory / "app.py").write_text(HANGING)
    assert 0 != each.start().wait()
    assert "the worker was not ready within 3 s" in each.output
    assert "in wait_for_the_database" in each.output


LONGER = pytest.mark.stress
STAGES = [
    pytest.param("mold-before-hello@2", marks=LONGER),
    "mold-before-loaded@2",
    "worker-before-hello@1.1.2",
    pytest.param("worker-before-ready@0.1.2", marks=LONGER),
]


def begin_reload(server, stage):
    """Two workers, and a reload that stands still at that stage."""
    each = stop_at(server, stage, GOOD % "one", workers=2, arguments=("--observe", "0.2"))
    (each.directory / "app.py").write_text(GOOD % "two")
    each.send(signal.SIGHUP)
    return each, stopped_process(each)


@pytest.mark.parametrize("stage", STAGES)
def test_rows_22_and_23_hup_in_a_reload_makes_exactly_one_more(server, stage):
    """However often it comes: two generations in all, and the newest code at the end."""
    each, halted = begin_reload(server, stage)
    (each.directory / "app.py").write_text(GOOD % "three")
    for _ in range(3):
        each.send(signal.SIGHUP)
        each.wait_for("a reload will follow the one in progress")
    go_on(each, halted)
    until(lambda: not ask(each.control, "status")["reloading"], "the reloads to end")
    until(lambda: ask(each.control, "status")["generation"] == 3, "the third generation")
    whole(each, workers=2)
    assert {(200, b"three")} == {each.get() for _ in range(5)}
    assert 3 == ask(each.control, "status")["generation"]


@pytest.mark.parametrize("stage", STAGES)
def test_row_24_term_in_a_reload_ends_everything(server, stage):
    """Exit code 0, no mold or worker of either generation stays, whatever stands still."""
    each, _ = begin_reload(server, stage)
    assert 0 == each.stop()
    assert [] == processes(each.pid)


@pytest.mark.parametrize("stage", STAGES)
def test_kill_at_each_step_of_a_roll_restores_the_old_generation(server, stage):
    """Whether the new mold or a new worker is killed: rolled back, and the next reload is done."""
    each, victim = begin_reload(server, stage)
    each.send(signal.SIGKILL, victim.pid)
    each.wait_for("reload failed")
    whole(each, workers=2)
    assert {(200, b"one")} == {each.get() for _ in range(5)}
    each.reload()
    whole(each, workers=2)
    assert {(200, b"two")} == {each.get() for _ in range(5)}


def test_row_24_term_in_the_first_boot_leaves_nothing(server):
    """TERM while the application is being imported ends with 0, and the socket's file is gone."""
    each = server(workers=2, arguments=("--bind", "unix:app.sock", "--pid", "run.pid"))
    (each.directory / "app.py").write_text(
        "import pathlib, threading\npathlib.Path('importing').touch()\nthreading.Event().wait()\n"
    )
    each.start()
    until((each.directory / "importing").exists, "the import")
    assert 0 == each.stop()
    assert [] == processes(each.pid)
    assert [] == [name for name in ("app.sock", "run.pid") if (each.directory / name).exists()]


STREAM = """
import time
def application(environ, start_response):
    if environ["REQUEST_METHOD"] == "POST":
        size = 0
        while data := environ["wsgi.input"].read(1000):
            size += len(data)
        start_response("200 OK", [("Content-Length", "6")])
        return [b"%06d" % size]
    start_response("200 OK", [("Content-Length", "60000")])
    def chunks():
        for _ in range(60):
            yield b"x" * 1000
            time.sleep(0.05)
    return chunks()
"""


def test_row_50_long_upload_and_download_outlive_three_reloads(server):
    """Both are whole; at no time drain more than two older generations."""
    each = serve_source(server, STREAM, workers=2, arguments=("--observe", "0"))
    upload, download = Connection(each.address), Connection(each.address)
    got = bytearray()
    upload.send_bytes(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4000\r\n\r\n" + b"u" * 1000)
    download.send_bytes(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")

    def read():
        while len(got) < 60000 and (data := download.socket.recv(65536)):
            got.extend(data)

    reader = threading.Thread(target=read)
    reader.start()
    generations = set()
    for _ in range(3):
        each.send(signal.SIGHUP)
        upload.send_bytes(b"u" * 1000)
        generation = ask(each.control, "status")["generation"]
        until(
            lambda g=generation: (s := ask(each.control, "status"))["generation"] > g and not s["reloading"],
            "the reload",
        )
        generations |= {len({w["generation"] for w in ask(each.control, "status")["workers"]})}
    assert b"004000" == upload.socket.recv(65536).partition(b"\r\n\r\n")[2]
    reader.join(20)
    assert 60000 == len(bytes(got).partition(b"\r\n\r\n")[2]) or 60000 < len(got)
    assert max(generations) <= 3
    close_all([upload, download])
    whole(each, workers=2)


WAITING = CALLED.replace(
    'time.sleep(float(environ["QUERY_STRING"]))',
    'while not os.path.exists(environ["QUERY_STRING"]):\n            time.sleep(0.01)',
)


def connect_to_newest(each):
    """A connection of the newest worker: an older one may accept for a moment after a reload is done."""
    newest = max(ask(each.control, "status")["workers"], key=lambda worker: worker["generation"])["pid"]
    connection = Connection(each.address)
    until(lambda: connection.ask()["pid"] == newest, "the newest worker to answer")
    return connection


def test_row_50_third_reload_waits_while_two_older_generations_drain(server):
    """Never more than two: it begins when the first of them has answered its last request.

    The connection of that request lives on: whoever drains meets the workers of every later generation.
    """
    each = serve_source(server, WAITING, arguments=("--observe", "0"))
    held = []
    for file in ("first", "second"):
        held.append(connect_to_newest(each))
        held[-1].send(f"/hold?{file}")
        until(lambda: calls(each).count("/hold") == len(held), "the call")
        each.reload()
    mark = len(each.output)
    each.send(signal.SIGHUP)
    each.wait_for("reload waits: two older generations are still draining", since=mark)
    assert [1, 2, 3] == sorted(generations(each))
    (each.directory / "first").touch()
    assert "/hold" == held[0].take("/hold")["path"]
    each.wait_for("reload done", since=mark)
    held[0].ask(body="posted")
    until(lambda: [2, 4] == sorted(set(generations(each)) - {3}), "the first and third generation to end")
    each.send(signal.SIGQUIT)
    assert 0 == each.wait()
    close_all(held)


RELOADS = int(os.environ.get("FORKCLUSTER_TEST_RELOADS", "6"))
EVERY = 2 if RELOADS < 20 else 5
RELEASES = [  # what is wrong, and the reason that is given
    ("raise RuntimeError('no database')\n", "RuntimeError: no database"),
    ("import os\ndef application(environ, start_response):\n    os._exit(9)\n", "without an answer"),
    (HANGING, "not loaded within 4 s"),
]
PROBED = ("--probe-path", "/", "--observe", "0", "--boot-timeout", "4")


def test_reloads_under_load_of_which_some_are_broken_are_seen_by_nobody(serve):
    """Good releases and broken ones: no client sees a fault, whoever asked for a broken one gets an error.

    Import error, crash at the first request, import that hangs, in turn. `make soak` runs a hundred and more.
    """
    each = serve(workers=2, arguments=PROBED)
    app = each.directory / "app.py"
    good = app.read_text()
    broken, memory = itertools.cycle(RELEASES), []
    ask(each.control, "reload", timeout=60)
    whole(each, workers=2)
    before = each.descriptors()
    with Load(each.address) as load:
        for number in range(1, RELOADS + 1):
            answers, old = load.answers.total(), each.worker_pids()
            if number % EVERY:
                ask(each.control, "reload", timeout=60)
            else:
                source, reason = next(broken)
                app.write_text(source)
                with pytest.raises(ApplicationError) as caught:
                    ask(each.control, "reload", timeout=60)
                app.write_text(good)
                assert reason in f"{caught.value} {caught.value.details}"
                assert caught.value.exit_code != 0
                assert {w["generation"] for w in served(each)} == {ask(each.control, "status")["generation"]}
                until(lambda o=old: each.worker_pids() <= o, "nothing but the old workers")
            until(lambda a=answers: load.answers.total() > a + 50, "answers")
            memory.append(resident(each.pid))
    assert {} == dict(load.faults)
    whole(each, workers=2)
    until(lambda: each.descriptors() <= before, f"{before} descriptors")
    assert SANITIZED or memory[-1] < memory[RELOADS // 2] + 2_000_000, "the master grows"


def served(each):
    """The workers that are ready, as the status tells."""
    return [worker for worker in ask(each.control, "status")["workers"] if worker["state"] != "draining"]

"""What an application prints, through the logger: every line once, whoever is killed, whatever is full."""

import contextlib
import os
import re
import signal
import socket
import threading

import pytest
from harness import until
from output import APP, Printing, count, kill_until

from forkcluster.manager.control import ask

APP_THAT_FAILS = """
import logging, os, subprocess, sys, time
logging.basicConfig()
print("loading")

def application(environ, start_response):
    path = environ["PATH_INFO"]
    print("asked", path)
    if path == "/boom":
        raise ValueError("boom")
    if path == "/logged":
        try:
            {}["missing"]
        except KeyError:
            logging.exception("no such key")
    if path == "/child":
        subprocess.run([sys.executable, "-c", "print('from a child')"])
    if path == "/stuck":
        time.sleep(600)
    if path == "/flood":
        for number in range(100_000):
            os.write(1, b"%0100d\\n" % number)
    start_response("200 OK", [("Content-Length", "0")])
    return []
"""


@pytest.fixture
def capturing(server, tmp_path):
    """Make a server whose output goes to out.log and error.log; its `log` is the latter's text."""

    def make(source=APP_THAT_FAILS, *arguments, **settings):
        files = ("--out-file", "out.log", "--error-file", "error.log")
        each = server(arguments=(*files, *arguments), **settings)
        (each.directory / "app.py").write_text(source)
        each.start()
        found = until(
            lambda: re.search(r"listening=http://([\d.]+):(\d+)", text(tmp_path / "error.log")), "ready"
        )
        each.address = (found[1], int(found[2]))
        return each

    return make


def text(path):
    """What is in a file; nothing, when there is none."""
    return path.read_text() if path.exists() else ""


def wait_for(path, pattern):
    """Wait until a file matches."""
    return until(lambda: re.search(pattern, text(path)), f"{pattern!r} in {path.name}")


def test_every_line_says_when_and_whose_it_is(capturing, tmp_path):
    """Molds, workers, children of workers; our own log; tracebacks are marked as one record."""
    each = capturing()
    for path in ("/child", "/logged", "/boom"):
        each.get(path)
    at = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
    further = rf"\n({at} 0 : .*\n)+{at} 0 : "
    wait_for(tmp_path / "out.log", rf"(?m)^{at} mold \| loading$")
    wait_for(tmp_path / "out.log", rf"(?m)^{at} 0 \| from a child$")
    wait_for(tmp_path / "out.log", rf"(?m)^{at} 0 \| asked /boom$")
    error = tmp_path / "error.log"
    wait_for(error, rf"(?m)^{at} master \| info  master  ready app=app ")
    wait_for(error, rf"(?m)^{at} 0 \| ERROR:root:no such key{further}KeyError")
    wait_for(error, rf"(?m)^{at} 0 \| error worker  error in the application.*{further}    ValueError: boom$")
    assert 0 == each.stop()
    wait_for(error, "master  stopping")


def test_in_the_foreground_lines_go_to_the_standard_streams(server):
    """With --capture-output, and JSON if asked for."""
    each = server(arguments=("--capture-output", "--log-type", "json"))
    each.boot()
    each.wait_for(r'"worker": "master", "generation": 0, "stream": "error", "message": "info  master  ready')
    assert 0 == each.stop()


def test_no_line_is_lost_or_doubled_when_loggers_and_workers_are_killed(capturing, tmp_path):
    """600,000 lines through about 60 rotations."""
    each = capturing(
        APP, "--log-rotate-size", "500K", "--log-rotate-keep", "1000", "--min-uptime", "0", workers=2
    )
    hold_out(each, tmp_path, 600_000, 250)


@pytest.mark.stress
def test_no_line_of_ten_million_is_lost_or_doubled(capturing, tmp_path):
    """The same through about 20 rotations of 24 MB."""
    each = capturing(
        APP, "--log-rotate-size", "24M", "--log-rotate-keep", "1000", "--min-uptime", "0", workers=2
    )
    hold_out(each, tmp_path, 10_000_000, 5_000)


def hold_out(each, tmp_path, total, batch):
    """Print under kills, stop, and count."""
    killed = {"logger": 0, "worker": 0}
    with Printing(each, total, batch, lambda: min(killed.values()) >= 2) as printing:
        killers = [
            threading.Thread(target=kill_until, args=(printing.done, each, 0.3, role, killed))
            for role in killed
        ]
        for killer in killers:
            killer.start()
        for killer in killers:
            killer.join()
    assert 0 == each.stop()
    reached, wrong = count(tmp_path / "out.log")
    assert [] == wrong[:10]
    assert {} == {pid: (n, reached[pid]) for pid, n in printing.answered.items() if n > reached[pid]}


def test_files_moved_by_others_are_opened_anew_without_loss(capturing, tmp_path):
    """Row 40: a move and USR1, again and again under load."""
    each = capturing(APP, workers=2)
    out = tmp_path / "out.log"
    moves = []
    with Printing(each, 100_000, 150, lambda: len(moves) > 2) as printing:
        while not printing.done():
            if out.exists():
                moves.append(out.rename(tmp_path / f"out.log.{len(moves) + 1}"))
                each.send(signal.SIGUSR1)
                until(out.exists, "a new file")
    assert 0 == each.stop()
    reached, wrong = count(out)
    assert [] == wrong[:10]
    assert printing.answered == reached


def test_a_full_disk_stops_nobody_and_is_told(capturing, tmp_path):
    """Row 38: what does not fit is dropped and counted; when there is room again, writing goes on."""
    (tmp_path / "out.log").symlink_to("/dev/full")
    each = capturing()
    assert 200 == each.get("/flood")[0]
    wait_for(tmp_path / "error.log", "output cannot be written.*No space left")
    assert 200 == each.get("/")[0]
    (tmp_path / "out.log").unlink()
    each.send(signal.SIGUSR1)
    wait_for(tmp_path / "out.log", r"logger \| \d+ lines dropped: No space left on device")
    wait_for(tmp_path / "error.log", r"output is written again .*dropped=\d+")
    assert ask(each.control, "status")["output"]["dropped"] > 0
    each.get("/after")
    wait_for(tmp_path / "out.log", "asked /after")
    assert 0 == each.stop()


def test_a_reader_that_does_not_read_stops_nobody(server):
    """Row 39: standard output is a pipe that is full, then closed."""
    each = server(arguments=("--capture-output", "--out-file", "-"))
    (each.directory / "app.py").write_text(APP_THAT_FAILS)
    each.boot()
    assert 200 == each.get("/flood")[0]
    assert 200 == each.get("/")[0]
    assert ask(each.control, "status")["ready"]
    each.process.stdout.close()
    assert 200 == each.get("/flood")[0]
    assert 200 == each.get("/")[0]
    each.process.stdout = open(os.devnull, "rb")  # noqa: SIM115  for the harness to close
    each.send(signal.SIGTERM)
    assert 0 == each.process.wait(20)


def test_a_stopped_logger_does_not_stop_the_master(capturing, tmp_path):
    """Its own lines are dropped when their pipe is full; commands are answered, and all ends well."""
    each = capturing()
    (logger,) = [process.pid for process in each.processes("logger")]
    os.kill(logger, signal.SIGSTOP)
    for _ in range(3000):
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(each.control)
            line.sendall(b"nonsense\n")
    assert ask(each.control, "scale", workers="2")["ok"]
    each.wait_for_workers(2)
    os.kill(logger, signal.SIGCONT)
    assert 0 == each.stop()


def test_a_stopped_logger_does_not_stop_the_application_for_long(capturing, tmp_path):
    """Who prints more than its pipe holds waits until the master has looked, and told the logger to go on."""
    each = capturing()
    (logger,) = [process.pid for process in each.processes("logger")]
    os.kill(logger, signal.SIGSTOP)
    assert 200 == each.get("/flood")[0]
    wait_for(tmp_path / "error.log", "somebody has stopped the logger")
    wait_for(tmp_path / "out.log", r"(?m)^.* 0 \| 0*99999$")
    assert "the logger ended" not in text(tmp_path / "error.log")
    assert 0 == each.stop()


def test_lines_of_a_worker_that_is_gone_are_written(capturing, tmp_path):
    """While there was no logger: they wait in the pipe."""
    each = capturing(APP)
    (logger,) = [process.pid for process in each.processes("logger")]
    os.kill(logger, signal.SIGSTOP)
    each.get("/?1000")
    (worker,) = each.worker_pids()
    each.send(signal.SIGKILL, worker)
    until(lambda: worker not in each.worker_pids(), "the worker's end")
    each.send(signal.SIGKILL, logger)
    until(lambda: count(tmp_path / "out.log")[0][worker] == 1000, "all lines")
    assert 0 == each.stop()


def test_no_descriptor_is_kept_for_workers_that_are_gone(capturing):
    """Pipe and memfd go with the last who could print."""
    each = capturing(APP)
    each.get("/?10")
    before = each.descriptors()
    for _ in range(3):
        (worker,) = each.worker_pids()
        each.send(signal.SIGKILL, worker)
        until(lambda old={worker}: each.worker_pids() not in (set(), old), "another worker")
    until(lambda: each.descriptors() <= before, "no more descriptors than before")


def test_the_log_of_all_processes_goes_to_one_file(server, tmp_path):
    """--log-file: errors of the application, too; moved and opened anew while a worker is stuck."""
    each = server(arguments=("--log-file", "own.log", "--drain-timeout", "0"), workers=2)
    (each.directory / "app.py").write_text(APP_THAT_FAILS)
    each.start()
    own = tmp_path / "own.log"
    found = wait_for(own, r"listening=http://([\d.]+):(\d+)")
    each.address = (found[1], int(found[2]))
    each.get("/boom")
    wait_for(own, r"error worker  error in the application")
    with socket.create_connection(each.address) as client:
        client.sendall(b"GET /stuck HTTP/1.1\r\nHost: x\r\n\r\n")
        until(lambda: any(w["in_flight"] for w in ask(each.control, "status")["workers"]), "a stuck worker")
        own.rename(tmp_path / "own.log.1")
        each.send(signal.SIGUSR1)
        wait_for(own, "logs reopened")

        def all_have_it():
            pids = [
                process.pid for process in each.processes() if process.role in ("master", "mold", "worker")
            ]
            return (
                all(str(own) in links(pid) and f"{own}.1" not in links(pid) for pid in pids)
                and len(pids) == 4
            )

        until(all_have_it, "the new file in every process")
    each.get("/boom")
    wait_for(own, r"ValueError: boom")
    each.stop()


def links(pid):
    """The files that a process has open."""
    directory = f"/proc/{pid}/fd"
    return [
        os.readlink(f"{directory}/{name}")
        for name in os.listdir(directory)
        if os.path.exists(f"{directory}/{name}")
    ]


def test_slots_may_have_files_of_their_own(capturing, tmp_path):
    """--no-merge-logs; the mold's lines are in the file without a slot."""
    each = capturing(APP_THAT_FAILS, "--no-merge-logs", workers=2)
    until(
        lambda: [each.get() for _ in range(10)] and "asked" in text(tmp_path / "out-0.log"),
        "a line of slot 0",
    )
    until(
        lambda: [each.get() for _ in range(10)] and "asked" in text(tmp_path / "out-1.log"),
        "a line of slot 1",
    )
    assert "mold | loading" in text(tmp_path / "out.log")
    assert 0 == each.stop()


def test_an_app_that_does_not_load_is_told_in_full(server, tmp_path):
    """What it has printed, and why it failed, are in the files when the master has ended."""
    each = server(arguments=("--out-file", "out.log", "--error-file", "error.log"))
    (each.directory / "app.py").write_text("print('before')\nimport nothing_like_this\n")
    each.start()
    assert each.wait() != 0
    assert "mold | before" in text(tmp_path / "out.log")
    assert "ModuleNotFoundError: No module named 'nothing_like_this'" in text(tmp_path / "error.log")


def held(path):
    """What a file that may be rotated away has in it."""
    with contextlib.suppress(FileNotFoundError):
        return path.read_bytes()
    return b""


def test_files_are_emptied_and_opened_anew_on_request(capturing, tmp_path):
    """By the control socket: flush removes rotated files, too."""
    each = capturing(APP, "--log-rotate-size", "1K", "--no-log-compress")
    each.get("/?1000")
    until((tmp_path / "out.log.1").exists, "a rotated file")
    last = rb"line \d+ 1000\n"
    until(lambda: re.search(last, b"".join(map(held, tmp_path.glob("out.log*")))), "the last line")
    assert ask(each.control, "flush")["ok"]
    assert ["error.log", "out.log"] == sorted(path.name for path in tmp_path.glob("*.log*"))
    assert "" == text(tmp_path / "out.log")
    (tmp_path / "error.log").rename(tmp_path / "moved")
    assert ask(each.control, "reopen")["ok"]
    until((tmp_path / "error.log").exists, "the new file")
    # The line about it is written at the same moment: to the old file or to the new one.
    until(lambda: "logs reopened" in text(tmp_path / "moved") + text(tmp_path / "error.log"), "the line")


FAULTY = """
import os, sys
if any("forkcluster.logger" in word for word in sys.orig_argv):
    with open(os.environ["DEATHS"], "a+") as file:
        file.write("x")
        file.seek(0)
        if len(file.read()) <= 5:
            os._exit(1)
"""


def test_a_logger_that_fails_again_and_again_stops_nobody(server, tmp_path):
    """After five faults in a row the next one drops, so that whoever prints does not wait for ever."""
    (tmp_path / "faulty").mkdir()
    (tmp_path / "faulty" / "sitecustomize.py").write_text(FAULTY)
    environment = {"PYTHONPATH": str(tmp_path / "faulty"), "DEATHS": str(tmp_path / "deaths")}
    files = ("--out-file", "out.log", "--log-file", "own.log")
    each = server(arguments=files, environment=environment)
    (each.directory / "app.py").write_text(APP_THAT_FAILS)
    each.start()
    found = wait_for(tmp_path / "own.log", r"listening=http://([\d.]+):(\d+)")
    each.address = (found[1], int(found[2]))
    assert 200 == each.get("/flood")[0]
    wait_for(tmp_path / "own.log", "what is printed is dropped")
    assert 0 == each.stop()


def test_output_of_any_program_is_captured(server, tmp_path):
    """Fork mode: each process by its slot, its children too."""
    script = tmp_path / "chatter.sh"
    script.write_text("echo begun; echo trouble >&2; sh -c 'echo from a child'; exec sleep 600\n")
    files = ("--out-file", "out.log", "--error-file", "error.log")
    each = server(target="chatter.sh", arguments=("--interpreter", "sh", *files), bind=(), workers=2)
    each.start()
    for slot in (0, 1):
        wait_for(tmp_path / "out.log", rf"(?m)^\S+ {slot} \| begun\n(.*\n)*\S+ {slot} \| from a child")
        wait_for(tmp_path / "error.log", rf"(?m)^\S+ {slot} \| trouble")
    assert 0 == each.stop()

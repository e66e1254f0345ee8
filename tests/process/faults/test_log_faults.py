"""Logs that cannot be written, or move away. Rows 38 to 40."""

import os
import re
import signal

import pytest
from board import total
from harness import until
from scene import CALLED, serve_source, whole
from strict import Load


@pytest.mark.parametrize("arguments", [("--log-file", "/dev/full"), ("--access-log", "/dev/full")])
def test_row_38_full_disk_stops_no_answer(server, arguments):
    """Lines are dropped and counted; requests, reloads and the stop go on."""
    each = server(workers=2, arguments=(*arguments, "--observe", "0"))
    (each.directory / "app.py").write_text(CALLED)
    each.start()
    each.wait_for("Ctrl-C")
    each.address = ("127.0.0.1", int(re.search(r"http://127.0.0.1:(\d+)", each.output)[1]))
    for _ in range(20):
        assert 200 == each.get()[0]
    if arguments[0] == "--access-log":
        until(lambda: each.get() and total(each, "log_dropped") >= 20, "the lines to be counted")
    old = each.worker_pids()
    each.send(signal.SIGHUP)
    until(lambda: len(each.worker_pids()) == 2 and not old & each.worker_pids(), "the reload")
    assert 200 == each.get()[0]
    assert 0 == each.stop()


def test_row_39_reader_of_the_log_that_is_stuck_blocks_nobody(server):
    """The pipe is full: requests, reloads and deaths go on; what was lost is told when it is read again."""
    each = serve_source(server, CALLED, workers=2, arguments=("--observe", "0", "--min-uptime", "0"))
    filler = os.open(f"/proc/{each.pid}/fd/2", os.O_WRONLY | os.O_NONBLOCK)
    written = 0
    try:
        while True:
            written += os.write(filler, b"." * 4096)
    except BlockingIOError:
        assert written > 0
    finally:
        os.close(filler)
    for _ in range(3):
        old = each.worker_pids()
        each.send(signal.SIGKILL, min(old))
        until(lambda o=old: len(each.worker_pids() - {min(o)}) == 2, "a replacement")
        assert 200 == each.get()[0]
    old = each.worker_pids()
    each.send(signal.SIGHUP)
    until(lambda: len(each.worker_pids()) == 2 and not old & each.worker_pids(), "the reload")
    mark = len(each.output)
    each.drain()
    each.send(signal.SIGHUP)
    each.wait_for("log lines could not be written.*lines=", since=mark)
    whole(each, workers=2)


def test_row_39_log_pipe_that_is_closed_is_survived(server):
    """Nobody reads any more: no EPIPE ends anything."""
    each = serve_source(server, CALLED, workers=2, arguments=("--observe", "0", "--access-log", "-"))
    each.process.stdout.close()
    each.process.stdout = open(os.devnull, "rb")  # noqa: SIM115  closed by the harness
    for _ in range(10):
        assert 200 == each.get()[0]
    old = each.worker_pids()
    each.send(signal.SIGHUP)
    until(lambda: len(each.worker_pids()) == 2 and not old & each.worker_pids(), "the reload")
    victim = min(each.worker_pids())
    each.send(signal.SIGKILL, victim)
    until(lambda: len(each.worker_pids() - {victim}) == 2, "a replacement")
    assert 200 == each.get()[0]
    each.send(signal.SIGTERM)
    assert 0 == each.process.wait(20)


def test_row_40_rotation_by_move_under_load_loses_and_tears_no_line(server):
    """The access log is moved and USR1 sent, ten times: every answered request has one whole line."""
    arguments = ("--access-log", "access.log", "--access-log-format", "%(h)s %(r)s %(s)s end")
    each = serve_source(server, CALLED, workers=2, arguments=arguments)
    log = each.directory / "access.log"
    with Load(each.address, slow=0, idle=0) as load:
        for number in range(10):
            before = load.answers.total()
            until(lambda b=before: load.answers.total() > b + 30, "answers")
            log.rename(each.directory / f"access.log.{number}")
            each.send(signal.SIGUSR1)
            until(log.exists, "a new file")
    assert {} == dict(load.faults)
    assert 0 == each.stop()
    found = [line for path in each.directory.glob("access.log*") for line in path.read_text().splitlines()]
    assert load.answers.total() == len(found)
    assert [] == [
        line for line in found if not re.fullmatch(r"127.0.0.1 (GET|POST) /\S+ HTTP/1.1 200 end", line)
    ]


def test_row_40_operating_log_is_reopened_by_all(server):
    """USR1 after a rotation: what comes next, of master and mold, is in the new file."""
    each = server(arguments=("--log-file", "cluster.log", "--observe", "0")).start()
    log = each.directory / "cluster.log"
    until(lambda: log.exists() and "ready app=" in log.read_text(), "the log")
    log.rename(each.directory / "cluster.log.1")
    each.send(signal.SIGUSR1)
    until(lambda: log.exists() and "logs reopened" in log.read_text(), "a new log")
    each.send(signal.SIGHUP)
    until(lambda: "reload done" in log.read_text(), "the reload in the new log")
    assert 0 == each.stop()
    assert "reload" not in (each.directory / "cluster.log.1").read_text()

"""The access log: every answered request in one whole line, through rotations by others, and a full disk."""

import collections
import os
import re
import signal
import socket
import threading

import pytest
from harness import until

from forkcluster.errors import EXIT_CONFIGURATION
from forkcluster.manager.control import ask

STUCK = """
import threading

def application(environ, start_response):
    if environ["PATH_INFO"] == "/stuck":
        threading.Event().wait()
    start_response("200 OK", [("Content-Length", "0")])
    return []
"""
LINE = re.compile(r'\S+ - - \[[^]]+\] "GET /(\d+) HTTP/1\.1" 200 \S+ .*')


@pytest.fixture
def logging_server(server):
    """Make a server with an access log beside its app."""

    def make(**settings):
        each = server(arguments=("--access-log", "access.log", "--drain-timeout", "0.5"), **settings)
        (each.directory / "app.py").write_text(STUCK)
        return each.boot()

    return make


def load(address, numbers, answered):
    """Ask for each number on connections that are kept; those that were answered are counted."""
    connection = socket.create_connection(address)
    for number in numbers:
        connection.sendall(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % number)
        data = b""
        while b"\r\n\r\n" not in data:
            data += connection.recv(65536)
        answered[number] += data.startswith(b"HTTP/1.1 200 ")
    connection.close()


def test_no_line_is_lost_or_torn_by_moves_under_load_with_a_stuck_worker(logging_server, tmp_path):
    """Row 40: a move and USR1, again and again; the worker that is stuck lets its old file go, too."""
    each = logging_server(workers=2)
    log, answered, moves = tmp_path / "access.log", collections.Counter(), 0
    with socket.create_connection(each.address) as stuck:
        stuck.sendall(b"GET /stuck HTTP/1.1\r\nHost: x\r\n\r\n")
        until(lambda: any(w["in_flight"] for w in ask(each.control, "status")["workers"]), "a stuck worker")
        threads = [
            threading.Thread(target=load, args=(each.address, range(at, 8000, 4), answered))
            for at in range(4)
        ]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            moves += 1
            log.rename(tmp_path / f"access.log.{moves}")
            each.send(signal.SIGUSR1)
            until(log.exists, "a new file")
        for thread in threads:
            thread.join()
        log.rename(tmp_path / "access.log.last")
        each.send(signal.SIGUSR1)
        pids = each.worker_pids()
        until(
            lambda: all(opened(pid, log) == {str(log)} for pid in pids), "the new file alone in every worker"
        )
    each.send(signal.SIGQUIT)
    each.wait()
    lines = [line for path in tmp_path.glob("access.log*") for line in path.read_text().splitlines()]
    wrong = [line for line in lines if not LINE.fullmatch(line) and "/stuck" not in line]
    found = collections.Counter(int(match[1]) for line in lines if (match := LINE.fullmatch(line)))
    assert ([], answered) == (wrong, found)
    assert 8000 == len(answered)
    assert moves > 3


def opened(pid, log):
    """The access logs, moved ones too, that a process has open."""
    directory = f"/proc/{pid}/fd"
    links = {
        os.readlink(f"{directory}/{name}")
        for name in os.listdir(directory)
        if os.path.exists(f"{directory}/{name}")
    }
    return {link for link in links if link.startswith(str(log))}


def test_a_full_disk_costs_lines_that_are_counted_and_nothing_else(logging_server, tmp_path):
    """Row 38: requests are answered; the count survives the worker; with room again lines are written."""
    log = tmp_path / "access.log"
    log.symlink_to("/dev/full")
    each = logging_server()
    for at in (0, 100):
        load(each.address, range(at, at + 100), answered := collections.Counter())
        assert 100 == len(answered)
        (worker,) = each.worker_pids()
        each.send(signal.SIGTERM, worker)
        until(lambda old={worker}: each.worker_pids() not in (set(), old), "another worker")
        until(lambda most=at + 100: dropped(each) == most, "the count of dropped lines")
    log.unlink()
    each.send(signal.SIGUSR1)
    until(log.exists, "the log")
    load(each.address, [7], answered)
    until(lambda: LINE.fullmatch(log.read_text().rstrip("\n")), "the line")


def dropped(each):
    """How many lines the access log has lost, as the metrics tell."""
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(20)
        line.connect(str(each.directory / "home" / "apps" / "app" / "admin.sock"))
        line.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        text = b"".join(iter(lambda: line.recv(65536), b"")).decode()
    found = re.findall(r"(?m)^forkcluster_access_log_lines_dropped_total\{.*\} ([\d.e+]+)$", text)
    return sum(map(float, found))


def test_usr1_opens_the_log_that_counts_since_a_reload(server, tmp_path):
    """Not the one of the start."""
    each = server(workers=1)
    config = each.directory / "forkcluster.toml"
    each.arguments = ("--config", str(config))
    config.write_text("[app]\naccess_log = 'old.log'\nobserve = 0\n")
    each.boot()
    config.write_text("[app]\naccess_log = 'new.log'\nobserve = 0\n")
    each.reload()
    until(lambda: len(each.worker_pids()) == 1, "the old worker, which has its own log, to end")
    new = each.directory / "new.log"
    new.rename(each.directory / "moved.log")
    each.send(signal.SIGUSR1)
    until(new.exists, "the new file")
    each.get("/one")
    until(lambda: "GET /one " in new.read_text(), "its line")


def test_a_log_that_cannot_be_opened_is_told_before_anything_is_loaded(server, tmp_path):
    """As a configuration that is wrong, with the file."""
    each = server(arguments=("--access-log", str(tmp_path))).start()
    assert EXIT_CONFIGURATION == each.wait()
    assert f"cannot open the access log {tmp_path}: Is a directory" in each.output


@pytest.mark.parametrize(("umask", "mode"), [("077", 0o600), ("022", 0o640)])
def test_a_new_log_has_the_permissions_that_the_workers_umask_leaves(server, tmp_path, umask, mode):
    """Also when the master has made it."""
    server(arguments=("--access-log", "access.log", "--umask", umask)).boot()
    assert mode == (tmp_path / "access.log").stat().st_mode & 0o777

"""A handler that hangs is named in the log, with the line it stands at, whatever it does."""

import contextlib
import re
import socket
import time

import pytest
from harness import until

from forkcluster.manager.control import ask

HANGING = """
import ctypes, threading, time

LIBC = ctypes.PyDLL(None)  # calls keep the GIL
LOCK = threading.Lock()
LOCK.acquire()

def application(environ, start_response):
    how = environ["PATH_INFO"].strip("/")
    if how:
        globals()[how]()
    start_response("200 OK", [])
    return [b"ok"]

def loop():
    while True: pass  # the line of loop

def sleep():
    time.sleep(3600)  # the line of sleep

def lock():
    LOCK.acquire()  # the line of lock

def native():
    while True: LIBC.sleep(3600)  # the line of native; a signal ends each sleep
"""
WARN = 1.0


def line_of(how):
    """Where it hangs."""
    lines = HANGING.splitlines()
    return next(number for number, line in enumerate(lines, 1) if f"# the line of {how}" in line)


@pytest.mark.parametrize("how", ["loop", "sleep", "lock", "native"])
def test_a_hung_handler_is_named_with_its_line(server, how):
    """Within the soft limit and a second; C code that holds the GIL is no exception."""
    running = server(arguments=("--request-warn", f"{WARN}", "--drain-timeout", "1"))
    (running.directory / "app.py").write_text(HANGING)
    running.boot()
    with socket.create_connection(running.address) as line:
        line.sendall(f"GET /{how} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        began = time.monotonic()
        where = rf'app\.py", line {line_of(how)} in {how}'
        running.wait_for(where)
        took = time.monotonic() - began
        assert re.search(rf'a request takes long request="GET /{how}"', running.output)
        assert WARN <= took
        # On demand, too, while it hangs.
        (worker,) = ask(running.control, "stacks")["workers"]
        assert re.search(where, worker["stacks"])
        print(f"{how}: named after {took:.2f} s")
    with contextlib.suppress(OSError):
        running.stop()
    until(lambda: not running.processes("worker"), "the end of the worker")

"""What the faults share: an app that remembers its calls, and processes that stop at named points."""

import os
import signal
import subprocess

from board import STOPPED
from harness import until

CALLED = """
import json, os, time

def application(environ, start_response):
    body = environ["wsgi.input"].read().decode()
    with open("calls", "a") as file:
        file.write(environ["PATH_INFO"] + "\\n")
    if environ["PATH_INFO"].startswith("/hold"):
        time.sleep(float(environ["QUERY_STRING"]))
    data = json.dumps({"pid": os.getpid(), "path": environ["PATH_INFO"], "body": body}).encode()
    start_response("200 OK", [("Content-Length", str(len(data)))])
    return [data]
"""

ANSWERS = """
import os

def application(environ, start_response):
    start_response("200 OK", [("Content-Length", "3")])
    return [b"{version:3}"]
"""


def serve_source(server, source, **settings):
    """Boot an application of that source."""
    each = server(**settings)
    (each.directory / "app.py").write_text(source)
    return each.boot()


def stop_at(server, point, source=CALLED, **settings):
    """Boot a cluster of whose processes one will stop itself at that point."""
    return serve_source(server, source, environment={"FORKCLUSTER_STOP_AT": point}, **settings)


def stopped_process(each):
    """Wait for the one that has stopped itself."""
    found = until(lambda: [p for p in each.processes() if p.state == STOPPED], "a process to stop itself")
    assert 1 == len(found)
    return found[0]


def go_on(each, process):
    each.send(signal.SIGCONT, process.pid)


def whole(each, workers, molds=1):
    """Wait until master, mold and so many workers are all there is, none of them a zombie or stopped."""

    def is_whole():
        found = each.processes()
        roles = sorted(process.role for process in found)
        alive = all(process.state not in "ZT" for process in found)
        return alive and roles == ["master", *["mold"] * molds, *["worker"] * workers]

    until(is_whole, f"a master, {molds} molds and {workers} workers and nothing else")


def slots(each):
    """The slots of all workers, from their titles."""
    return sorted(int(process.title.split()[3]) for process in each.processes("worker"))


def calls(each):
    """What the application was called with, in order."""
    path = each.directory / "calls"
    return path.read_text().split() if path.exists() else []


def kill_first(each):
    """kill -9 the worker in slot 0; its pid."""
    victim = next(p for p in each.processes("worker") if p.title.split()[3] == "0")
    os.kill(victim.pid, signal.SIGKILL)
    return victim.pid


def preload(each, name, source):
    """Compile a library that stands before the C library of all its processes; the variables for that."""
    code, library = each.directory / f"{name}.c", each.directory / f"{name}.so"
    code.write_text(source)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, code, "-ldl"], check=True)
    return {"LD_PRELOAD": f"{os.environ.get('LD_PRELOAD', '')} {library}".strip()}

"""The history of an app: what happened, why, and who asked, on disk and in the status."""

import contextlib
import json
import os
import signal
from pathlib import Path

from harness import until

from forkcluster.manager.control import ask

CRASHING = """
import ctypes, os, sys

def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/segfault":
        fall_over()
    start_response("200 OK", [])
    return [str(os.getpid()).encode()]

def fall_over():
    ctypes.string_at(0)
"""


def events(server, kind=None):
    """The events on disk, of one kind."""
    path = Path(f"{server.directory}/home/apps/app/events.jsonl")
    found = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [each for each in found if kind in (None, each["event"])]


def test_a_life_is_told_from_start_to_stop(server):
    """Each step under its kind, and the next master goes on in the same file."""
    running = server().boot()
    running.reload()
    ask(running.control, "scale", workers="2")
    running.wait_for("scaled")
    assert 0 == running.stop()
    kinds = [each["event"] for each in events(running)]
    assert ["start", "ready", "up", "asked", "reload"] == kinds[:5]
    for kind in ("reload-done", "scale", "stop", "end", "stopped"):
        assert kind in kinds
    (outcome,) = events(running, "reload-done")
    assert "loading the application" in outcome["text"]
    again = server().boot()
    assert "stopped" in [each["event"] for each in ask(again.control, "status")["events"]]


def test_it_is_told_who_asked(server):
    """A client of the control socket and the sender of a signal, by user and pid."""
    running = server().boot()
    me = f"uid {os.getuid()}, pid {os.getpid()}"
    ask(running.control, "scale", workers="2")
    running.reload()
    asked = {each["text"]: each["fields"]["asked_by"] for each in events(running, "asked")}
    assert {"scale asked for", "SIGHUP came"} == set(asked)
    assert all(who.startswith(me) for who in asked.values()), asked


def test_a_crash_is_told_with_its_reason_and_last_stacks(server):
    """A segmentation fault inside the application names the line it happened on."""
    running = server()
    (running.directory / "app.py").write_text(CRASHING)
    running.boot()
    with contextlib.suppress(OSError):
        running.get("/segfault")
    (crash,) = until(lambda: events(running, "crash"), "the crash in the history")
    assert "was killed by SIGSEGV" in crash["fields"]["how"]
    assert "in fall_over" in crash["text"]
    assert 200 == until(lambda: answered(running), "a new worker")
    status = ask(running.control, "status")
    assert {"crash": 1} == {why: count for why, count in status["counts"]["exits"].items() if count}
    assert 1 == status["workers"][0]["restarts"]


def answered(server):
    try:
        return server.get("/")[0]
    except OSError:
        return 0


def test_a_worker_that_is_killed_from_outside_has_no_last_words(server):
    """SIGKILL leaves no stacks; the event is there all the same."""
    running = server().boot()
    os.kill(running.worker_pids().pop(), signal.SIGKILL)
    (crash,) = until(lambda: events(running, "crash"), "the crash in the history")
    assert "worker died" == crash["text"]

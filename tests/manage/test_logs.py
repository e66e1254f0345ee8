"""logs, flush, reload-logs: what apps have printed."""

import json
import os
import re
import select
import signal

import pytest
from harness import until

from forkcluster.errors import EXIT_FAILURE, EXIT_INTERRUPTED

APP = """
import logging, sys
print("loading")

def application(environ, start_response):
    path = environ["PATH_INFO"]
    print("asked", path)
    print("careful", path, file=sys.stderr)
    if path == "/boom":
        raise ValueError("boom")
    start_response("200 OK", [])
    return [b"ok"]
"""


def begin(shell, *names):
    for name in names:
        shell.write(f"{name}.py", APP)
        shell.start(f"{name}:application")


def shown(shell, *words):
    return shell.run("logs", *words, "--nostream").out.splitlines()


def test_logs_shows_the_last_lines_of_all_apps(shell):
    """With the name and the worker of each line; of one app, of one stream, so many."""
    begin(shell, "app", "shop")
    shell.get("app", "/one")
    shell.get("shop", "/two")
    until(lambda: "careful /two" in "\n".join(shown(shell)), "the last line")
    lines = shown(shell)
    assert {"app    mold | loading", "shop   mold | loading"} <= set(lines)
    assert ["app      0 | asked /one"] == shown(shell, "app", "--out", "--lines", "1")
    assert ["careful /two"] == shown(shell, "shop", "--err", "--lines", "1", "--raw")
    assert [] == shown(shell, "app", "--lines", "0")


def test_a_log_that_is_a_directory_is_told_beside_the_others(shell):
    """One line, and the exit code is not 0."""
    shell.run("start", "echo hello; exec sleep 1000", "--name", "one", "--min-uptime", "0.1")
    out, error = (shell.home / f"logs/one-{stream}.log" for stream in ("out", "error"))
    until(lambda: "hello" in out.read_text(), "the app's line")
    shell.run("stop", "one")
    error.unlink()
    error.mkdir()
    done = shell.run("logs", "--nostream", code=EXIT_FAILURE)
    assert (True, f"reading {error}: Is a directory\n") == ("hello" in done.out, done.err)


def test_logs_keeps_a_traceback_whole(shell):
    """Also when it is longer than asked for; as JSON it is one object."""
    begin(shell, "app")
    shell.get("app", "/boom")
    until(lambda: "ValueError: boom" in "\n".join(shown(shell)), "the traceback")
    lines = shown(shell, "--err", "--lines", "2", "--raw")
    assert "error in the application" in lines[0]
    assert "    ValueError: boom" == lines[-1]
    (found,) = map(json.loads, shown(shell, "--err", "--lines", "1", "--json"))
    assert ("app", "error", "0") == (found["app"], found["stream"], found["worker"])
    assert found["message"].endswith("    ValueError: boom")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", found["time"])


class Following:
    """A command `logs` that follows, and what it has printed."""

    def __init__(self, shell, *words):
        self.process = shell.begin("logs", *words, start_new_session=True)
        self._found = ""

    def take(self):
        while select.select([self.process.stdout], [], [], 0)[0]:
            self._found += os.read(self.process.stdout.fileno(), 65536).decode()
        return self._found

    def interrupt(self):
        """Ctrl-C."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(20)

    def close(self):
        self.process.kill()
        self.process.wait(20)
        self.process.stdout.close()
        self.process.stderr.close()


@pytest.fixture
def follow(shell):
    """Begins commands `logs` that follow; none of them is left."""
    begun = []

    def begin(*words):
        begun.append(Following(shell, *words))
        return begun[-1]

    yield begin
    for each in begun:
        each.close()


def test_logs_follows_through_rotations(shell, follow):
    """Every line once, until Ctrl-C."""
    shell.write("app.py", APP)
    shell.start("app:application", "--log-rotate-size", "300")
    following = follow("app", "--out", "--raw", "--lines", "0")
    until(lambda: shell.get("app", "/begin") and "asked /begin" in following.take(), "the first line")
    for number in range(40):
        shell.get("app", f"/{number}")
    until(lambda: "asked /39" in following.take(), "the last line")
    assert [f"asked /{number}" for number in range(40)] == re.findall(r"asked /\d+", following.take())
    assert len(list((shell.home / "logs").glob("app-out.log.*"))) > 2
    assert EXIT_INTERRUPTED == following.interrupt()


def test_logs_follows_files_that_come_later(shell, follow):
    """Of slots and of apps that were not there: whole, but for what an app of that name has left before."""
    old = shell.home / "logs" / "late-out.log"
    says = "import os, time; print('slot', os.environ['FORKCLUSTER_INSTANCE'], flush=True)"
    shell.write("pr.py", f"{says}; time.sleep(999)")  # a program that stays
    words = ("--no-merge-logs", "--min-uptime", "0.1")
    shell.run("start", "pr.py", *words)
    old.write_text("of another\n")
    following = follow("--raw")
    until(lambda: "slot 0" in following.take(), "the first line")
    shell.run("scale", "pr", "3")
    shell.run("start", "echo hello; exec sleep 999", "--name", "late", "--min-uptime", "0.1")
    until(lambda: {"slot 1", "slot 2", "hello"} <= set(following.take().splitlines()), "the new lines")
    assert "of another" not in following.take()


def test_flush_empties_the_logs_of_running_and_stopped_apps(shell):
    """Rotated files go, too; a running app goes on writing."""
    shell.write("app.py", APP)
    shell.start("app:application", "--log-rotate-size", "100")
    begin(shell, "shop")
    shell.run("stop", "shop")
    logs = shell.home / "logs"
    until(lambda: list(logs.glob("app-error.log.*")), "a rotated file")
    assert "shop has empty logs" in shell.run("flush").out
    empty = {"app-out.log": 0, "app-error.log": 0, "shop-out.log": 0, "shop-error.log": 0}

    def left():  # a last line of the start may have come after the first flush
        shell.run("flush")
        return {path.name: path.stat().st_size for path in logs.iterdir()}

    until(lambda: left() == empty, "empty logs")
    shell.get("app", "/after")
    until(lambda: "asked /after" in (logs / "app-out.log").read_text(), "a line")


def test_reload_logs_opens_files_that_were_moved_anew(shell):
    """The name that PM2 has for it works, too."""
    begin(shell, "app")
    out = shell.home / "logs" / "app-out.log"
    for number, word in enumerate(("reload-logs", "reloadLogs")):
        out.rename(f"{out}.moved{number}")
        assert "app has opened its logs anew" in shell.run(word, "app").out
        until(out.exists, "the new file")


def test_logs_of_nothing_says_so(shell):
    """No app, or none of that name."""
    assert "no files" in shell.run("logs", code=None).err
    assert "no app is meant by nobody" in shell.run("logs", "nobody", code=None).err

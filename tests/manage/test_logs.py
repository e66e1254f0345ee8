"""logs, flush, reload-logs: what apps have printed."""

import json
import os
import re
import select
import signal

from harness import until

from forkcluster.errors import EXIT_FAILURE

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


def test_logs_follows_through_rotations(shell):
    """Every line once, until Ctrl-C."""
    shell.write("app.py", APP)
    shell.start("app:application", "--log-rotate-size", "300")
    following = shell.begin("logs", "app", "--out", "--raw", "--lines", "0", start_new_session=True)
    found = ""

    def take():
        nonlocal found
        while select.select([following.stdout], [], [], 0)[0]:
            found += os.read(following.stdout.fileno(), 65536).decode()
        return found

    until(lambda: shell.get("app", "/begin") and "asked /begin" in take(), "the first line")
    for number in range(40):
        shell.get("app", f"/{number}")
    until(lambda: "asked /39" in take(), "the last line")
    assert [f"asked /{number}" for number in range(40)] == re.findall(r"asked /\d+", found)
    assert len(list((shell.home / "logs").glob("app-out.log.*"))) > 2
    os.kill(following.pid, signal.SIGINT)
    assert 130 == following.wait(20)
    following.stdout.close()
    following.stderr.close()


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

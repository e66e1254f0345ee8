"""A program that fails its start or its reload: the terminal shows what it printed last."""

import json

from harness import until

from forkcluster.errors import EXIT_APPLICATION

BROKEN = """
print("beginning")
import no_such_module
"""
MOST = 8 * 1024


def test_traceback_of_a_failed_start_is_shown(shell):
    """Whole, and nothing of standard output."""
    shell.write("worker.py", BROKEN)
    done = shell.run("start", "./worker.py", "--restart-delay", "60", code=EXIT_APPLICATION)
    assert "exited with status 1" in done.err
    assert "Traceback (most recent call last):\n" in done.err
    assert done.err.endswith("ModuleNotFoundError: No module named 'no_such_module'\n")
    assert "beginning" not in done.err


def test_a_program_that_is_not_started_again_is_quoted_too(shell):
    """--no-autorestart: the app is over, and says why."""
    shell.write("job.sh", "echo the database is gone >&2; exit 3\n")
    done = shell.run("start", "./job.sh", "--no-autorestart", code=EXIT_APPLICATION)
    assert done.err.endswith("exited with status 3, and is not started again\nthe database is gone\n")
    until(lambda: shell.list()["job"]["status"] == "errored", "errored")
    assert "the database is gone" in shell.run("describe", "job").out


def test_standard_output_is_quoted_where_standard_error_is_silent(shell):
    """Some programs know no better. In JSON it is the error's details."""
    shell.write("job.sh", "echo usage: job FILE; exit 2\n")
    words = ("start", "./job.sh", "--restart-delay", "60", "--json")
    [answer] = json.loads(shell.run(*words, code=EXIT_APPLICATION).out)
    assert "usage: job FILE" == answer["error"]["details"]


def test_the_end_of_much_output_is_quoted(shell):
    """Whole lines, the last ones, however much there was."""
    shell.write("job.sh", "seq 1000000 1999999 >&2; exit 1\n")
    done = shell.run("start", "./job.sh", "--restart-delay", "60", code=EXIT_APPLICATION)
    lines = done.err.splitlines()[2:]
    assert [str(number) for number in range(2000000 - len(lines), 2000000)] == lines
    assert MOST - 8 <= 8 * len(lines) <= MOST


def test_traceback_of_a_failed_reload_is_shown(shell):
    """Of the new process; the old one goes on."""
    shell.write("worker.py", "import time\nprint('old')\ntime.sleep(1000)  # a program that stays\n")
    shell.run("start", "./worker.py", "--min-uptime", "0.5")
    shell.write("worker.py", BROKEN)
    done = shell.run("reload", "worker", code=EXIT_APPLICATION)
    assert "a new process died before it was ready" in done.err
    assert "No module named 'no_such_module'" in done.err


def test_a_child_that_keeps_the_output_open_is_not_waited_for(shell):
    """What it may yet print is not the failed process's last word."""
    shell.write("job.sh", "sleep 30 & echo gone >&2; exit 4\n")
    options = ("--no-treekill", "--restart-delay", "60")
    done = shell.run("start", "./job.sh", *options, code=EXIT_APPLICATION)
    assert "exited with status 4" in done.err

"""Commands of fork mode, started in the background."""

import os
import signal

import pytest
from harness import until
from shell import alive

from forkcluster.errors import EXIT_APPLICATION, EXIT_CONFIGURATION

WORKER = """
import os, sys, time
print("worker", os.environ["FORKCLUSTER_INSTANCE"], *sys.argv[1:])
while True:
    time.sleep(1)  # a program that stays
"""


def test_a_script_without_an_application_is_run_as_it_is(shell):
    """As PM2 users type it: start ./worker.py, its arguments after the dashes."""
    shell.write("worker.py", WORKER)
    done = shell.run("start", "./worker.py", "-i", "2", "--min-uptime", "0.1", "--", "-x", "two words")
    assert "worker is up: 2 ready, pid" in done.out
    app = shell.list()["worker"]
    assert ("fork", "ready", 2) == (app["mode"], app["status"], app["ready"])
    out = shell.home / "logs/worker-out.log"
    until(lambda: out.read_text().count("-x two words") == 2, "the output of both")
    shell.run("stop", "worker")


def test_a_command_line_is_run_by_a_shell_under_the_name_of_its_program(shell):
    """start "celery -A app worker"."""
    shell.run("start", "sleep 100 | cat", "--min-uptime", "0.1")
    assert "fork" == shell.list()["sleep"]["mode"]


def test_a_command_that_dies_at_once_fails_the_start(shell):
    """Though it is tried again: the exit code does not lie."""
    options = ("--max-restarts", "2", "--restart-delay", "0.1")
    shell.run("start", "./bad.sh", code=EXIT_CONFIGURATION)
    shell.write("bad.sh", "echo no >&2; exit 7\n")
    done = shell.run("start", "./bad.sh", *options, code=EXIT_APPLICATION)
    assert "exited with status 7" in done.err
    assert "goes on trying" in done.err
    until(lambda: shell.list()["bad"]["status"] == "errored", "errored")


def test_a_command_that_was_mistyped_gives_its_name_up_when_it_is_stopped(shell):
    """It was tried again and again, and has never been ready."""
    shell.write("bad.sh", "exit 7\n")
    shell.run("start", "./bad.sh", "--name", "job", code=EXIT_APPLICATION)
    shell.run("stop", "job")
    assert "stopped" == shell.list()["job"]["status"]
    shell.write("good.sh", "exec sleep 1000\n")
    done = shell.run("start", "./good.sh", "--name", "job", "--min-uptime", "0.1")
    assert "job takes the place of ./bad.sh, which has never been ready" in done.err


@pytest.mark.parametrize(
    "options", [("--no-autorestart",), ("--restart", "on-failure"), ("--stop-exit-codes", "0")]
)
def test_a_job_that_has_done_its_work_is_a_good_start(shell, options):
    """Whatever keeps it from being started again: it ends, says so, and is listed as stopped."""
    shell.write("job.sh", "echo done\n")
    done = shell.run("start", "./job.sh", *options)
    assert "● job has done its work, and ended\n" == done.out
    until(lambda: shell.list()["job"]["status"] == "stopped", "stopped")


def test_a_program_that_dies_at_once_is_told_while_it_is_tried_again(shell):
    """Nobody waits for the master's end: it lives on."""
    shell.write("bad.sh", "exit 7\n")
    done = shell.run("start", "./bad.sh", "--restart-delay", "60", code=EXIT_APPLICATION)
    assert "exited with status 7" in done.err
    assert ["bad"] == list(shell.masters())
    until(lambda: ["waiting"] == [each["state"] for each in shell.list()["bad"]["workers"]], "its delay")


def test_reloads_of_a_program_are_counted_as_restarts(shell):
    """As PM2 counts them, and as those of applications are."""
    shell.write("worker.py", WORKER)
    shell.run("start", "./worker.py", "--min-uptime", "0.1", "--observe", "0")
    shell.run("reload", "worker")
    assert 1 == shell.list()["worker"]["restarts"]
    shell.run("reset", "worker")
    assert 0 == shell.list()["worker"]["restarts"]


# -- what a killed master leaves --------------------------------------------------------------------------

PARENT = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"], start_new_session=True)
with open("children", "a") as file:
    file.write(f"{child.pid}\\n")
while True:
    time.sleep(1)  # a program that stays
"""


@pytest.fixture
def orphan(shell):
    """The pid of a process in a session of its own, whose parent and master were killed."""
    shell.write("parent.py", PARENT)
    shell.run("start", "./parent.py", "--name", "app", "--min-uptime", "0.1")
    until((shell.directory / "children").exists, "the child")
    shell.kill_master()
    pid = int((shell.directory / "children").read_text())
    assert alive(pid)
    yield pid
    if alive(pid):
        os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("command", ["stop", "delete", "kill"])
def test_what_a_killed_master_has_left_ends_with_the_app(shell, orphan, command):
    """stop, delete and kill of a lost app."""
    shell.run(command, *([] if command == "kill" else ["app"]))
    assert not alive(orphan)


@pytest.mark.parametrize("command", ["start", "restart"])
def test_what_a_killed_master_has_left_ends_before_the_next_starts(shell, orphan, command):
    """They would hold what the new ones need."""
    shell.run(command, "app")
    assert not alive(orphan)
    assert "processes of a master that was killed are ended first" in shell.run("history", "app").out
    ours = int((shell.directory / "children").read_text().split()[1])
    assert alive(ours)


def test_what_another_app_or_nobody_started_is_left(shell, orphan):
    """The mark names the app's place."""
    shell.run("start", "./parent.py", "--name", "application", "--min-uptime", "0.1")
    other = int((shell.directory / "children").read_text().split()[1])
    shell.run("delete", "app")
    assert (False, True) == (alive(orphan), alive(other))

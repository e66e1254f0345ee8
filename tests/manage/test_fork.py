"""Commands of fork mode, started in the background."""

import pytest
from harness import until

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

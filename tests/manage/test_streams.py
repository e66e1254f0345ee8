"""Standard streams that are closed or full, or whose reader has left: the work is done all the same."""

import subprocess

import pytest
from harness import PATIENCE, until

from forkcluster.errors import EXIT_FAILURE, EXIT_OK

STAYS = ("--min-uptime", "0.1", "--", "1000")


def run_with(shell, redirection, *words):
    """Run a command as a shell does, with its streams redirected; the exit code is the command's."""
    line = f'set -o pipefail; "$@" {redirection}'
    return subprocess.run(
        ["bash", "-c", line, "bash", *shell.command(*words)],
        cwd=shell.directory,
        env=shell.variables(),
        capture_output=True,
        text=True,
        timeout=3 * PATIENCE,
    )


def start_programs(shell, *names):
    """Start programs that stay."""
    for name in names:
        shell.run("start", "/bin/sleep", "--name", name, *STAYS)


def test_an_app_that_is_started_with_closed_streams_is_listed_and_stopped(shell):
    """No file of ours gets the number of a standard stream, where the master's streams would replace it."""
    assert EXIT_OK == run_with(shell, ">&- 2>&-", "start", "/bin/sleep", "--name", "cl", *STAYS).returncode
    assert {"cl": "ready"} == shell.states()
    shell.run("stop", "cl")
    assert {"cl": "stopped"} == shell.states()


def test_list_with_a_closed_standard_output_is_no_error(shell):
    """There is nobody to tell."""
    start_programs(shell, "one")
    done = run_with(shell, ">&-", "list")
    assert (EXIT_OK, "") == (done.returncode, done.stderr)


@pytest.mark.parametrize("redirection", [">/dev/full 2>&1", ">/dev/full", "| true"])
def test_a_restart_of_several_is_finished_though_nothing_can_be_told(shell, redirection):
    """Every app is up; the exit code says that something was amiss, and there is no traceback."""
    start_programs(shell, "one", "two", "three")
    done = run_with(shell, redirection, "restart", "all", "--parallel", "1")
    assert (EXIT_FAILURE, False) == (done.returncode, "Traceback" in done.stderr)
    assert [("ready", 1)] * 3 == [(each["status"], each["restarts"]) for each in shell.list().values()]


def test_a_delete_of_several_is_finished_on_a_full_disk(shell):
    """One line says what could not be written."""
    start_programs(shell, "one", "two")
    done = run_with(shell, ">/dev/full", "delete", "all")
    text = "forkcluster: writing standard output: No space left on device\n"
    assert (EXIT_FAILURE, text, {}) == (done.returncode, done.stderr, shell.states())


@pytest.mark.parametrize(
    "words",
    [("list",), ("jlist",), ("describe", "one"), ("logs", "--nostream"), ("list", "--json"), ("--help",)],
)
def test_what_was_asked_for_and_cannot_be_written_is_one_line_of_error(shell, words):
    """Not a traceback."""
    shell.run("start", "echo hello; exec sleep 1000", "--name", "one", "--min-uptime", "0.1")
    until(lambda: "hello" in (shell.home / "logs/one-out.log").read_text(), "the app's line")
    done = run_with(shell, ">/dev/full", *words)
    text = "forkcluster: writing standard output: No space left on device\n"
    assert (EXIT_FAILURE, text) == (done.returncode, done.stderr)

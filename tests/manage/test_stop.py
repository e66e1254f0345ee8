"""stop and delete: the processes are gone when the command has ended."""

import os
import shutil
import signal
import subprocess

import pytest
from harness import processes, until
from shell import alive

from forkcluster.errors import EXIT_CONFIGURATION, EXIT_FAILURE, EXIT_LATE, EXIT_USAGE


def test_stop_waits_for_the_end_and_keeps_the_record(shell):
    """Master, logger, mold and workers are gone; the app is listed as stopped; a second stop is no error."""
    shell.start("app:application", "-i", "2")
    (pid,) = shell.masters().values()
    assert 5 == len(processes(pid))
    assert "app is stopped" in shell.run("stop", "app").out
    assert [] == processes(pid)
    assert {"app": "stopped"} == shell.states()
    assert "stopped already" in shell.run("stop", "app").out


def test_stop_all_of_nothing_is_no_error(shell):
    """A word, and 0: scripts need not ask first."""
    for command in ("stop", "delete"):
        assert "no app is registered" in shell.run(command, "all").out
    assert [] == shell.run("stop", "all", "--json").json


def test_stop_of_an_unknown_app_names_what_is_near(shell):
    """Exit code 2."""
    shell.start("app:application", "--name", "shop")
    assert "did you mean shop?" in shell.run("stop", "shpo", code=EXIT_USAGE).err
    assert {"shop": "ready"} == shell.states()


def test_stop_takes_several_words_and_all(shell):
    """Namespaces, ids and patterns, too; each app once."""
    for number in range(3):
        shell.start("app:application", "--name", f"app{number}", "--namespace", f"ns{number % 2}")
    shell.run("stop", "ns1", "1")
    assert {"app0": "ready", "app1": "stopped", "app2": "ready"} == shell.states()
    shell.run("stop", "/^app/", "--only", "app2")
    assert {"app0": "ready", "app1": "stopped", "app2": "stopped"} == shell.states()
    shell.run("stop", "all")
    assert {"stopped"} == set(shell.states().values())


def test_delete_stops_and_forgets_and_keeps_the_logs(shell):
    """Its id is free again."""
    shell.start()
    (pid,) = shell.masters().values()
    assert "app is deleted" in shell.run("delete", "0").out
    assert ([], []) == (processes(pid), list((shell.home / "apps").iterdir()))
    assert (shell.home / "logs" / "app-error.log").exists()
    shell.start()
    assert 0 == shell.list()["app"]["id"]


@pytest.fixture
def unwritable():
    """Make directories that not even root may write to, until the test has ended."""
    made = []

    def make(path):
        if shutil.which("chattr") is None or subprocess.run(["chattr", "+i", path], check=False).returncode:
            pytest.skip("this file system, or this user, makes nothing immutable")
        made.append(path)

    yield make
    for path in made:
        subprocess.run(["chattr", "-i", path], check=True)


def test_what_cannot_be_removed_or_written_is_told_with_what_to_look_at(shell, unwritable):
    """The system's word, not its number; nobody is told to make room on a disk that has it."""
    shell.start()
    shell.run("stop", "app")
    unwritable(shell.home / "apps/app")
    done = shell.run("delete", "app", code=EXIT_CONFIGURATION)
    assert f"removing {shell.home}/apps/app: Operation not permitted\n  see who may write" in done.err
    for words in (("scale", "app", "2"), ("reset", "app")):
        done = shell.run(*words, code=EXIT_CONFIGURATION)
        assert (True, False) == ("see who may write" in done.err, "make room" in done.err)


def test_an_app_without_a_control_socket_is_told_how_it_is_stopped(shell):
    """By TERM: nobody is told to kill a master that is well."""
    shell.start("app:application", "--control", "off")
    (pid,) = shell.masters().values()
    done = shell.run("stop", "app", code=EXIT_FAILURE)
    assert (True, False) == (f"kill {pid}" in done.err, "kill -9" in done.err)


def test_delete_passes_over_the_foreground(shell):
    """all does not mean it; by its name it is refused; stop ends it."""
    foreground = shell.begin("app:application", "--bind", "127.0.0.1:0", start_new_session=True)
    until(lambda: shell.states() == {"app": "ready"}, "the foreground app")
    shell.run("delete", "all")
    shell.run("delete", "app", code=EXIT_FAILURE)
    assert {"app": "ready"} == shell.states()
    shell.run("stop", "app")
    foreground.communicate()
    assert (0, {}) == (foreground.returncode, shell.states())


def test_a_master_that_was_killed_is_lost_and_can_be_started(shell):
    """The lock tells, not a pid."""
    shell.start()
    shell.kill_master()
    assert {"app": "lost"} == shell.states()
    shell.run("start", "app")
    assert {"app": "ready"} == shell.states()


def test_a_master_that_does_not_answer_is_silent_and_not_waited_for_for_ever(shell):
    """list comes back within its limit; stop with its timeout."""
    shell.start()
    (pid,) = shell.masters().values()
    os.kill(pid, signal.SIGSTOP)
    try:
        assert {"app": "silent"} == shell.states()
        done = shell.run("stop", "app", "--timeout", "0.3", code=None)
        assert (EXIT_LATE, True) == (done.code, "has not ended yet" in done.err)
        assert f"its master does not answer; it is waited for (kill -9 {pid} ends it)" in done.err
    finally:
        os.kill(pid, signal.SIGCONT)
    until(lambda: not alive(pid), "the end it was asked for")

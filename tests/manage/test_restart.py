"""restart and reload: new code, and what happens to the old when the new is broken."""

import os
import re
import signal
import socket

import pytest
from harness import PATIENCE, until

from forkcluster.errors import EXIT_APPLICATION, EXIT_CONFIGURATION, EXIT_FAILURE, EXIT_INTERRUPTED, EXIT_LATE

WAITING = """
import os, time

def application(environ, start_response):
    open("called", "w").close()
    while not os.path.exists("go"):
        time.sleep(0.01)  # a call that waits, until its test says go
    start_response("200 OK", [])
    return [b"done"]
"""


def test_reload_serves_the_new_code_under_the_same_master(shell):
    """By the target it was started with."""
    shell.start()
    before = shell.masters()
    shell.write_app("two")
    assert "app is reloaded: generation 2" in shell.run("reload", "app:application").out
    assert ("two", before) == (shell.get()[0], shell.masters())
    assert 1 == shell.list()["app"]["restarts"]


def test_reload_of_a_broken_release_prints_the_traceback_and_changes_nothing(shell):
    """The exit code is the application's; the old workers go on."""
    shell.start()
    worker = shell.get()
    shell.write("app.py", "raise RuntimeError('no database')\n")
    done = shell.run("reload", "app", code=EXIT_APPLICATION)
    assert 1 == done.err.count("RuntimeError: no database")
    assert worker == shell.get()
    (result,) = shell.run("reload", "app", "--json", code=EXIT_APPLICATION).json
    assert "RuntimeError: no database" in result["error"]["details"]


def test_restart_of_an_app_whose_directory_cannot_be_used_stops_nothing(shell):
    """It would not be started again."""
    shell.start()
    before = shell.masters()
    (shell.home / "apps/app").chmod(0o777)
    done = shell.run("restart", "app", code=EXIT_CONFIGURATION)
    assert (True, before) == ("others may write there" in done.err, shell.masters())


def test_restart_of_an_app_whose_own_directory_was_removed_names_it(shell):
    """Nothing is stopped."""
    shell.run("start", "/bin/sleep", "--name", "one", "--min-uptime", "0.1", "--", "1000")
    before = shell.masters()
    gone, shell.directory = shell.directory, shell.directory.rename(shell.directory.with_name("moved"))
    done = shell.run("restart", "one", code=EXIT_CONFIGURATION)
    assert f"one: looking at the app's directory {gone}: it is not there" in done.err
    assert before == shell.masters()


def test_reload_of_an_app_that_does_not_run_starts_it(shell):
    """Stopped, or killed."""
    shell.start()
    shell.run("stop", "app")
    shell.write_app("two")
    shell.run("reload", "all")
    assert "two" == shell.get()[0]
    shell.kill_master()
    shell.run("reload", "app")
    assert {"app": "ready"} == shell.states()


def test_reload_of_what_runs_lets_stopped_apps_be(shell):
    """What a service manager's reload does."""
    shell.start("app:application", "--control", "off")
    assert "has no control socket" in shell.run("reload", "all", code=EXIT_FAILURE).err
    (pid,) = shell.masters().values()
    os.kill(pid, signal.SIGTERM)
    until(lambda: shell.states() == {"app": "stopped"}, "its end")
    assert "nothing to reload" in shell.run("reload", "all", "--running").out
    assert {"app": "stopped"} == shell.states()


def test_reload_of_an_app_that_ends_meanwhile_says_so(shell):
    """What drains until its request is answered reloads no more; nobody is at fault."""
    shell.write("app.py", WAITING)
    shell.start()
    host, port = re.search(r"http://([\d.]+):(\d+)", shell.list()["app"]["urls"][0]).groups()
    with socket.create_connection((host, int(port)), PATIENCE) as client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        until((shell.directory / "called").exists, "the call")
        shell.run("stop", "app", "--timeout", "0.1", code=EXIT_LATE)
        reload = shell.begin("reload", "app")
        history = shell.home / "apps/app/events.jsonl"
        until(lambda: "reload" in history.read_text(), "the master's word that a reload was asked for")
        shell.write("go", "")
        _, err = reload.communicate()
    assert (EXIT_FAILURE, True) == (reload.returncode, "was stopped meanwhile" in err)


@pytest.mark.parametrize("command", ["stop", "restart", "delete"])
def test_reload_that_another_command_ends_blames_nobody(shell, command):
    """It does not say that the old generation goes on serving."""
    shell.start("app:application", "--observe", "60")
    reload = shell.begin("reload", "app")
    until(lambda: shell.states() == {"app": "reloading"}, "the reload")
    shell.run(command, "app")
    _, err = reload.communicate()
    assert (EXIT_FAILURE, True) == (reload.returncode, "given up: the app is being stopped" in err)
    assert "goes on serving" not in err


def test_reload_that_takes_longer_than_its_timeout_goes_on(shell):
    """Exit code 75, and the new code all the same."""
    shell.start()
    shell.write_app("two")
    assert "the reload goes on" in shell.run("reload", "app", "--timeout", "0.1", code=EXIT_LATE).err
    until(lambda: shell.get()[0] == "two", "the new code")


def test_ctrl_c_leaves_a_reload_going_on(shell):
    """It says so."""
    shell.start("app:application", "--observe", "2")
    shell.write_app("two")
    reload = shell.begin("reload", "app", start_new_session=True)
    until(lambda: shell.states() == {"app": "reloading"}, "the reload")
    os.killpg(reload.pid, signal.SIGINT)
    _, err = reload.communicate()
    assert (EXIT_INTERRUPTED, True) == (reload.returncode, "what was asked for goes on" in err)
    until(lambda: shell.get()[0] == "two", "the new code")


def test_reload_of_a_foreground_app(shell):
    """Whoever knows its name may."""
    foreground = shell.begin("app:application", "--bind", "127.0.0.1:0", start_new_session=True)
    until(lambda: shell.states() == {"app": "ready"}, "the foreground app")
    shell.write_app("two")
    shell.run("reload", "app")
    assert "two" == shell.get()[0]
    assert "in the foreground" in shell.run("restart", "app", code=EXIT_FAILURE).err
    foreground.send_signal(signal.SIGTERM)
    foreground.communicate()


def test_restart_starts_a_new_master_with_the_same_id(shell):
    """New code, too; the restart is counted, and those before are not forgotten."""
    shell.start()
    before = shell.masters()["app"]
    shell.write_app("two")
    shell.run("restart", "app")
    assert ("two", True) == (shell.get()[0], before != shell.masters()["app"])
    shell.run("reload", "app")
    shell.run("restart", "0")
    assert (3, 0) == tuple(shell.list()["app"][key] for key in ("restarts", "id"))
    shell.run("reset", "app")
    assert 0 == shell.list()["app"]["restarts"]


def test_restart_with_a_configuration_that_cannot_be_read_stops_nothing(shell):
    """It is read first."""
    shell.start()
    before = shell.masters()
    shell.write("forkcluster.toml", "[app]\nbackog = 3\n")
    assert "unknown key backog" in shell.run("restart", "app", code=EXIT_CONFIGURATION).err
    assert before == shell.masters()


def test_restart_of_a_broken_release_is_errored(shell):
    """The exit code is the application's."""
    shell.start()
    shell.write("app.py", "raise RuntimeError('no database')\n")
    assert "RuntimeError: no database" in shell.run("restart", "app", code=EXIT_APPLICATION).err
    assert {"app": "errored"} == shell.states()
    assert "RuntimeError: no database" in shell.run("describe", "app").out


def test_restart_takes_options_and_with_update_env_the_terminals_environment(shell):
    """Options stay; a variable that the terminal has no more is gone."""
    shell.environment = {"MINE": "old", "GONE": "soon"}
    shell.start()
    shell.environment = {"MINE": "new"}
    shell.run("restart", "app", "-i", "2")
    assert (2, "old") == (shell.list()["app"]["instances"], shell.list()["app"]["environment"]["MINE"])
    shell.run("restart", "app", "--update-env")
    environment = shell.list()["app"]["environment"]
    assert (2, "new", False) == (shell.list()["app"]["instances"], environment["MINE"], "GONE" in environment)


def test_restart_adds_to_the_variables_that_were_given(shell):
    """One that is given again has its new value; a list of another kind is replaced."""
    shell.start("app:application", "--env", "A=1", "--env", "B=2=3", "--pythonpath", "/one")
    shell.run("restart", "app", "--env", "C=4", "--env", "A=5", "--pythonpath", "/two")
    flags = shell.list()["app"]["flags"]
    assert (["A=5", "B=2=3", "C=4"], ["/two"]) == (flags["env"], flags["pythonpath"])


ECHO = """
import os
MINE = os.environ.get("MINE", "-")

def application(environ, start_response):
    start_response("200 OK", [])
    return [MINE.encode()]
"""


def test_reload_with_update_env_takes_the_terminals_environment(shell):
    """For the new workers and for every later start; one that fails leaves the old environment."""
    shell.write("app.py", ECHO)
    shell.environment = {"MINE": "old"}
    shell.start()
    shell.environment = {"MINE": "new"}
    shell.run("reload", "app")
    assert ["old"] == shell.get()
    shell.write("app.py", "raise RuntimeError('broken')\n")
    shell.run("reload", "app", "--update-env", code=EXIT_APPLICATION)
    shell.write("app.py", ECHO)
    shell.run("reload", "app")
    assert (["old"], "old") == (shell.get(), shell.list()["app"]["environment"]["MINE"])
    shell.run("reload", "app", "--update-env")
    assert (["new"], "new") == (shell.get(), shell.list()["app"]["environment"]["MINE"])
    shell.environment = {}
    shell.run("restart", "app")
    assert ["new"] == shell.get()

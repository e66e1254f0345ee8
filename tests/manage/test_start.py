"""start: a master of its own in the background, and a true word about how it went."""

import json
import os
import signal
import stat

from harness import until

from forkcluster.errors import (
    EXIT_APPLICATION,
    EXIT_BIND,
    EXIT_CONFIGURATION,
    EXIT_FAILURE,
    EXIT_INTERRUPTED,
    EXIT_LATE,
    EXIT_USAGE,
)

SLOW = "import time\ntime.sleep(4)\n"  # an import that is still going on when the command gives up


def test_start_waits_until_the_app_is_ready_and_leaves_it_running(shell):
    """It serves when the command has ended, in a session of its own."""
    done = shell.start("app:application", "-i", "2")
    assert "app is up at http://127.0.0.1:" in done.out
    (pid,) = shell.masters().values()
    assert (pid, "one") == (os.getsid(pid), shell.get()[0])
    assert ("ready", 2, 0) == tuple(shell.list()["app"][key] for key in ("status", "ready", "id"))


def test_everything_in_the_home_is_private(shell):
    """Directories 0700, files 0600, whatever the umask."""
    old = os.umask(0)
    try:
        shell.start()
    finally:
        os.umask(old)
    open_ = [
        path for path in (shell.home, *shell.home.rglob("*")) if stat.S_IMODE(path.lstat().st_mode) & 0o077
    ]
    assert [] == open_


def test_start_that_fails_prints_the_traceback_and_stays_listed_as_errored(shell):
    """The exit code is the application's; the next start of the name works."""
    shell.write("app.py", "raise RuntimeError('no database')\n")
    done = shell.start(code=EXIT_APPLICATION)
    assert 1 == done.err.count("RuntimeError: no database")
    assert {"app": "errored"} == shell.states()
    shell.write_app()
    shell.run("start", "app")
    assert {"app": "ready"} == shell.states()


def test_start_that_cannot_bind_says_so(shell):
    """The error of the master reaches the terminal with its exit code."""
    done = shell.run("start", "app:application", "--bind", "unix:/nowhere/at/all", code=EXIT_BIND)
    assert "listening on unix:/nowhere/at/all" in done.err


def test_start_refuses_a_control_socket_where_others_may_write(shell, tmp_path):
    """As in the foreground; the app does not run."""
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    done = shell.start("app:application", "--control", tmp_path / "open/c.sock", code=EXIT_CONFIGURATION)
    assert "others may write there (mode 777)" in done.err
    assert {} == shell.masters()


def test_start_of_a_bad_configuration_registers_nothing(shell):
    """It is refused before anything is made."""
    shell.write("forkcluster.toml", "[app]\nbackog = 3\n")
    assert "unknown key backog" in shell.start(code=EXIT_CONFIGURATION).err
    assert {} == shell.states()


def test_start_of_a_name_that_runs_is_refused(shell):
    """Nothing changes, and it says what to do instead."""
    shell.start()
    before = shell.masters()
    done = shell.start(code=EXIT_FAILURE)
    assert "app runs already" in done.err
    assert "forkcluster reload app" in done.err
    assert before == shell.masters()


def test_start_with_force_puts_another_app_beside_it(shell):
    """As NAME-2, with an id of its own."""
    shell.start()
    shell.start("app:application", "--force")
    assert {"app": 0, "app-2": 1} == {name: each["id"] for name, each in shell.list().items()}


def test_start_of_a_name_that_another_directory_has_is_refused(shell, tmp_path):
    """Its record would be lost."""
    shell.start()
    shell.run("stop", "app")
    other = tmp_path / "other"
    other.mkdir()
    shell.directory = other
    shell.write_app("two")
    done = shell.start(code=EXIT_USAGE)
    assert "belongs to app:application in" in done.err
    shell.start("app:application", "--name", "other")
    assert {"app": "stopped", "other": "ready"} == shell.states()


def test_start_by_name_where_a_directory_of_that_name_is(shell, tmp_path):
    """The app is meant, unless the directory is a package."""
    shell.start("app:application", "--name", "shop")
    shell.run("stop", "shop")
    shell.directory = tmp_path / "other"
    (shell.directory / "shop").mkdir(parents=True)
    shell.run("start", "shop")
    assert {"shop": "ready"} == shell.states()
    shell.run("stop", "shop")
    shell.write("shop/__init__.py", "")
    assert "belongs to app:application in" in shell.run("start", "shop", code=EXIT_USAGE).err


def test_start_of_what_is_registered_under_another_name_is_another_app(shell):
    """The word is its target then; the name that it has may be given, too."""
    shell.start("app")
    shell.start("app", "--name", "two")
    assert {"app": "ready", "two": "ready"} == shell.states()
    shell.run("stop", "app")
    shell.run("start", "app", "--name", "app")
    assert {"app": "ready", "two": "ready"} == shell.states()


def test_a_target_that_was_mistyped_gives_its_name_up(shell):
    """What has never been ready has nothing to lose; it keeps its id, and the command says so."""
    shell.start("app:aplication", "--name", "api", code=EXIT_APPLICATION)
    shell.start("app:aplication", "--name", "api", code=EXIT_APPLICATION)
    done = shell.start("app:application", "--name", "api")
    assert "api takes the place of app:aplication, which has never been ready" in done.err
    assert ("ready", 0) == tuple(shell.list()["api"][key] for key in ("status", "id"))
    shell.run("stop", "api")
    done = shell.start("app:other", "--name", "api", code=EXIT_USAGE)
    assert "belongs to app:application in" in done.err


def test_a_script_is_told_that_a_name_was_taken_over(shell):
    """The result of the app that has it now says so."""
    shell.start("app:aplication", "--name", "api", code=EXIT_APPLICATION)
    (row,) = json.loads(shell.start("app:application", "--name", "api", "--json").out)
    assert (row["name"], row["ok"]) == ("api", True)
    assert row["notes"] == ["takes the place of app:aplication, which has never been ready"]


def test_an_app_that_was_ready_once_keeps_its_name_when_a_later_start_fails(shell):
    """However often that is tried."""
    shell.start()
    shell.run("stop", "app")
    shell.write("app.py", "raise RuntimeError('no database')\n")
    for _ in range(2):
        shell.start(code=EXIT_APPLICATION)
    done = shell.start("app:other", "--name", "app", code=EXIT_USAGE)
    assert "belongs to app:application in" in done.err


def test_two_starts_of_one_name_at_the_same_moment(shell):
    """One wins; the other says so; one app runs."""
    both = [shell.begin("start", "app:application", "--bind", "127.0.0.1:0") for _ in range(2)]
    said = [each.communicate() for each in both]
    codes = sorted(each.returncode for each in both)
    assert [0, EXIT_FAILURE] == codes, said
    assert 1 == sum("app runs already" in err or "being started" in err for _, err in said)
    assert {"app": "ready"} == shell.states()


def test_a_foreground_app_has_no_record_and_its_name_is_taken(shell):
    """list shows it; start says who has the name; it goes away with its end."""
    foreground = shell.begin("app:application", "--bind", "127.0.0.1:0", start_new_session=True)
    until(lambda: shell.states() == {"app": "ready"}, "the foreground app")
    assert (None, False) == tuple(shell.list()["app"][key] for key in ("id", "managed"))
    assert "runs in the foreground" in shell.start(code=EXIT_FAILURE).err
    foreground.send_signal(signal.SIGTERM)
    foreground.communicate()
    assert {} == shell.states()


def test_a_foreground_app_stands_beside_a_managed_one(shell):
    """The record's name is not its to take, though the managed app does not run."""
    shell.start()
    shell.run("stop", "app")
    foreground = shell.begin("app:application", "--bind", "127.0.0.1:0", start_new_session=True)
    until(lambda: shell.states() == {"app": "stopped", "app-2": "ready"}, "both")
    foreground.send_signal(signal.SIGTERM)
    foreground.communicate()


def test_no_wait_and_timeout_leave_the_app_starting(shell):
    """--no-wait ends with 0, a timeout with 75; the app comes up all the same."""
    shell.write("app.py", SLOW + (shell.directory / "app.py").read_text())
    assert "is starting" in shell.start("app:application", "--no-wait").out
    assert {"app": "starting"} == shell.states()
    done = shell.start("app:application", "--name", "other", "--timeout", "0.1", code=EXIT_LATE)
    assert "goes on starting" in done.err
    until(lambda: shell.states() == {"app": "ready", "other": "ready"}, "both apps")


def test_ctrl_c_leaves_the_app_starting_and_says_so(shell):
    """The master is in a session of its own."""
    shell.write("app.py", SLOW + (shell.directory / "app.py").read_text())
    start = shell.begin("start", "app:application", "--bind", "127.0.0.1:0", start_new_session=True)
    until(lambda: shell.states() == {"app": "starting"}, "the start")
    os.killpg(start.pid, signal.SIGINT)
    _, err = start.communicate()
    assert (EXIT_INTERRUPTED, True) == (start.returncode, "going on to start: app" in err)
    until(lambda: shell.states() == {"app": "ready"}, "the app")


def test_a_start_whose_app_is_stopped_meanwhile_fails(shell):
    """Nobody is at fault."""
    shell.write("app.py", SLOW + (shell.directory / "app.py").read_text())
    start = shell.begin("start", "app:application", "--bind", "127.0.0.1:0")
    until(lambda: shell.states() == {"app": "starting"}, "the start")
    shell.run("stop", "app")
    _, err = start.communicate()
    assert (EXIT_FAILURE, True) == (start.returncode, "it was stopped before it was ready" in err)


def test_flags_given_with_a_name_change_what_it_was_started_with(shell):
    """What is not given stays."""
    shell.start("app:application", "-i", "2")
    shell.run("stop", "app")
    shell.run("start", "app", "-i", "1")
    assert 1 == shell.list()["app"]["instances"]
    assert {"instances", "bind", "target"} == shell.list()["app"]["flags"].keys()


def test_the_terminals_notify_socket_and_descriptors_are_not_the_apps(shell):
    """What belongs to the unit of the terminal stays there."""
    shell.environment = {"NOTIFY_SOCKET": "/nowhere", "LISTEN_FDS": "1", "MINE": "yes"}
    shell.start()
    environment = shell.list()["app"]["environment"]
    assert ("yes", set()) == (environment["MINE"], {"NOTIFY_SOCKET", "LISTEN_FDS"} & environment.keys())


def test_json_of_a_start(shell):
    """One document with a result for each app."""
    (result,) = shell.start("app:application", "--json").json
    assert ("app", True, "ready") == tuple(result[key] for key in ("name", "ok", "state"))


def test_output_that_cannot_be_written_fails_the_start(shell):
    """Named, with what to do; nothing runs."""
    done = shell.start("app:application", "--out-file", "/proc/out.log", code=EXIT_CONFIGURATION)
    assert "cannot write the app's output to /proc/out.log" in done.err
    assert "--out-file" in done.err
    assert {} == shell.masters()


def test_a_program_that_was_taken_for_a_module_is_told(shell):
    """The remedy names what runs it."""
    done = shell.start("sleep", code=EXIT_APPLICATION)
    assert "--exec-mode fork" in done.err


def test_there_is_no_command_deploy_yet(shell):
    """Nothing that destroys is offered in its place."""
    done = shell.run("deploy", "production", code=EXIT_USAGE)
    assert ("no command deploy yet" in done.err, "delete" in done.err) == (True, False)

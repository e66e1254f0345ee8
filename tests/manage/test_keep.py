"""save, resurrect, kill, startup: what comes back, and what does not."""

import os
import pwd
import shutil
import signal
import subprocess

import pytest
from harness import until
from shell import alive

from forkcluster.errors import EXIT_APPLICATION, EXIT_CONFIGURATION, EXIT_FAILURE, EXIT_USAGE


def test_what_was_killed_comes_back_and_what_was_stopped_does_not(shell):
    """Nothing needs to be saved for that."""
    shell.start("app:application", "--name", "one")
    shell.start("app:application", "--name", "two")
    shell.run("stop", "two")
    shell.kill_master("one")
    assert "one is up" in shell.run("resurrect").out
    assert {"one": "ready", "two": "stopped"} == shell.states()
    assert "every app that should run does" in shell.run("resurrect").out


def test_two_resurrects_at_once_both_reach_their_goal(shell):
    """Whoever finds that another one was quicker has nothing to complain of."""
    names = ("one", "two", "three")
    for name in names:
        shell.start("app:application", "--name", name)
        shell.kill_master(name)
    both = [shell.begin("resurrect", "--parallel", "1") for _ in range(2)]
    told = [each.communicate() for each in both]
    assert [0, 0] == [each.returncode for each in both], told
    assert dict.fromkeys(names, "ready") == shell.states()


def test_save_kill_resurrect(shell):
    """kill forgets everything; resurrect brings back what was saved, with ids, options and environment."""
    shell.environment = {"MINE": "yes"}
    shell.start("app:application", "--name", "one", "-i", "2")
    shell.start("app:application", "--name", "two")
    shell.run("stop", "two")
    assert "2 apps saved" in shell.run("save").out
    pids = list(shell.masters().values())
    shell.run("kill")
    assert ({}, [False]) == (shell.states(), [alive(pid) for pid in pids])
    assert "the list that was saved before is kept" in shell.run("save", code=EXIT_FAILURE).err
    shell.environment = {}
    shell.run("resurrect")
    found = shell.list()
    assert {"one": "ready", "two": "stopped"} == shell.states()
    assert (0, 1, 2) == (found["one"]["id"], found["two"]["id"], found["one"]["ready"])
    assert "yes" == found["one"]["environment"]["MINE"]


def test_an_app_that_comes_back_and_fails_keeps_its_name(shell):
    """The saved list remembers that it was ready once."""
    shell.start()
    shell.run("save")
    shell.run("delete", "app")
    shell.write("app.py", "raise RuntimeError('no database')\n")
    shell.run("resurrect", code=EXIT_APPLICATION)
    assert "belongs to app:application in" in shell.start("app:other", "--name", "app", code=EXIT_USAGE).err


def test_cleardump_forgets_the_saved_list(shell):
    """resurrect then has nothing to bring back."""
    shell.start()
    shell.run("save")
    shell.run("kill")
    shell.run("cleardump")
    shell.run("resurrect")
    assert ({}, "no list was saved\n") == (shell.states(), shell.run("cleardump").out)


def test_cleardump_leaves_no_secret_of_the_lists_before(shell):
    """The one before, and a damaged one that was put aside."""
    shell.environment = {"MINE": "hunter2"}
    shell.start()
    shell.run("save")
    (shell.home / "dump.json").write_text('{"hunter2')
    shell.run("save")
    shell.run("save")
    shell.run("kill")
    assert {"dump.json", "dump.json.bak", "dump.json.damaged"} == {p.name for p in shell.home.glob("dump*")}
    shell.run("cleardump")
    assert [] == [path for path in shell.home.rglob("*") if path.is_file() and "hunter2" in path.read_text()]


@pytest.mark.parametrize("text", ["{", '{"apps": 1}', '{"apps": [{"version": 1}]}'])
def test_a_damaged_list_keeps_no_app_from_coming_back(shell, text):
    """Neither one that is registered, nor one of the list before; the damaged one is named."""
    shell.start("app:application", "--name", "one")
    shell.start("app:application", "--name", "two")
    shell.run("save")
    shell.run("save")
    shell.run("delete", "two")
    shell.kill_master("one")
    (shell.home / "dump.json").write_text(text)
    assert "dump.json.bak" in shell.run("resurrect", code=EXIT_CONFIGURATION).err
    assert {"one": "ready", "two": "ready"} == shell.states()


def test_saving_over_a_damaged_list_keeps_the_one_before(shell):
    """The damaged one is put aside under a name of its own."""
    shell.start()
    shell.run("save")
    shell.run("save")
    before = (shell.home / "dump.json.bak").read_text()
    (shell.home / "dump.json").write_text("{")
    shell.run("save")
    assert before == (shell.home / "dump.json.bak").read_text()
    assert "{" == (shell.home / "dump.json.damaged").read_text()
    assert "app" in (shell.home / "dump.json").read_text()


def test_a_damaged_list_without_one_before_it_keeps_no_registered_app_from_coming_back(shell):
    """The records are all there."""
    shell.start()
    shell.kill_master()
    (shell.home / "dump.json").write_text("{")
    assert "dump.json" in shell.run("resurrect", code=EXIT_CONFIGURATION).err
    assert {"app": "ready"} == shell.states()


def test_a_damaged_record_is_shown_and_can_be_deleted(shell):
    """Other apps are not its prisoners."""
    shell.start("app:application", "--name", "one")
    shell.start("app:application", "--name", "two")
    shell.run("stop", "two")
    (shell.home / "apps" / "two" / "record.json").write_text("{")
    assert {"one": "ready", "two": "damaged"} == shell.states()
    assert "damaged" in shell.run("start", "two", code=EXIT_FAILURE).err
    assert "foreground" not in shell.run("describe", "two").out
    shell.run("delete", "two")
    assert {"one": "ready"} == shell.states()


def test_save_keeps_what_it_had_of_an_app_whose_record_is_damaged(shell):
    """However often it is said; the app is named, by resurrect, too, and comes back after a delete."""
    shell.environment = {"MINE": "yes"}
    for name in ("one", "two", "three"):
        shell.start("app:application", "--name", name)
    shell.run("stop", "three")
    shell.run("save")
    shell.start("app:application", "--name", "four")
    shell.run("stop", "two", "four", "--for-now")
    for name in ("two", "four"):
        (shell.home / "apps" / name / "record.json").write_text("{")
    for _ in range(2):
        done = shell.run("save", code=EXIT_CONFIGURATION)
        assert "3 apps saved" in done.out
        assert "two: its record cannot be read; the saved list has an older one" in done.err
        assert "four: its record cannot be read; the saved list has none of it" in done.err
    assert "two: its record cannot be read" in shell.run("resurrect", code=EXIT_CONFIGURATION).err
    shell.run("delete", "two", "four")
    shell.run("resurrect")
    assert {"one": "ready", "two": "ready", "three": "stopped"} == shell.states()
    assert "yes" == shell.list()["two"]["environment"]["MINE"]


def test_stop_for_now_is_what_a_shutdown_does(shell):
    """The next boot starts the app again."""
    shell.start()
    assert "resurrect, and a boot, start it" in shell.run("stop", "all", "--for-now").out
    assert {"app": "stopped"} == shell.states()
    assert "is wanted" in shell.run("describe", "app").out
    shell.run("resurrect")
    assert {"app": "ready"} == shell.states()


def test_kill_ends_a_master_that_does_not_answer(shell):
    """Its workers follow within seconds."""
    shell.start()
    (pid,) = shell.masters().values()
    worker = shell.list()["app"]["workers"][0]["pid"]
    os.kill(pid, signal.SIGSTOP)
    assert "app was killed" in shell.run("kill", "--timeout", "0.2").out
    assert {} == shell.states()
    until(lambda: not alive(pid) and not alive(worker), "their end")


def test_a_full_disk_loses_nothing(shell):
    """The record stays as it was, and the error says what could not be written."""
    shell.start()
    shell.run("stop", "app")
    place = shell.home / "apps" / "app"
    before = (place / "record.json").read_text()
    done = subprocess.run(
        ["bash", "-c", f"ulimit -f 0; exec {' '.join(shell.command('start', 'app'))}"],
        cwd=shell.directory,
        env=shell.variables(),
        capture_output=True,
        text=True,
    )
    assert (EXIT_CONFIGURATION, True) == (done.returncode, "writing the record" in done.stderr), done.stderr
    assert before == (place / "record.json").read_text()


def test_a_full_disk_stops_no_stop(shell):
    """The app ends; that its record still wants it to run is said, with the remedy, and by the exit code."""
    shell.start()
    (pid,) = shell.masters().values()
    done = subprocess.run(
        ["bash", "-c", f"ulimit -f 0; exec {' '.join(shell.command('stop', 'app'))}"],
        cwd=shell.directory,
        env=shell.variables(),
        capture_output=True,
        text=True,
    )
    assert (EXIT_CONFIGURATION, False) == (done.returncode, alive(pid)), done.stderr
    assert ("writing the record" in done.stderr, "stopped all the same" in done.stderr) == (True, True)
    assert {"app": "stopped"} == shell.states()


@pytest.mark.skipif(os.getuid() != 0, reason="needs root to mount the home read-only, for one command alone")
def test_a_read_only_home_is_told_clearly(shell):
    """list still works."""
    shell.start()
    shell.run("stop", "app")
    mount = f"mount --bind {shell.home} {shell.home} && mount -o remount,bind,ro {shell.home} && exec "
    found = [
        subprocess.run(
            ["unshare", "--mount", "sh", "-c", mount + " ".join(shell.command(*words))],
            cwd=shell.directory,
            env=shell.variables(),
            capture_output=True,
            text=True,
        )
        for words in (("start", "app"), ("list",))
    ]
    assert [EXIT_CONFIGURATION, 0] == [done.returncode for done in found], found
    assert "Read-only file system" in found[0].stderr
    assert "stopped" in found[1].stdout


def test_startup_prints_a_unit_that_systemd_understands(shell):
    """The machine's and the user's; names with blanks and percents, too."""
    shell.environment = {"PATH": f"/odd %h/$x/bin:{os.environ['PATH']}"}
    for kind in ("--system", "--user"):
        text = shell.run("startup", "--print", kind).out
        assert "/odd %%h/$x/bin:" in text
        assert f'"FORKCLUSTER_HOME={shell.home}"' in text
        assert ("User=" in text) == (kind == "--system")
        if shutil.which("systemd-analyze"):
            unit = shell.directory / "forkcluster.service"
            unit.write_text(text)
            done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True)
            assert (0, "") == (done.returncode, done.stderr)


def test_startup_for_a_user_who_is_not_there_is_refused(shell):
    """Whether or not their home is named; for one who is, it is theirs."""
    for words in ((), ("--hp", "/srv/apps")):
        done = shell.run("startup", "--print", "--system", "-u", "nosuch", *words, code=EXIT_USAGE)
        assert ("", True) == (done.out, "there is no user nosuch" in done.err)
    user = pwd.getpwnam("daemon")
    text = shell.run("startup", "--print", "--system", "-u", "daemon").out
    assert f'"FORKCLUSTER_HOME={user.pw_dir}/.forkcluster"' in text


@pytest.mark.skipif(os.path.isdir("/run/systemd/system"), reason="systemd is here, and would be told")
def test_startup_without_systemd_says_so(shell):
    """And what there is instead."""
    for command in ("startup", "unstartup"):
        assert "not booted with systemd" in shell.run(command, code=EXIT_FAILURE).err

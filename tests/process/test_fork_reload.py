"""Reloads of fork mode: one process after the other, and nothing changes when the new one fails."""

import signal
import socket

import pytest
from fork_harness import WORKER, alive, environment
from harness import until

from forkcluster.errors import ApplicationError, ConfigurationError
from forkcluster.wire.client import ask

# Ready when it says so, by sd_notify's protocol; the moment is in ready_at of its directory.
NOTIFIER = """
import os, signal, socket, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
if os.path.exists("broken"):
    sys.exit("this release is broken")
time.sleep(0.3)
print("saying ready", os.environ["FORKCLUSTER_INSTANCE"], os.getpid())
line = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
line.connect(os.environ["NOTIFY_SOCKET"].replace("@", "\\0", 1))
line.send(b"STATUS=fine\\nREADY=1")
while True:
    signal.pause()
"""

# A shell script has no sockets: a child of its speaks for it.
SHELL = r"""#!/bin/bash
sleep 0.3
python3 -c 'import os, socket
line = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
line.connect(os.environ["NOTIFY_SOCKET"].replace("@", "\0", 1))
line.send(b"READY=1")'
exec sleep 100
"""


@pytest.mark.parametrize(("target", "script"), [("notify.py", NOTIFIER), ("notify.sh", SHELL)])
def test_wait_ready_waits_for_the_word(fork, target, script):
    """A process of Python, and a child of a shell script, say READY=1."""
    each = fork(target, "--wait-ready", script=script).start()
    until(lambda: each.drain(0.02) and "starting" in str(each.try_rows()), "a starting process")
    each.wait_for("Ctrl-C")
    assert ["ready"] == [row["state"] for row in each.rows()]


def test_a_process_that_does_not_say_ready_in_time_has_failed(fork):
    """listen_timeout is an end, not a beginning."""
    options = ("--wait-ready", "--listen-timeout", "0.5", "--max-restarts", "1", "--restart-delay", "0.05")
    each = fork("worker.py", *options, script=WORKER).start()
    assert 3 == each.wait()
    assert "was not ready within 0.5 s" in each.output


def test_a_stranger_cannot_say_ready_for_a_process(fork):
    """Who is not of its tree is not heard, even if it knows the address."""
    each = fork("worker.py", "--wait-ready", script=WORKER).start()
    pid = int(each.wait_for(r"started 0 (\d+)")[1])
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.connect(environment(pid)["NOTIFY_SOCKET"].replace("@", "\0", 1))
        line.send(b"READY=1")
    each.wait_for("a stranger spoke")
    assert ["starting"] == [row["state"] for row in each.rows()]


def test_a_reload_replaces_one_process_after_the_other(fork):
    """Newest first; a slot changes only when the one before is done."""
    each = fork(script=WORKER, workers=3).boot()
    before = each.until_ready(3)
    answer = ask(each.control, "reload", timeout=20)
    after = each.until_ready(3)
    assert (2, True) == (answer["generation"], not set(before) & set(after))
    log = each.output if each.drain(0.2) else ""
    log = log[log.index("reload started") :]
    moments = [
        log.index(f'process ended why=reload how="exited with status 0" slot={slot}') for slot in (2, 1, 0)
    ]
    assert moments == sorted(moments)
    assert log.index("process ready slot=2") < moments[1]


def test_with_wait_ready_the_old_process_stays_until_the_new_one_is_ready(fork):
    """No moment without a ready process."""
    each = fork("notify.py", "--wait-ready", "--observe", "0", script=NOTIFIER).boot()
    (old,) = each.until_ready(1)
    each.reload()
    (new,) = each.until_ready(1)
    assert old != new
    log = each.output[each.output.index("reload started") :]
    assert log.index("process ready") < log.index("process ended")


@pytest.mark.parametrize("overlap", [True, False])
def test_a_broken_release_is_refused_and_the_old_one_runs_on(fork, overlap):
    """Where both may run, the old process is not even touched; else it is started again."""
    options = () if overlap else ("--no-overlap",)
    each = fork("notify.py", "--wait-ready", "--observe", "0", *options, script=NOTIFIER, workers=2).boot()
    before = each.until_ready(2)
    (each.directory / "broken").touch()
    if not overlap:  # the way back needs the old code
        (each.directory / "notify.py").write_text(NOTIFIER.replace("if os", "if sys.argv[1:] and os"))
        (each.directory / "forkcluster.toml").write_text('[app]\nargs = ["new"]\n')
    with pytest.raises(ApplicationError, match="before it was ready; generation 1 goes on"):
        ask(each.control, "reload", timeout=20)
    after = each.until_ready(2)
    assert before == after if overlap else before[0] == after[0]
    assert {1} == {row["generation"] for row in each.rows()}


def test_a_reload_reads_the_configuration_anew(fork, tmp_path):
    """Variables that were removed are gone, and the number of instances is applied."""
    config = tmp_path / "forkcluster.toml"
    config.write_text('[app]\ninstances = 1\n[app.env]\nOLD = "1"\n')
    each = fork("worker.py", script=WORKER)
    each.workers = None
    each.boot()
    (pid,) = each.until_ready(1)
    assert "1" == environment(pid)["OLD"]
    config.write_text('[app]\ninstances = 2\n[app.env]\nNEW = "2"\n')
    each.reload()
    for pid in each.until_ready(2):
        assert ("2", None) == (environment(pid)["NEW"], environment(pid).get("OLD"))


def test_restart_replaces_every_process_and_answers_when_it_is_done(fork):
    """The same generation, new processes."""
    each = fork(script=WORKER, workers=2).boot()
    before = each.until_ready(2)
    ask(each.control, "restart", timeout=20)
    assert not set(before) & set(each.until_ready(2))
    assert {1} == {row["generation"] for row in each.rows()}


def test_a_stop_in_the_middle_of_a_reload_leaves_nothing(fork):
    """Old and new are ended."""
    each = fork("notify.py", "--wait-ready", script=NOTIFIER, workers=2).boot()
    pids = each.until_ready(2)
    each.send(signal.SIGHUP)
    each.wait_for("reload started")
    assert 0 == each.stop()
    assert [] == [pid for pid in pids if alive(pid)]


def test_watch_reloads_when_the_script_changes(fork):
    """watch rolls; what ignore_watch names does not count."""
    pytest.importorskip("watchfiles")
    options = ("--watch", "--ignore-watch", "data/", "--ignore-watch", "*.tmp.py")
    each = fork("worker.py", *options, script=WORKER)
    (each.directory / "data").mkdir()
    each.boot()
    until(lambda: each.processes("watcher"), "the watcher")

    def seen():
        (each.directory / "data/written.py").write_text("x")
        (each.directory / "other.tmp.py").write_text("x")
        (each.directory / "worker.py").write_text(WORKER + "# changed\n")
        each.drain(0.5)
        return "files changed" in each.output

    until(seen, "the watcher's word")
    each.wait_for("files changed; reloading files=worker.py")
    each.wait_for("reload done")
    assert "written.py" not in each.output


def test_another_mode_is_not_brought_by_a_reload(fork, tmp_path):
    """It is refused by name; what runs goes on."""
    config = tmp_path / "forkcluster.toml"
    config.write_text('[app]\nexec_mode = "fork"\n')
    each = fork(script=WORKER).boot()
    before = each.until_ready(1)
    config.write_text('[app]\nexec_mode = "cluster"\n')
    with pytest.raises(ConfigurationError, match="configuration cannot be used") as caught:
        ask(each.control, "reload", timeout=20)
    assert "exec_mode has become cluster" in caught.value.remedy
    assert before == each.pids()

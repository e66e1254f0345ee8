"""Fork mode: a command runs once for each instance, and is stopped whole."""

import os
import re
import signal
import sys
from pathlib import Path

import pytest
from fork_harness import WORKER, alive, descriptors, environment
from harness import until

from forkcluster.errors import EXIT_CONFIGURATION, EXIT_USAGE
from forkcluster.wire.client import ask

DAEMON = r"""#!/bin/bash
# Its grandchild leaves the session, loses its parent and ignores TERM.
( setsid bash -c 'trap "" TERM; echo grandchild $$; while true; do sleep 100; done' & )
trap 'exit 0' TERM
echo main $$
while true; do sleep 0.05; done
"""

HIDDEN = r"""#!/bin/bash
# Its grandchild has no environment by which it could be known.
( setsid env -i bash -c 'trap "" TERM; echo grandchild $$; while true; do /bin/sleep 100; done' & )
echo main $$
exec sleep 100
"""


def test_every_instance_has_its_number_its_arguments_and_a_session_of_its_own(fork):
    """N copies of one command, told apart by FORKCLUSTER_INSTANCE."""
    each = fork("worker.py", "--env", "COLOUR=blue", "--", "-x", "two words", script=WORKER, workers=3).boot()
    pids = each.until_ready(3)
    assert ["0", "1", "2"] == [environment(pid)["FORKCLUSTER_INSTANCE"] for pid in pids]
    assert {"blue"} == {environment(pid)["COLOUR"] for pid in pids}
    assert {"1"} == {environment(pid)["PYTHONUNBUFFERED"] for pid in pids}
    assert pids == [os.getsid(pid) for pid in pids]
    each.wait_for(rf"started 2 {pids[2]} -x two words")
    assert ["forkcluster: master [app]"] == [p.title for p in each.processes() if p.role]
    assert 0 == each.stop()
    assert [] == [pid for pid in pids if alive(pid)]


def test_a_process_inherits_nothing_but_its_standard_streams(fork):
    """No descriptor of the master reaches the command; its input is empty."""
    each = fork(script=WORKER).boot()
    (pid,) = each.until_ready(1)
    assert {0, 1, 2} == set(descriptors(pid))
    assert "/dev/null" == descriptors(pid)[0]
    assert not {"NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID"} & set(environment(pid))


def test_a_process_has_the_defaults_of_all_signals(fork):
    """Neither the master's handlers nor Python's ignored PIPE are handed on."""
    each = fork("show.sh", script="#!/bin/sh\ncat /proc/self/status; exec sleep 100\n").boot()
    found = re.findall(r"Sig(?:Blk|Ign):\s+(\w+)", each.output)
    assert [0, 0] == [int(word, 16) & 0x7FFFFFFF for word in found]  # 32 and 33 are the C library's own


@pytest.mark.parametrize("at_once", [False, True])
def test_stop_ends_a_grandchild_that_left_its_session_and_ignores_term(fork, at_once):
    """The whole tree is gone when the master is."""
    each = fork("daemon.sh", "--drain-timeout", "0.3", script=DAEMON).boot()
    grandchild = int(each.wait_for(r"grandchild (\d+)")[1])
    assert alive(grandchild)
    each.stop(signal.SIGQUIT if at_once else signal.SIGTERM)
    assert not alive(grandchild)


def test_stop_ends_a_grandchild_without_any_trace_of_its_origin(fork):
    """Even a cleared environment does not hide it at the end."""
    each = fork("daemon.sh", "--drain-timeout", "0.3", script=HIDDEN).boot()
    grandchild = int(each.wait_for(r"grandchild (\d+)")[1])
    assert 0 == each.stop()
    assert not alive(grandchild)


def test_a_crash_takes_the_whole_tree_with_it_before_the_restart(fork):
    """The next run does not meet what the last one left."""
    each = fork("daemon.sh", "--drain-timeout", "0.3", script=DAEMON).boot()
    grandchild = int(each.wait_for(r"grandchild (\d+)")[1])
    (pid,) = each.until_ready(1)
    mark = len(each.output)
    each.send(signal.SIGKILL, pid)
    each.wait_for(r"grandchild \d+", since=mark)
    assert not alive(grandchild)


def test_without_treekill_only_the_main_process_is_ended(fork):
    """Who wants daemons to stay can have it."""
    each = fork("daemon.sh", "--no-treekill", script=DAEMON).boot()
    grandchild = int(each.wait_for(r"grandchild (\d+)")[1])
    assert 0 == each.stop()
    assert alive(grandchild)
    os.kill(grandchild, signal.SIGKILL)


def test_a_killed_master_takes_its_commands_with_it(fork):
    """No stray holds a port: the kernel sends the signal that a stop would have sent."""
    each = fork(script=WORKER, workers=2).boot()
    pids = each.until_ready(2)
    each.send(signal.SIGKILL)
    until(lambda: not any(alive(pid) for pid in pids), "the end of the commands")


def test_kill_signal_is_the_one_that_asks(fork):
    """A program that wants INT gets INT."""
    script = WORKER.replace("SIGTERM", "SIGINT").replace("sys.exit(0)", "(print('asked'), sys.exit(0))")
    each = fork("worker.py", "--kill-signal", "INT", script=script).boot()
    assert 0 == each.stop()
    assert "asked" in each.output


@pytest.mark.parametrize(
    ("target", "arguments", "expected"),
    [
        ('echo "a  b" $FORKCLUSTER_INSTANCE; exec sleep 100', (), "a  b 0"),
        ("sh -c 'echo $0; exec sleep 100'", ("--", "one two"), "one two"),
        ("show.sh", (), "script"),
        ("./show", (), "script"),
        ("show.py", ("--interpreter", "sh"), "script"),
        ("sleep", ("--", "100"), "running"),
    ],
)
def test_the_forms_of_a_command(fork, target, arguments, expected, tmp_path):
    """A shell line, a script by its extension, an executable file, a named interpreter, a program on PATH."""
    text = "#!/bin/sh\necho script; exec sleep 100\n"
    for name in ("show.sh", "show", "show.py"):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    mode = ("--exec-mode", "fork") if target == "sleep" else ()
    each = fork(target, *mode, *arguments).boot()
    each.wait_for(expected)
    assert 0 == each.stop()


def test_a_script_runs_under_the_virtual_environment_of_its_directory(fork, tmp_path):
    """`.venv` is found by itself, and its programs come first on PATH."""
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/pyvenv.cfg").write_text("home = /usr\n")
    (tmp_path / ".venv/bin/python").symlink_to(sys.executable)
    each = fork(script=WORKER).boot()
    (pid,) = each.until_ready(1)
    assert f"{tmp_path}/.venv/bin/python" == Path(f"/proc/{pid}/cmdline").read_text().split("\0")[0]
    assert environment(pid)["PATH"].startswith(f"{tmp_path}/.venv/bin:")


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("./missing.sh",), EXIT_CONFIGURATION, "there is no such file"),
        (("plain", "--exec-mode", "fork"), EXIT_CONFIGURATION, "no program on PATH"),
        (("./plain.txt",), EXIT_CONFIGURATION, "chmod +x"),
        (("app:application", "--exec-mode", "cluster", "--", "more"), EXIT_USAGE, "takes no arguments"),
    ],
)
def test_what_cannot_be_run_is_said_before_anything_starts(fork, words, code, text, tmp_path):
    """The error names the program and what to do."""
    (tmp_path / "plain.txt").write_text("no program\n")
    each = fork(*words).start()
    assert code == each.wait()
    assert text in each.output


def test_increment_var_gives_each_instance_its_own_port(fork):
    """PM2's increment_var and instance_var."""
    options = ("--env", "PORT=3000", "--increment-var", "PORT", "--instance-var", "NODE_APP_INSTANCE")
    each = fork("sleep 100", *options, workers=2).boot()
    found = [environment(pid) for pid in each.until_ready(2)]
    assert ["3000", "3001"] == [variables["PORT"] for variables in found]
    assert ["0", "1"] == [variables["NODE_APP_INSTANCE"] for variables in found]


def test_bind_hands_the_sockets_over_as_systemd_does(fork):
    """The listener is descriptor 3 of every process, and LISTEN_PID is its own."""
    script = """
import os, socket
assert os.environ["LISTEN_PID"] == str(os.getpid()) and os.environ["LISTEN_FDS"] == "1"
listener = socket.socket(fileno=3)
while True:
    peer, _ = listener.accept()
    peer.recv(65536)
    peer.sendall(b"HTTP/1.0 200 OK\\r\\n\\r\\n" + str(os.getpid()).encode())
    peer.close()
"""
    each = fork(script=script, workers=2, bind=("127.0.0.1:0",)).boot()
    found = re.search(r"http://([\d.]+):(\d+)", each.output)
    each.address = (found[1], int(found[2]))
    pids = {str(pid) for pid in each.until_ready(2)}
    assert {each.get()[1].decode() for _ in range(20)} <= pids


def test_scale_adds_the_next_numbers_and_takes_the_highest(fork):
    """Slots are stable: the survivors keep their processes."""
    each = fork(script=WORKER, workers=2).boot()
    before = each.until_ready(2)
    ask(each.control, "scale", workers="+2")
    assert before == each.until_ready(4)[:2]
    ask(each.control, "scale", workers="1")
    assert before[:1] == each.until_ready(1)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
def test_user_and_umask_are_the_commands(fork):
    """uid, gid, HOME and the umask are those that were asked for."""
    each = fork(
        "id -u; id -g; echo $HOME; umask; exec sleep 100",
        "--user",
        "nobody",
        "--umask",
        "027",
        "--chdir",
        "/",
    ).boot()
    each.wait_for(r"65534\n65534\n/nonexistent\n0027\n")


def test_status_names_the_state_of_every_process(fork):
    """What list and describe are made of."""
    each = fork(script=WORKER).boot()
    (row,) = each.rows()
    assert ("ready", 0, 1, "") == (row["state"], row["slot"], row["generation"], row["last"])
    body = each.status()
    assert (True, 1, "worker.py") == (body["ready"], body["wanted"], body["target"])

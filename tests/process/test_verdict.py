"""What makes an app unfit to be forked, judged in a real interpreter."""

import subprocess
import sys

import pytest


def judge(code):
    """Run code as an app's import; give the verdict's reasons, one per line."""
    program = (
        "from forkcluster.mold.verdict import judge, open_descriptors\n"
        f"before = open_descriptors()\n{code}\nprint(*judge(before), sep='\\n')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
    assert "" == done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (
            "import threading\nwait = threading.Event().wait\n"
            "threading.Thread(target=wait, name='poller', daemon=True).start()",
            "a thread (poller)",
        ),
        ("import select\nkeep = select.epoll()", "an epoll descriptor"),
        (
            "import subprocess, socket, sys\n"
            "listener = socket.create_server(('127.0.0.1', 0)); port = listener.getsockname()[1]\n"
            "child = subprocess.Popen([sys.executable, '-c', f'import socket\\n"
            'keep = socket.create_connection(("127.0.0.1", {port}))\\nkeep.recv(1)\'])\n'
            "keep, _ = listener.accept()\n"
            "import atexit; atexit.register(keep.close)",
            "a connection to 127.0.0.1:",
        ),
        (
            "import atexit, multiprocessing, time\n"
            "child = multiprocessing.get_context('fork').Process(target=time.sleep, args=[60], daemon=True)\n"
            "child.start()",
            "a child process (pid ",
        ),
    ],
    ids=["thread", "epoll", "tcp", "process"],
)
def test_what_does_not_survive_a_fork_is_named(code, reason):
    """Each reason says what was found."""
    assert any(line.startswith(reason) for line in judge(code).splitlines())


def test_open_sqlite_file_is_found_by_its_content(tmp_path):
    """sqlite's locks do not survive a fork; the file's name need not tell."""
    path = tmp_path / "store.data"
    code = f"import sqlite3\nkeep = sqlite3.connect({str(path)!r})\nkeep.execute('create table t (x)')"
    assert f"an open sqlite file ({path})" == judge(code)


@pytest.mark.parametrize(
    "code",
    [
        "",
        "import threading\nt = threading.Thread(target=int); t.start(); t.join()",
        "import socket\nkeep = socket.socketpair()",
        "from multiprocessing import resource_tracker\nresource_tracker.ensure_running()",
        "import subprocess\nsubprocess.run(['true'])",
        "from socket import *\nkeep = socket(AF_INET, SOCK_DGRAM); keep.connect(('127.0.0.1', 9))",
        "import socket\nlistener = socket.create_server(('127.0.0.1', 0))\n"
        "client = socket.create_connection(listener.getsockname()); keep = listener.accept()",
        "keep = open('/dev/null')",
        "import signal\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)",
    ],
    ids=[
        "nothing",
        "ended thread",
        "own pair",
        "tracker",
        "ended process",
        "datagram",
        "own tcp",
        "file",
        "ignored children",
    ],
)
def test_what_survives_a_fork_is_no_reason(code):
    """Nothing of these is shared with another process."""
    assert "" == judge(code)

"""run: all apps of a file in the foreground, as in a container."""

import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import time

import pytest
from harness import PATIENCE, processes, until

FILE = """
[[apps]]
name = "web"
target = "app:application"
bind = "127.0.0.1:0"
depends_on = ["api"]

[[apps]]
name = "api"
target = "app:application"
bind = "127.0.0.1:0"
"""

SLOW = """
import time

def application(environ, start_response):
    print("asked", flush=True)
    time.sleep(600)  # a request that outlasts any deadline
"""
ORPHAN = """
import subprocess
from app import application
subprocess.run(["sh", "-c", "setsid sleep 0.1 &"])
"""


def file_with(target):
    """The file, its app `web` another one."""
    return FILE.replace('name = "web"\ntarget = "app:', f'name = "web"\ntarget = "{target}:')


class Running:
    """A `forkcluster run` in a session of its own, with what it has printed."""

    def __init__(self, shell, *words, wrapper=()):
        self.shell = shell
        self.output = ""
        self.process = subprocess.Popen(
            [*wrapper, *shell.command("run", *words)],
            cwd=shell.directory,
            env=shell.variables(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def wait_for(self, pattern):
        """Wait until the output matches."""
        deadline = time.monotonic() + PATIENCE
        while not (found := re.search(pattern, self.output)):
            assert time.monotonic() < deadline, self.output
            if select.select([self.process.stdout], [], [], 0.1)[0]:
                data = os.read(self.process.stdout.fileno(), 65536)
                assert data, self.output
                self.output += data.decode()
        return found

    def masters(self):
        """The masters' pids by app, from what the log says."""
        return {app: int(pid) for app, pid in re.findall(r"ready .*?app=(\w+).*? pid=(\d+)", self.output)}

    def end(self, number=None):
        """Send a signal, if any, and wait for the end; give the exit code."""
        if number is not None:
            self.process.send_signal(number)
        out, _ = self.process.communicate(timeout=PATIENCE)
        self.output += out.decode()
        print(self.output)
        return self.process.returncode


@pytest.fixture
def run(shell):
    """Starts `run`; whatever is left of it is killed."""
    shell.write("forkcluster.toml", FILE)
    begun = []

    def start(*words, **how):
        begun.append(Running(shell, *words, **how))
        return begun[-1]

    yield start
    for each in begun:
        for pid in [*each.masters().values()]:
            left = processes(pid)
            for process in left:
                os.kill(process.pid, signal.SIGKILL)
            assert [] == left
        if each.process.poll() is None:
            each.process.kill()
        each.process.wait(PATIENCE)
        each.process.stdout.close()


def test_run_starts_in_order_and_stops_the_other_way_round(run):
    """Each line with its app's name; TERM ends all, those first on which none depends; 0 is the exit code."""
    here = run()
    here.wait_for(r"web \| .*ready .*app=web")
    here.wait_for(r"api \| .*ready .*app=api")
    assert here.output.index("app=api") < here.output.index("app=web")
    assert 0 == here.end(signal.SIGTERM)
    ended = [line.split()[0] for line in here.output.splitlines() if "stopping" in line]
    assert ["web", "api"] == list(dict.fromkeys(ended))


def test_the_first_failure_stops_all_and_is_the_exit_code(run, shell):
    """An application that does not start: its traceback, its exit code; what was up is stopped."""
    shell.write("broken.py", "raise RuntimeError('no database')")
    shell.write("forkcluster.toml", file_with("broken"))
    here = run()
    assert 3 == here.end()
    assert ("no database" in here.output, "web exited with status 3" in here.output) == (True, True)


def test_a_master_that_is_killed_counts_as_failed(run):
    """128 and the signal's number, as a shell would say."""
    here = run()
    here.wait_for("app=web")
    os.kill(here.masters()["api"], signal.SIGKILL)
    assert 128 + signal.SIGKILL == here.end()


def test_interrupting_twice_ends_at_once(run, shell):
    """The first Ctrl-C lets requests finish, the second does not."""
    shell.write("slow.py", SLOW)
    shell.write("forkcluster.toml", '[[apps]]\nname="slow"\ntarget="slow:application"\nbind="127.0.0.1:0"\n')
    here = run()
    here.wait_for("app=slow")
    host, port = here.wait_for(r"http://([\d.]+):(\d+)").groups()
    with socket.create_connection((host, int(port)), PATIENCE) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        here.wait_for("asked")
        here.process.send_signal(signal.SIGINT)
        here.wait_for("stopping")
        here.end(signal.SIGINT)


def test_lines_become_json_for_machines(run, shell):
    """forkcluster's own log is JSON, too, and each line names its app, also of one that has an out_file."""
    shell.write("forkcluster.toml", FILE + 'out_file = "out.log"\n')
    here = run("--json", "--only", "api")
    here.wait_for('"event": "ready"')
    here.process.send_signal(signal.SIGHUP)
    here.wait_for("reload done")
    assert 0 == here.end(signal.SIGTERM)
    lines = [json.loads(line) for line in here.output.splitlines()]
    assert ({"api"}, False) == ({line["app"] for line in lines}, "only a restart" in here.output)


def test_the_end_of_all_apps_is_told_to_machines_as_json(run, shell):
    """A line like any other."""
    shell.write("forkcluster.toml", '[[apps]]\nname = "job"\nscript = "exit 3"\nrestart = "never"\n')
    here = run("--json")
    assert 3 == here.end()
    lines = [json.loads(line) for line in here.output.splitlines()]
    last = "job exited with status 3; stopping all apps"
    assert [("error", "job")] == [(each["level"], each["app"]) for each in lines if each["message"] == last]


def test_a_hang_up_reloads_every_app(run):
    """New code, the same masters."""
    here = run()
    here.wait_for("app=web")
    here.process.send_signal(signal.SIGHUP)
    here.wait_for(r"web \| .*reload done")
    here.wait_for(r"api \| .*reload done")
    assert 0 == here.end(signal.SIGTERM)


def pid_namespaces():
    """Whether this machine lets us make a PID namespace."""
    tool = shutil.which("unshare")
    trial = tool and subprocess.run([tool, "--pid", "--fork", "--mount-proc", "true"], capture_output=True)
    return trial and trial.returncode == 0


@pytest.mark.skipif(not pid_namespaces(), reason="needs unshare(1) and the right to make a PID namespace")
def test_as_process_1_it_reaps_orphans_and_obeys_signals(run, shell):
    """What an app leaves behind is no zombie; TERM to process 1 is obeyed."""
    shell.write("orphan.py", ORPHAN)
    shell.write("forkcluster.toml", file_with("orphan"))
    here = run(wrapper=("unshare", "--pid", "--fork", "--mount-proc", "--kill-child"))
    here.wait_for("app=web")
    first = below(here.process.pid)[0]
    until(lambda: "Z" not in {state(pid) for pid in below(first)}, "no zombie")
    os.kill(first, signal.SIGTERM)
    assert 0 == here.end()


def below(pid):
    """All processes below one."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            children = [int(word) for word in file.read().split()]
    except OSError:
        return []
    return [*children, *(each for child in children for each in below(child))]


def state(pid):
    """The state of a process, as ps shows it."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0]
    except OSError:
        return ""

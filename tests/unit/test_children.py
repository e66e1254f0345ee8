"""master/children.py, with real processes in a process of their own, which takes orphans."""

import subprocess
import sys

STORY = """
import os, select, signal
from forkcluster import _process
from forkcluster.master.children import Children
from forkcluster.master.loop import Loop

_process.set_child_subreaper()
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
hear, tell = os.pipe()
wait, gate = os.pipe()
stay, end = os.pipe()
mold = os.fork()
if mold == 0:
    os.close(end)
    middle = os.fork()
    if middle == 0:
        worker = os.fork()
        if worker == 0:
            os._exit(5)
        os.close(gate)
        os.write(tell, str(worker).encode())
        os.read(wait, 1)
        os._exit(0)
    os.close(gate)
    os.waitpid(middle, 0)
    os.read(stay, 1)
    os._exit(0)
pid = int(os.read(hear, 32))
pidfd = os.pidfd_open(pid)
select.select([pidfd], [], [], 20)
ends, spent = [], []
loop = Loop()
children = Children(loop)
children.adopt(pid, ends.append, pidfd, spent.append)
loop.turn(loop.now() + 20)
children.reap_strays(expecting=False)
assert (ends, spent) == ([], []), (ends, spent)
assert pidfd not in loop  # it would wake us again and again
os.close(gate)
assert signal.sigtimedwait({signal.SIGCHLD}, 20) is not None
children.reap_strays(expecting=False)
assert (ends, len(spent)) == (["exited with status 5"], 1), (ends, spent)
assert not children.known(pid)
"""


def test_a_worker_that_dies_before_the_process_in_its_middle_is_waited_for():
    """Its pidfd says that it is dead while it is still that one's child, not ours."""
    done = subprocess.run([sys.executable, "-c", STORY], capture_output=True, text=True, timeout=60)
    assert (0, "") == (done.returncode, done.stderr)

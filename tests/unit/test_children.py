"""master/children.py, with real processes in a process of their own, which takes orphans."""

import subprocess
import sys

STORY = """
import os, select
from forkcluster import _process
from forkcluster.master.children import Children
from forkcluster.master.loop import Loop

_process.set_child_subreaper()
hear, tell = os.pipe()
wait, gate = os.pipe()
middle = os.fork()
if middle == 0:
    worker = os.fork()
    if worker == 0:
        os._exit(5)
    os.close(gate)
    os.write(tell, str(worker).encode())
    os.read(wait, 1)
    os._exit(0)
pid = int(os.read(hear, 32))
pidfd = os.pidfd_open(pid)
select.select([pidfd], [], [], 20)
ends, spent = [], []
loop = Loop()
children = Children(loop)
children.adopt(pid, ends.append, pidfd, spent.append)
loop.turn(loop.now() + 20)
assert (ends, spent) == ([], []), (ends, spent)
os.close(gate)
os.waitpid(middle, 0)
loop.turn(loop.now() + 20)
assert (ends, len(spent)) == (["exited with status 5"], 1), (ends, spent)
assert not children.known(pid)
"""


def test_a_worker_that_dies_before_the_process_in_its_middle_is_waited_for():
    """Its pidfd says that it is dead while it is still that one's child, not ours."""
    done = subprocess.run([sys.executable, "-c", STORY], capture_output=True, text=True, timeout=60)
    assert (0, "") == (done.returncode, done.stderr)

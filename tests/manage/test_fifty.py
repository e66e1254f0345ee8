"""Fifty apps: list is quick, and a master is small."""

import os
import re
import time

import pytest
from harness import until

from forkcluster.manager import starting
from forkcluster.manager.figures import pss
from forkcluster.manager.register import Register
from forkcluster.options.frozen import Request

APPS = 50
BATCH = 5


@pytest.mark.stress
def test_list_of_fifty_apps_takes_half_a_second_and_a_master_18_megabytes(shell):
    """The best of five runs, the interpreter's own start included; every app ready, with its memory."""
    register = Register(str(shell.home))
    os.makedirs(shell.home / "apps", 0o700)
    shell.home.chmod(0o700)
    flags = {"target": ("app:application",), "bind": ("127.0.0.1:0",)}
    for first in range(0, APPS, BATCH):
        pending = [
            starting.begin_new(
                register,
                Request({**flags, "name": (f"app{number}",)}, str(shell.directory)),
                shell.variables(),
            )
            for number in range(first, first + BATCH)
        ]
        starting.wait(pending, 60, lambda name, heard: None)
    until(lambda: set(shell.states().values()) == {"ready"}, f"{APPS} ready apps")
    times = []
    for _ in range(5):
        begun = time.perf_counter()
        lines = shell.run("list").out.splitlines()
        times.append(time.perf_counter() - begun)
    assert APPS + 1 == len(lines)
    told = [line for line in lines[1:] if re.search(r"-MB", line)]
    masters = [pss(pid) / 1e6 for pid in shell.masters().values()]
    print(f"list of {APPS} apps: {min(times):.3f} s at best, {max(times):.3f} s at worst")
    print(f"{len(told)} with their memory; masters: {min(masters):.1f} to {max(masters):.1f} MB PSS")
    assert (APPS, True, True) == (len(told), min(times) < 0.5, max(masters) < 18)

"""The admin process of an app with --user: it becomes that user, too, and tells what such a user may see."""

import os
import pwd

import pytest
from harness import until
from test_admin import fetch

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")


def test_metrics_are_told_by_a_process_without_rights(server):
    """Requests and resident memory; what needs more rights is left out."""
    nobody = pwd.getpwnam("nobody")
    running = server(arguments=("--admin", "127.0.0.1:0", "--user", "nobody"))
    for path in (running.directory, *running.directory.parents):
        if path.stat().st_uid == os.geteuid() and str(path) not in ("/", "/tmp"):
            path.chmod(path.stat().st_mode | 0o055)
    running.boot()
    assert 200 == running.get("/a")[0]
    status, text = fetch(running, "/metrics")
    (admin,) = running.processes("admin")
    assert nobody.pw_uid == uid(admin.pid)
    assert 200 == status
    assert "forkcluster_worker_resident_memory_bytes{" in text
    assert 200 == fetch(running, "/readyz")[0]
    until(lambda: "forkcluster_master_up 1.0" in fetch(running, "/metrics")[1], "the master's answer")


def uid(pid):
    """The real user of a process."""
    with open(f"/proc/{pid}/status") as file:
        return int(next(line for line in file if line.startswith("Uid:")).split()[1])

"""What a service manager is told, by a notify socket of our own."""

import os
import signal
import socket

import pytest


class Manager:
    """Stands in for systemd: a datagram socket."""

    def __init__(self, address):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.settimeout(20)
        self.heard = []

    def wait_for(self, word):
        """Receive until a message says it; give that message's lines."""
        while True:
            self.heard.append(self.socket.recv(4096).decode().split("\n"))
            if any(line.startswith(word) for line in self.heard[-1]):
                return self.heard[-1]


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path):
    """A manager at a path, and one in the abstract namespace."""
    name = str(tmp_path / "notify") if request.param == "path" else f"\0forkcluster-test-{os.getpid()}"
    made = Manager(name)
    made.name = name.replace("\0", "@")
    yield made
    made.socket.close()


def test_ready_reloading_and_stopping_are_told_in_order(server, manager):
    """READY when all workers serve; RELOADING with the monotonic time, then READY; STOPPING."""
    each = server(workers=2, arguments=("--observe", "0"), environment={"NOTIFY_SOCKET": manager.name}).boot()
    assert "STATUS=2 of 2 workers ready, generation 1" in manager.wait_for("READY=1")
    each.send(signal.SIGHUP)
    lines = manager.wait_for("RELOADING=1")
    assert any(line.startswith("MONOTONIC_USEC=") and int(line[15:]) > 0 for line in lines)
    assert "STATUS=2 of 2 workers ready, generation 2" in manager.wait_for("READY=1")
    each.send(signal.SIGTERM)
    manager.wait_for("STOPPING=1")
    assert 0 == each.wait()
    assert 1 == sum("STOPPING=1" in lines for lines in manager.heard)


def test_failed_reload_is_ready_again(server, manager):
    """systemd waits for READY after RELOADING, whatever came of it."""
    each = server(environment={"NOTIFY_SOCKET": manager.name}).boot()
    manager.wait_for("READY=1")
    (each.directory / "app.py").write_text("1 / 0\n")
    each.send(signal.SIGHUP)
    manager.wait_for("RELOADING=1")
    assert "STATUS=1 of 1 workers ready, generation 1" in manager.wait_for("READY=1")


def test_watchdog_is_petted_at_half_its_time(server, manager):
    """An idle master wakes for it."""
    environment = {"NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": "200000"}
    server(environment=environment).boot()
    for _ in range(5):
        manager.wait_for("WATCHDOG=1")


def test_watchdog_of_another_process_is_not_ours(server, manager):
    """WATCHDOG_PID says whose it is."""
    environment = {"NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": "100000", "WATCHDOG_PID": "1"}
    each = server(environment=environment).boot()
    assert 0 == each.stop()
    manager.wait_for("STOPPING=1")
    assert [] == [lines for lines in manager.heard if "WATCHDOG=1" in lines]


def test_manager_that_is_gone_is_ignored(server, tmp_path):
    """A server does not fail because nobody listens, and no child sees the variable."""
    environment = {"NOTIFY_SOCKET": str(tmp_path / "nobody"), "WATCHDOG_USEC": "50000"}
    each = server(environment=environment).boot()
    assert 200 == each.get()[0]
    (worker,) = each.worker_pids()
    with open(f"/proc/{worker}/environ", "rb") as file:
        assert b"NOTIFY_SOCKET" not in file.read()

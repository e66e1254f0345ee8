"""The admin process: started by its first client, on its own, never in the way of the master."""

import http.client
import json
import mmap
import os
import signal
import socket

import pytest
from harness import PATIENCE, until

from forkcluster.manager.control import ask


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path):
        super().__init__("admin", timeout=PATIENCE)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(self._path)


def admin_url(server):
    return ask(server.control, "status")["admin"]


def fetch(server, path, method="GET", headers=None, body=None):
    """Ask the admin; give status and text."""
    url = admin_url(server)
    if url.startswith("unix:"):
        connection = UnixConnection(url.removeprefix("unix:"))
    else:
        connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=PATIENCE)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """A server of two workers that tests only look at."""
    from harness import Server

    server = Server(tmp_path_factory.mktemp("admin"), workers=2).write_app("one").boot()
    yield server
    server.clean_up()
    print(server.output)


def test_by_default_it_is_a_private_socket_beside_the_control_socket(running):
    """Named in the status and on the start screen; only this user can open it."""
    path = f"{running.directory}/home/apps/app/admin.sock"
    assert f"unix:{path}" == admin_url(running)
    assert f"admin     unix:{path}" in running.output
    assert 0o600 == os.stat(path).st_mode & 0o777


def test_health_is_told_in_words_and_codes(running):
    """A running app lives and is ready; the status is the control socket's."""
    assert (200, "ok\n") == fetch(running, "/livez")
    assert (200, "ok\n") == fetch(running, "/readyz")
    status, text = fetch(running, "/status")
    answer = json.loads(text)
    assert (200, "app", 2, True) == (status, answer["app"], len(answer["workers"]), answer["ready"])
    assert "id" not in answer


def test_what_is_not_there_is_said(running):
    """An unknown path names those there are; a wrong method those that are right."""
    status, text = fetch(running, "/nothing")
    assert 404 == status
    assert "/metrics" in text
    assert 405 == fetch(running, "/metrics", "POST")[0]
    assert (200, "") == fetch(running, "/metrics", "HEAD")


def test_it_cannot_write_the_scoreboard(running):
    """Its descriptor of it is read-only, so a mapping for writing is refused by the kernel."""
    fetch(running, "/livez")
    (admin,) = running.processes("admin")
    flags = {}
    for number in os.listdir(f"/proc/{admin.pid}/fd"):
        if "forkcluster-scoreboard" in os.readlink(f"/proc/{admin.pid}/fd/{number}"):
            with open(f"/proc/{admin.pid}/fdinfo/{number}") as file:
                flags[number] = int(next(line for line in file if line.startswith("flags")).split()[1], 8)
    assert [os.O_RDONLY] == [flag & os.O_ACCMODE for flag in flags.values()]
    with open(f"/proc/{admin.pid}/maps") as file:
        shared = [line.split()[1] for line in file if "forkcluster-scoreboard" in line]
    assert "r--s" in shared
    descriptor = os.open(f"/proc/{admin.pid}/fd/{next(iter(flags))}", os.O_RDONLY)
    with pytest.raises(PermissionError):
        mmap.mmap(descriptor, 4096)
    os.close(descriptor)


def test_it_leaves_the_cpu_to_the_workers(running):
    """Where CPUs are short it weighs a ninth of a worker."""
    fetch(running, "/livez")
    (admin,), workers = running.processes("admin"), running.processes("worker")
    nice, *theirs = (os.getpriority(os.PRIO_PROCESS, each.pid) for each in (admin, *workers))
    assert [nice] * 2 == [min(19, each + 10) for each in theirs]


def test_nobody_starts_it_but_a_client(server):
    """An app that nobody asks has no admin process; the first connection starts it and is answered."""
    running = server().boot()
    assert [] == running.processes("admin")
    assert 200 == fetch(running, "/livez")[0]
    (admin,) = running.processes("admin")
    assert "forkcluster: admin [app]" == admin.title
    assert 200 == fetch(running, "/metrics")[0]
    assert [admin.pid] == [each.pid for each in running.processes("admin")]


def test_it_is_started_again_when_it_dies(server):
    """The next connection waits for the new one and is answered."""
    running = server(arguments=("--admin", "127.0.0.1:0")).boot()
    assert 200 == fetch(running, "/livez")[0]
    (admin,) = running.processes("admin")
    os.kill(admin.pid, signal.SIGKILL)
    running.wait_for("the admin process ended")
    assert 200 == fetch(running, "/livez")[0]
    assert admin.pid not in [each.pid for each in running.processes("admin")]
    assert 0 == running.stop()


def test_it_ends_with_a_master_that_is_killed(server):
    """Nothing is left that would answer for an app that has no master."""
    running = server().boot()
    fetch(running, "/livez")
    running.send(signal.SIGKILL)
    until(lambda: not running.processes("admin"), "the end of the admin process")


def test_it_does_not_answer_for_a_master_that_does_not(server):
    """A stopped master does not live, as far as a prober can tell; readiness was its last word."""
    running = server(arguments=("--admin", "127.0.0.1:0")).boot()
    url = admin_url(running)
    fetch(running, "/livez")
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=PATIENCE)
    running.send(signal.SIGSTOP)
    try:
        connection.request("GET", "/livez")
        answer = connection.getresponse()
        assert (503, True) == (answer.status, b"no answer" in answer.read())
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        assert "forkcluster_master_up 0.0" in text
        assert "forkcluster_requests_total" in text
    finally:
        connection.close()
        running.send(signal.SIGCONT)


def test_an_app_below_its_minimum_of_workers_is_not_ready(server):
    """One of two workers short, /readyz says so until the slot is filled again."""
    running = server(workers=2, arguments=("--min-ready", "3", "--admin", "127.0.0.1:0")).boot()
    assert (503, "not ready: 2 workers are ready, fewer than 3\n") == fetch(running, "/readyz")
    assert 200 == fetch(running, "/livez")[0]
    ask(running.control, "scale", workers="+1")
    until(lambda: fetch(running, "/readyz")[0] == 200, "three ready workers")


def test_an_app_that_is_being_stopped_is_not_ready(server):
    """During --drain-delay it still serves, but load balancers are told to go elsewhere."""
    running = server(arguments=("--drain-delay", "5", "--admin", "127.0.0.1:0")).boot()
    fetch(running, "/livez")
    running.send(signal.SIGTERM)
    until(lambda: fetch(running, "/readyz") == (503, "not ready: it is being stopped\n"), "not ready")
    assert 200 == running.get("/")[0]
    running.send(signal.SIGQUIT)
    assert 0 == running.wait()


def test_off_means_off(server):
    """No socket, no line on the screen."""
    running = server(arguments=("--admin", "off")).boot()
    assert None is admin_url(running)
    assert [] == [name for name in os.listdir(f"{running.directory}/home/apps/app") if "admin" in name]

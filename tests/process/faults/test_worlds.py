"""Kernels and containers that lack something, and floods from outside. Rows 68, 70, 71 and 73."""

import email.utils
import http.client
import shutil
import signal
import socket
import sqlite3
import threading
import time

import pytest
from board import close_all, idle_connections, lines, total, wait_for_ready
from harness import runs, until
from scene import CALLED, preload, serve_source, whole
from strict import Connection, Load

from forkcluster.manager.control import ask

# prctl(PR_SET_NO_NEW_PRIVS), then a filter: pidfd_open and memfd_create are ENOSYS, all else is allowed.
SANDBOX = """
import ctypes, os, platform, struct, sys
calls = {"x86_64": (434, 319), "aarch64": (434, 279)}[platform.machine()]
statements = [(0x20, 0, 0, 0)]
for left, number in enumerate(calls):
    statements.append((0x15, len(calls) - left, 0, number))
statements += [(0x06, 0, 0, 0x7FFF0000), (0x06, 0, 0, 0x00050000 | 38)]
code = b"".join(struct.pack("HBBI", *each) for each in statements)
buffer = ctypes.create_string_buffer(code)
program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(statements), ctypes.addressof(buffer)))
libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, program, 0, 0):
    sys.exit(f"no filter: {os.strerror(ctypes.get_errno())}")
try:
    os.pidfd_open(os.getpid())
except OSError:
    os.execv(sys.argv[1], sys.argv[1:])
sys.exit("the filter does nothing")
"""


def sandbox_works():
    return runs(shutil.which("python3") or "python3", "-c", SANDBOX, shutil.which("true") or "/bin/true")


@pytest.mark.skipif(not sandbox_works(), reason="system call filters are not permitted here")
def test_row_73_without_pidfd_and_memfd_everything_works(server):
    """Told once; boot, death of a worker and the mold, reload, control and stop are as everywhere."""
    python = shutil.which("python3") or "python3"
    each = server(workers=2, arguments=("--observe", "0"), wrapper=(python, "-c", SANDBOX)).boot()
    each.wait_for("no pidfd is to be had; children are waited for by SIGCHLD")
    victim = min(each.worker_pids())
    each.send(signal.SIGKILL, victim)
    each.wait_for("worker died.*SIGKILL")
    until(lambda: len(each.worker_pids() - {victim}) == 2, "a replacement")
    (mold,) = [process.pid for process in each.processes("mold")]
    each.send(signal.SIGKILL, mold)
    each.wait_for("the mold ended")
    whole(each, workers=2)
    each.reload()
    whole(each, workers=2)
    assert 200 == each.get()[0]
    assert 2 == ask(each.control, "status")["generation"]
    assert 0 == each.stop()
    assert 1 == each.output.count("no pidfd is to be had")


NO_PROCFS = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /proc && exec "$@"', "sh")


@pytest.mark.skipif(not runs(*NO_PROCFS, "true"), reason="new mount namespaces are not permitted here")
def test_row_73_without_procfs_everything_works(server):
    """Nothing in /proc: boot, serve, replace, reload and stop all the same."""
    each = server(workers=2, arguments=("--observe", "0", "--max-memory", "1G"), wrapper=NO_PROCFS).boot()
    victim = min(each.worker_pids())
    each.send(signal.SIGKILL, victim)
    until(lambda: len(each.worker_pids() - {victim}) == 2, "a replacement")
    each.reload()
    whole(each, workers=2)
    assert 200 == each.get()[0]
    assert 0 == each.stop()
    assert "Traceback" not in each.output


# As in a container with a read-only root: /dev/shm is all that can be written to.
READ_ONLY_ROOT = """
mount --make-rprivate / && mount --rbind / /mnt && mount -o remount,bind,ro /mnt || exit 1
for at in /mnt/tmp /mnt/var/tmp; do
    mount --bind $at $at && mount -o remount,bind,ro $at || exit 1
done
mount -t tmpfs none /mnt/dev/shm || exit 1
exec chroot /mnt sh -c 'cd "$0" && ! touch probe 2>/dev/null && exec "$@"' "$PWD" "$@"
"""
READ_ONLY = ("unshare", "--mount", "sh", "-c", READ_ONLY_ROOT, "sh")


@pytest.mark.skipif(not runs(*READ_ONLY, "true"), reason="new mount namespaces are not permitted here")
def test_row_73_read_only_file_system_is_no_obstacle(server):
    """Boot, serve, replace, reload and stop all the same; one line says where the control socket is."""
    each = server(workers=2, arguments=("--observe", "0"), wrapper=READ_ONLY)
    each.environment = {"FORKCLUSTER_HOME": "", "XDG_RUNTIME_DIR": "", "HOME": "/"}
    each.boot()
    control = each.wait_for(r"a temporary directory is used path=(/dev/shm/\S+)")[1]
    victim = min(each.worker_pids())
    each.send(signal.SIGKILL, victim)
    until(lambda: len(each.worker_pids() - {victim}) == 2, "a replacement")
    each.reload()
    whole(each, workers=2)
    assert (200, 2) == (each.get()[0], ask(f"/proc/{each.pid}/root{control}", "status")["generation"])
    assert 0 == each.stop()
    assert "Traceback" not in each.output


# The wall clock is off by as many seconds as the file of that name says.
CLOCK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static time_t
offset(void)
{
    char text[32] = {0};
    int fd = open(getenv("CLOCK"), O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return 0;
    if (read(fd, text, sizeof text - 1) < 0)
        text[0] = 0;
    close(fd);
    return (time_t)atol(text);
}

int
clock_gettime(clockid_t clock, struct timespec *t)
{
    int (*real)(clockid_t, struct timespec *) =
        (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, t);

    if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)
        t->tv_sec += offset();
    return result;
}
"""


def test_row_51_wall_clock_that_jumps_harms_nobody(server):
    """An hour on, then two back, with limits far below: nobody is killed or closed, and the Date follows."""
    each = server(workers=2, arguments=("--request-timeout", "20", "--keep-alive", "60"))
    (each.directory / "app.py").write_text(CALLED)
    jump = each.directory / "jump"
    jump.write_text("0")
    each.environment = {**preload(each, "clock", CLOCK), "CLOCK": str(jump)}
    each.boot()
    wait_for_ready(each, 2)
    workers = each.worker_pids()
    idle = idle_connections(each, 4)

    def date():
        connection = http.client.HTTPConnection(*each.address, timeout=20)
        connection.request("GET", "/")
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return email.utils.parsedate_to_datetime(answer.headers["Date"]).timestamp()

    with Load(each.address) as load:
        for seconds in (3600, -3600):
            jump.write_text(f"{seconds}")
            until(lambda s=seconds: abs(date() - time.time() - s) < 60, f"a Date that is {seconds} s off")
            before, begun = load.answers.total(), time.monotonic()
            until(lambda b=begun: time.monotonic() > b + 1, "some looks of the master")
            until(lambda b=before: load.answers.total() > b + 50, "answers")
    assert {} == dict(load.faults)
    assert 4 == len([connection.ask() for connection in idle])
    assert workers == each.worker_pids()
    each.drain()
    assert "hang" not in each.output
    close_all(idle)


def test_row_68_threads_and_databases_of_the_import_are_named(server):
    """The mold is bare then, every worker has its own connection and thread, and both are told by name."""
    each = server(workers=2)
    sqlite3.connect(each.directory / "app.db").close()
    (each.directory / "app.py").write_text(
        "import sqlite3, threading\n"
        "database = sqlite3.connect('app.db', check_same_thread=False)\n"
        "database.execute('create table if not exists t (x)')\n"
        "thread = threading.Thread(target=threading.Event().wait, name='sweeper', daemon=True)\n"
        "thread.start()\n"
        "def application(environ, start_response):\n"
        "    database.execute('select count(*) from t').fetchone()\n"
        "    start_response('200 OK', [])\n"
        "    return [str(thread.is_alive()).encode()]\n"
    )
    each.boot()
    each.wait_for("cannot be forked safely.*sweeper")
    assert "app.db" in each.output
    assert {(200, b"True")} == {each.get() for _ in range(5)}


def test_row_70_a_hundred_status_requests_while_workers_die_are_answered_and_monotonic(server):
    """No answer is torn, none goes back, and clients of the app see no more than the deaths."""
    each = serve_source(server, CALLED, workers=2, arguments=("--min-uptime", "0"))
    wait_for_ready(each, 2)
    seen, faults = [], []

    def counted(status):
        counts = status["counts"]
        return [counts["starts"], counts["restarts"], *counts["exits"].values()]

    def poll():
        last = counted(ask(each.control, "status", timeout=20))
        for _ in range(10):
            now = counted(ask(each.control, "status", timeout=20))
            if any(after < before for before, after in zip(last, now, strict=True)):
                faults.append((last, now))
            last = now
            seen.append(now)

    threads = [threading.Thread(target=poll) for _ in range(10)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        before = total(each, "accepted")
        each.get()
        assert total(each, "accepted") >= before
        victim = min(each.worker_pids())
        each.send(signal.SIGKILL, victim)
        until(lambda v=victim: len(each.worker_pids() - {v}) == 2, "a replacement")
    for thread in threads:
        thread.join(30)
    assert (100, []) == (len(seen), faults)
    whole(each, workers=2)


def test_row_71_full_accept_queue_grows_no_process_and_empties_again(server):
    """All workers stopped, more clients than the queue takes: afterwards those in it are answered."""
    each = serve_source(server, CALLED, workers=2, arguments=("--backlog", "16"))
    wait_for_ready(each, 2)
    before = (each.descriptors(), len(each.processes()))
    for pid in each.worker_pids():
        each.send(signal.SIGSTOP, pid)
    queued = [Connection(each.address) for _ in range(8)]
    for connection in queued:
        connection.send("/queued", "posted")
    clients = []
    for _ in range(64):
        client = socket.socket()
        client.setblocking(False)
        client.connect_ex(each.address)
        clients.append(client)
    until(lambda: ask(each.control, "status")["listeners"][0]["queued"] >= 16, "the full queue to be seen")
    until(lambda: each.descriptors() <= before[0], "the question's own descriptor to be closed")
    assert len(each.processes()) == before[1]
    for client in clients:
        client.close()
    for pid in each.worker_pids():
        each.send(signal.SIGCONT, pid)
    assert {"/queued"} == {connection.take("/queued", "posted")["path"] for connection in queued}
    close_all(queued)
    with Load(each.address, idle=0) as load:
        until(lambda: load.answers.total() > 50, "answers")
    assert {} == dict(load.faults)
    until(lambda: total(each, "open") == 0, "no connections")
    assert {"ready"} == {line["state"] for line in lines(each).values()}
    connection = Connection(each.address)
    connection.ask(body="posted")
    connection.close()

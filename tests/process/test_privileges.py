"""Dropping root, and being PID 1."""

import json
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from harness import runs, until
from test_admin import fetch

from forkcluster.errors import EXIT_APPLICATION, EXIT_CONFIGURATION

NOBODY = 65534
APP = """
import json, os
IMPORTED_AS = os.getresuid()
def attempt(call):
    try:
        call()
    except OSError as error:
        return type(error).__name__
    return "regained"
def application(environ, start_response):
    start_response("200 OK", [])
    facts = {
        "imported": IMPORTED_AS, "uids": os.getresuid(), "gids": os.getresgid(), "groups": os.getgroups(),
        "umask": os.umask(0o77), "user": os.environ.get("USER"),
        "regain": [attempt(lambda: os.setuid(0)), attempt(lambda: os.setgroups([0]))],
    }
    return [json.dumps(facts).encode()]
"""


# In a mount namespace of the server's own a directory that only root may enter ($1) is empty but for what is
# named after it, and anybody may enter it. $2: a place to mount it meanwhile.
OPENED = """
closed=$1 place=$2; shift 2
mount --bind "$closed" "$place" && mount -t tmpfs -o mode=755 tmpfs "$closed" || exit
while [ "$1" != -- ]; do
    mkdir "$closed/$1" && mount --bind "$place/$1" "$closed/$1" || exit
    shift
done
umount "$place" && shift && exec "$@"
"""
NEEDED = [Path(os.__file__), Path(sys.prefix), Path(__file__)]


def opening(place):
    """What a command must begin with so that nobody may read what it needs; often nothing."""
    parents = {parent for path in NEEDED for parent in path.parents if not parent.stat().st_mode & 0o001}
    if not parents:
        return ()
    closed = min(parents, key=lambda parent: len(parent.parts))
    names = sorted({path.relative_to(closed).parts[0] for path in NEEDED if path.is_relative_to(closed)})
    return ("unshare", "--mount", "sh", "-c", OPENED, "sh", str(closed), str(place), *names, "--")


def nobody_can_run(wrapper):
    """Whether that is enough."""
    code = f"import os; os.setgid({NOBODY}); os.setuid({NOBODY}); import json; open({__file__!r}).close()"
    return runs(*wrapper, sys.executable, "-c", code)


needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")


@pytest.fixture
def nobody(server, tmp_path):
    """Make servers in a directory that nobody may read."""
    place = tmp_path / "closed-home"
    place.mkdir()
    wrapper = opening(place)
    if not nobody_can_run(wrapper):
        pytest.skip("nobody may not read this interpreter where it is, and it cannot be mounted elsewhere")
    path = tmp_path
    while path != path.parent and path != Path("/tmp"):
        path.chmod(path.stat().st_mode | 0o055)
        path = path.parent

    def make(*arguments, source=APP, **settings):
        each = server(arguments=("--user", "nobody", *arguments), wrapper=wrapper, **settings)
        (each.directory / "app.py").write_text(source)
        return each

    return make


@needs_root
def test_row_60_molds_and_workers_are_nobody_before_the_app_is_imported(nobody):
    """Row 60: groups first, and no way back."""
    each = nobody("--umask", "027").boot()
    facts = json.loads(each.get()[1])
    assert [NOBODY] * 3 == facts["imported"] == facts["uids"] == facts["gids"]
    assert set(facts["groups"]) <= {NOBODY}
    assert ["PermissionError", "PermissionError"] == facts["regain"]
    assert (0o027, "nobody") == (facts["umask"], facts["user"])
    for process in each.processes("mold") + each.processes("worker"):
        status = Path(f"/proc/{process.pid}/status").read_text()
        assert ["65534"] * 4 == re.search(r"Uid:\t(.*)", status)[1].split()


@needs_root
def test_bare_mold_of_nobody_reloads_and_its_workers_can_be_killed(nobody):
    """The master keeps its rights over them."""
    each = nobody("--preload", "never", "--observe", "0").boot()
    each.reload()
    (worker,) = until(lambda: len(each.worker_pids()) == 1 and each.worker_pids(), "one worker")
    each.send(signal.SIGTERM, worker)
    until(lambda: each.worker_pids() and worker not in each.worker_pids(), "a replacement")
    assert 0 == each.stop()


@needs_root
def test_molds_of_nobody_die_with_their_master(nobody):
    """A change of user clears the parent-death signal: it is set again."""
    each = nobody().boot()
    each.send(signal.SIGKILL)
    each.process.wait(5)
    until(lambda: each.processes() == [], "an empty session")


@needs_root
def test_access_log_of_nobody_is_reopened_as_nobody(nobody):
    """A rotated log stays usable for workers that come later."""
    each = nobody("--access-log", "logs/access.log")
    logs = each.directory / "logs"
    logs.mkdir()
    os.chown(logs, NOBODY, NOBODY)
    each.boot().get()
    until(lambda: "GET" in (logs / "access.log").read_text(), "a line")
    (logs / "access.log").rename(logs / "access.log.1")
    each.send(signal.SIGUSR1)
    until((logs / "access.log").exists, "a new log")
    assert NOBODY == (logs / "access.log").stat().st_uid
    assert os.geteuid() == 0
    each.reload()
    each.get()
    until(lambda: "GET" in (logs / "access.log").read_text(), "a line")


@needs_root
def test_no_line_of_nobody_is_lost_by_moves(nobody):
    """Every answer has its line, whichever file was the log's when it was sent."""
    each = nobody("--access-log", "logs/access.log", workers=2)
    logs = each.directory / "logs"
    logs.mkdir()
    os.chown(logs, NOBODY, NOBODY)
    each.boot()
    for move in range(5):
        for number in range(20):
            assert 200 == each.get(f"/{move}-{number}")[0]
        (logs / "access.log").rename(logs / f"access.log.{move}")
        each.send(signal.SIGUSR1)
        until((logs / "access.log").exists, "a new log")
    assert 0 == each.stop()
    lines = [line for path in logs.iterdir() for line in path.read_text().splitlines()]
    asked = sorted(re.search(r"GET /(\S+) ", line)[1] for line in lines)
    assert sorted(f"{move}-{number}" for move in range(5) for number in range(20)) == asked
    assert {NOBODY} == {path.stat().st_uid for path in logs.iterdir()}


@needs_root
def test_metrics_of_nobody_are_counted_on_over_kills_and_reloads_and_gone_at_the_end(nobody):
    """Its workers write the files, the admin process, nobody as well, reads them, the master removes them."""
    source = (
        "import os\nfrom prometheus_client import Counter, Gauge\n"
        "SEEN = Counter('shop_seen', 'Seen.')\n"
        "LIVE = Gauge('shop_live', 'Living.', multiprocess_mode='livesum')\n"
        "def application(environ, start_response):\n"
        "    SEEN.inc()\n    LIVE.set(1)\n    start_response('200 OK', [])\n"
        "    return [os.environ['PROMETHEUS_MULTIPROC_DIR'].encode()]\n"
    )
    each = nobody(source=source).boot()
    directory = Path(each.get()[1].decode())
    assert (NOBODY, 0o700) == (directory.stat().st_uid, directory.stat().st_mode & 0o777)
    assert re.search(r"^shop_live 1.0$", fetch(each, "/metrics")[1], re.MULTILINE)
    (worker,) = each.worker_pids()
    each.send(signal.SIGKILL, worker)
    until(lambda: "shop_live 1.0" not in fetch(each, "/metrics")[1], "the live gauge of the dead to go")
    until(lambda: each.worker_pids() not in (set(), {worker}), "a replacement")
    assert 200 == each.get()[0]
    each.reload()
    assert 200 == each.get()[0]
    text = fetch(each, "/metrics")[1]
    assert re.search(r"^shop_seen_total 3.0$", text, re.MULTILINE)
    assert re.search(r"^forkcluster_app_metrics_failures_total 0.0$", text, re.MULTILINE)
    assert {NOBODY} == {path.stat().st_uid for path in directory.iterdir()}
    assert 0 == each.stop()
    assert not directory.exists()


@needs_root
def test_reload_that_changes_the_user_goes_on_counting_as_the_new_one(nobody):
    """Workers and admin process are daemon then, and none of them can write what is nobody's."""
    source = (
        "from prometheus_client import Counter\nSEEN = Counter('shop_seen', 'Seen.')\n"
        "def application(environ, start_response):\n"
        "    SEEN.inc()\n    start_response('200 OK', [])\n    return [b'']\n"
    )
    each = nobody(source=source)
    config = each.directory / "forkcluster.toml"
    each.arguments = ("--config", str(config), "--observe", "0")
    for user, requests in (("nobody", 1), ("daemon", 2), ("nobody", 3)):
        config.write_text(f"[app]\nuser = '{user}'\n")
        if requests == 1:
            each.boot()
        else:
            each.reload()
            until(lambda: len(each.worker_pids()) == 1, "the old worker to end")
        for _ in range(requests):
            assert 200 == each.get()[0]
        seen = 4 if requests == 3 else requests  # who comes back counts on
        assert re.search(rf"^shop_seen_total {seen}.0$", fetch(each, "/metrics")[1], re.MULTILINE)
        (admin,) = each.processes("admin")
        assert pwd.getpwnam(user).pw_uid == Path(f"/proc/{admin.pid}").stat().st_uid
    assert "the admin process ended" not in each.output
    assert 0 == each.stop()


@needs_root
def test_row_60_directory_that_nobody_may_not_enter_fails_the_boot(nobody, tmp_path):
    """Row 60: fatal before any code of the app."""
    (tmp_path / "closed").mkdir(mode=0o700)
    each = nobody("--chdir", "closed")
    assert EXIT_APPLICATION == each.start().wait()
    assert "cannot enter" in each.output


@pytest.mark.parametrize("option", ["--user", "--group"])
def test_row_60_unknown_user_or_group_is_fatal_at_once(server, option):
    """Row 60: named, before anything is started."""
    each = server(arguments=(option, "no-such-one"))
    assert EXIT_CONFIGURATION == each.start().wait()
    assert f"{option} no-such-one: there is no such" in each.output
    assert [] == each.processes()


def unshare_works():
    command = ["unshare", "--pid", "--fork", "--mount-proc", "true"]
    return shutil.which("unshare") and subprocess.run(command, capture_output=True).returncode == 0


@pytest.mark.skipif(not unshare_works(), reason="new PID namespaces are not permitted here")
def test_row_73_pid_one_reaps_strays_and_stops_gracefully(server):
    """In a container the master is PID 1: orphans are its own, and TERM must not be ignored."""
    each = server(arguments=("--pid", "run.pid"))
    (each.directory / "app.py").write_text(
        "import os, subprocess\n"
        "def application(environ, start_response):\n"
        "    subprocess.run(['sh', '-c', 'sleep 0.1 & exit'])\n"
        "    start_response('200 OK', [])\n"
        "    return [' '.join(f'{p}:' + open(f'/proc/{p}/stat').read().split()[2]\n"
        "        for p in os.listdir('/proc') if p.isdigit()).encode()]\n"
    )
    each.wrapper = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
    each.boot()
    assert "1\n" == (each.directory / "run.pid").read_text()
    for _ in range(3):
        assert 200 == each.get()[0]
    until(lambda: b"Z" not in each.get()[1], "no zombies but those just made", patience=5)
    (master,) = [int(p) for p in Path(f"/proc/{each.pid}/task/{each.pid}/children").read_text().split()]
    os.kill(master, signal.SIGTERM)
    assert 0 == each.wait()

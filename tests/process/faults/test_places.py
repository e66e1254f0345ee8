"""Ports, socket files, pid files and directories: taken, stale, swapped or gone. Rows 53 to 58, 64 and
65.
"""

import json
import os
import shutil
import signal
import socket
import subprocess

import pytest
from board import total
from harness import processes, until
from scene import CALLED, calls, serve_source, whole
from strict import Connection, Load

from forkcluster.errors import EXIT_BIND, EXIT_CONFIGURATION
from forkcluster.manager.control import ask

ENOUGH = "--observe", "0"


def test_row_53_port_in_use_is_named_and_nothing_is_started(server):
    """The address and who holds it; exit code of its own; nothing half-started stays."""
    with socket.create_server(("127.0.0.1", 0)) as holder:
        address = f"127.0.0.1:{holder.getsockname()[1]}"
        each = server(workers=2, bind=("127.0.0.1:0", address))
        assert EXIT_BIND == each.start().wait()
    assert address in each.output
    assert f"pid {os.getpid()}" in each.output
    assert "Traceback" not in each.output
    assert [] == processes(each.pid)


@pytest.mark.parametrize("bind", ["127.0.0.1", "unix:app.sock"])
def test_row_54_address_of_a_killed_masters_workers_is_waited_for(server, bind):
    """kill -9 of the master, started again at once: what still runs is answered, and there is no error."""
    each = serve_source(server, CALLED, bind=("127.0.0.1:0", "unix:app.sock"))
    port = each.address[1]
    busy = Connection(each.address)
    busy.send("/hold?1", "posted")
    until(lambda: calls(each) == ["/hold"], "the call")
    each.send(signal.SIGKILL)
    each.process.wait(5)
    again = server(bind=(f"{bind}:{port}" if bind == "127.0.0.1" else bind,)).start()
    assert "posted" == busy.take("/hold", "posted", close=True)["body"]
    again.wait_for("ready app=")
    until(lambda: processes(each.pid) == [], "the orphans to end")
    assert 0 == again.stop()
    busy.close()


def test_row_55_stale_socket_file_is_replaced_a_live_or_other_file_is_not(server):
    """Left by a killed server: unlinked and bound again. Somebody listens, or it is no socket: refused."""
    path = server().directory / "app.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    each = server(bind=("127.0.0.1:0", "unix:app.sock")).boot()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
    second = server(bind=("unix:app.sock",))
    assert EXIT_BIND == second.start().wait()
    assert path.is_socket()
    assert 0 == each.stop()
    assert not path.exists()
    path.write_text("precious")
    third = server(bind=("unix:app.sock",))
    assert 0 != third.start().wait()
    assert "precious" == path.read_text()


def test_row_55_socket_file_of_another_is_not_removed_at_the_end(server):
    """Somebody has bound the path anew: the file is theirs."""
    each = server(bind=("127.0.0.1:0", "unix:app.sock")).boot()
    path = each.directory / "app.sock"
    path.unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        assert 0 == each.stop()
        assert path.is_socket()


def test_row_56_socket_file_that_was_deleted_is_bound_again_by_hup(server):
    """Meanwhile the other listener serves; afterwards clients find the path again."""
    each = server(bind=("127.0.0.1:0", "unix:app.sock"), arguments=ENOUGH).boot()
    path = each.directory / "app.sock"
    path.unlink()
    assert 200 == each.get()[0]
    each.reload()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert client.recv(65536).startswith(b"HTTP/1.1 200")


def test_row_57_pid_file_is_never_believed(server):
    """One that names a living process is overwritten, the process not touched; a link is not followed."""
    bystander = subprocess.Popen(["sleep", "60"])
    try:
        each = server(arguments=("--pid", "run.pid"))
        pid_file, target = each.directory / "run.pid", each.directory / "target"
        target.write_text("precious")
        pid_file.symlink_to(target)
        each.boot()
        assert (f"{each.pid}\n", "precious") == (pid_file.read_text(), target.read_text())
        assert not pid_file.is_symlink()
        pid_file.write_text(f"{bystander.pid}\n")
        assert 0 == each.stop()
        assert f"{bystander.pid}\n" == pid_file.read_text()
        again = server(arguments=("--pid", "run.pid")).boot()
        assert f"{again.pid}\n" == pid_file.read_text()
        assert 0 == again.stop()
        assert None is bystander.poll()
    finally:
        bystander.kill()
        bystander.wait()


def test_row_58_control_socket_in_a_place_others_may_write_is_refused(server):
    """Asked for by name it is an error that says why, before anything is started."""
    each = server()
    shared = each.directory / "shared"
    shared.mkdir(mode=0o777)
    shared.chmod(0o777)
    each.arguments = ("--control", f"{shared}/control.sock")
    assert EXIT_CONFIGURATION == each.start().wait()
    assert "others may write there" in each.output
    assert [] == processes(each.pid)


def test_row_64_scaled_to_and_fro_under_load_loses_nothing(server):
    """4, 16, 2 workers, a refused configuration and one that counts anew: no client sees a fault."""
    each = server(workers=0)
    config = each.directory / "forkcluster.toml"
    config.write_text("[app]\nobserve = 0\ninstances = 4\n")
    (each.directory / "app.py").write_text(CALLED)
    each.boot()
    with Load(each.address) as load:
        for count in (16, 2, 4):
            ask(each.control, "scale", workers=str(count))
            each.wait_for_workers(count)
            before = load.answers.total()
            until(lambda b=before: load.answers.total() > b + 50, "answers")
        ask(each.control, "scale", workers="3")
        config.write_text("[app]\nobserve = 'x'\n")
        each.reload("reload failed: the configuration cannot be used")
        config.write_text("[app]\nobserve = 0\ninstances = 4\nkeep_alive = 70\n")
        each.reload()
        assert 3 == ask(each.control, "status")["wanted"]
        config.write_text("[app]\nobserve = 0\ninstances = 5\n")
        each.reload()
        assert 5 == ask(each.control, "status")["wanted"]
        whole(each, workers=5)
    assert {} == dict(load.faults)


def test_row_65_deleted_code_serves_on_and_the_next_release_too(server, tmp_path):
    """Behind a link: the first release is deleted, workers are replaced, HUP serves the new one, twice."""
    for name in ("one", "two", "three"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "app.py").write_text(
            f"def application(environ, start_response):\n"
            f"    start_response('200 OK', [])\n    return [b'{name}']\n"
        )
    link = tmp_path / "current"
    link.symlink_to("one")

    def switch(name):
        (tmp_path / "next").symlink_to(name)
        (tmp_path / "next").rename(link)

    each = server(workers=2, cwd=str(link), arguments=ENOUGH).boot()
    assert b"one" == each.get()[1]
    switch("two")
    shutil.rmtree(tmp_path / "one")
    each.send(signal.SIGKILL, min(each.worker_pids()))
    each.wait_for("worker died")
    each.wait_for_workers(2)
    assert {b"one"} == {each.get()[1] for _ in range(10)}
    for name in ("two", "three"):
        if name == "three":
            switch(name)
            shutil.rmtree(tmp_path / "two")
        each.reload()
        whole(each, workers=2)
        assert {name.encode()} == {each.get()[1] for _ in range(10)}


def test_row_65_mold_that_cannot_be_started_again_leaves_the_workers_serving(server):
    """The code is gone and the mold killed: the workers go on, and the mold comes when the code does."""
    each = server(workers=2).boot()
    workers = each.worker_pids()
    app = each.directory / "app.py"
    source = app.read_text()
    app.unlink()
    (mold,) = [process.pid for process in each.processes("mold")]
    each.send(signal.SIGKILL, mold)
    each.wait_for("the mold ended; workers go on.*no module|No module named")
    for _ in range(5):
        assert json.loads(each.get()[1])["pid"] in workers
    assert workers == each.worker_pids()
    app.write_text(source)
    until(lambda: [p for p in each.processes("mold") if p.pid != mold and "g1" in p.title], "a new mold")
    whole(each, workers=2)


OTHER_LAYOUT = """
import os
if os.path.exists({flag!r}):
    import forkcluster._scoreboard
    forkcluster._scoreboard.layout_hash = lambda: "0123456789abcdef"
"""


def test_forkcluster_upgraded_underneath_refuses_the_reload_with_the_remedy(server):
    """The mold's first message tells the layout of its memory: another one must not share ours."""
    each = server(workers=2, arguments=ENOUGH)
    flag = each.directory / "upgraded"
    patch = each.directory / "patch"
    patch.mkdir()
    (patch / "sitecustomize.py").write_text(OTHER_LAYOUT.format(flag=str(flag)))
    each.environment = {"PYTHONPATH": str(patch)}
    each.boot()
    old = each.worker_pids()
    flag.touch()
    each.reload("reload failed: the application could not be loaded; generation 1 goes on")
    each.wait_for("the release has another forkcluster.*restart the app instead of reloading it")
    assert 200 == each.get()[0]
    assert old == each.worker_pids()


def test_read_only_home_is_no_obstacle_with_a_runtime_directory(server):
    """HOME cannot be written: runtime files are in XDG_RUNTIME_DIR, and one line says so."""
    each = server()
    runtime = each.directory / "run"
    runtime.mkdir(mode=0o700)
    each.environment = {"HOME": "/proc", "FORKCLUSTER_HOME": "", "XDG_RUNTIME_DIR": str(runtime)}
    each.boot()
    assert 200 == each.get()[0]
    (control,) = runtime.rglob("control.sock")
    assert each.pid == ask(str(control), "status")["pid"]
    assert 0 == each.stop()
    assert not control.exists()


def listening(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_row_64_listener_that_a_reload_drops_is_served_to_its_end(server):
    """Connections in its queue are answered, then the port is closed; the one that stays sees nothing."""
    each = server(workers=2)
    config = each.directory / "forkcluster.toml"
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    (each.directory / "app.py").write_text(CALLED)
    config.write_text(f"[app]\nobserve = 0\nbind = ['127.0.0.1:0', '127.0.0.1:{port}']\n")
    each.bind = ()
    each.boot()
    kept = Connection(("127.0.0.1", port))
    kept.ask()
    config.write_text("[app]\nobserve = 0\nbind = ['127.0.0.1:0']\n")
    each.reload()
    kept.ask(body="posted")
    until(lambda: not listening(port), "the port to be closed")
    kept.ask(body="posted")
    until(lambda: total(each, "open") >= 1, "it")
    kept.close()

"""Reload of a real cluster: a transaction."""

import json
import os
import signal
from pathlib import Path

from harness import until

FORBIDDEN = {
    "logging",
    "asyncio",
    "click",
    "rich",
    "argparse",
    "app",
    "concurrent.futures",
    "multiprocessing",
}


def version(each):
    return json.loads(each.get()[1])["version"]


def test_reload_serves_new_code_and_ends_old_workers(server):
    """HUP: new code answers, old pids end, the old mold too."""
    each = server(workers=2).boot()
    old = each.worker_pids()
    each.write_app("two").reload()
    until(lambda: not old & each.worker_pids() and len(each.worker_pids()) == 2, "old workers to end")
    assert "two" == version(each)
    until(lambda: ["g2"] == [p.title.split()[-1] for p in each.processes("mold")], "one mold of generation 2")


def test_reload_of_a_syntax_error_keeps_the_old_code(server):
    """A broken release changes nothing and says so, with the traceback."""
    each = server(workers=2).boot()
    old = each.worker_pids()
    (each.directory / "app.py").write_text("def application(:\n")
    each.reload("reload failed")
    each.wait_for("SyntaxError")
    assert old == each.worker_pids()
    assert "one" == version(each)


def test_reload_can_succeed_after_one_that_failed(server):
    """A failed reload leaves nothing in the way of the next."""
    each = server().boot()
    (each.directory / "app.py").write_text("1 / 0\n")
    each.reload("reload failed")
    each.write_app("three").reload()
    assert "three" == version(each)


def test_reload_follows_a_switched_symlink(server, tmp_path):
    """HUP follows a switched `current` symlink, though the master was started in the old release."""
    each = server(cwd=str(tmp_path / "current"))
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        each.directory = tmp_path / name
        each.write_app(name)
    (tmp_path / "current").symlink_to("one")
    each.boot()
    assert "one" == version(each)
    (tmp_path / "next").symlink_to("two")
    os.replace(tmp_path / "next", tmp_path / "current")
    each.reload()
    assert "two" == version(each)


def test_mold_of_a_generation_is_respawned_from_its_pinned_release(server, tmp_path):
    """A switched symlink without a reload must not mix releases within a generation."""
    each = server(cwd=str(tmp_path / "current"))
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        each.directory = tmp_path / name
        each.write_app(name)
    (tmp_path / "current").symlink_to("one")
    each.boot()
    (tmp_path / "next").symlink_to("two")
    os.replace(tmp_path / "next", tmp_path / "current")
    (mold,) = [process.pid for process in each.processes("mold")]
    each.send(signal.SIGKILL, mold)
    until(lambda: [p for p in each.processes("mold") if p.pid != mold], "a new mold")
    (worker,) = each.worker_pids()
    each.send(signal.SIGKILL, worker)
    until(lambda: each.worker_pids() - {worker}, "a new worker")
    assert "one" == version(each)


def test_master_has_one_thread_and_no_guests_through_a_reload(server):
    """asyncio, logging and the app stay out of the master, before and after a reload."""
    each = server(workers=2).boot()
    each.reload()
    tasks = os.listdir(f"/proc/{each.pid}/task")
    maps = Path(f"/proc/{each.pid}/maps").read_text()
    assert 1 == len(tasks)
    assert [] == [name for name in ("_asyncio", "_ssl", "_hashlib", "_multiprocessing") if name in maps]


def test_master_imports_no_guest():
    """What the master's module graph brings in, told by the interpreter itself."""
    import subprocess
    import sys

    code = "import sys, forkcluster.master.main; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert set() == FORBIDDEN & set(done.stdout.split())


def test_reloads_leak_no_descriptor(server):
    """Ten reloads leave the master with as many descriptors as one."""
    each = server(arguments=("--observe", "0")).boot()
    each.reload()
    until(lambda: len(each.processes()) == 3, "the old generation to end")
    before = each.descriptors()
    for _ in range(10):
        each.reload()
    until(lambda: len(each.processes()) == 3, "the old generation to end")
    until(lambda: each.descriptors() <= before, f"{before} descriptors")


def test_refused_configuration_keeps_everything(server):
    """A typing error in the configuration file is named, and nothing else happens."""
    each = server(workers=1)
    config = each.directory / "forkcluster.toml"
    config.write_text("[app]\nkeep_alive = 70\n")
    each.boot()
    before = each.worker_pids()
    config.write_text("[app]\nkeep_alife = 70\n")
    each.reload("reload failed")
    each.wait_for("keep_alife")
    assert before == each.worker_pids()
    assert 200 == each.get()[0]


def test_asking_many_times_makes_one_more_reload(server):
    """Five HUPs during a reload are one reload after it."""
    each = server(arguments=("--observe", "0.2")).boot()
    each.send(signal.SIGHUP)
    each.wait_for("reload started")
    for _ in range(5):
        each.send(signal.SIGHUP)
    each.wait_for("reload done generation=3")
    assert 0 == each.stop()
    assert 2 == each.output.count("reload done")


def test_stop_during_a_reload_leaves_nothing(server):
    """TERM while a new generation is loading ends both."""
    each = server(workers=2).boot()
    (each.directory / "app.py").write_text(
        "import pathlib, threading\npathlib.Path('importing').touch()\nthreading.Event().wait()\n"
    )
    each.send(signal.SIGHUP)
    until((each.directory / "importing").exists, "the new import to begin")
    assert 0 == each.stop()
    assert [] == each.processes()


def test_descriptors_and_children_stay_the_same_over_worker_deaths(server):
    """Twenty deaths leave no descriptor and no zombie."""
    each = server(arguments=("--min-uptime", "0")).boot()
    before = each.descriptors()
    for _ in range(20):
        (worker,) = each.wait_for_workers(1)
        mark = len(each.output)
        each.send(signal.SIGKILL, worker)
        each.wait_for("worker ready", since=mark)
    until(lambda: each.descriptors() <= before, f"{before} descriptors")
    assert [] == [process for process in each.processes() if process.state == "Z"]

"""Boot, death and stop of a real cluster."""

import json
import os
import signal
import sys

import pytest
from harness import processes, until

from forkcluster.errors import EXIT_APPLICATION


@pytest.mark.parametrize("workers", [1, 3])
def test_boot_serves_with_the_workers_asked_for(server, workers):
    """The smallest promise: it answers, with as many workers as asked for."""
    each = server(workers=workers).boot()
    assert "one" == json.loads(each.get()[1])["version"]
    assert workers == len(each.worker_pids())


def test_workers_are_children_of_the_master_with_titles(server):
    """The master supervises workers directly, and a person sees who is who."""
    each = server(workers=2).boot()
    assert {each.pid} == {process.parent for process in each.processes("worker")}
    assert ["forkcluster: mold [app] g1"] == [process.title for process in each.processes("mold")]
    titles = sorted(process.title for process in each.processes("worker"))
    assert ["forkcluster: worker [app] 0 g1", "forkcluster: worker [app] 1 g1"] == titles


def test_broken_import_prints_one_traceback_and_fails(server):
    """N workers are no reason for N tracebacks; ours are not the application's frames."""
    each = server(workers=3)
    (each.directory / "app.py").write_text("def broken():\n    raise RuntimeError('no database')\nbroken()\n")
    assert EXIT_APPLICATION == each.start().wait()
    assert 1 == each.output.count("RuntimeError: no database")
    assert 1 == each.output.count("Traceback (most recent call last)")
    assert "forkcluster/mold" not in each.output
    assert [] == processes(each.pid)


def test_interpreter_killed_at_import_names_the_signal(server):
    """A segmentation fault leaves no traceback; the signal must be told."""
    each = server()
    (each.directory / "app.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    assert EXIT_APPLICATION == each.start().wait()
    assert "was killed by SIGSEGV" in each.output


def test_import_that_hangs_ends_at_boot_timeout(server):
    """The start must not hang for ever."""
    each = server(arguments=("--boot-timeout", "1"))
    (each.directory / "app.py").write_text("import threading\nthreading.Event().wait()\n")
    assert EXIT_APPLICATION == each.start().wait()
    assert "not loaded within 1 s" in each.output


def test_killed_worker_is_replaced(server):
    """kill -9 of a worker: the log names the signal, another takes its place."""
    each = server(workers=2).boot()
    before = each.worker_pids()
    victim = min(before)
    each.send(signal.SIGKILL, victim)
    each.wait_for("worker died.*SIGKILL")
    after = until(lambda: len(each.worker_pids() - {victim}) == 2 and each.worker_pids(), "a replacement")
    assert 1 == len(after - before)
    assert 200 == each.get()[0]


def test_worker_told_to_terminate_is_replaced_first(server):
    """A direct TERM retires one worker without a gap."""
    each = server(workers=1).boot()
    (old,) = each.worker_pids()
    each.send(signal.SIGTERM, old)
    until(lambda: each.worker_pids() and old not in each.worker_pids(), "a replacement")
    each.wait_for("worker ended.*exited with status 0")
    assert "Traceback" not in each.output


def test_signals_meant_for_the_group_do_not_touch_a_worker(server):
    """INT, HUP, QUIT and USR1 to a worker that waits for requests: the same process goes on serving."""
    each = server().boot()
    (worker,) = each.worker_pids()
    assert worker == json.loads(each.get()[1])["pid"]
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1):
        each.send(number, worker)
        assert worker == json.loads(each.get()[1])["pid"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_stop_ends_with_zero_and_leaves_nothing(server, number):
    """TERM and INT gracefully, QUIT at once: exit code 0, no process, no pid file."""
    each = server(workers=2, arguments=("--pid", "run.pid")).boot()
    assert f"{each.pid}\n" == (each.directory / "run.pid").read_text()
    assert 0 == each.stop(number)
    assert [] == processes(each.pid)
    assert not (each.directory / "run.pid").exists()


def test_ctrl_c_to_the_whole_group_stops_gracefully(server):
    """A terminal sends INT to every process; only the master acts on it."""
    each = server(workers=2).boot()
    os.killpg(each.pid, signal.SIGINT)
    assert 0 == each.wait()
    assert "worker died" not in each.output
    assert [] == processes(each.pid)


def test_killed_master_leaves_nothing_after_two_seconds(server):
    """No worker and no mold stays as a stray."""
    each = server(workers=2).boot()
    each.send(signal.SIGKILL)
    each.process.wait(5)
    until(lambda: processes(each.pid) == [], "an empty session", patience=2.5)


def test_killed_mold_is_started_again_without_touching_workers(server):
    """The mold is only needed for the next fork, and there again when it is."""
    each = server(workers=2).boot()
    workers = each.worker_pids()
    (mold,) = [process.pid for process in each.processes("mold")]
    each.send(signal.SIGKILL, mold)
    each.wait_for("the mold ended")
    until(lambda: [p for p in each.processes("mold") if p.pid != mold and "g1" in p.title], "a new mold")
    assert workers == each.worker_pids()
    each.send(signal.SIGKILL, min(workers))
    until(lambda: len(each.worker_pids() - {min(workers)}) == 2, "a replacement")


def test_scaling_by_signals(server):
    """TTIN adds a worker, TTOU takes the newest away, never the last."""
    each = server(workers=1).boot()
    each.send(signal.SIGTTIN)
    each.wait_for_workers(2)
    each.send(signal.SIGTTOU)
    each.wait_for_workers(1)
    each.send(signal.SIGTTOU)
    each.wait_for("cannot scale")
    assert 1 == len(each.worker_pids())


def test_reopened_logs_go_to_a_new_file(server):
    """USR1 after a rotation: what comes next is in the new file."""
    each = server(arguments=("--log-file", "cluster.log")).start()
    log = each.directory / "cluster.log"
    until(lambda: log.exists() and "ready" in log.read_text() and "listening" in log.read_text(), "the log")
    log.rename(each.directory / "cluster.log.1")
    each.send(signal.SIGUSR1)
    until(lambda: log.exists() and "logs reopened" in log.read_text(), "a new log")
    assert 0 == each.stop()
    assert "logs reopened" not in (each.directory / "cluster.log.1").read_text()


def test_threads_at_import_make_a_bare_mold(server):
    """An app that starts threads when imported is imported by every worker instead."""
    each = server(workers=2)
    (each.directory / "app.py").write_text(
        "import threading\n"
        "thread = threading.Thread(target=threading.Event().wait, daemon=True)\n"
        "thread.start()\n"
        "def application(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    return [str(thread.is_alive()).encode()]\n"
    )
    each.boot()
    assert "cannot be forked safely" in each.output
    assert {1} == {process.threads for process in each.processes("mold")}
    assert (200, b"True") == each.get()


def test_app_that_ignores_its_children_boots_reloads_and_is_replaced(server):
    """With SIGCHLD ignored the kernel reaps for the mold, which forks as usual."""
    each = server()
    with (each.directory / "app.py").open("a") as file:
        file.write("\nimport signal\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)\n")
    each.boot()
    each.reload()
    (killed,) = each.wait_for_workers(1)
    each.send(signal.SIGKILL, killed)
    until(lambda: each.worker_pids() - {killed}, "a replacement")
    assert 200 == each.get()[0]
    assert "cannot be forked safely" not in each.output


def test_stdout_of_the_app_is_inherited(server):
    """What an app prints never passes through the master, and is printed once."""
    each = server(workers=2)
    with (each.directory / "app.py").open("a") as file:
        file.write("\nprint('imported', end='')\n")
    each.boot()
    each.stop()
    assert 1 == each.output.count("imported")


def test_orphans_of_the_app_are_reaped(server):
    """The master is a subreaper: what an app leaves behind must not stay as a zombie."""
    each = server()
    with (each.directory / "app.py").open("a") as file:
        file.write("\nimport subprocess\nsubprocess.run(['sh', '-c', 'sleep 0.2 & exit'])\n")
    each.boot()
    until(lambda: not [p for p in each.processes() if p.title.startswith("sleep")], "the orphan to end")
    until(lambda: not [p for p in each.processes() if p.state == "Z"], "no zombies")


@pytest.mark.parametrize("preload", ["auto", "never"])
def test_killed_master_during_an_import_leaves_nothing(server, preload):
    """An import that hangs must not outlive its master, be it in the mold or in a worker."""
    each = server(arguments=("--preload", preload))
    (each.directory / "app.py").write_text(
        "import pathlib, threading\npathlib.Path('importing').touch()\nthreading.Event().wait()\n"
    )
    each.start()
    until((each.directory / "importing").exists, "the import to begin")
    each.send(signal.SIGKILL)
    each.process.wait(5)
    until(lambda: processes(each.pid) == [], "an empty session", patience=2.5)


def test_children_forked_by_the_app_hold_no_descriptor_of_the_worker(server):
    """What a view forks keeps neither listener, channel nor inbox, so the port is free when we are gone."""
    each = server()
    (each.directory / "app.py").write_text(
        "import os, signal\n"
        "def application(environ, start_response):\n"
        "    pid = os.fork()\n"
        "    if pid == 0:\n"
        "        listed = [f'/proc/self/fd/{fd}' for fd in os.listdir('/proc/self/fd')]\n"
        "        links = [os.readlink(path) for path in listed if os.path.islink(path)]\n"
        "        open('links', 'w').write(' '.join(link for link in links if 'socket' in link))\n"
        "        os._exit(0)\n"
        "    os.waitpid(pid, 0)\n"
        "    start_response('200 OK', [])\n"
        "    return [b'forked']\n"
    )
    each.boot()
    assert (200, b"forked") == each.get()
    assert "" == (each.directory / "links").read_text()


def test_child_that_lives_on_from_the_workers_import_holds_no_descriptor_of_it(server):
    """Also before it is known what engine the app needs; and it holds up no boot."""
    each = server(arguments=("--preload", "never"))
    (each.directory / "app.py").write_text(
        "import os, signal, time\n"
        "child = os.fork()\n"
        "while child == 0 and os.path.exists('app.py'):\n"
        "    time.sleep(0.01)\n"
        "if child == 0:\n"
        "    os._exit(0)\n"
        "def application(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    links = [os.readlink(f'/proc/{child}/fd/{fd}') for fd in os.listdir(f'/proc/{child}/fd')]\n"
        "    return [' '.join(link for link in links if 'socket' in link or 'memfd' in link).encode()]\n"
    )
    each.boot()
    assert (200, b"") == each.get()
    (each.directory / "app.py").unlink()


STARTING = """
import multiprocessing, os, time

def wait():
    while True:
        time.sleep(60)

child = multiprocessing.get_context("fork").Process(target=wait, daemon=True)
child.start()

def application(environ, start_response):
    start_response("200 OK", [])
    return [str(child.is_alive()).encode()]
"""


def test_process_that_an_import_starts_is_each_workers_own_and_ends_with_it(server):
    """multiprocessing ends it when its worker exits; what the mold's own import has started ends, too."""
    each = server(arguments=("--observe", "0"))
    (each.directory / "app.py").write_text(STARTING)
    each.boot()
    assert "every worker imports it by itself" in each.output
    for _ in range(2):
        each.reload()
        assert (200, b"True") == each.get()
        until(lambda: ["mold", "worker", "worker"] == roles(each), "mold, worker and its process")
    assert 0 == each.stop()
    assert [] == processes(each.pid)
    assert "Traceback" not in each.output


def roles(each):
    return sorted(process.role for process in each.processes() if process.role != "master")


def test_processes_of_an_import_that_fails_end_with_it(server):
    """No reload leaves one behind."""
    each = server().boot()
    (each.directory / "app.py").write_text(STARTING + "raise RuntimeError('no database')\n")
    each.reload("reload failed")
    until(lambda: ["mold", "worker"] == roles(each), "the old mold and worker alone")


def test_environment_longer_than_a_message_reaches_the_app(server):
    """A certificate or two in --env must not break the order to the mold."""
    each = server(arguments=("--env", "LONG=" + "x" * 100_000))
    (each.directory / "app.py").write_text(
        "import os\n"
        "def application(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    return [str(len(os.environ['LONG'])).encode()]\n"
    )
    assert (200, b"100000") == each.boot().get()


@pytest.mark.parametrize("preload", ["auto", "never"])
def test_collector_that_the_environment_has_switched_off_stays_off(server, tmp_path, preload):
    """Ours is off while our modules are imported, and on again only where it was."""
    (tmp_path / "before").mkdir()
    (tmp_path / "before" / "sitecustomize.py").write_text("import gc\ngc.disable()\n")
    environment = {"PYTHONPATH": str(tmp_path / "before")}
    each = server(environment=environment, arguments=("--preload", preload))
    (each.directory / "app.py").write_text(
        "import gc\ndef application(environ, start_response):\n"
        "    start_response('200 OK', [])\n    return [b'%d' % gc.isenabled()]\n"
    )
    assert (200, b"0") == each.boot().get()


@pytest.mark.parametrize("last", ["", "gc.freeze()\n"], ids=["", "frozen by the application"])
def test_workers_do_not_count_references_to_what_the_application_has_defined(server, last):
    """The mold has made its definitions immortal, where Python can: workers share their pages."""
    each = server()
    (each.directory / "app.py").write_text(
        "import gc, sys\n\n\ndef application(environ, start_response):\n"
        "    before = sys.getrefcount(application)\n"
        "    more = [application] * 10\n"
        "    start_response('200 OK', [])\n"
        "    return [b'%d' % (sys.getrefcount(application) - before)]\n" + last
    )
    each.boot()
    assert (0 if (3, 12) <= sys.version_info < (3, 14) else 10) == int(each.get()[1])

"""--watch: files change, the app is reloaded."""

import json
import signal
import threading

import pytest
from harness import processes, until

from forkcluster.errors import EXIT_CONFIGURATION

pytest.importorskip("watchfiles")


def watching(server, *arguments, **settings):
    each = server(arguments=("--watch", "--observe", "0", *arguments), **settings).boot()
    until(lambda: each.processes("watcher"), "the watcher")
    return each


def change_until(each, path, text, pattern):
    """Write the file until the watcher, which may not be watching yet, has seen it."""
    mark = len(each.output)

    def seen():
        path.write_text(text)
        each.drain(0.5)
        return pattern in each.output[mark:]

    until(seen, pattern)
    return mark


def test_changed_file_is_named_and_the_app_reloaded(server):
    """The log shows which file fired; the new code answers."""
    each = watching(server)
    app = each.directory / "app.py"
    change_until(each, app, app.read_text().replace("one", "two"), "files changed; reloading files=app.py")
    until(lambda: json.loads(each.get()[1])["version"] == "two", "the new code")


def test_a_change_before_the_watcher_watches_is_not_missed(server):
    """Made by the application itself while it is loaded: as an editor's, at a bad moment."""
    each = server(arguments=("--watch", "--observe", "0"))
    code = "import os, pathlib\npathlib.Path('a.py').exists() or pathlib.Path('a.py').write_text('')\n"
    app = each.directory / "app.py"
    app.write_text(code + app.read_text())
    each.boot()
    each.wait_for("files changed; reloading files=a.py")
    each.wait_for("reload done")


def test_a_change_during_the_reload_for_a_missed_one_is_not_missed_either(server):
    """The watcher watches already while it asks for its first reload."""
    each = server(arguments=("--watch", "--observe", "0"))
    code = (
        "import pathlib\n"
        "new = [path for path in map(pathlib.Path, ('a.py', 'b.py')) if not path.exists()]\n"
        "for path in new[:1]:\n    path.write_text('')\n"
    )
    app = each.directory / "app.py"
    app.write_text(code + app.read_text())
    each.boot()
    each.wait_for("files changed; reloading files=a.py")
    each.wait_for("files changed; reloading files=b.py")


def test_a_missed_change_is_found_beside_a_file_that_grows_all_the_time(server):
    """A log in the watched directory is of no interest, and keeps nothing from being seen."""
    each = server(arguments=("--watch", "--observe", "0"))
    code = "import os, pathlib\npathlib.Path('a.py').exists() or pathlib.Path('a.py').write_text('')\n"
    app = each.directory / "app.py"
    app.write_text(code + app.read_text())
    over = threading.Event()

    def grow():
        with (each.directory / "app.log").open("a") as file:
            while not over.wait(0.3):
                print("a line", file=file, flush=True)

    growing = threading.Thread(target=grow)
    growing.start()
    try:
        each.boot()
        each.wait_for("files changed; reloading files=a.py")
    finally:
        over.set()
        growing.join()


def test_broken_change_keeps_the_old_code_and_the_next_one_is_served(server):
    """The watcher outlives a failed reload."""
    each = watching(server)
    app = each.directory / "app.py"
    good = app.read_text()
    change_until(each, app, "def broken(:\n", "reload failed")
    assert "one" == json.loads(each.get()[1])["version"]
    change_until(each, app, good.replace("one", "three"), "reload done")
    until(lambda: json.loads(each.get()[1])["version"] == "three", "the new code")


def test_stop_leaves_no_watcher(server):
    """It ends with its master."""
    each = watching(server)
    assert 0 == each.stop()
    assert [] == processes(each.pid)


def test_killed_master_leaves_no_watcher(server):
    """No stray."""
    each = watching(server)
    each.send(signal.SIGKILL)
    each.process.wait(5)
    until(lambda: processes(each.pid) == [], "an empty session")


def test_killed_watcher_is_started_again(server):
    """It is a convenience, but one that was asked for."""
    each = watching(server)
    (watcher,) = each.processes("watcher")
    each.send(signal.SIGKILL, watcher.pid)
    each.wait_for("the watcher ended")
    until(lambda: {p.pid for p in each.processes("watcher")} - {watcher.pid}, "a new watcher")


def test_without_the_package_the_error_says_what_to_install(server, tmp_path):
    """The extra is named."""
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util as u\nreal = u.find_spec\n"
        "u.find_spec = lambda name, package=None: None if name == 'watchfiles' else real(name, package)\n"
    )
    each = server(arguments=("--watch",), environment={"PYTHONPATH": str(tmp_path)}).start()
    assert EXIT_CONFIGURATION == each.wait()
    assert "pip install 'forkcluster[watch]'" in each.output


def test_a_path_that_is_gone_is_told_in_a_line_each_time_the_watcher_is_started(server):
    """No traceback of a library."""
    each = server(arguments=("--watch", "--watch-path", "assets"))
    assets = each.directory / "assets"
    assets.mkdir()
    each.boot()
    until(lambda: each.processes("watcher"), "the watcher")
    (watcher,) = each.processes("watcher")
    assets.rmdir()
    each.send(signal.SIGKILL, watcher.pid)
    each.wait_for("cannot watch")
    each.wait_for("the watcher ended")
    assert "Traceback" not in each.output


def test_a_path_that_is_not_there_is_refused(server):
    """Nothing would ever be seen."""
    each = server(arguments=("--watch", "--watch-path", "nowhere")).start()
    assert EXIT_CONFIGURATION == each.wait()
    assert "watch_path is nowhere: no such file or directory" in each.output

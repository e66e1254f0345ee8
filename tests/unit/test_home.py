"""The home's places and locks: who lives is whoever holds the lock."""

import os
import subprocess
import sys

from forkcluster.wire.home import AppPlace, Lock, bases, held, make_place


def test_a_lock_is_taken_once(tmp_path):
    """The second one is told, and can have it when the first is done."""
    path = str(tmp_path / "lock")
    first = Lock.take(path)
    assert first is not None
    assert Lock.take(path) is None
    first.close()
    second = Lock.take(path)
    assert second is not None
    second.close()


def test_looking_at_a_lock_does_not_take_it(tmp_path):
    """What its holder noted is told; nobody holds it, nothing is told."""
    path = str(tmp_path / "lock")
    assert held(path) is None
    lock = Lock.take(path)
    assert {} == held(path)
    lock.note(pid=7, control="/c")
    lock.note(pid=7)
    assert {"pid": 7} == held(path)
    lock.close()
    assert held(path) is None


def test_a_lock_passes_through_exec_and_ends_with_its_last_holder(tmp_path):
    """The terminal takes it, the master keeps it: there is no moment without."""
    path = str(tmp_path / "lock")
    lock = Lock.take(path)
    child = subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()"],
        stdin=subprocess.PIPE,
        pass_fds=[lock.descriptor],
    )
    lock.close()
    assert {} == held(path)
    child.kill()
    child.wait()
    child.stdin.close()
    assert held(path) is None


def test_a_lock_whose_file_was_removed_meanwhile_is_not_believed(tmp_path):
    """Its owner removes the file before it gives the lock up; whoever comes makes a new one."""
    path = str(tmp_path / "lock")
    first = Lock.take(path)
    os.unlink(path)
    assert not first.in_place()
    second = Lock.take(path)
    assert second is not None
    assert second.in_place()
    first.close()
    second.close()


def test_places_are_private(tmp_path):
    """Each directory is made with mode 0700, whatever the umask."""
    place = AppPlace(str(tmp_path / "home"), "shop")
    old = os.umask(0)
    try:
        make_place(place)
    finally:
        os.umask(old)
    directories = [place.home, os.path.join(place.home, "apps"), place.directory]
    assert [0o700] * 3 == [os.stat(path).st_mode & 0o777 for path in directories]
    assert f"{tmp_path}/home/logs/shop-error.log" == place.error


def test_a_home_that_was_asked_for_is_the_only_one():
    """Without it, the default and then the session's directory."""
    assert ["/x"] == list(bases({"FORKCLUSTER_HOME": "/x", "XDG_RUNTIME_DIR": "/run/me"}))
    default = os.path.join(os.path.expanduser("~"), ".forkcluster")
    assert [default, "/run/me/forkcluster"] == list(bases({"XDG_RUNTIME_DIR": "/run/me"}))

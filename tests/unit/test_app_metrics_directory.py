"""The directory of the application's own metrics: who removes which, in a real directory with real locks."""

import os

import pytest

from forkcluster.master import app_metrics


@pytest.fixture
def base(tmp_path, monkeypatch):
    """Where the directories are made."""
    monkeypatch.setattr(app_metrics, "SHARED_MEMORY", str(tmp_path))
    return tmp_path


def left_by_a_killed_master(name):
    """Make one whose master dies without a word."""
    pid = os.fork()
    if pid == 0:
        made = app_metrics.make_directory(name, f"/home/{name}", None)
        with open(f"{made.path}/counter_0.db", "w"):
            os._exit(0)
    os.waitpid(pid, 0)


def test_what_a_killed_master_left_is_removed_by_the_next_of_any_app(base):
    """Files and all."""
    left_by_a_killed_master("one")
    (left,) = os.listdir(base)
    made = app_metrics.make_directory("two", "/home/two", None)
    assert [os.path.basename(made.path)] == os.listdir(base)
    assert left not in made.path
    made.close()
    assert [] == os.listdir(base)


def test_one_whose_master_lives_stays(base):
    """Liveness is the lock; an empty one may be in use, too."""
    first = app_metrics.make_directory("one", "/home/one", None)
    second = app_metrics.make_directory("two", "/home/two", None)
    assert os.path.isdir(first.path)
    first.close()
    second.close()
    assert [] == os.listdir(base)


def test_the_next_master_of_the_app_has_the_same_place(base):
    """An application that is told the path by its environment finds it unchanged, and empty."""
    left_by_a_killed_master("one")
    (left,) = os.listdir(base)
    made = app_metrics.make_directory("one", "/home/one", None)
    assert str(base / left) == made.path
    assert [] == os.listdir(made.path)
    made.close()


def test_a_place_that_is_taken_is_left_to_who_has_it(base):
    """Two that would have the same name have different ones, and both live on."""
    first = app_metrics.make_directory("one", "/home/one", None)
    second = app_metrics.make_directory("one", "/home/one", None)
    assert first.path != second.path
    assert 2 == len(os.listdir(base))
    assert all(name.startswith(app_metrics.PREFIX) for name in os.listdir(base))
    first.close()
    second.close()


@pytest.mark.parametrize("kind", ["link", "file"])
def test_what_is_no_directory_is_never_followed_nor_removed(base, tmp_path_factory, kind):
    """Anybody may make names in /dev/shm."""
    target = tmp_path_factory.mktemp("target")
    (target / "precious").touch()
    trap = base / f"{app_metrics.PREFIX}trap.0.00000000"
    trap.symlink_to(target) if kind == "link" else trap.touch()
    made = app_metrics.make_directory("one", "/home/one", None)
    made.close()
    assert [trap.name] == os.listdir(base)
    assert ["precious"] == os.listdir(target)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_every_user_has_one_to_the_end(base):
    """Whatever group it comes with; a user who is no more is asked for once."""
    directories = app_metrics.Directories("one", "/home/one", wanted=True)
    paths = [directories.of("65534", group) for group in (None, "65534", "1")]
    paths.append(directories.of("1", None))
    assert 2 == len(set(paths)) == len(os.listdir(base))
    assert [65534, 65534, 65534, 1] == [os.stat(path).st_uid for path in paths]
    directories.close()
    assert [] == os.listdir(base)


def test_none_is_made_that_nobody_wants(base):
    """Without an admin process nobody would read it."""
    assert "" == app_metrics.Directories("one", "/home/one", wanted=False).of(None, None)
    assert [] == os.listdir(base)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another user's directory")
def test_another_users_directory_stays(base):
    """Even root removes only its own, and those of the user that its workers become."""
    theirs = base / f"{app_metrics.PREFIX}theirs.65534.00000000"
    theirs.mkdir()
    os.chown(theirs, 65534, 65534)
    made = app_metrics.make_directory("one", "/home/one", None)
    made.close()
    assert [theirs.name] == os.listdir(base)

"""scale: more and fewer workers, which hold through a restart."""

import pytest

from forkcluster.errors import EXIT_USAGE
from forkcluster.options import cpus


@pytest.fixture
def two(shell):
    """An app of two workers."""
    shell.start("app:application", "-i", "2")
    return shell


@pytest.mark.parametrize(("word", "workers"), [("3", 3), ("+1", 3), ("-1", 1)])
def test_scale_waits_until_they_serve(two, word, workers):
    """N, +N and -N, which is no option."""
    assert f"2 → {workers} workers" in two.run("scale", "app", word).out
    assert (workers, workers) == tuple(two.list()["app"][key] for key in ("ready", "instances"))


def test_scale_to_max_and_to_the_same(two):
    """One for each CPU; the same number is no error."""
    two.run("scale", "app", "max")
    workers = cpus.workers("max", cpus.observe()).count
    assert f"{workers} workers as before" in two.run("scale", "app", str(workers)).out


@pytest.mark.parametrize("word", ["0", "many", "-2", "100000"])
def test_scale_to_nonsense_is_refused(two, word):
    """Nothing changes."""
    two.run("scale", "app", word, code=EXIT_USAGE)
    assert 2 == two.list()["app"]["ready"]


def test_scale_holds_through_reload_and_restart_until_the_configuration_changes(two):
    """Then the configuration's number does."""
    two.run("scale", "app", "3")
    two.run("reload", "app")
    assert 3 == two.list()["app"]["ready"]
    two.run("restart", "app")
    assert 3 == two.list()["app"]["ready"]
    two.run("restart", "app", "-i", "1")
    assert 1 == two.list()["app"]["ready"]


def test_scale_of_a_stopped_app_holds_for_its_next_start(two):
    """It has a record, and no process to ask."""
    two.run("stop", "app")
    assert "will have 3 workers" in two.run("scale", "app", "+1").out
    two.run("start", "app")
    assert 3 == two.list()["app"]["ready"]

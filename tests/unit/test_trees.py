"""Which processes belong to a tree, told from a process table."""

from forkcluster.master import trees
from forkcluster.master.trees import Entry
from forkcluster.wire import leftovers


def world(monkeypatch, *rows, environments=()):
    """A process table of (pid, parent, session, state); we are 100."""
    processes = {pid: Entry(pid, parent, session, pid, state) for pid, parent, session, state in rows}
    monkeypatch.setattr(trees.os, "getpid", lambda: 100)
    monkeypatch.setattr(trees, "table", lambda: processes)
    monkeypatch.setattr(trees, "entry", processes.get)
    monkeypatch.setattr(trees, "children", lambda: [p.pid for p in processes.values() if p.parent == 100])
    monkeypatch.setattr(trees, "carries", lambda pid, token: pid in environments)


def test_descendants_come_before_their_parents(monkeypatch):
    """So that nobody sees its child die who could start another."""
    world(monkeypatch, (1, 0, 1, "S"), (10, 100, 10, "S"), (11, 10, 10, "S"), (12, 11, 12, "S"))
    assert [12, 11, 10] == [each.pid for each in trees.members(10, "t", {10})]


def test_orphans_are_known_by_session_or_environment(monkeypatch):
    """Others' are left alone."""
    rows = [(21, 100, 10, "S"), (22, 100, 22, "S"), (23, 100, 23, "S"), (24, 22, 22, "S"), (30, 100, 30, "S")]
    world(monkeypatch, *rows, environments=(22,))
    assert {21, 22, 24} == {each.pid for each in trees.members(10, "t", {30})}


def test_zombies_are_nobody(monkeypatch):
    """They have ended."""
    world(monkeypatch, (10, 100, 10, "Z"), (11, 100, 10, "Z"))
    assert [] == trees.members(10, "t", {10})


def test_a_pid_that_was_given_away_is_not_the_tree(monkeypatch):
    """Only our own child can be the main process."""
    world(monkeypatch, (10, 1, 10, "S"), (11, 10, 10, "S"))
    assert [] == trees.members(10, "t", set())


def test_strays_are_all_that_nobody_knows(monkeypatch):
    """And what is below them."""
    world(monkeypatch, (10, 100, 10, "S"), (40, 100, 40, "S"), (41, 40, 41, "S"))
    assert {40, 41} == {each.pid for each in trees.strays({10})}


def test_a_speaker_is_within_its_tree_by_any_ancestor(monkeypatch):
    """One that has ended is believed."""
    world(monkeypatch, (1, 0, 1, "S"), (10, 100, 10, "S"), (12, 10, 12, "S"), (50, 1, 50, "S"))
    assert [True, True, False] == [trees.within(pid, 10, "t") for pid in (12, 99, 50)]


def test_a_mark_names_a_place_that_is_there_and_is_a_token_without_one(tmp_path):
    """A home that was removed ends no master: its processes are known by the token alone."""
    assert leftovers.mark(str(tmp_path)).startswith(f"{tmp_path}:")
    for directory in ("", str(tmp_path / "removed")):
        assert 16 == len(leftovers.mark(directory))
    assert [] == leftovers.bearers(str(tmp_path))

"""A folder is a process: imports point one way."""

import ast
from pathlib import Path

import pytest

import forkcluster

ROOT = Path(forkcluster.__file__).parent
LEAVES = {"errors", "log", "options", "wire"}
ALLOWED = {
    "wire": {"errors", "options", "wire"},
    "options": {"errors", "options"},
    "master": LEAVES | {"master", "_process", "_scoreboard"},
    "mold": LEAVES | {"mold", "_process", "_scoreboard", "worker"},  # the mold becomes the worker
    "worker": LEAVES | {"worker", "_process", "_engine"},
}


def rooms_imported(path):
    """Give the rooms of forkcluster that a file imports from."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "forkcluster":
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("forkcluster."):
            found.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            found |= {n.name.split(".")[1] for n in node.names if n.name.startswith("forkcluster.")}
    return found - {"__version__"}


@pytest.mark.parametrize("room", ALLOWED)
def test_room_imports_only_what_its_process_may_know(room):
    """Every line of code knows in which process it runs."""
    files = sorted((ROOT / room).rglob("*.py"))
    strays = {path.name: rooms_imported(path) - ALLOWED[room] for path in files}
    assert {} == {name: rooms for name, rooms in strays.items() if rooms}
    assert files


def test_pure_policy_imports_no_edge():
    """Decisions know no clock, no descriptor and no process."""
    pure = ("cluster", "roll", "seats", "backoff", "facts", "events", "actions")
    edge = {"os", "time", "socket", "select", "selectors", "signal", "subprocess", "threading"}
    imported = set()
    for name in pure:
        for node in ast.walk(ast.parse((ROOT / "master" / f"{name}.py").read_text())):
            if isinstance(node, ast.Import):
                imported |= {each.name for each in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add((node.module or "").split(".")[0])
    assert set() == imported & edge

"""The master decides without touching the world."""

import ast
from pathlib import Path

import forkcluster

ROOT = Path(forkcluster.__file__).parent


def test_pure_policy_imports_no_edge():
    """Decisions know no clock, no descriptor and no process."""
    pure = ("cluster", "transaction", "roll", "seats", "backoff", "hangs", "recycle")
    pure += ("facts", "events", "actions", "restarts", "fleet", "fleet_roll", "fleet_facts")
    pure += ("fleet_events", "fleet_actions")
    edge = {"os", "time", "socket", "select", "selectors", "signal", "subprocess", "threading"}
    imported = set()
    for name in pure:
        for node in ast.walk(ast.parse((ROOT / "master" / f"{name}.py").read_text())):
            if isinstance(node, ast.Import):
                imported |= {each.name for each in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add((node.module or "").split(".")[0])
    assert set() == imported & edge

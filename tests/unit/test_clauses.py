"""The behaviour cases of ASGI name the clause that each checks, so that a reader can look it up."""

import ast
import re
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
FILES = [*sorted((TESTS / "serve_asgi").glob("test_*.py")), *sorted((TESTS / "serve").glob("test_ws_*.py"))]
CLAUSE = re.compile(r"RFC \d{4}|PEP \d+|ASGI|extensions?, \"|\"[A-Z][\w -]+\"")


def test_behaviour_cases_name_their_clauses():
    """At least 120 functions, parameters and loops not counted."""
    named = [
        node.name
        for file in FILES
        for node in ast.parse(file.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef)
        and node.name.startswith("test_")
        and CLAUSE.search(ast.get_docstring(node) or "")
    ]
    assert len(named) >= 120

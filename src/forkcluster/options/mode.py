"""Cluster or fork: whether what an app names is a Python application that we serve, or a program to be run.

Pure; looks at words, and at the text of a script.
"""

import ast
import re
from typing import Final

USUAL: Final = ("application", "app", "create_app", "make_app")
"""The names under which a file's application is looked for."""

MODULE: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*(:[A-Za-z_][\w.]*)?")
FILE: Final = re.compile(r"\S+\.py(:[A-Za-z_][\w.]*)?")
PROGRAMS: Final = (".bash", ".cjs", ".exe", ".js", ".mjs", ".out", ".php", ".pl", ".rb", ".sh", ".ts", ".zsh")


def decide(key: str, text: str, asked: str | None) -> str:
    """Give "cluster" or "fork" for `text`, which stands under `key`; `asked` is exec_mode, if it was given.

    A target is an application. A script is one if it says so: module:attribute or file.py:attribute. Raises
    ValueError if what is asked for cannot be.
    """
    application = is_application(text) and (key == "target" or ":" in text or text.endswith(".py"))
    if asked == "cluster" and not application:
        raise ValueError(f"only a Python application can be in cluster mode, and {text!r} names none")
    if asked is not None:
        return asked
    return "cluster" if application and (key == "target" or ":" in text) else "fork"


def is_application(text: str) -> bool:
    """Tell whether a text can name a Python application: module[:attribute] or file.py[:attribute]."""
    if FILE.fullmatch(text):
        return True
    return bool(MODULE.fullmatch(text)) and (":" in text or not text.endswith(PROGRAMS))


def offers_application(source: str) -> bool:
    """Tell whether a script's text could define an application under a usual name; a broken one could."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return True
    return any(name in USUAL or name == "*" for node in ast.walk(tree) for name in _bound(node))


def _bound(node: ast.AST) -> list[str]:
    """The names that one node binds, in whatever scope."""
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
        case ast.alias(name=name, asname=asname):
            return [asname or name]
        case ast.Name(id=name, ctx=ast.Store()):
            return [name]
        case _:
            return []

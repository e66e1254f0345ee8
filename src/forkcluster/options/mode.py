"""Cluster or fork: whether what an app names is a Python application that we serve, or a program to be run.

Pure; looks at words only.
"""

import re
from typing import Final

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

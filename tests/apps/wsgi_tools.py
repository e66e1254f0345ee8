"""What the small WSGI applications share."""

from __future__ import annotations

import os

PLAIN = [("Content-Type", "text/plain")]


def say(*words: object) -> None:
    """Print for the test, in one write."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())

"""The names of rotated files, which the logger gives and the manager reads: `a.log.17`, `a.log.17.gz`."""

import os
import re


def rotated(path: str) -> list[tuple[int, str]]:
    """Give the rotated files of a log with their numbers, the oldest first. Raises OSError."""
    directory, name = os.path.split(path)
    pattern = re.compile(re.escape(name) + r"\.([1-9][0-9]*)(\.gz)?")
    found = [
        (int(m[1]), os.path.join(directory, m[0])) for m in map(pattern.fullmatch, os.listdir(directory)) if m
    ]
    return sorted(found)

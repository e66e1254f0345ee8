"""Counts the instructions that the scoreboard costs a request: those that the debug information of the engine
attributes to scoreboard.h and scoreboard.c, inlined ones too, under callgrind.

    python bench/scoreboard.py [CASE ...]

What the callers compute for it (a clock that is read anyway, an address) is theirs. MOST is what may be
spent; no count at all is a build without debug information, and a failure. Counted as in instructions.py.
"""

import os
import re
import shutil
import sys
from pathlib import Path

from instructions import CASES, FEW, MANY, count
from run import build

MOST = 150
WHICH = ("hello", "asgi_hello", "connection_per_request")  # or the cases that are given as arguments
OURS = ("scoreboard.h", "scoreboard.c")

NAMED = re.compile(r"(fl|fi|fe|cfi|cfl)=\((\d+)\)(?: (.*))?")
COST = re.compile(r"(?:[+-]?\d+|\*) (\d+)")


def of_scoreboard(profile: Path) -> int:
    """The instructions of one thread that stand in OURS (callgrind's format: a line's own cost follows its
    position; the cost behind `calls=` is the callee's).
    """
    names: dict[str, str] = {}
    ours, called, found = False, False, 0
    for line in profile.read_text().splitlines():
        if named := NAMED.fullmatch(line):
            kind, number, name = named.groups()
            names[number] = name or names.get(number, "")
            if not kind.startswith("c"):
                ours = names[number].endswith(OURS)
        elif line.startswith("calls="):
            called = True
        elif cost := COST.fullmatch(line):
            found += int(cost[1]) if ours and not called else 0
            called = False
    return found


def main(which: tuple[str, ...]) -> int:
    """Count; 1 when the scoreboard costs more than it may, or nothing was counted."""
    if shutil.which("valgrind") is None:
        print("scoreboard: no valgrind here, nothing counted")
        return 0
    build()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    bad = False
    for case in which:
        many, few = (count(*CASES[case], requests, of_scoreboard) for requests in (MANY, FEW))
        cost = (many - few) / (MANY - FEW)
        verdict = "ok" if 0 < cost <= MOST else "too many" if cost > MOST else "not counted"
        bad |= verdict != "ok"
        print(f"{case:24} {cost:6.1f}  {verdict}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(tuple(sys.argv[1:]) or WHICH))

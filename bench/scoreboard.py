"""Counts the instructions that the scoreboard costs a request, under callgrind: with it less without it.

The engine is built a second time with FC_BOARD_OFF, where no word of the scoreboard is written (nor of the
records of requests in flight, which are of words, too); whatever is computed only to be written falls out
with it. MOST is what may be spent. Counted as in instructions.py.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from instructions import CASES, per_request
from run import build

MOST = 150
WHICH = ("hello",)  # or the cases that are given as arguments
ROOT = Path(__file__).resolve().parents[1]


def without(folder: str) -> None:
    """Install a build without the scoreboard's writes into a folder."""
    environment = {**os.environ, "CFLAGS": "-DFC_BOARD_OFF"}
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install", "--no-deps"]
    with tempfile.TemporaryDirectory() as source:
        for name in ("src", "csrc"):
            shutil.copytree(
                ROOT / name, f"{source}/{name}", ignore=shutil.ignore_patterns("*.so", "__pycache__")
            )
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, source)
        subprocess.run([*pip, "--target", folder, source], env=environment, check=True)


def main(which: tuple[str, ...]) -> int:
    """Count both; 1 when the scoreboard costs more than it may."""
    if shutil.which("valgrind") is None:
        print("scoreboard: no valgrind here, nothing counted")
        return 0
    build()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    whole = {case: per_request(*CASES[case]) for case in which}
    with tempfile.TemporaryDirectory() as folder:
        without(folder)
        os.environ["PYTHONPATH"] = folder
        bare = {case: per_request(*CASES[case]) for case in which}
    for case in which:
        cost = whole[case] - bare[case]
        print(f"{case:24} {whole[case]:8} {bare[case]:8} {cost:6}  {'ok' if cost <= MOST else 'too many'}")
    return 1 if any(whole[case] - bare[case] > MOST for case in which) else 0


if __name__ == "__main__":
    sys.exit(main(tuple(sys.argv[1:]) or WHICH))

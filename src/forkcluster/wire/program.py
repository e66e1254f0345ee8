"""How one of our own programs is executed: the command line that every process uses to start another.

`python -m` would put the working directory first on sys.path before a line of ours has run, and an
application's `json.py` or `select.py` would be imported in place of the standard library's. Python's -P,
which prevents that, came with 3.11; the few words after -c do it everywhere.
"""

from typing import Final

BOOT: Final = (
    "import sys; sys.path[:1] = [p for p in sys.path[:1] if p]; "
    "from forkcluster.{program}.main import main; sys.exit(main(sys.argv))"
)


def command(python: str, program: str, *arguments: str) -> list[str]:
    """The argument vector that runs `forkcluster.<program>.main.main(sys.argv)` under that interpreter."""
    return [python, "-c", BOOT.format(program=program), *arguments]

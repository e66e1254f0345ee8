"""The interpreter that an app runs under, and the proof that it has this very forkcluster.

A virtual environment beside the application is its own; a master under another forkcluster than the
terminal's would fail in stranger ways later.
"""

import os
import shlex
import subprocess
import sys

from forkcluster import __version__
from forkcluster.errors import ConfigurationError
from forkcluster.options.discover import venv_python
from forkcluster.options.frozen import Options
from forkcluster.wire.program import origin

PROOF = (
    "import sys; sys.path[:1] = [p for p in sys.path[:1] if p]; import forkcluster; "
    "from forkcluster import _scoreboard; "
    "print('forkcluster', forkcluster.__version__, _scoreboard.layout_hash())"
)
PROOF_TIME = 30.0


def interpreter_of(options: Options) -> str:
    """Give the path, unresolved, of the interpreter that serves with these options."""
    if options.venv is None or _is_ours(options.venv):
        return sys.executable
    return venv_python(options.venv)


def prove(python: str) -> None:
    """Make sure that this interpreter has our forkcluster. Raise ConfigurationError with the remedy.

    Our own interpreter needs no proof.
    """
    if python == sys.executable:
        return
    from forkcluster import _scoreboard

    try:
        done = subprocess.run(
            [python, "-c", PROOF], capture_output=True, text=True, timeout=PROOF_TIME, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigurationError(
            f"the application's interpreter {python} cannot be used: {error}",
            "name another with --venv PATH, or say --venv none for this forkcluster's own",
        ) from error
    words = done.stdout.split()
    if done.returncode or words[:1] != ["forkcluster"]:
        why = done.stderr.strip().rpartition("\n")[2] or f"it exited with {done.returncode}"
        raise _without(python, f"cannot import forkcluster: {why}")
    if words[1:] != [__version__, _scoreboard.layout_hash()]:
        raise _without(python, f"has forkcluster {words[1]}, this is {__version__}")


def _is_ours(venv: str) -> bool:
    try:
        return os.path.samefile(venv, sys.prefix)
    except OSError:
        return False


def _without(python: str, problem: str) -> ConfigurationError:
    install = f"{shlex.quote(python)} -m pip install {shlex.quote(origin())}"
    return ConfigurationError(
        f"the application's interpreter {python} {problem}",
        f"{install}\n  or say --venv none to use this forkcluster's own interpreter",
    )

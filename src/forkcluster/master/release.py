"""A release: from where one generation's code comes. Paths are resolved once and pinned for its molds'
respawns.

The configured directory and interpreter are kept unresolved, so that a `current` symlink that was switched
before a reload leads the new generation to the new release, while the old one can still start its mold from
the old.
"""

import os
import sys
from collections.abc import Mapping

from forkcluster.dataclass import dataclass, field
from forkcluster.options.discover import venv_python
from forkcluster.options.frozen import Options, Request


@dataclass(frozen=True, slots=True)
class Release:
    """One generation's request, interpreter (absolute, its directory resolved), working directory, options,
    the absolute path of its access log ("-": standard output), and the environment its programs begin with.
    """

    generation: int
    request: Request
    python: str
    directory: str
    options: Options
    access_log: str | None = None
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))


def pin(generation: int, request: Request, options: Options) -> Release:
    """Resolve now where this generation comes from. Raise OSError when the directory is not there."""
    directory = os.path.join(request.directory, options.chdir or "")
    log = options.access_log
    if log not in (None, "-"):
        log = os.path.join(request.directory, log)
    directory = os.path.realpath(directory, strict=True)
    return Release(generation, request, pin_python(python_of(options)), directory, options, log)


def python_of(options: Options) -> str:
    """Give the interpreter for these options: the virtual environment's, else the master's own."""
    return venv_python(options.venv) if options.venv else sys.executable


def pin_python(python: str) -> str:
    """Resolve an interpreter's directory, never its last name: a virtual environment is found by that."""
    return os.path.join(os.path.realpath(os.path.dirname(python)), os.path.basename(python))

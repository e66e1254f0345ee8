"""From the terminal to the master: the frozen options go into a memfd, and this very process becomes the
master.

The same pid: what systemd, a shell or PID 1 of a container started is what serves. LISTEN_* and all other
variables, standard streams and systemd's descriptors pass untouched.
"""

import os
import sys
from typing import NoReturn

from forkcluster.errors import ConfigurationError, InternalError
from forkcluster.options.frozen import Launch
from forkcluster.wire.program import command, memory
from forkcluster.wire.title import title_of


def become_master(launch: Launch) -> NoReturn:
    """Execute the master in place of this process. Raises InternalError if the system refuses."""
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        fd = memory(launch.to_json().encode(), "forkcluster-options")
        os.set_inheritable(fd, True)
        arguments = command(sys.executable, "master", str(fd), title_of("master", launch.options.name))
        # The interpreter stays unresolved: a virtual environment is found by its symlink.
        os.execv(sys.executable, arguments)  # noqa: S606  becoming the master is the point
    except OSError as error:
        raise InternalError(f"starting the master with {sys.executable}: {error.strerror}") from error


def working_directory() -> str:
    """The working directory as the person sees it: $PWD, if true, keeps a symlink's name."""
    named = os.environ.get("PWD", "")
    if os.path.isabs(named) and _same(named, "."):
        return named
    try:
        return os.getcwd()
    except OSError as error:
        text = f"finding the working directory: {error.strerror}"
        raise ConfigurationError(text, "it was removed: cd to one that is there") from error


def directory_of_words() -> str:
    """Where relative paths among the words start: the working directory, or where it was if it is gone."""
    try:
        return working_directory()
    except ConfigurationError:
        named = os.environ.get("PWD", "")
        return named if os.path.isabs(named) else "/"


def _same(one: str, other: str) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False

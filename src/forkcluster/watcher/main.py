"""Waits for files to change, says which, and asks the master for a reload through its control socket.

Changes that come together are one reload, and those that come during a reload are the next. What a reload
came to is the master's to log. Ends with the master.
"""

import os
import signal
from collections.abc import Iterable

import watchfiles

from forkcluster import _process, log
from forkcluster.errors import ApplicationError, ForkclusterError
from forkcluster.wire.client import NotRunningError, ask
from forkcluster.wire.title import set_title

QUIET = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1)
SUFFIXES = (".py", ".toml", ".env", ".ini", ".html", ".jinja", ".jinja2", ".j2")
STEP = 100  # milliseconds without a further change: it is all
MOST_NAMED = 3


class Interesting(watchfiles.DefaultFilter):
    """Code, configuration and templates; not what tools leave behind (.git, __pycache__, editors' files)."""

    def __call__(self, change: watchfiles.Change, path: str) -> bool:
        """Tell whether a change of this path is a reason to reload."""
        return path.endswith(SUFFIXES) and super().__call__(change, path)


def main(argv: list[str]) -> int:
    """Watch for the master `argv[1]`, its control socket `argv[2]`; then come the paths, then our title."""
    _process.quiet_signals(QUIET)
    _process.set_parent_death_signal(signal.SIGKILL)
    master, control, *paths, title = argv[1:]
    if os.getppid() != int(master):
        return 1
    set_title(title)
    log.configure("watcher")
    for changes in watchfiles.watch(*paths, watch_filter=Interesting(), step=STEP, rust_timeout=60000):
        log.info("files changed; reloading", files=name(path for _, path in changes))
        try:
            ask(control, "reload", timeout=None)
        except NotRunningError:
            return 0
        except ApplicationError:
            continue
        except ForkclusterError as error:
            log.error(f"the reload could not be asked for: {error}")
    return 0


def name(paths: Iterable[str]) -> str:
    """Some files in words, relative to the working directory where that is shorter."""
    texts = sorted({min(path, os.path.relpath(path), key=len) for path in paths})
    rest = len(texts) - MOST_NAMED
    return " ".join(texts[:MOST_NAMED]) + (f" and {rest} more" if rest > 0 else "")

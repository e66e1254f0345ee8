"""Waits for files to change, says which, and asks the master for a reload through its control socket.

Changes that come together are one reload, and those that come during a reload are the next. What a reload
came to is the master's to log. Ends with the master.
"""

import os
import signal
from collections.abc import Container, Iterable, Iterator

import pathspec
import watchfiles
from watchfiles._rust_notify import WatchfilesRustInternalError

from forkcluster import _process, log
from forkcluster.errors import ApplicationError, ForkclusterError
from forkcluster.wire.client import NotRunningError, ask
from forkcluster.wire.orders import WatchOrder
from forkcluster.wire.title import set_title

QUIET = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1)
SUFFIXES = (".py", ".toml", ".env", ".ini", ".html", ".jinja", ".jinja2", ".j2")
SCRIPTS = (".sh", ".bash", ".js", ".cjs", ".mjs", ".ts", ".rb", ".php", ".pl")
LONGEST = 60.0  # seconds of changes without a pause: reload all the same
LOOK = 1.0  # seconds after which watching has begun for certain, changes or none
MOST_NAMED = 3


class Interesting(watchfiles.DefaultFilter):
    """Code, configuration, templates and files that were named; not what tools leave behind (.git,
    __pycache__, editors' files), nor what fits a pattern to be ignored (gitignore(5)).
    """

    def __init__(self, order: WatchOrder, directory: str) -> None:
        super().__init__()
        self._named = {os.path.realpath(path) for path in order.paths}
        self._directory = os.path.realpath(directory)
        self._ignored = pathspec.GitIgnoreSpec.from_lines(order.ignore)

    def __call__(self, change: watchfiles.Change, path: str) -> bool:
        """Tell whether a change of this path is a reason to reload."""
        relative = os.path.relpath(path, self._directory)
        wanted = path.endswith(SUFFIXES + SCRIPTS) or path in self._named
        return wanted and not self._ignored.match_file(relative) and super().__call__(change, path)


def main(argv: list[str]) -> int:
    """Watch for the master `argv[1]` what the order `argv[2]` says; then comes our title."""
    _process.quiet_signals(QUIET)
    _process.set_parent_death_signal(signal.SIGKILL)
    master, text, title = argv[1:]
    order = WatchOrder.from_json(text)
    if os.getppid() != int(master):
        return 1
    set_title(title)
    log.configure("watcher")
    try:
        return _watch(order)
    except (OSError, WatchfilesRustInternalError) as error:
        log.error("cannot watch", paths=" ".join(order.paths), error=str(error))
        return 1


def _watch(order: WatchOrder) -> int:
    """Ask for a reload after each change; give the exit code when the master is gone. Raise OSError."""
    for paths in _changes(order):
        if not paths:
            continue
        log.info("files changed; reloading", files=name(paths))
        try:
            ask(order.control, "reload", timeout=None)
        except NotRunningError:
            return 0
        except ApplicationError:
            continue
        except ForkclusterError as error:
            log.error(f"the reload could not be asked for: {error}")
    return 0


def _changes(order: WatchOrder) -> Iterator[set[str]]:
    """Give what has changed, again and again; also nothing.

    Watching begins when it is first asked for changes. What was missed before is looked for only then, so
    that nothing changes unseen in between. What is of no interest is left out here, not by watchfiles: there
    a file that grows all the time (a log) would keep the first look from coming back.
    """
    step = max(1, int(order.delay * 1000))
    interesting = Interesting(order, os.getcwd())
    watching = watchfiles.watch(
        *order.paths,
        watch_filter=None,
        step=step,
        debounce=max(step, int(LONGEST * 1000)),
        rust_timeout=int(LOOK * 1000),
        yield_on_timeout=True,
    )
    found = ({path for change, path in each if interesting(change, path)} for each in watching)
    yield next(found, set()) | missed(order, interesting)
    yield from found


def missed(order: WatchOrder, interesting: Interesting) -> set[str]:
    """Give what has changed since the order says, while nobody watched."""
    return {
        path for path in _files(order.paths, interesting.ignore_dirs) if _is_missed(path, order, interesting)
    }


def _files(paths: Iterable[str], ignored: Container[str]) -> Iterator[str]:
    for path in paths:
        if not os.path.isdir(path):
            yield path
        for directory, below, names in os.walk(path):
            below[:] = [each for each in below if each not in ignored]
            yield from (os.path.join(directory, each) for each in names)


def _is_missed(path: str, order: WatchOrder, interesting: Interesting) -> bool:
    try:
        changed = os.stat(path).st_ctime
    except OSError:
        return False
    return changed >= order.since and interesting(watchfiles.Change.modified, path)


def name(paths: Iterable[str]) -> str:
    """Some files in words, relative to the working directory where that is shorter."""
    texts = sorted({min(path, os.path.relpath(path), key=len) for path in paths})
    rest = len(texts) - MOST_NAMED
    return " ".join(texts[:MOST_NAMED]) + (f" and {rest} more" if rest > 0 else "")

"""How one of our own programs is executed: the command line that every process uses to start another.

`python -m` would put the working directory first on sys.path before a line of ours has run, and an
application's `json.py` or `select.py` would be imported in place of the standard library's. Python's -P,
which prevents that, came with 3.11; the few words after -c do it everywhere. Nothing is garbage while our
modules are imported, and looking for it takes a tenth of that time.
"""

import contextlib
import json
import os
import signal
from collections.abc import Iterator
from typing import Final

from forkcluster import __version__
from forkcluster.wire.kernel import memory_file

BOOT: Final = (
    "import gc, sys\n"
    "collects = gc.isenabled()\n"
    "gc.disable()\n"
    "sys.path[:1] = [p for p in sys.path[:1] if p]\n"
    "try:\n"
    "    from forkcluster.{program}.main import main\n"
    "except ModuleNotFoundError as error:\n"
    "    if error.name != 'forkcluster':\n"
    "        raise\n"
    "    sys.exit(f'{{sys.executable}} has no forkcluster: "
    "{{sys.executable}} -m pip install forkcluster=={version}')\n"
    "if collects:\n"
    "    gc.enable()\n"
    "sys.exit(main(sys.argv))"
)


def command(python: str, program: str, *arguments: str) -> list[str]:
    """The argument vector that runs `forkcluster.<program>.main.main(sys.argv)` under that interpreter."""
    return [python, "-c", BOOT.format(program=program, version=__version__), *arguments]


def origin() -> str:
    """Give what pip would install this forkcluster from: where it was installed from, or the index."""
    from importlib.metadata import PackageNotFoundError, distribution
    from urllib.parse import unquote, urlsplit

    try:
        url = json.loads(distribution("forkcluster").read_text("direct_url.json") or "{}").get("url", "")
    except (PackageNotFoundError, ValueError):
        url = ""
    path = unquote(urlsplit(url).path) if url.startswith("file:") else ""
    return path if os.path.exists(path) else f"forkcluster=={__version__}"


def memory(data: bytes, name: str) -> int:
    """Give a memory file to read `data` from, at its beginning; it is close-on-exec. Raise OSError."""
    descriptor = memory_file(name)
    try:
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(data)
        os.lseek(descriptor, 0, os.SEEK_SET)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


TERMINAL_SIGNALS: Final = (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM)


@contextlib.contextmanager
def shielded() -> Iterator[None]:
    """Execute a program in a session of its own in here: no signal to our process group ends it before that.

    The program begins with these signals ignored and blocked, and must call `unshield` before it handles any.
    Ours wait, and come when this is over.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, TERMINAL_SIGNALS)
    handlers = {number: signal.signal(number, signal.SIG_IGN) for number in TERMINAL_SIGNALS}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def unshield() -> None:
    """Forget what came in the meantime, and let later signals through. They are still ignored."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, TERMINAL_SIGNALS)

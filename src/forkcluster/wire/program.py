"""How one of our own programs is executed: the command line that every process uses to start another.

`python -m` would put the working directory first on sys.path before a line of ours has run, and an
application's `json.py` or `select.py` would be imported in place of the standard library's. Python's -P,
which prevents that, came with 3.11; the few words after -c do it everywhere.
"""

import contextlib
import os
import signal
from collections.abc import Iterator
from typing import Final

from forkcluster.wire.kernel import memory_file

BOOT: Final = (
    "import sys; sys.path[:1] = [p for p in sys.path[:1] if p]; "
    "from forkcluster.{program}.main import main; sys.exit(main(sys.argv))"
)


def command(python: str, program: str, *arguments: str) -> list[str]:
    """The argument vector that runs `forkcluster.<program>.main.main(sys.argv)` under that interpreter."""
    return [python, "-c", BOOT.format(program=program), *arguments]


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

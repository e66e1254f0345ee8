"""What an older or a restricted kernel lacks (a sandbox may forbid pidfd_open and memfd_create), and what
stands in for it; and what only procfs tells, where that is mounted.

Knows no process of ours.
"""

import errno
import os


def pidfd_of(pid: int) -> int:
    """Open a pidfd, the caller's to close; -1 where there is none to be had."""
    try:
        return os.pidfd_open(pid)
    except OSError:
        return -1


def is_stopped(pid: int) -> bool:
    """Tell whether a signal has stopped the process (not a debugger); False where that cannot be told."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rpartition(") ")[2].startswith("T")
    except OSError:
        return False


def memory_file(name: str) -> int:
    """Make an empty file without a name, in memory where that is possible; it is the caller's, CLOEXEC.

    Raises OSError.
    """
    try:
        return os.memfd_create(name)
    except PermissionError:
        pass
    except OSError as error:
        if error.errno != errno.ENOSYS:
            raise
    import tempfile

    with tempfile.TemporaryFile(buffering=0) as file:
        return os.dup(file.fileno())

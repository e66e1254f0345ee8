"""What an older or a restricted kernel lacks (a sandbox may forbid pidfd_open and memfd_create), and what
stands in for it.

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

"""Files that were rotated: their names, how many stay, and their compression by a short-lived child.

`shop-out.log` becomes `shop-out.log.17`, then `shop-out.log.17.gz`: a higher number is newer, and no file is
renamed twice, so a kill between any two steps leaves names that mean what they say.
"""

import contextlib
import os
import signal

from forkcluster import _process
from forkcluster.wire.rotated import rotated

STEP = 1 << 18
PARTIAL = ".part"


def rotate(path: str, keep: int) -> None:
    """Move a log aside and remove those that are too many. Raises OSError."""
    numbers = [number for number, _ in rotated(path)]
    os.rename(path, f"{path}.{max(numbers, default=0) + 1}")
    prune(path, keep)


def prune(path: str, keep: int) -> None:
    """Remove the oldest rotated files but `keep`. Raises OSError."""
    files = rotated(path)
    numbers = sorted({number for number, _ in files})
    for number, each in files:
        if number in numbers[: max(0, len(numbers) - keep)]:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(each)


def uncompressed(path: str) -> list[str]:
    """Give the rotated files that are to be compressed. Raises OSError."""
    files = [each for _, each in rotated(path)]
    return [each for each in files if not each.endswith(".gz") and f"{each}.gz" not in files]


def tidy(path: str) -> None:
    """Remove what a killed child has left; only while none is running. Raises OSError.

    A file that is there both ways is whole in its compressed form: that got its name when it was complete.
    """
    directory, name = os.path.split(path)
    for each in os.listdir(directory):
        if each.startswith(f"{name}.") and each.endswith(PARTIAL):
            os.unlink(os.path.join(directory, each))
    files = [each for _, each in rotated(path)]
    for each in files:
        if f"{each}.gz" in files:
            os.unlink(each)


def start_compressing(path: str) -> int:
    """Compress a file in a child, and remove it when that is done; give the child's pid. Raises OSError."""
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        _process.set_parent_death_signal(signal.SIGKILL)
        if os.getppid() == parent:
            _process.give_way()
            compress(path)
            code = 0
    finally:
        os._exit(code)


def compress(path: str) -> None:
    """Make path.gz of path; it keeps time and mode. Raises OSError, and leaves path alone then."""
    import gzip  # in the child only: the logger itself stays small

    partial = f"{path}.gz{PARTIAL}"
    try:
        with open(path, "rb") as plain, open(partial, "wb") as file:
            info = os.fstat(plain.fileno())
            os.fchmod(file.fileno(), info.st_mode & 0o777)
            with gzip.GzipFile(os.path.basename(path), "wb", 6, file, info.st_mtime) as packed:
                while data := plain.read(STEP):
                    packed.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.utime(partial, ns=(info.st_atime_ns, info.st_mtime_ns))
        os.rename(partial, f"{path}.gz")
        os.unlink(path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(partial)
        raise

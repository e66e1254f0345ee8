"""Whether a loaded app may be forked: what would be lost in a worker, or shared by all of them.

Told from facts the kernel knows, after one probe fork, since some libraries stop their threads for a fork by
themselves (OpenBLAS) and others do not (grpc). What counts: threads, child processes (the first worker that
exits would end what all use), stream sockets connected to another process, open sqlite files, epoll and
io_uring. What does not: descriptors that were open before the import, datagram sockets (syslog, statsd),
pairs that the process holds both ends of.
"""

import contextlib
import os
import re
import select
import signal
import socket
import stat
import threading
import time
import warnings
from collections.abc import Iterator

from forkcluster.mold.app_metrics import VARIABLES

PROBE_TIMEOUT = 5.0
SQLITE_MAGIC = b"SQLite format 3\0"
SQLITE_SUFFIXES = (".db", ".sqlite", ".sqlite3", "-wal", "-journal")
LOOPLESS = re.compile(r"no (running|current) event loop")  # asyncio's words
HELPERS = re.compile(r"from multiprocessing\.(resource_tracker|forkserver) import main")
SHARED_KINDS = {"anon_inode:[eventpoll]": "an epoll descriptor", "anon_inode:[io_uring]": "an io_uring"}


def open_descriptors() -> frozenset[int]:
    """Give the descriptors open now."""
    return frozenset(fd for fd in map(int, _listed("/proc/self/fd")) if _link(fd))


def _listed(directory: str) -> list[str]:
    """Give the names in a directory of procfs; none where that is not mounted."""
    try:
        return os.listdir(directory)
    except OSError:
        return []


def judge(before: frozenset[int], known: frozenset[int] = frozenset()) -> list[str]:
    """Give the reasons why this process must not be forked; none when it may.

    `before`: the descriptors that were open before the app was imported, `known`: the children that were
    there; they are not its doing.
    """
    reasons = []
    if not _probe():
        reasons.append(f"a probe fork did not end within {PROBE_TIMEOUT:g} s")
    reasons += _threads()
    reasons += [f"a child process ({_name(pid)})" for pid in children() if pid not in known]
    for descriptor in sorted(open_descriptors() - before):
        reasons += _about(descriptor)
    return reasons


def children() -> list[int]:
    """Give the pids of our living children; those of multiprocessing that end with their last user not."""
    found = [
        int(word)
        for task in _listed("/proc/self/task")
        for word in _read(f"/proc/self/task/{task}/children").split()
    ]
    return [pid for pid in found if _state(pid) not in ("Z", "X", "") and not HELPERS.search(_command(pid))]


def wants_loop(error: BaseException) -> bool:
    """Tell whether an import failed because no event loop was running: it may succeed in a worker's."""
    seen: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in seen:
        if isinstance(cause, RuntimeError) and LOOPLESS.search(str(cause)):
            return True
        seen.append(cause)
        cause = cause.__cause__ or cause.__context__
    return False


def _probe() -> bool:
    """Fork a child that ends at once, so that at-fork handlers run; False when it hangs."""
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", DeprecationWarning
        )  # 3.12: threads and fork; we are here to judge that
        hear, tell = os.pipe2(os.O_CLOEXEC)
        pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.close(tell)
    poller = select.poll()
    poller.register(hear, select.POLLIN)  # its end is the end of the pipe
    ended = bool(poller.poll(PROBE_TIMEOUT * 1000))
    if not ended:
        os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):  # the app ignores SIGCHLD: the kernel has reaped it
        os.waitpid(pid, 0)
    os.close(hear)
    return ended


def _threads() -> list[str]:
    names = _surplus_threads()
    if not names:
        return []
    noun = "a thread" if len(names) == 1 else f"{len(names)} threads"
    return [f"{noun} ({', '.join(names[:4])}{', ...' if len(names) > 4 else ''})"]


def _surplus_threads() -> list[str]:
    """Name the threads beside ours; one that is on its way out is given a moment."""
    deadline = time.monotonic() + 0.05
    while True:
        own = str(threading.get_native_id())
        listed = _listed("/proc/self/task") or [str(each.native_id) for each in threading.enumerate()]
        tasks = [task for task in listed if task != own]
        if not tasks or time.monotonic() > deadline:
            break
        select.select([], [], [], 0.005)
    known = {str(thread.native_id): thread.name for thread in threading.enumerate()}
    return [known.get(task) or _comm(task) for task in tasks]


def _read(path: str) -> str:
    """Give a file of procfs; empty where there is none."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _state(pid: int) -> str:
    return _read(f"/proc/{pid}/stat").rpartition(")")[2].strip()[:1]


def _command(pid: int) -> str:
    return " ".join(_read(f"/proc/{pid}/cmdline").replace("\0", " ").split())


def _name(pid: int) -> str:
    command = _command(pid)
    return f"pid {pid}: {command[:60]}" if command and command != _command(os.getpid()) else f"pid {pid}"


def _comm(task: str) -> str:
    return _read(f"/proc/self/task/{task}/comm").strip() or task


def _about(descriptor: int) -> Iterator[str]:
    link = _link(descriptor)
    if link in SHARED_KINDS:
        yield SHARED_KINDS[link]
    elif link.startswith("socket:"):
        yield from _about_socket(descriptor)
    elif _is_sqlite(descriptor, link) and not _is_opened_anew(link):
        yield f"an open sqlite file ({link})"


def _about_socket(descriptor: int) -> Iterator[str]:
    with contextlib.suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as line:
        if line.type != socket.SOCK_STREAM:
            return
        peer = line.getpeername()
        if line.family == socket.AF_UNIX:
            pid = int.from_bytes(line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 4), "little")
            if pid != os.getpid():
                yield f"a connection to {peer or f'process {pid}'}"
        elif peer not in _own_addresses():
            yield f"a connection to {peer[0]}:{peer[1]}"


def _own_addresses() -> set[object]:
    """Give the local addresses of all our connected sockets: a peer among them is ourselves."""
    found: set[object] = set()
    for descriptor in open_descriptors():
        if _link(descriptor).startswith("socket:"):
            with contextlib.suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as line:
                line.getpeername()
                found.add(line.getsockname())
    return found


def _is_sqlite(descriptor: int, path: str) -> bool:
    """Look through the descriptor itself: opening and closing the file anew would drop sqlite's locks."""
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return False
        return path.endswith(SQLITE_SUFFIXES) or os.pread(descriptor, 16, 0) == SQLITE_MAGIC
    except OSError:
        return False


def _is_opened_anew(path: str) -> bool:
    """Tell prometheus_client's files in multi-process mode, .db as well: a forked process opens its own."""
    return os.path.dirname(path) in (os.environ.get(name) for name in VARIABLES)


def _link(descriptor: int) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")
    except OSError:
        return ""

"""Which processes belong to a tree: reads /proc. Decides nothing, signals nobody.

A descendant that left its session and lost its parent has become our own child (we are the subreaper): it is
recognised by its session, or by a variable that every process of the tree has inherited.
"""

import os

from forkcluster.dataclass import dataclass
from forkcluster.wire.leftovers import VARIABLE


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the process table; pid and `started` (clock ticks since boot) together name one process."""

    pid: int
    parent: int
    session: int
    started: int
    state: str

    @property
    def alive(self) -> bool:
        """It has not ended; a zombie has."""
        return self.state not in ("Z", "X")


def entry(pid: int) -> Entry | None:
    """Read one line (proc_pid_stat(5)); None when there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            text = file.read()
    except OSError:
        return None
    fields = text[text.rindex(")") + 2 :].split()
    return Entry(pid, int(fields[1]), int(fields[3]), int(fields[19]), fields[0])


def table() -> dict[int, Entry]:
    """Read the whole process table, as far as we may see it."""
    entries = (entry(int(name)) for name in os.listdir("/proc") if name.isdecimal())
    return {each.pid: each for each in entries if each is not None}


def children() -> list[int]:
    """Give the pids of our own children (we have one thread), from the kernel's list where it has one."""
    me = os.getpid()
    try:
        with open(f"/proc/{me}/task/{me}/children", encoding="ascii") as file:
            return [int(word) for word in file.read().split()]
    except OSError:
        return [each.pid for each in table().values() if each.parent == me]


def members(main: int, token: str, known: set[int]) -> list[Entry]:
    """Give all living processes of the tree that began with `main` (ended or not), its deepest members first.

    `known` are children of ours that are no strays: they, and what is below them, belong to others.
    """
    strays = [pid for pid in children() if pid not in known]
    if not strays and entry(main) is None:
        return []
    processes = table()
    roots = [pid for pid in strays if pid in processes and _belongs(processes[pid], main, token)]
    roots += [main] if main in processes and processes[main].parent == os.getpid() else []
    return [each for each in reversed(_below(roots, processes)) if each.alive]


def strays(known: set[int]) -> list[Entry]:
    """Give our living children that nobody knows, and all below them."""
    unknown = [pid for pid in children() if pid not in known]
    return [each for each in reversed(_below(unknown, table() if unknown else {})) if each.alive]


def _belongs(process: Entry, main: int, token: str) -> bool:
    return process.session == main or carries(process.pid, token)


def within(pid: int, main: int, token: str) -> bool:
    """Tell whether a process is of the tree of `main`; one that has ended meanwhile is believed to be."""
    found = entry(pid)
    if found is None or _belongs(found, main, token):
        return True
    while found is not None and found.pid not in (1, os.getpid()):
        if found.pid == main:
            return True
        found = entry(found.parent)
    return False


def carries(pid: int, token: str) -> bool:
    """Tell whether a process was started with that token in its environment."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return f"{VARIABLE}={token}".encode() in file.read().split(b"\0")
    except OSError:
        return False


def _below(roots: list[int], processes: dict[int, Entry]) -> list[Entry]:
    """Give the roots and all their descendants, each once, parents before children."""
    by_parent: dict[int, list[int]] = {}
    for each in processes.values():
        by_parent.setdefault(each.parent, []).append(each.pid)
    found: dict[int, Entry] = {}
    queue = list(roots)
    for pid in queue:
        if pid in processes and pid not in found:
            found[pid] = processes[pid]
            queue += by_parent.get(pid, ())
    return list(found.values())

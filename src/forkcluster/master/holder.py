"""Who holds a TCP port or a unix socket: read from /proc, for an address in use. Best effort; never raises.

Other users' processes cannot be looked into without rights: then the message says that instead.
"""

import os
import re
from collections.abc import Iterable

from forkcluster.options.address import Address, Tcp, Unix

LISTEN_STATE = "0A"  # TCP_LISTEN in /proc/net/tcp, see include/net/tcp_states.h
ACCEPTS = "00010000"  # __SO_ACCEPTCON in /proc/net/unix, see proc(5)


def describe(port: int) -> str:
    """Who listens on that port, in words ("pid 77 (python -m http.server)"); empty if nobody is found."""
    inodes = _inodes(Tcp("", port), "")
    if not inodes:
        return ""
    pids = sorted(pid for pid in _pids() if inodes & _socket_inodes(pid))
    if not pids:
        return "a process of another user, or outside this container (seen only by its socket)"
    more = f" and {len(pids) - 1} more" if len(pids) > 1 else ""
    return f"pid {pids[0]} ({_command(pids[0])}){more}"


def is_orphaned(address: Address, directory: str) -> bool:
    """Tell whether only workers listen there, whose master was killed: it would hold the socket, too."""
    inodes = _inodes(address, directory)
    holders = [pid for pid in _pids() if inodes & _socket_inodes(pid)] if inodes else []
    return bool(holders) and all(_command(pid).startswith("forkcluster: worker ") for pid in holders)


def _inodes(address: Address, directory: str) -> set[str]:
    """The inodes of the sockets that listen at the address; relative paths start in the directory."""
    if isinstance(address, Tcp):
        tables = ("/proc/net/tcp", "/proc/net/tcp6")
        return {inode for path in tables for inode in listening(_read(path), address.port)}
    if isinstance(address, Unix):
        rows = (line.split(maxsplit=7) for line in _read("/proc/net/unix").splitlines())
        names = (address.path, os.path.join(directory, address.path))
        return {row[6] for row in rows if len(row) > 7 and row[3] == ACCEPTS and row[7] in names}
    return set()


def listening(table: str, port: int) -> list[str]:
    """The inodes of the sockets that listen on `port`, from the text of /proc/net/tcp or tcp6."""
    inodes = []
    for line in table.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 9 and fields[3] == LISTEN_STATE and int(fields[1].rpartition(":")[2], 16) == port:
            inodes.append(fields[9])
    return inodes


def _pids() -> Iterable[int]:
    return (int(entry) for entry in os.listdir("/proc") if entry.isdigit())


def _socket_inodes(pid: int) -> set[str]:
    """The inodes of that process's sockets; empty if it may not be looked into."""
    try:
        links = [_readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
    except OSError:
        return set()
    return {match[1] for link in links if (match := re.fullmatch(r"socket:\[(\d+)\]", link))}


def _readlink(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


def _command(pid: int) -> str:
    """The process's command line, printable and at most 80 characters."""
    words = _read(f"/proc/{pid}/cmdline").strip("\0").replace("\0", " ") or _read(f"/proc/{pid}/comm").strip()
    return "".join(c if c.isprintable() else "?" for c in words)[:80] or "unnamed"


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""

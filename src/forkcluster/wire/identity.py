"""Who molds and workers are to be: --user and --group as numbers, and how a process becomes that.

Groups are dropped first, then the group, then the user, each in all its forms; that there is no way back is
tried, not assumed (setresuid(2), initgroups(3)).
"""

import grp
import os
import pwd
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from forkcluster.dataclass import dataclass
from forkcluster.errors import ConfigurationError, InternalError


@dataclass(frozen=True, slots=True)
class Identity:
    """User and groups as numbers; `name` and `home` are empty for a number without an entry."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    name: str = ""
    home: str = ""


def resolve(user: str | None, group: str | None) -> Identity | None:
    """Look up --user and --group; None when neither is given, or they are what we are.

    Raise ConfigurationError: unknown, or this process may not become it.
    """
    if user is None and group is None:
        return None
    entry = _user(user)
    uid = os.geteuid() if user is None else entry.pw_uid if entry else int(user)
    gid = _group(group) if group is not None else entry.pw_gid if entry else os.getegid()
    if (uid, gid) == (os.geteuid(), os.getegid()) and uid != 0:
        return None
    if os.geteuid() != 0:
        raise ConfigurationError(
            f"becoming user {user or uid}, group {group or gid}: only root may do that",
            "start forkcluster as root, or drop --user and --group",
        )
    name = entry.pw_name if entry else ""
    groups = tuple(os.getgrouplist(name, gid)) if name else (gid,)
    return Identity(uid, gid, groups, name, entry.pw_dir if entry else "")


def _user(user: str | None) -> pwd.struct_passwd | None:
    if user is None:
        return None
    try:
        return pwd.getpwuid(int(user)) if user.isdecimal() else pwd.getpwnam(user)
    except KeyError:
        if user.isdecimal():
            return None
        text = f"--user {user}: there is no such user"
        raise ConfigurationError(text, "getent passwd lists them; a number needs no entry") from None


def _group(group: str) -> int:
    if group.isdecimal():
        return int(group)
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        text = f"--group {group}: there is no such group"
        raise ConfigurationError(text, "getent group lists them; a number needs no entry") from None


def become(identity: Identity) -> None:
    """Become it for good, and be sure of it. Raise OSError or InternalError."""
    os.setgroups(identity.groups)
    os.setresgid(identity.gid, identity.gid, identity.gid)
    os.setresuid(identity.uid, identity.uid, identity.uid)
    if identity.uid != 0:
        _try_to_regain()
    if identity.name:
        os.environ.update(USER=identity.name, LOGNAME=identity.name, HOME=identity.home)


def _try_to_regain() -> None:
    attempts: list[Callable[[], None]] = [
        partial(os.setuid, 0),
        partial(os.seteuid, 0),
        partial(os.setgroups, [0]),
    ]
    for attempt in attempts:
        try:
            attempt()
        except PermissionError:
            continue
        raise InternalError("root's rights could be regained after they were given up")


@contextmanager
def acting_as(identity: Identity | None) -> Iterator[None]:
    """Open files as that user would, and be ourselves again afterwards."""
    if identity is None:
        yield
        return
    groups, gid, uid = os.getgroups(), os.getegid(), os.geteuid()
    try:
        os.setgroups(identity.groups)
        os.setegid(identity.gid)
        os.seteuid(identity.uid)
        yield
    finally:
        os.seteuid(uid)
        os.setegid(gid)
        os.setgroups(groups)

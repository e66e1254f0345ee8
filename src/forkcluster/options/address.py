"""What may stand after --bind. Pure: text to address and back; nothing is resolved or opened.

8000             127.0.0.1, port 8000
:8000            every IPv4 address of this machine
host:8000        one address; a name is resolved when it is bound, IPv4 preferred
[::1]:8000       one IPv6 address; [::]:8000 every IPv6 address and IPv6 only, so that :8000 may stand beside
it unix:run/a.sock  a unix socket, relative to the directory of the command
fd://3           a listening socket that the parent process left open
"""

import re
from typing import Final

from forkcluster.dataclass import dataclass

DEFAULT: Final = "127.0.0.1:8000"
UNIX_PATH_MAX: Final = 107  # sun_path without its NUL, unix(7)


@dataclass(frozen=True, slots=True)
class Tcp:
    """A TCP address. `host` is an address or a name; port 0: the kernel chooses one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Unix:
    """A unix stream socket at a path."""

    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"


@dataclass(frozen=True, slots=True)
class Inherited:
    """A descriptor that is already a listening socket; `name` as systemd calls it, or empty."""

    fd: int
    name: str = ""

    def __str__(self) -> str:
        return f"fd://{self.fd}"


Address = Tcp | Unix | Inherited


def parse(text: str) -> Address:
    """Read one --bind. Raises ValueError with what was expected."""
    if text.startswith("unix:"):
        return _unix(text[5:].removeprefix("//"))
    if text.startswith("fd:"):
        return _inherited(text)
    return _tcp(text)


def check_bind(text: str) -> None:
    """Raise ValueError unless `parse` would take the text."""
    parse(text)


def _unix(path: str) -> Unix:
    if not path or "\0" in path or path.endswith("/"):
        raise ValueError("expected unix: and the path of a socket")
    if path.startswith("@"):
        raise ValueError("abstract sockets have no owner and no permissions; expected unix: and a path")
    if len(path.encode("utf-8", "surrogateescape")) > UNIX_PATH_MAX:
        raise ValueError(
            f"the path of a unix socket may have {UNIX_PATH_MAX} bytes at most; expected a shorter one"
        )
    return Unix(path)


def _inherited(text: str) -> Inherited:
    match = re.fullmatch(r"fd://([0-9]{1,7})", text)
    if match is None:
        raise ValueError("expected fd:// and a descriptor's number, such as fd://3")
    return Inherited(int(match[1]))


def _tcp(text: str) -> Tcp:
    match = re.fullmatch(
        r"(?:(?P<host>\[[0-9A-Fa-f:.%\w-]+\]|[^\s:/\[\]@]*):)?(?P<port>[0-9]+)", text, re.ASCII
    )
    if match is None:
        raise ValueError(f"expected port, host:port, [v6 address]:port, unix:path or fd://N{_hint(text)}")
    port = int(match["port"])
    if port > 65535:
        raise ValueError("expected a port from 0 to 65535")
    return Tcp(_host(match["host"]), port)


def _host(host: str | None) -> str:
    if host is None:
        return "127.0.0.1"
    return host.strip("[]") or "0.0.0.0"  # noqa: S104  every IPv4 address is what ":8000" asks for


def _hint(text: str) -> str:
    """The usual slips, named."""
    if "://" in text:
        return " (without a scheme)"
    if text.count(":") > 1:
        return " (an IPv6 address stands in brackets)"
    if text.startswith(("/", "./")):
        return f" (unix:{text} for a unix socket)"
    return "" if ":" in text else f" ({text}:8000, if that is a host)"

"""Hand open connections, with their unread bytes, to another process (C: csrc/py_fdpass.c)."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from _typeshed import FileDescriptorLike

MOST: int  # connections in one message
MOST_UNREAD: int  # unread bytes of one connection
MOST_BYTES: int  # of one message, records and unread bytes together

@final
class Connection:
    """An open connection that can be handed to another process; owns no descriptor and closes none."""

    def __new__(
        cls,
        fd: int,
        *,
        listener: int = 0,
        hops: int = 0,
        served: int = 0,
        deadline_ns: int = 0,
        accepted_ns: int = 0,
        address: bytes = b"",
        unread: bytes = b"",
    ) -> Connection: ...
    @property
    def fd(self) -> int: ...
    @property
    def listener(self) -> int: ...
    @property
    def hops(self) -> int: ...
    @property
    def served(self) -> int: ...
    @property
    def deadline_ns(self) -> int: ...
    @property
    def accepted_ns(self) -> int: ...
    @property
    def address(self) -> bytes: ...
    @property
    def unread(self) -> bytes: ...

def send_connections(channel_fd: FileDescriptorLike, connections: Iterable[Connection], /) -> bool: ...
def receive_connections(channel_fd: FileDescriptorLike, /) -> list[Connection] | None: ...

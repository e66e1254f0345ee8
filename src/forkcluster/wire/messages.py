"""The messages between master, mold and worker, and their bytes.

Twin of csrc/wire.h: one 32-byte head in native byte order, then UTF-8 text. A unit test holds the two
together through the constants that `forkcluster._process` exports. Knows no sockets: `channel` sends what
this module packs.
"""

import struct
from enum import IntEnum
from typing import NamedTuple

MAGIC = 0x4B4C4346
VERSION = 1
PAYLOAD = 61440
HEAD = struct.Struct("=IHHIIQQ")

_CUT = b"\n... cut ...\n"


LOG_ACCESS, LOG_OPERATING = 0, 1  # the argument of LOG


class Kind(IntEnum):
    """What a message says; see docs/design.md for who sends it to whom and what it carries."""

    LOAD = 1
    FORK = 2
    EXIT = 3
    HOOK = 4
    MOLD_HELLO = 16
    LOADED = 17
    FAILED = 18
    FORKED = 19
    FORK_FAILED = 20
    HELLO = 32
    READY = 33
    LEAVE = 34
    RETIRE = 48
    QUIT = 49
    LOG = 50
    PEER = 51
    NUDGE = 52
    STACKS = 53
    LISTEN = 54
    PROBE = 55
    TAKE = 64
    REOPEN = 65
    FLUSH = 66
    ENDED = 80
    FLUSHED = 81
    TROUBLE = 82


class MessageError(ValueError):
    """A record that is not a message of ours: another version, or a bug of the sender."""


class Message(NamedTuple):
    """One record on a channel. `deadline_ns` is CLOCK_MONOTONIC, absolute; 0 means none."""

    kind: Kind
    text: str = ""
    seat: int = 0
    epoch: int = 0
    arg: int = 0
    deadline_ns: int = 0


def pack(message: Message) -> bytes:
    """Give the bytes of a message; text longer than PAYLOAD is cut in the middle."""
    head = HEAD.pack(
        MAGIC, VERSION, message.kind, message.seat, message.epoch, message.deadline_ns, message.arg
    )
    return head + _shorten(message.text.encode("utf-8", "surrogateescape"))


def unpack(record: bytes) -> Message:
    """Read one record. Raise MessageError when it is not a message of this version."""
    if len(record) < HEAD.size:
        raise MessageError(f"a record of {len(record)} bytes is shorter than a message head")
    magic, version, kind, seat, epoch, deadline_ns, arg = HEAD.unpack_from(record)
    if (magic, version) != (MAGIC, VERSION):
        raise MessageError(f"not a message of version {VERSION}: magic {magic:#x}, version {version}")
    if kind not in Kind._value2member_map_:
        raise MessageError(f"unknown kind of message: {kind}")
    text = record[HEAD.size :].decode("utf-8", "replace")
    return Message(Kind(kind), text, seat, epoch, arg, deadline_ns)


def _shorten(text: bytes) -> bytes:
    if len(text) <= PAYLOAD:
        return text
    half = (PAYLOAD - len(_CUT)) // 2
    return text[:half] + _CUT + text[-half:]

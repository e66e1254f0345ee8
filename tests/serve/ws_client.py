"""A raw WebSocket client: frames out as told, right or wrong, and frames in, looked at closely (RFC 6455)."""

from __future__ import annotations

import base64
import hashlib
import os
import struct
from dataclasses import dataclass
from typing import ClassVar

from client import Answer, Client
from server import Server

LOOPS = ["uvloop", "asyncio"]
SERVING = ("ws_cases:application", "--ws-max-size=100K", "--header=X-All: yes")
CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
KEY = base64.b64encode(b"sixteen bytes ok").decode()
ACCEPT = base64.b64encode(
    hashlib.sha1(KEY.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
).decode()


def frame(opcode: int, data: bytes = b"", fin: bool = True, mask: bool = True, reserved: int = 0) -> bytes:
    """The bytes of one frame of a client."""
    first = (0x80 if fin else 0) | reserved << 4 | opcode
    flag = 0x80 if mask else 0
    if len(data) < 126:
        head = struct.pack("!BB", first, flag | len(data))
    elif len(data) < 65536:
        head = struct.pack("!BBH", first, flag | 126, len(data))
    else:
        head = struct.pack("!BBQ", first, flag | 127, len(data))
    if not mask:
        return head + data
    key = os.urandom(4)
    stream = key * (len(data) // 4 + 1)
    masked = bytes(a ^ b for a, b in zip(data, stream, strict=False))
    return head + key + masked


def closing(code: int, reason: str = "") -> bytes:
    """A close frame."""
    return frame(CLOSE, struct.pack("!H", code) + reason.encode())


@dataclass
class Frame:
    """One frame of the server."""

    opcode: int
    data: bytes
    fin: bool
    reserved: int

    @property
    def code(self) -> int:
        return struct.unpack("!H", self.data[:2])[0]

    @property
    def reason(self) -> str:
        return self.data[2:].decode()


class Socket(Client):
    """One connection; `upgrade` first. `made` are all of them, for whoever closes them."""

    made: ClassVar[list[Socket]] = []

    def __init__(self, address: tuple[str, int] | str, receive_buffer: int | None = None) -> None:
        super().__init__(address, receive_buffer)
        self.made.append(self)

    def upgrade(self, path: str, *fields: str, **replaced: str | None) -> Answer:
        """Ask for the upgrade; a field is replaced by its name with underscores, or left out when None."""
        usual: dict[str, str | None] = {
            "Host": "test", "Connection": "Upgrade", "Upgrade": "websocket", "Sec_WebSocket_Key": KEY,
            "Sec_WebSocket_Version": "13",
        }  # fmt: skip
        usual |= replaced
        lines = [f"{name.replace('_', '-')}: {value}" for name, value in usual.items() if value is not None]
        self.send("\r\n".join([f"GET {path} HTTP/1.1", *lines, *fields, "", ""]).encode())
        data = self.read_until(b"\r\n\r\n")
        self.unread = data + self.unread
        return self.head() if data.startswith(b"HTTP/1.1 101 ") else self.answer()

    def open(self, path: str, *fields: str) -> Answer:
        """Upgrade and be sure of it."""
        answer = self.upgrade(path, *fields)
        assert 101 == answer.status
        assert ACCEPT == answer.one("Sec-WebSocket-Accept")
        return answer

    def frame(self) -> Frame:
        """The next frame. Raises Cut."""
        first, second = self.read(2)
        assert not second & 0x80, "a server masks nothing"
        size = second & 0x7F
        if size > 125:
            size = int.from_bytes(self.read(2 if size == 126 else 8), "big")
        return Frame(first & 15, self.read(size), bool(first & 0x80), first >> 4 & 7)


def dial(server: Server, path: str, *fields: str) -> Socket:
    """An open WebSocket."""
    line = Socket(server.address)
    line.open(path, *fields)
    return line


def ask(server: Server, path: str = "/echo", *fields: str, **replaced: str | None) -> tuple[Answer, Socket]:
    """The answer to an upgrade, and its connection."""
    line = Socket(server.address)
    return line.upgrade(path, *fields, **replaced), line

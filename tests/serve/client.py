"""A raw HTTP/1.1 client over one socket: bytes out, answers in, nothing hidden. Knows no server.

It is strict where a library would be kind: an answer not framed to the letter of RFC 9112 fails the test.
"""

from __future__ import annotations

import re
import socket
import struct
from dataclasses import dataclass, field

DEADLINE = 10.0  # seconds until a silent server fails the test


@dataclass
class Answer:
    """One final answer, with the interim ones that came before it."""

    status: int
    version: str
    phrase: str
    fields: list[tuple[str, str]]
    body: bytes = b""
    interim: list[int] = field(default_factory=list)

    def all(self, name: str) -> list[str]:
        """Return the values of a field, in order."""
        return [value for key, value in self.fields if key.lower() == name.lower()]

    def one(self, name: str) -> str | None:
        """Return the value of a field that may be there once."""
        values = self.all(name)
        assert len(values) <= 1, f"{name} is there {len(values)} times"
        return values[0] if values else None


class Cut(Exception):  # noqa: N818  it says what happened
    """The connection ended inside an answer; `how` is "fin" or "reset", `got` what had come."""

    def __init__(self, how: str, got: bytes) -> None:
        super().__init__(f"{how} after {got[-200:]!r}")
        self.how, self.got = how, got


class Client:
    """One connection."""

    def __init__(self, address: tuple[str, int] | str, receive_buffer: int | None = None) -> None:
        self.socket = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(DEADLINE)
        self.socket.connect(address)
        if not isinstance(address, str):
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.unread = b""
        self.seen = b""  # of the answer being read

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    # -- out --------------------------------

    def send(self, data: bytes | str) -> Client:
        """Send bytes (a str as Latin-1)."""
        self.socket.sendall(data.encode("latin-1") if isinstance(data, str) else data)
        return self

    def request(
        self, method: str, target: str, *lines: str, body: bytes = b"", version: str = "1.1"
    ) -> Client:
        """Send a request with Host and these field lines, and the length of a body if there is one."""
        head = [f"{method} {target} HTTP/{version}", "Host: test", *lines]
        if body:
            head.append(f"Content-Length: {len(body)}")
        return self.send("\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + body)

    def get(self, target: str, *lines: str) -> Answer:
        """GET and read the answer."""
        return self.request("GET", target, *lines).answer()

    def post(self, target: str, body: bytes, *lines: str) -> Answer:
        """POST with a length and read the answer."""
        return self.request("POST", target, *lines, body=body).answer()

    def half_close(self) -> Client:
        """Say that nothing more will be sent."""
        self.socket.shutdown(socket.SHUT_WR)
        return self

    def reset(self) -> None:
        """Leave with a reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    # -- in --------------------------------

    def _receive(self) -> bytes:
        try:
            data = self.socket.recv(1 << 18)
        except ConnectionResetError:
            raise Cut("reset", self.seen + self.unread) from None
        if not data:
            raise Cut("fin", self.seen + self.unread)
        return data

    def read(self, size: int) -> bytes:
        """Read exactly size bytes. Raises Cut."""
        parts = [self.unread]
        have = len(self.unread)
        self.unread = b""
        while have < size:
            try:
                parts.append(self._receive())
            except Cut as cut:
                raise Cut(cut.how, cut.got + b"".join(parts)) from None
            have += len(parts[-1])
        data = b"".join(parts)
        self.unread = data[size:]
        self.seen += data[:size]
        return data[:size]

    def read_until(self, end: bytes) -> bytes:
        """Read up to and with `end`. Raises Cut."""
        while end not in self.unread:
            self.unread += self._receive()
        at = self.unread.index(end) + len(end)
        return self.read(at)

    def rest(self) -> tuple[bytes, str]:
        """Read to the end of the connection: the bytes, and "fin" or "reset"."""
        data = self.unread
        self.unread = b""
        while True:
            try:
                data += self._receive()
            except Cut as cut:
                return data, cut.how

    def ended(self) -> bool:
        """Whether the server closes without another byte."""
        return self.rest() == (b"", "fin")

    def head(self) -> Answer:
        """Read the next head, interim or final."""
        self.seen = b""
        first, *lines = self.read_until(b"\r\n\r\n")[:-4].decode("latin-1").split("\r\n")
        found = re.fullmatch(r"HTTP/(1\.[01]) ([1-5]\d\d) ([^\x00-\x1f\x7f]*)", first)
        assert found, f"not a status line: {first!r}"
        fields = []
        for line in lines:
            pair = re.fullmatch(
                r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*?)[ \t]*", line
            )
            assert pair, f"not a field line: {line!r}"
            fields.append((pair[1], pair[2]))
        return Answer(int(found[2]), found[1], found[3], fields)

    def chunk(self) -> bytes:
        """Read one chunk of a chunked body; empty: it was the last one, and the end was read with it."""
        line = self.read_until(b"\r\n")[:-2]
        assert re.fullmatch(rb"[0-9a-fA-F]+", line), f"not a chunk size: {line!r}"
        data = self.read(int(line, 16))
        assert self.read(2) == b"\r\n"
        return data

    def answer(self, method: str = "GET") -> Answer:
        """Read one whole answer to `method`, interim ones before it. Raises Cut."""
        interim = []
        answer = self.head()
        while answer.status < 200:
            interim.append(answer.status)
            answer = self.head()
        answer.interim = interim
        coding, length = answer.one("Transfer-Encoding"), answer.one("Content-Length")
        assert coding is None or length is None, (
            "Transfer-Encoding and Content-Length together (RFC 9112 6.2)"
        )
        if method == "HEAD" or answer.status in (204, 304):
            return answer
        if coding is not None:
            assert coding == "chunked" and answer.version == "1.1"
            while data := self.chunk():
                answer.body += data
        elif length is not None:
            assert re.fullmatch(r"\d+", length)
            answer.body = self.read(int(length))
        else:
            assert "close" in (answer.one("Connection") or "")
            answer.body, how = self.rest()
            if how != "fin":
                raise Cut(how, answer.body)
        return answer

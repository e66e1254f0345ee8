"""A raw HTTP/1.1 client: what goes out is what the test says, what comes in is taken apart by hand."""

import contextlib
import json
import socket
import struct
from dataclasses import dataclass

PATIENCE = 10.0
BARE = []  # not empty: requests ask to be served without the validator, which wraps receive and send


@dataclass
class Answer:
    """One answer as it came."""

    status: int
    reason: str
    headers: list
    body: bytes = b""
    trailers: tuple = ()

    def get(self, name):
        """The values of a field, joined; None without one."""
        found = [value for key, value in self.headers if key.lower() == name]
        return ", ".join(found) if found else None

    @property
    def json(self):
        return json.loads(self.body)


class CutError(Exception):
    """The connection ended before the answer did."""


class Wire:
    """One connection."""

    def __init__(self, address, receive_buffer=None):
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.socket = socket.socket(family)
        self.socket.settimeout(PATIENCE)
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect(address)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *ignored):
        self.socket.close()

    # -- out

    def send(self, data):
        self.socket.sendall(data)

    def request(self, case, method="GET", *, target="/", headers=(), body=None, version="1.1"):
        """Send a request for a case, whole."""
        whole = head(case, method, target=target, headers=headers, body=body, version=version)
        self.send(whole + (body or b""))

    def end(self):
        """Send our end."""
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self):
        """End with a reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    # -- in

    def more(self):
        """Receive something; CutError at the end."""
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            data = b""
        if not data:
            raise CutError(self.buffer)
        self.buffer += data

    def until(self, mark):
        """Take what comes before a mark, and the mark."""
        while mark not in self.buffer:
            self.more()
        found, _, self.buffer = self.buffer.partition(mark)
        return found

    def exactly(self, count):
        while len(self.buffer) < count:
            self.more()
        found, self.buffer = self.buffer[:count], self.buffer[count:]
        return found

    def head(self):
        """Take a head."""
        lines = self.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        version, status, reason = (lines[0] + " ").split(" ", 2)
        assert version == "HTTP/1.1"
        headers = [tuple(line.split(": ", 1)) for line in lines[1:]]
        return Answer(int(status), reason.strip(), headers)

    def chunk(self):
        """Take a chunk of a chunked body; b"" for the last."""
        size = int(self.until(b"\r\n"), 16)
        if size == 0:
            return b""
        data = self.exactly(size + 2)
        assert data.endswith(b"\r\n")
        return data[:-2]

    def answer(self, method="GET"):
        """Take a whole answer. Raises CutError."""
        answer = self.head()
        if method == "HEAD" or answer.status in {204, 304} or answer.status < 200:
            return answer
        if answer.get("transfer-encoding") == "chunked":
            chunks = []
            while piece := self.chunk():
                chunks.append(piece)
            answer.body = b"".join(chunks)
            answer.trailers = self.trailers()
        elif answer.get("content-length") is not None:
            answer.body = self.exactly(int(answer.get("content-length")))
        else:
            answer.body = self.rest()
        return answer

    def trailers(self):
        found = []
        while line := self.until(b"\r\n"):
            found.append(tuple(line.decode("latin-1").split(": ", 1)))
        return tuple(found)

    def rest(self):
        """Take all there is until the end."""
        with contextlib.suppress(CutError):
            while True:
                self.more()
        found, self.buffer = self.buffer, b""
        return found

    def swallow(self, enough):
        """Take and forget what comes, until that event."""
        while not enough.is_set():
            self.more()
            self.buffer = b""

    def ended(self):
        """Wait for the end; True when nothing came before it."""
        return self.rest() == b""

    def ask(self, case, method="GET", **settings):
        """Send a request and take its answer."""
        self.request(case, method, **settings)
        return self.answer(method)


def head(case, method="GET", *, target="/", headers=(), body=None, version="1.1"):
    """A request's head; Content-Length when there is a body and no Transfer-Encoding."""
    lines = [f"{method} {target} HTTP/{version}", "Host: test", f"X-Case: {case}"]
    lines += [f"{name}: {value}" for name, value in headers] + ["X-Bare: 1"] * len(BARE)
    if body is not None and not any(name == "Transfer-Encoding" for name, _ in headers):
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def chunked(*pieces, trailer=b""):
    """A chunked body."""
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n" + trailer + b"\r\n"

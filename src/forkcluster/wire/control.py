"""What a control client and a master say to each other: one JSON object each way on a unix stream socket.

A frame is 8 bytes, "fcl", a version byte and the length of what follows (32 bits, network order), then UTF-8
JSON. A request is `{"command": …, …}`; an answer `{"ok": true, …}` or `{"ok": false, "error": …}` with an
error as `errors.to_json` writes it. The master closes the connection after its answer; only on the line that
it keeps with its admin process there are many, told apart by an `id`. Knows no sockets.
"""

import json
import struct
from collections.abc import Iterator

from forkcluster.errors import PeerError

VERSION = 1
MAGIC = b"fcl"
HEAD = struct.Struct("!3sBI")
MOST_REQUEST = 64 * 1024
MOST_ANSWER = 16 * 1024 * 1024

Body = dict[str, object]


def encode(body: Body) -> bytes:
    """Give the frame of one object."""
    text = json.dumps(body, ensure_ascii=False).encode("utf-8", "backslashreplace")
    return HEAD.pack(MAGIC, VERSION, len(text)) + text


class Frames:
    """Takes bytes as they come, gives the objects of whole frames of at most `most` bytes each."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._bytes = bytearray()

    @property
    def pending(self) -> int:
        """Bytes of a frame that is not whole yet."""
        return len(self._bytes)

    def feed(self, data: bytes) -> Iterator[Body]:
        """Give what has become whole, oldest first. Raise PeerError if it cannot be our protocol."""
        self._bytes += data
        while (length := self._length()) is not None and len(self._bytes) >= HEAD.size + length:
            text = self._bytes[HEAD.size : HEAD.size + length]
            del self._bytes[: HEAD.size + length]
            yield _parse(text)

    def _length(self) -> int | None:
        """Read the length in the head of the next frame; None when there is no whole head."""
        if len(self._bytes) < HEAD.size:
            if not MAGIC.startswith(self._bytes[: len(MAGIC)]):
                raise PeerError("reading a control message: not our protocol")
            return None
        magic, version, length = HEAD.unpack_from(self._bytes)
        if magic != MAGIC:
            raise PeerError("reading a control message: not our protocol")
        if version != VERSION:
            raise PeerError(
                f"reading a control message: version {version}, this side speaks {VERSION}",
                "use the forkcluster command of the release that runs the app",
            )
        if length > self._most:
            text = f"reading a control message: {length} bytes announced, at most {self._most} allowed"
            raise PeerError(text)
        return int(length)


class Decoder:
    """Collects the bytes of the only frame of a connection."""

    def __init__(self, most: int) -> None:
        self._frames = Frames(most)

    def feed(self, data: bytes) -> Body | None:
        """Take bytes as they come; give the object once it is whole. Raise PeerError if it cannot be one."""
        body = next(self._frames.feed(data), None)
        if body is not None and self._frames.pending:
            raise PeerError("reading a control message: more than one message")
        return body


def _parse(text: bytearray) -> Body:
    try:
        body = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PeerError(f"reading a control message: not JSON: {error}") from error
    if not isinstance(body, dict):
        raise PeerError("reading a control message: not a JSON object")
    return body

"""The opening handshake of a WebSocket: checked by the library, answered in our words (RFC 6455 section 4).

From a scope to a protocol object that may be opened, or to the plain answer that refuses it.
"""

import logging
import re
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Final

from websockets.datastructures import Headers
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.server import ServerProtocol

from forkcluster.dataclass import dataclass

Fields = list[tuple[bytes, bytes]]

# As the library's own server: 4 KiB windows instead of 32 cost a few per cent of compression.
DEFLATE: Final = ServerPerMessageDeflateFactory(
    server_max_window_bits=12, client_max_window_bits=12, compress_settings={"memLevel": 5}
)
READ: Final = (b"connection", b"upgrade", b"origin")
NOT_THE_APPLICATIONS: Final = frozenset(
    b"connection upgrade sec-websocket-accept sec-websocket-extensions sec-websocket-protocol".split()
)
NAME: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
BAD_VALUE: Final = re.compile(rb"[\0-\x08\x0a-\x1f\x7f]")

# Of no logging hierarchy: an application that logs everything must not have every frame described.
QUIET: Final = logging.Logger("forkcluster.websocket", logging.WARNING)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A plain answer instead of the upgrade."""

    status: int
    headers: Fields
    body: bytes


def check(headers: Fields, *, max_size: int, deflate: bool) -> tuple[ServerProtocol, Response] | Refusal:
    """Check the request for an upgrade; negotiate extensions, not the subprotocol."""
    protocol = ServerProtocol(
        state=State.OPEN,  # the request was parsed by the engine: frames come next
        extensions=[DEFLATE] if deflate else None,
        max_size=max_size,
        logger=QUIET,
    )
    response = protocol.accept(Request("/", _read(headers)))
    if response.status_code == HTTPStatus.SWITCHING_PROTOCOLS:
        return protocol, response
    status, fields = response.status_code, [(b"content-type", b"text/plain; charset=utf-8")]
    versions = [value for name, value in headers if name == b"sec-websocket-version"]
    if versions and b"13" not in versions:  # RFC 6455 section 4.4
        status = HTTPStatus.UPGRADE_REQUIRED
        fields += [(b"upgrade", b"websocket"), (b"sec-websocket-version", b"13")]
    return Refusal(status, fields, bytes(response.body or b""))


def _read(headers: Fields) -> Headers:
    read = Headers()
    for name, value in headers:
        if name in READ or name.startswith(b"sec-websocket-"):
            read[name.decode("ascii")] = value.decode("latin-1")
    return read


def head(response: Response, subprotocol: str | None, fields: Sequence[tuple[bytes, bytes]]) -> bytes:
    """The bytes that switch protocols; `fields` are ours and the application's, checked."""
    lines = [b"HTTP/1.1 101 Switching Protocols"]
    lines += [
        f"{name}: {value}".encode("latin-1")
        for name, value in response.headers.raw_items()
        if name.lower() != "date"
    ]
    if subprotocol is not None:
        lines.append(b"Sec-WebSocket-Protocol: " + checked_value(subprotocol.encode("latin-1")))
    lines += [name + b": " + value for name, value in fields]
    return b"\r\n".join([*lines, b"", b""])


def checked(headers: Iterable[tuple[bytes, bytes]]) -> Fields:
    """The application's fields of websocket.accept. Raises ValueError for what must not be sent."""
    fields = [(bytes(name), bytes(value)) for name, value in headers]
    for name, value in fields:
        if not NAME.fullmatch(name):
            raise ValueError(f"websocket.accept: {name!r} is no name of a header field")
        if name.lower() in NOT_THE_APPLICATIONS:
            raise ValueError(f"websocket.accept: {name.decode()} is not the application's to send")
        checked_value(value)
    return fields


def checked_value(value: bytes) -> bytes:
    """The value of a field, if it has no control characters. Raises ValueError."""
    if BAD_VALUE.search(value):
        raise ValueError(f"websocket.accept: control characters in the value of a header field: {value!r}")
    return value

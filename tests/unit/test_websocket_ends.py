"""What a WebSocket's client that has much to read yet is given: time for its pong and its close frame."""

import asyncio
import tracemalloc

import pytest

from forkcluster.worker import websocket
from forkcluster.worker.handshake import check

SOON = 0.01  # seconds until an answer is late
HEADERS = [
    (b"host", b"a"), (b"connection", b"Upgrade"), (b"upgrade", b"websocket"),
    (b"sec-websocket-version", b"13"), (b"sec-websocket-key", b"AAAAAAAAAAAAAAAAAAAAAA=="),
]  # fmt: skip


class Transport:
    """The engine's part; `left` is what the client has yet to take, look by look."""

    queued = 0

    def __init__(self, left):
        self.left = list(left)
        self.written = b""
        self.ended = None

    @property
    def untaken(self):
        return self.left.pop(0)

    def raw_read(self):
        return None

    def raw_watch(self, callback):
        pass

    def raw_write(self, data):
        self.written += data
        return True

    def raw_close(self):
        self.ended = "closed"

    def raw_abort(self):
        self.ended = "cut"

    def raw_account(self, status):
        pass


def live(left, application, ping=0.0):
    """The life of a connection whose application is this; its transport."""

    async def run():
        transport = Transport(left)
        settings = websocket.Settings(
            max_size=1000, deflate=False, ping_interval=ping, ping_timeout=ping, fields=()
        )
        found = check(HEADERS, max_size=1000, deflate=False)
        connection = websocket.Connection(transport, *found, settings)
        await asyncio.wait_for(connection.run(application, {}, print), 10)
        return transport

    return asyncio.run(run())


async def floods(receive, send):
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "bytes": b"x" * 1000})


async def closes(scope, receive, send):
    await floods(receive, send)
    await send({"type": "websocket.close"})


async def listens(scope, receive, send):
    await floods(receive, send)
    while (await receive())["type"] != "websocket.disconnect":
        pass


LEFT = pytest.mark.parametrize(
    "left", [[1000, 700, 300, 0, 0], [1000, 700, 700], [0, 0]], ids=["reads all", "stops", "had read all"]
)


@LEFT
def test_close_frame_of_a_client_that_reads_on_is_waited_for(monkeypatch, left):
    """Ten seconds count from when it can have read ours, or reads no more."""
    monkeypatch.setattr(websocket, "CLOSE_TIMEOUT", SOON)
    transport = live(left, closes)
    assert ["cut", []] == [transport.ended, transport.left]


@LEFT
def test_pong_of_a_client_that_reads_on_is_waited_for(left):
    """The ping is behind all that was sent before it."""
    transport = live(left, listens, ping=SOON)
    assert ["closed", []] == [transport.ended, transport.left]
    assert transport.written.endswith(b"keepalive ping timeout")


def test_fragments_without_content_cost_nothing():
    """However many: a message is as long as its content.

    Clause: RFC 6455 section 5.4 (fragments may be empty).
    """
    empty = bytes([0x00, 0x80, 1, 2, 3, 4]) * 10_000
    data = [bytes([0x01, 0x81, 0, 0, 0, 0]) + b"a", *[empty] * 10]

    async def run():
        transport = Transport([])
        transport.raw_read = lambda: data.pop(0) if data else None
        settings = websocket.Settings(
            max_size=1000, deflate=False, ping_interval=0.0, ping_timeout=0.0, fields=()
        )
        connection = websocket.Connection(transport, *check(HEADERS, max_size=1000, deflate=False), settings)
        await connection.send({"type": "websocket.accept"})
        tracemalloc.start()
        try:
            while data:
                await asyncio.sleep(0)
            return tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
            connection.abandon()

    assert asyncio.run(run()) < 300_000

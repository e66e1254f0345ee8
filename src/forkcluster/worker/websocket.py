"""One WebSocket between the engine's raw connection and an ASGI application (ASGI's "WebSocket" protocol).

The library (`websockets`, its sans-I/O layer) knows frames; this knows messages, their order, back-pressure
and the ends: who has closed, what the application is told, what it may still send. Bytes are read when the
engine says that some are there, and not while the application has not taken the last messages.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from enum import Enum, auto
from typing import Any, Final, Protocol

from websockets.exceptions import ProtocolError
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Response
from websockets.server import ServerProtocol

from forkcluster.dataclass import dataclass
from forkcluster.worker.handshake import Fields, checked, head

Event = dict[str, Any]
Application = Callable[[Event, Callable[[], Awaitable[Event]], Callable[[Event], Awaitable[None]]], Any]

QUEUED_BYTES: Final = 64 * 1024  # messages that wait for the application: at most this much ...
QUEUED_MESSAGES: Final = 64  # ... or this many, and what one read has brought
EARLY_BYTES: Final = 64 * 1024  # frames sent before the handshake was answered
HIGH_WATER: Final = 64 * 1024  # bytes that wait for the client, above which send waits
READS: Final = 4  # in a row, then others have their turn
CLOSE_TIMEOUT: Final = 10.0  # seconds for the client's part of the closing handshake


class Transport(Protocol):
    """What this needs of the engine's Request."""

    @property
    def queued(self) -> int: ...
    @property
    def untaken(self) -> int: ...
    def raw_read(self) -> bytes | None: ...
    def raw_watch(self, callback: Callable[[], object] | None, /) -> None: ...
    def raw_write(self, data: bytes, /) -> bool: ...
    def raw_drain(self) -> Awaitable[None]: ...
    def raw_close(self) -> None: ...
    def raw_abort(self) -> None: ...
    def raw_account(self, status: int, /) -> None: ...
    def raw_answer(self) -> Callable[[Event], Awaitable[None]]: ...


@dataclass(frozen=True, slots=True)
class Settings:
    """Of all WebSockets of a worker. Bytes; seconds, 0: never; `fields` go with every 101."""

    max_size: int
    deflate: bool
    ping_interval: float
    ping_timeout: float
    fields: tuple[tuple[bytes, bytes], ...]


class ClientDisconnectedError(OSError):
    """The client has gone; ASGI wants an OSError from send."""


class Stage(Enum):
    """How far the conversation is, seen from the application."""

    OPENING = auto()  # the handshake is not answered
    OPEN = auto()
    DECLINED = auto()  # answered by plain HTTP
    CLOSED = auto()  # the application has closed it
    GONE = auto()  # the client has, or we had to


class Connection:
    """One WebSocket. `run` is its whole life."""

    __slots__ = (
        "_answer", "_asked_at", "_early", "_events", "_finished", "_kind", "_leaving", "_loop", "_over",
        "_parts", "_paused", "_ping_data", "_protocol", "_queued", "_response", "_settings", "_taken",
        "_timer", "_transport", "_unasked", "_waiting", "_written", "stage",
    )  # fmt: skip

    def __init__(
        self, transport: Transport, protocol: ServerProtocol, response: Response, settings: Settings
    ) -> None:
        self.stage = Stage.OPENING
        self._transport = transport
        self._protocol = protocol
        self._response = response
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._events: deque[Event] = deque([{"type": "websocket.connect"}])
        self._queued = 0  # size of events: bytes, and characters of texts
        self._waiting: list[asyncio.Future[None]] = []
        self._early = b""
        self._kind = Opcode.TEXT  # of the message in parts
        self._parts = bytearray()
        self._paused = False
        self._leaving = False
        self._over = False  # the connection is given back
        self._finished: asyncio.Future[None] | None = None
        self._answer: Callable[[Event], Awaitable[None]] | None = None
        self._timer: asyncio.TimerHandle | None = None  # the next ping, its answer, or the end of closing
        self._ping_data = 0
        self._written = 0  # bytes of the stream to the client
        self._asked_at = 0  # where in it the last question begins: a ping, or our close frame
        self._unasked = 0  # bytes of pongs since the queue was last low: no application waits to send them
        self._taken = 0  # how much of it the client's side had when last looked at

    # -- life ------------------------------------------------------------------------------------------------

    async def run(
        self, application: Application, scope: Event, report: Callable[[Exception], object]
    ) -> None:
        """Run the application until it and the connection have ended.

        A fault of the application is reported; raised instead when a plain 500 shall be the answer.
        """
        fault = None
        self._transport.raw_watch(self._readable)
        self._readable()
        try:
            await application(scope, self.receive, self.send)
        except Exception as error:
            if not (isinstance(error, OSError) and self.stage is Stage.GONE):
                fault = error
        if self.stage is Stage.OPENING:
            self._transport.raw_answer()
        if self.stage in (Stage.OPENING, Stage.DECLINED):
            if fault is not None:
                raise fault
            return
        if fault is not None:
            report(fault)
        if self.stage is Stage.OPEN:
            self._close(CloseCode.NORMAL_CLOSURE if fault is None else CloseCode.INTERNAL_ERROR, "")
        if not self._over:
            self._finished = self._loop.create_future()
            await self._finished

    def abandon(self) -> None:
        """The task ends, perhaps cancelled: nothing of the connection is left."""
        if self.stage not in (Stage.OPENING, Stage.DECLINED):
            self._lost()

    def leave(self) -> None:
        """The worker drains: close with 1012, now or as soon as the handshake is answered."""
        self._leaving = True
        if self.stage is Stage.OPEN:
            code, reason = CloseCode.SERVICE_RESTART, "the server restarts"
            self.stage = Stage.GONE
            self._send_close(code, reason)
            self._tell(code, reason)

    # -- what the application calls --------------------------------------------------------------------------

    async def receive(self) -> Event:
        """Give the next event; after the disconnect, that one again."""
        while not self._events:
            future = self._loop.create_future()
            self._waiting.append(future)
            try:
                await future
            finally:
                if future in self._waiting:  # cancelled
                    self._waiting.remove(future)
        event = self._events[0]
        if event["type"] == "websocket.disconnect":
            return event
        self._events.popleft()
        self._queued -= _size(event)
        if self._paused and not self._full():
            self._readable()
        return event

    async def send(self, event: Event) -> None:
        """Take the application's event. Raises OSError (gone), RuntimeError, ValueError and KeyError."""
        kind = event["type"]
        if self.stage is Stage.OPEN:
            if kind == "websocket.send":
                await self._send_message(event)
            elif kind == "websocket.close":
                self._close(event.get("code", 1000), event.get("reason") or "")
            else:
                raise RuntimeError(f"{kind!r} after the WebSocket was accepted")
        elif self.stage is Stage.OPENING:
            await self._answer_handshake(kind, event)
        elif self.stage is Stage.DECLINED:
            await self._answer_more(kind, event)
        elif self.stage is Stage.GONE and kind != "websocket.close":
            raise ClientDisconnectedError("the client has gone")
        elif kind != "websocket.close":
            raise RuntimeError(f"{kind!r} after websocket.close")

    async def _answer_handshake(self, kind: str, event: Event) -> None:
        match kind:
            case "websocket.accept":
                self._accept(event)
            case "websocket.close":
                await self._decline(403, [])
                await self._answer_more("websocket.http.response.body", {})
            case "websocket.http.response.start":
                await self._decline(event["status"], event.get("headers", ()))
            case _:
                raise RuntimeError(f"{kind!r} before the WebSocket was accepted")

    def _accept(self, event: Event) -> None:
        """Answer 101, and look at what came early."""
        fields: Fields = [*self._settings.fields, *checked(event.get("headers") or ())]
        data = head(self._response, event.get("subprotocol"), fields)
        self._transport.raw_account(101)
        self.stage = Stage.OPEN
        if not self._transport.raw_write(data):
            self._lost()
            return
        if self._settings.ping_interval:
            self._timer = self._loop.call_later(self._settings.ping_interval, self._ping)
        if self._early:
            early, self._early = self._early, b""
            self._feed(early)
        if self._leaving:
            self.leave()
        self._readable()

    async def _decline(self, status: int, headers: object) -> None:
        self._answer = self._transport.raw_answer()
        self.stage = Stage.DECLINED
        await self._answer({"type": "http.response.start", "status": status, "headers": headers})

    async def _answer_more(self, kind: str, event: Event) -> None:
        """A piece of the plain answer; with the last one the conversation is over."""
        if kind == "websocket.close":
            return
        if kind != "websocket.http.response.body" or self._answer is None:
            raise RuntimeError(f"{kind!r} after the WebSocket was declined")
        more = bool(event.get("more_body", False))
        answer = self._answer
        if not more:
            self._answer = None
        await answer({"type": "http.response.body", "body": event.get("body", b""), "more_body": more})
        if not more:
            self._tell(CloseCode.ABNORMAL_CLOSURE, "")

    async def _send_message(self, event: Event) -> None:
        text = event.get("text")
        if text is not None:
            self._protocol.send_text(text.encode())
        elif (data := event.get("bytes")) is not None:
            self._protocol.send_binary(data)
        else:
            raise ValueError("websocket.send with neither text nor bytes")
        self._flush()
        if self._transport.queued > HIGH_WATER:
            try:
                await self._transport.raw_drain()
            except OSError:
                self._lost()
        if self._over and self.stage is Stage.GONE:
            raise ClientDisconnectedError("the client has gone")

    # -- what comes from the client --------------------------------------------------------------------------

    def _readable(self) -> None:
        """Read what is there, unless enough waits for the application, or for the client."""
        self._paused = False
        if self._transport.queued <= HIGH_WATER:
            self._unasked = 0
        for _ in range(READS):
            if self._over or self.stage is Stage.DECLINED:
                return
            if self._full():
                self._paused = True
                return
            data = self._transport.raw_read()
            if data is None:
                return
            if not data:
                self._lost()
            elif self.stage is Stage.OPENING:
                self._early += data
            else:
                self._feed(data)
        self._loop.call_soon(self._readable)

    def _full(self) -> bool:
        if self._unasked > HIGH_WATER and self._transport.queued > HIGH_WATER:
            return True
        if self.stage is Stage.OPEN:
            return self._queued >= QUEUED_BYTES or len(self._events) >= QUEUED_MESSAGES
        return self.stage is Stage.OPENING and len(self._early) >= EARLY_BYTES

    def _feed(self, data: bytes) -> None:
        protocol = self._protocol
        protocol.receive_data(data)
        for frame in protocol.events_received():
            if self.stage is Stage.OPEN and isinstance(frame, Frame):
                self._take(frame)
        before = self._written
        self._flush()
        self._unasked += self._written - before

    def _take(self, frame: Frame) -> None:
        match frame.opcode:
            case Opcode.TEXT | Opcode.BINARY:
                if frame.fin:
                    self._message(frame.opcode, frame.data)
                else:
                    self._kind, self._parts = frame.opcode, bytearray(frame.data)
            case Opcode.CONT:
                self._parts += frame.data
                if frame.fin:
                    data, self._parts = self._parts, bytearray()
                    self._message(self._kind, data)
            case Opcode.PONG:
                self._ponged(frame)

    def _message(self, kind: Opcode, data: bytes | bytearray | memoryview) -> None:
        event: Event
        if kind is Opcode.TEXT:
            try:
                event = {"type": "websocket.receive", "text": str(data, "utf-8")}
            except UnicodeDecodeError as error:
                self.stage = Stage.GONE
                reason = f"{error.reason} at position {error.start}"
                self._protocol.fail(CloseCode.INVALID_DATA, reason)
                return
        else:
            event = {"type": "websocket.receive", "bytes": bytes(data)}
        self._queued += _size(event)
        self._push(event)

    def _push(self, event: Event) -> None:
        self._events.append(event)
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            for future in waiting:
                if not future.done():
                    future.set_result(None)

    # -- pings -----------------------------------------------------------------------------------------------

    def _ping(self) -> None:
        self._timer = None
        if self.stage is not Stage.OPEN:
            return
        self._ping_data += 1
        self._ask()
        self._protocol.send_ping(self._ping_data.to_bytes(4, "big"))
        settings = self._settings
        if settings.ping_timeout:
            self._timer = self._loop.call_later(settings.ping_timeout, self._no_pong)
        else:
            self._timer = self._loop.call_later(settings.ping_interval, self._ping)
        self._flush()

    def _ponged(self, frame: Frame) -> None:
        if self._settings.ping_timeout and frame.data == self._ping_data.to_bytes(4, "big"):
            self._set_timer(self._settings.ping_interval, self._ping)

    def _no_pong(self) -> None:
        """The answer is late: not its fault while we do not read, or while it has much to read first."""
        self._timer = None
        if self._comes_nearer() or self._paused:
            self._timer = self._loop.call_later(self._settings.ping_timeout, self._no_pong)
        elif self.stage is Stage.OPEN:
            self.stage = Stage.GONE
            self._protocol.fail(CloseCode.INTERNAL_ERROR, "keepalive ping timeout")
            self._flush()

    def _set_timer(self, delay: float, callback: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(delay, callback)

    def _ask(self) -> None:
        """Remember what the client has yet to read before the question that is sent now."""
        self._asked_at = self._written
        self._taken = self._written - self._transport.untaken

    def _comes_nearer(self) -> bool:
        """Whether the question had not come to the client at the last look, but it has read on since."""
        taken = self._written - self._transport.untaken
        nearer = self._taken < min(taken, self._asked_at)
        self._taken = taken
        return nearer

    # -- ends ------------------------------------------------------------------------------------------------

    def _flush(self) -> None:
        """Send what the protocol has to send; its end of the stream ends the connection."""
        writes = self._protocol.data_to_send()
        if self._over or not writes:
            return
        end = not writes[-1]
        data = writes[0] if len(writes) == 1 else b"".join(writes)
        self._written += len(data)
        if data and not self._transport.raw_write(data):
            self._lost()
        elif end:
            self._end()
            self._transport.raw_close()

    def _close(self, code: int, reason: str) -> None:
        """The application closes. Raises ValueError for a code or reason that cannot be sent."""
        try:
            self._send_close(code, reason)
        except ProtocolError as error:
            raise ValueError(f"websocket.close with code {code!r} and reason {reason!r}: {error}") from error
        self.stage = Stage.CLOSED if self.stage is Stage.OPEN else self.stage

    def _send_close(self, code: int, reason: str) -> None:
        """Begin the closing handshake; read on, for the client's part of it."""
        self._ask()
        self._protocol.send_close(code, reason)
        self._flush()
        if not self._over:
            self._set_timer(CLOSE_TIMEOUT, self._give_up)
            self._readable()

    def _give_up(self) -> None:
        """The client does not close its side."""
        self._timer = None
        if self._comes_nearer():
            self._timer = self._loop.call_later(CLOSE_TIMEOUT, self._give_up)
        else:
            self._lost()

    def _lost(self) -> None:
        """The connection is of no use any more: cut it."""
        if not self._over:
            self._protocol.receive_eof()
            self._end()
            self._transport.raw_abort()

    def _end(self) -> None:
        """The connection is given back; the application hears of it."""
        self._over = True
        if self.stage is not Stage.CLOSED:
            self.stage = Stage.GONE
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._transport.raw_watch(None)
        close = self._protocol.close_rcvd or self._protocol.close_sent
        if close is None:
            self._tell(CloseCode.ABNORMAL_CLOSURE, "")
        else:
            self._tell(close.code, close.reason)
        if self._finished is not None and not self._finished.done():
            self._finished.set_result(None)

    def _tell(self, code: int, reason: str) -> None:
        """Tell the application, once, behind the messages it has not taken."""
        if not (self._events and self._events[-1]["type"] == "websocket.disconnect"):
            self._push({"type": "websocket.disconnect", "code": int(code), "reason": reason})


def _size(event: Event) -> int:
    """How much of the queue an event takes: bytes, or the characters of a text."""
    return len(event.get("text") or event.get("bytes") or b"")

"""Cases of what is answered: responses and the extensions that change them."""

import asyncio
import contextlib
import os

from case_tools import NOTES, answer, body, case, gate, key_of, note, refusal, start

# -- responses


@case
async def hello(scope, receive, send):
    await start(send, 200, [(b"content-type", b"text/plain")])
    await body(send, b"hello")


@case
async def pieces(scope, receive, send):
    """A piece; the next only when the test has seen it."""
    await start(send)
    await body(send, b"one", True)
    await gate(scope).wait()
    await body(send, b"two", True)
    await body(send, b"", True)
    await body(send, b"three")


@case
async def some_pieces(scope, receive, send):
    """As many pieces of 64 KiB as the header says; the end when the gate opens."""
    await start(send)
    for _ in range(int(dict(scope["headers"])[b"count"])):
        await body(send, b"x" * 65536, True)
    note(scope, "given")
    await gate(scope).wait()
    await body(send)


@case
async def late_end(scope, receive, send):
    """All bytes; the end of the answer when the gate opens."""
    await start(send, 200, [(b"content-length", b"3")])
    await body(send, b"one", True)
    await gate(scope).wait()
    await body(send)
    note(scope, "ended")


@case
async def empty_first(scope, receive, send):
    """An empty piece begins the answer."""
    await start(send)
    await body(send, b"", True)
    await gate(scope).wait()
    await body(send, b"rest")


@case
async def start_only(scope, receive, send):
    await start(send)
    note(scope, "started")
    await gate(scope).wait()
    await body(send, b"now")


@case
async def flood(scope, receive, send):
    """Send 32 MiB; say how much was taken before the client read."""
    await start(send)
    piece = b"x" * 65536
    for i in range(512):
        await body(send, piece, True)
        NOTES[key_of(scope)] = [i + 1]
    await body(send)
    note(scope, "done")


class ClientDisconnectError(Exception):
    """What Starlette makes of an OSError."""


async def _flood_until_left(scope, send):
    """Send until the client has left; give the error that says so."""
    await start(send)
    try:
        while True:
            await body(send, b"x" * 65536, True)
    finally:
        note(scope, "left")


@case
async def leave_by_own_error(scope, receive, send):
    try:
        await _flood_until_left(scope, send)
    except OSError:
        raise ClientDisconnectError  # noqa: B904  as Starlette raises it


@case
async def leave_by_cause(scope, receive, send):
    try:
        await _flood_until_left(scope, send)
    except OSError as error:
        raise RuntimeError("ClientDisconnectError") from error


class GroupError(Exception):
    """As a task group raises it; before Python 3.11 a library's."""

    def __init__(self, *exceptions):
        super().__init__("ClientDisconnectError")
        self.exceptions = exceptions


@case
async def leave_by_group(scope, receive, send):
    left = await asyncio.gather(leave_by_own_error(scope, receive, send), return_exceptions=True)
    raise GroupError(*left)


@case
async def leave_and_fail(scope, receive, send):
    left = await asyncio.gather(leave_by_own_error(scope, receive, send), return_exceptions=True)
    raise GroupError(*left, LookupError("a fault beside it"))


@case
async def fail_after_leaving(scope, receive, send):
    with contextlib.suppress(OSError):
        await _flood_until_left(scope, send)
    raise ClientDisconnectError("a fault beside it")


@case
async def fail_in_cleaning_up(scope, receive, send):
    try:
        await _flood_until_left(scope, send)
    finally:
        raise LookupError("a fault beside it")


@case
async def flood_until_cut(scope, receive, send):
    await start(send)
    try:
        while True:
            await body(send, b"x" * 65536, True)
    except OSError as error:
        note(scope, f"OSError: {error}")
        note(scope, await refusal(send, {"type": "http.response.body"}))
        note(scope, (await receive())["type"])


@case
async def cancelled_send(scope, receive, send):
    """Cancel a send that waits for room; what it had is sent, and the answer goes on."""
    await start(send)
    timeouts = sent = 0
    while timeouts < 3:
        sent += 1
        try:
            await asyncio.wait_for(body(send, b"%08d" % sent + b"x" * 99992, True), 0.01)
        except asyncio.TimeoutError:
            timeouts += 1
    note(scope, sent)
    await body(send, b"end")


@case
async def overtaken_send(scope, receive, send):
    """End the answer while another task's send waits for room."""
    await start(send)
    much = {"type": "http.response.body", "body": b"x" * (4 << 20), "more_body": True}
    first = asyncio.ensure_future(refusal(send, much))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    note(scope, first.done())
    await body(send, b"end")
    note(scope, await first)


@case
async def status(scope, receive, send):
    await start(send, int(scope["path"][1:]))
    await body(send, b"" if scope["path"] in {"/204", "/304"} else b"text")


@case
async def with_length(scope, receive, send):
    """Content-Length from the path, the body after it in as many pieces as there are slashes."""
    _, length, *parts = scope["path"].split("/")
    await start(send, 200, [(b"content-length", length.encode())])
    for part in parts[:-1]:
        await body(send, part.encode(), True)
    await body(send, parts[-1].encode())


@case
async def no_body_key(scope, receive, send):
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body"})


@case
async def kinds_of_bytes(scope, receive, send):
    pairs = iter([[b"x-a", b"1"], (b"x-b", b"2")])
    await send({"type": "http.response.start", "status": 200, "headers": pairs})
    await body(send, b"bytes ", True)
    await body(send, bytearray(b"bytearray "), True)
    await body(send, memoryview(b"memoryview"))


@case
async def big(scope, receive, send):
    await start(send)
    await body(send, b"0123456789abcdef" * (1 << 17))


@case
async def headers(scope, receive, send):
    await start(
        send,
        200,
        [
            (b"x-one", b"1"),
            (b"set-cookie", b"a=1"),
            (b"set-cookie", b"b=2"),
            (b"x-empty", b""),
            (b"x-latin", b"caf\xe9"),
            (b"server", b"mine"),
            (b"date", b"never"),
            (b"connection", b"keep-alive, x-hop"),
            (b"transfer-encoding", b"chunked"),
        ],
    )
    await body(send, b"ok")


@case
async def close(scope, receive, send):
    await start(send, 200, [(b"connection", b"close")])
    await body(send, b"bye")


@case
async def background(scope, receive, send):
    """Work on after the last body, until the gate opens."""
    await answer(send, "answered")
    note(scope, "working")
    await gate(scope).wait()
    note(scope, "worked")


@case
async def late_work(scope, receive, send):
    """Work on for a moment after the last body."""
    await answer(send, "answered")
    await asyncio.sleep(0.7)
    print("worked to its end", flush=True)


class Passes:
    """How many bytes went by at most between two passes of the loop."""

    def __init__(self):
        self.most = self.since = 0
        self.open = True
        self._tick()

    def _tick(self):
        self.since = 0
        if self.open:
            asyncio.get_running_loop().call_soon(self._tick)

    def count(self, size):
        self.since += size
        self.most = max(self.most, self.since)


@case
async def passes_of_sends(scope, receive, send):
    passes = Passes()
    await start(send)
    for _ in range(64):
        await body(send, b"x" * 65536, True)
        passes.count(65536)
    passes.open = False
    await body(send, b"%d" % passes.most)


@case
async def passes_of_receives(scope, receive, send):
    passes = Passes()
    more = True
    while more:
        event = await receive()
        passes.count(len(event["body"]))
        more = event["more_body"]
    passes.open = False
    await answer(send, passes.most)


# -- extensions


@case
async def trailers(scope, receive, send):
    await start(send, 200, [(b"trailer", b"x-sum")], trailers=True)
    await body(send, b"one", True)
    await body(send, b"two")
    await send({"type": "http.response.trailers", "headers": [(b"x-sum", b"1")], "more_trailers": True})
    await send({"type": "http.response.trailers", "headers": [(b"x-more", b"2")]})
    note(scope, await refusal(send, {"type": "http.response.trailers", "headers": []}))


@case
async def late_trailers(scope, receive, send):
    """A body of 16 MiB; its trailers when the gate opens."""
    await start(send, trailers=True)
    await body(send, b"x" * (16 << 20))
    await gate(scope).wait()
    await send({"type": "http.response.trailers", "headers": [(b"x-sum", b"1")]})


@case
async def bad_trailers(scope, receive, send):
    await start(send, trailers=True)
    await body(send, b"x")
    for headers in (
        [(b"x\n", b"")],
        [(b"x", b"\r\n")],
        [(b"", b"")],
        [("x", b"")],
        [(b"content-length", b"5")],
        [b"x"],
    ):
        note(scope, await refusal(send, {"type": "http.response.trailers", "headers": headers}))
    note(scope, await refusal(send, {"type": "http.response.body"}))
    await send({"type": "http.response.trailers"})


@case
async def missing_trailers(scope, receive, send):
    await start(send, trailers=True)
    await body(send, b"x")


@case
async def hints(scope, receive, send):
    await send(
        {"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload", b"</b.js>; rel=preload"]}
    )
    await start(send)
    await send({"type": "http.response.early_hint", "links": [b"</c.js>; rel=preload"]})
    await body(send, b"one", True)
    await send({"type": "http.response.early_hint", "links": [b"</late.js>"]})
    await body(send, b"two")


@case
async def pathsend(scope, receive, send):
    length = [(b"content-length", b"%d" % os.path.getsize(scope["path"][1:]))]
    await start(send, 200, length if b"length" in scope["query_string"] else [])
    await send({"type": "http.response.pathsend", "path": os.path.abspath(scope["path"][1:])})
    note(scope, await refusal(send, {"type": "http.response.body"}))


@case
async def pathsend_absolute(scope, receive, send):
    await start(send)
    await send({"type": "http.response.pathsend", "path": scope["path"]})


@case
async def pathsend_late(scope, receive, send):
    await start(send)
    await body(send, b"before ", True)
    await send({"type": "http.response.pathsend", "path": os.path.abspath("small.txt")})


@case
async def zerocopy(scope, receive, send):
    """offset, count and how the file is given come in the query."""
    query = dict(part.split("=") for part in scope["query_string"].decode().split("&") if part)
    event = {"type": "http.response.zerocopysend"}
    event.update({key: int(query[key]) for key in ("offset", "count") if key in query})
    with open("small.txt", "rb") as file:
        if "at" in query:
            file.read(int(query["at"]))
        event["file"] = file.fileno() if "number" in query else file
        await start(send)
        await send(event)


@case
async def zerocopy_parts(scope, receive, send):
    """Pieces of a file, one behind the other, between other pieces."""
    with open("small.txt", "rb") as file:
        await start(send)
        await body(send, b"<", True)
        for _ in range(2):
            await send({"type": "http.response.zerocopysend", "file": file, "count": 3, "more_body": True})
        await body(send, b"|", True)
        await send(
            {"type": "http.response.zerocopysend", "file": file, "offset": 0, "count": 2, "more_body": True}
        )
        await body(send, b">")


@case
async def zerocopy_cancelled(scope, receive, send):
    """A file of 8 MiB whose sending is cancelled and whose descriptor becomes another's."""
    await start(send)
    with open("big.bin", "rb") as file:
        number = file.fileno()
        try:
            await asyncio.wait_for(
                send({"type": "http.response.zerocopysend", "file": file, "more_body": True}), 0.05
            )
        except asyncio.TimeoutError:
            note(scope, "timeout")
    secret = os.open("secret.bin", os.O_RDONLY)
    os.dup2(secret, number)
    try:
        await body(send, b"end")
    finally:
        os.close(number)
        if secret != number:
            os.close(secret)

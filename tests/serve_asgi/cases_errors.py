"""Cases of applications that do what they must not."""

import asyncio
import json
import os
import sys

from case_tools import HERE, answer, body, case, refusal, start


@case
async def raise_first(scope, receive, send):
    raise ValueError("before the start")


@case
async def raise_started(scope, receive, send):
    await start(send, 201, [(b"x-mine", b"1")])
    raise ValueError("started, nothing sent")


@case
async def raise_midway(scope, receive, send):
    await start(send)
    await body(send, b"part", True)
    raise ValueError("midway")


@case
async def raise_after(scope, receive, send):
    await answer(send, "whole")
    raise ValueError("after the answer")


@case
async def return_first(scope, receive, send):
    return None


@case
async def return_started(scope, receive, send):
    await start(send)


@case
async def return_midway(scope, receive, send):
    await start(send)
    await body(send, b"part", True)


@case
async def raise_cancelled(scope, receive, send):
    raise asyncio.CancelledError


@case
async def await_cancelled(scope, receive, send):
    future = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(future.cancel)
    await future


@case
async def system_exit(scope, receive, send):
    sys.exit(3)


@case
async def late_system_exit(scope, receive, send):
    future = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(future.cancel)
    try:
        await future
    except asyncio.CancelledError:
        sys.exit(3)


@case
async def bad_event(scope, receive, send):
    """Send the event of BAD that the path names, before or after the start; then answer what came of it."""
    _, when, name = scope["path"].split("/")
    if when == "before":
        await answer(send, await refusal(send, BAD[name]))
        return
    await start(send, 200, [(b"content-type", b"application/json")])
    if when == "midway":
        await body(send, b" ", True)
    await body(send, json.dumps(await refusal(send, BAD[name])).encode())


class Undecided:
    """Neither true nor false, as the arrays of some libraries are."""

    def __bool__(self):
        raise ValueError("undecided")


UNDECIDED = Undecided()

BAD = {
    "none": None,
    "list": ["type"],
    "text": "http.response.start",
    "empty": {},
    "type-none": {"type": None},
    "unknown": {"type": "http.response.startle"},
    "websocket": {"type": "websocket.accept"},
    "request": {"type": "http.request"},
    "body": {"type": "http.response.body", "body": b"x"},
    "start": {"type": "http.response.start", "status": 200},
    "trailers": {"type": "http.response.trailers", "headers": []},
    "pathsend": {"type": "http.response.pathsend", "path": __file__},
    "body-text": {"type": "http.response.body", "body": "text"},
    "body-none": {"type": "http.response.body", "body": None},
    "body-list": {"type": "http.response.body", "body": [1]},
    "no-status": {"type": "http.response.start"},
    "status-text": {"type": "http.response.start", "status": "200"},
    "status-100": {"type": "http.response.start", "status": 100},
    "status-0": {"type": "http.response.start", "status": 0},
    "status-big": {"type": "http.response.start", "status": 1000},
    "status-huge": {"type": "http.response.start", "status": 1 << 80},
    "headers-none": {"type": "http.response.start", "status": 200, "headers": None},
    "headers-number": {"type": "http.response.start", "status": 200, "headers": 5},
    "header-single": {"type": "http.response.start", "status": 200, "headers": [(b"x",)]},
    "header-triple": {"type": "http.response.start", "status": 200, "headers": [(b"x", b"y", b"z")]},
    "name-text": {"type": "http.response.start", "status": 200, "headers": [("x", b"y")]},
    "value-text": {"type": "http.response.start", "status": 200, "headers": [(b"x", "y")]},
    "name-empty": {"type": "http.response.start", "status": 200, "headers": [(b"", b"y")]},
    "name-space": {"type": "http.response.start", "status": 200, "headers": [(b"x y", b"z")]},
    "name-colon": {"type": "http.response.start", "status": 200, "headers": [(b"x:", b"z")]},
    "name-crlf": {"type": "http.response.start", "status": 200, "headers": [(b"x\r\ny", b"z")]},
    "value-crlf": {"type": "http.response.start", "status": 200, "headers": [(b"x", b"y\r\nz: 1")]},
    "value-lf": {"type": "http.response.start", "status": 200, "headers": [(b"x", b"y\nz: 1")]},
    "value-cr": {"type": "http.response.start", "status": 200, "headers": [(b"x", b"y\rz")]},
    "value-nul": {"type": "http.response.start", "status": 200, "headers": [(b"x", b"y\0z")]},
    "length-text": {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"ten")]},
    "length-sign": {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"-1")]},
    "length-list": {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1, 1")]},
    "hint-crlf": {"type": "http.response.early_hint", "links": [b"</a>\r\nx: y"]},
    "hint-text": {"type": "http.response.early_hint", "links": ["</a>"]},
    "hint-none": {"type": "http.response.early_hint"},
    "path-missing": {"type": "http.response.pathsend", "path": "/does/not/exist"},
    "path-folder": {"type": "http.response.pathsend", "path": HERE},
    "path-none": {"type": "http.response.pathsend"},
    "path-fifo": {"type": "http.response.pathsend", "path": "fifo"},
    "file-none": {"type": "http.response.zerocopysend"},
    "file-number": {"type": "http.response.zerocopysend", "file": 9999},
    "file-object": {"type": "http.response.zerocopysend", "file": object()},
    "start-undecided": {"type": "http.response.start", "status": 200, "trailers": UNDECIDED},
    "body-undecided": {"type": "http.response.body", "more_body": UNDECIDED},
    "file-undecided": {
        "type": "http.response.zerocopysend",
        "file": os.open(__file__, os.O_RDONLY),
        "more_body": UNDECIDED,
    },
}


@case
async def start_again(scope, receive, send):
    """A start that was refused may be given anew, and nothing of it is left."""
    bad = [(b"x-left", b"over"), (b"content-length", b"999"), (b"bad name", b"")]
    words = await refusal(send, {"type": "http.response.start", "status": 500, "headers": bad})
    await answer(send, words)


@case
async def forgotten_await(scope, receive, send):
    send({"type": "http.response.start", "status": 500})
    await answer(send, "sent")

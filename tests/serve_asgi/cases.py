"""The application of the live tests: one coroutine a case, chosen by the field X-Case, behind the validator.

A case leaves what it saw in NOTES under the request's query string, for the test to ask for (case `notes`),
and waits for the test at gates (case `open`).
"""

import asyncio
import builtins
import contextvars
import gc
import inspect
import itertools
import json
import os
import socket
import sys
import threading

import anyio
from validator import Validator

CASES = {}
NOTES = {}
GATES = {}
PAIRS = {}
TASKS = set()
STATE = {"colour": "green", "list": []}
NAME = contextvars.ContextVar("name", default="nobody")
HERE = os.path.dirname(__file__)


def case(function):
    """Register a case under its name."""
    CASES[function.__name__] = function
    return function


async def dispatch(scope, receive, send):
    """Call the case that the client asks for."""
    if scope["type"] == "lifespan":
        await lifespan(scope, receive, send)
        return
    name = dict(scope["headers"])[b"x-case"].decode()
    await CASES[name](scope, receive, send)


async def lifespan(scope, receive, send):
    """Give every request some state."""
    scope["state"].update(STATE)
    while True:
        event = await receive()
        await send({"type": event["type"] + ".complete"})
        if event["type"] == "lifespan.shutdown":
            return


class Application:
    """What is served: a callable that does something before it gives its coroutine."""

    def __init__(self, app):
        self.app = app

    def __call__(self, scope, receive, send):
        headers = dict(scope.get("headers", ()))
        if headers.get(b"x-case") in SYNCHRONOUS:
            return SYNCHRONOUS[headers[b"x-case"]](scope, receive, send)
        if b"x-bare" in headers:
            return dispatch(scope, receive, send)
        return self.app(scope, receive, send)


application = Application(Validator(dispatch))


# -- tools


def key_of(scope):
    return scope["query_string"].decode()


def note(scope, what):
    NOTES.setdefault(key_of(scope), []).append(what)


def gate(scope):
    return GATES.setdefault(key_of(scope), asyncio.Event())


async def start(send, status=200, headers=(), **more):
    await send({"type": "http.response.start", "status": status, "headers": list(headers), **more})


async def body(send, data=b"", more=False):
    await send({"type": "http.response.body", "body": data, "more_body": more})


async def answer(send, value, status=200):
    """Answer with JSON, in one piece."""
    await start(send, status, [(b"content-type", b"application/json")])
    await body(send, json.dumps(value).encode())


async def whole_body(receive):
    """Give the events of the request's body."""
    events = [await receive()]
    while events[-1].get("more_body"):
        events.append(await receive())
    return events


def joined(events):
    return b"".join(event.get("body", b"") for event in events)


async def refusal(send, event):
    """Send an event that is to be refused; give the words of the refusal."""
    try:
        await send(event)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "taken"


# -- for the tests


@case
async def notes(scope, receive, send):
    await answer(send, NOTES.get(key_of(scope), []))


@case
async def open(scope, receive, send):
    gate(scope).set()
    await answer(send, "open")


@case
async def forget(scope, receive, send):
    """Forget notes and gates; what waits at one goes on."""
    for each in GATES.values():
        each.set()
    NOTES.clear()
    GATES.clear()
    await answer(send, "forgotten")


@case
async def resources(scope, receive, send):
    gc.collect()
    kinds = {}
    for each in gc.get_objects():
        kinds[type(each).__name__] = kinds.get(type(each).__name__, 0) + 1
    with builtins.open("/proc/self/statm") as file:
        resident = int(file.read().split()[1]) * 4
    await answer(
        send,
        {
            "objects": sum(kinds.values()),
            "kinds": kinds,
            "resident": resident,
            "descriptors": len(os.listdir("/proc/self/fd")),
            "tasks": len(asyncio.all_tasks()),
        },
    )


# -- scopes


def shown(value):
    """A value of a scope in JSON; bytes as Latin-1."""
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, dict):
        return {key: shown(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [shown(each) for each in value]
    return value


@case
async def scope(scope, receive, send):
    await answer(send, shown(scope))


@case
async def own_scope(scope, receive, send):
    """What one request does to its scope is not seen by the next."""
    seen = [
        scope["state"].get("mine"),
        scope.get("mine"),
        scope["extensions"].get("mine"),
        scope["asgi"].get("mine"),
    ]
    scope["state"]["mine"] = scope["mine"] = "changed"
    scope["headers"].append((b"mine", b"changed"))
    await answer(send, seen)


# -- request bodies


@case
async def events(scope, receive, send):
    received = await whole_body(receive)
    await answer(
        send, [[event["type"], event["body"].decode("latin-1"), event["more_body"]] for event in received]
    )


@case
async def digest(scope, receive, send):
    """The length and a sum of the body, and its longest event."""
    length = total = longest = 0
    more = True
    while more:
        event = await receive()
        length += len(event["body"])
        longest = max(longest, len(event["body"]))
        total = (total + sum(event["body"][::997])) % 65521
        more = event["more_body"]
    await answer(send, {"length": length, "sum": total, "longest": longest})


@case
async def echo(scope, receive, send):
    await start(send)
    more = True
    while more:
        event = await receive()
        more = event.get("more_body", False)
        await body(send, event.get("body", b""), more)


@case
async def gated_body(scope, receive, send):
    """Receive one event, then nothing until the gate opens."""
    first = await receive()
    note(scope, "first")
    await gate(scope).wait()
    rest = await whole_body(receive)
    await answer(send, len(joined([first, *rest])))


@case
async def until_disconnect(scope, receive, send):
    kinds = []
    while not kinds or kinds[-1] != "http.disconnect":
        event = await receive()
        kinds.append(event["type"])
        note(scope, event["type"])
    again = await receive()
    note(scope, again["type"])
    note(scope, await refusal(send, {"type": "http.response.start", "status": 200}))


@case
async def ignore_body(scope, receive, send):
    await answer(send, "ignored")


@case
async def one_event(scope, receive, send):
    await receive()
    await answer(send, "one")


@case
async def hint_then_body(scope, receive, send):
    await send({"type": "http.response.early_hint", "links": [b"</a>; rel=preload"]})
    await answer(send, joined(await whole_body(receive)).decode())


@case
async def raise_after_disconnect(scope, receive, send):
    event = await receive()
    while event["type"] != "http.disconnect":
        event = await receive()
    raise ValueError("client left")


@case
async def answer_after_disconnect(scope, receive, send):
    """An error handler's habit: answer 400 when the body fails."""
    events = await whole_body(receive)
    note(scope, events[-1]["type"])
    await start(send, 400)
    await body(send)


# -- receive


@case
async def watch(scope, receive, send):
    """Wait for the client's leaving beside the gate."""
    await whole_body(receive)
    leaving = asyncio.ensure_future(receive())
    opened = asyncio.ensure_future(gate(scope).wait())
    note(scope, "watching")
    await asyncio.wait([leaving, opened], return_when=asyncio.FIRST_COMPLETED)
    if leaving.done():
        note(scope, leaving.result()["type"])
        opened.cancel()
        return
    leaving.cancel()
    await answer(send, "still there")


@case
async def wait_for_receive(scope, receive, send):
    """Ask for the leaving again and again with a time limit."""
    await whole_body(receive)
    timeouts = 0
    for _ in range(50):
        try:
            await asyncio.wait_for(receive(), 0.002)
        except asyncio.TimeoutError:
            timeouts += 1
    await answer(send, timeouts)


@case
async def cancelled_body_waits(scope, receive, send):
    """Read a body with time limits far too short for the client."""
    received, timeouts = [], 0
    while not received or received[-1]["more_body"]:
        try:
            received.append(await asyncio.wait_for(receive(), 0.001))
            note(scope, len(joined(received)))
        except asyncio.TimeoutError:
            timeouts += 1
            if timeouts == 1:
                note(scope, "timeout")
    await answer(send, {"body": joined(received).decode(), "timeouts": timeouts > 0})


@case
async def cancelled_body_task(scope, receive, send):
    """Cancel a task that waits for the body, then read the body."""
    task = asyncio.ensure_future(receive())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    note(scope, task.cancelled())
    await answer(send, joined(await whole_body(receive)).decode())


@case
async def cancelled_then_busy(scope, receive, send):
    """Cancel a wait for the body; then no receive until the gate opens."""
    try:
        await asyncio.wait_for(receive(), 0.01)
    except asyncio.TimeoutError:
        note(scope, "timeout")
    await gate(scope).wait()
    await answer(send, joined(await whole_body(receive)).decode())


@case
async def two_body_waiters(scope, receive, send):
    first, second = asyncio.ensure_future(receive()), asyncio.ensure_future(receive())
    note(scope, "waiting")
    events = list(await asyncio.gather(first, second))
    await answer(send, sorted(event["body"].decode() for event in events))


@case
async def two_leaving_waiters(scope, receive, send):
    await whole_body(receive)
    waiters = [asyncio.ensure_future(receive()) for _ in range(2)]
    await asyncio.sleep(0)
    note(scope, "waiting")
    for event in await asyncio.gather(*waiters):
        note(scope, event["type"])


@case
async def after_completion(scope, receive, send):
    await answer(send, "done")
    note(scope, (await receive())["type"])
    note(scope, (await receive())["type"])
    note(scope, await refusal(send, {"type": "http.response.body", "body": b"more"}))
    note(scope, await refusal(send, {"type": "http.response.start", "status": 200}))


@case
async def waiting_at_completion(scope, receive, send):
    """A task that waits in receive() when the response is completed hears http.disconnect."""
    await whole_body(receive)
    waiter = asyncio.ensure_future(receive())
    await asyncio.sleep(0)
    await answer(send, "done")
    note(scope, (await waiter)["type"])


@case
async def await_again(scope, receive, send):
    once = receive()
    await once
    words = []
    for again in (once, once):
        try:
            await again
        except RuntimeError as error:
            words.append(str(error))
    await answer(send, words)


@case
async def is_disconnected(scope, receive, send):
    """Starlette's and anyio's way to ask: receive inside a scope that is cancelled already."""
    await whole_body(receive)
    found = []
    for _ in range(3):
        event = {}
        with anyio.CancelScope() as cancel:
            cancel.cancel()
            event = await receive()
        found.append(event.get("type"))
    await answer(send, found)


@case
async def anyio_group(scope, receive, send):
    """A task group whose child waits in receive() is cancelled."""
    await whole_body(receive)
    async with anyio.create_task_group() as group:
        group.start_soon(receive)
        await anyio.sleep(0)
        await anyio.sleep(0)
        group.cancel_scope.cancel()
    await answer(send, "left the group")


@case
async def anyio_fail_after(scope, receive, send):
    await whole_body(receive)
    try:
        with anyio.fail_after(0.01):
            await receive()
    except TimeoutError:
        await answer(send, "timed out")


@case
async def asyncio_timeout(scope, receive, send):
    await whole_body(receive)
    try:
        async with asyncio.timeout(0.01):
            await receive()
    except TimeoutError:
        await answer(send, [asyncio.current_task().cancelling()])


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


# -- errors


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
    with builtins.open("small.txt", "rb") as file:
        if "at" in query:
            file.read(int(query["at"]))
        event["file"] = file.fileno() if "number" in query else file
        await start(send)
        await send(event)


@case
async def zerocopy_parts(scope, receive, send):
    """Pieces of a file, one behind the other, between other pieces."""
    with builtins.open("small.txt", "rb") as file:
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
    with builtins.open("big.bin", "rb") as file:
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


# -- tasks and contexts


@case
async def context(scope, receive, send):
    before = NAME.get()
    NAME.set(key_of(scope))
    await asyncio.sleep(0)
    await receive()
    await answer(send, [before, NAME.get()])


@case
async def task(scope, receive, send):
    current = asyncio.current_task()
    frames = [frame.f_code.co_name for frame in current.get_stack()]
    await receive()
    found = [
        current is asyncio.current_task(),
        current in asyncio.all_tasks(),
        isinstance(current, asyncio.Task),
    ]
    child = asyncio.ensure_future(asyncio.sleep(0))
    await child
    note(scope, repr(current))
    await answer(
        send,
        [
            *found,
            frames[-1] in {"__call__", "dispatch"},
            child is not current,
            threading.current_thread().name,
        ],
    )


@case
async def print_stack(scope, receive, send):
    """The stack of a task that waits shows the application."""
    waiting = asyncio.current_task()
    found = []

    def look():
        found.extend(frame.f_code.co_name for frame in waiting.get_stack())
        gate(scope).set()

    asyncio.get_running_loop().call_soon(look)
    await gate(scope).wait()
    await answer(send, found)


@case
async def cancel_self(scope, receive, send):
    asyncio.current_task().cancel()
    try:
        await asyncio.sleep(0)
    except asyncio.CancelledError:
        await answer(send, "cancelled, and answered")


@case
async def gather_sends(scope, receive, send):
    """Tasks of their own may send."""
    await start(send)
    await asyncio.gather(*(asyncio.ensure_future(body(send, b"x" * 1000, True)) for _ in range(10)))
    await asyncio.ensure_future(send({"type": "http.response.body"}))


@case
async def fork(scope, receive, send):
    """Fork; the child lives on until the test ends it, or returns into the server."""
    child = os.fork()
    if child == 0:
        if scope["path"] == "/return":
            await answer(send, "the child's")
            return
        if scope["path"] == "/yield":
            await asyncio.sleep(3600)
        os._exit(os.system(":"))
    await answer(send, child)
    if scope["path"] != "/leave":
        _, outcome = await asyncio.get_running_loop().run_in_executor(None, os.waitpid, child, 0)
        note(scope, os.waitstatus_to_exitcode(outcome))


# -- applications that are not coroutine functions


class Awaitable:
    """An awaitable that is no coroutine."""

    def __init__(self, coroutine):
        self.coroutine = coroutine

    def __await__(self):
        return self.coroutine.__await__()


def custom_awaitable(scope, receive, send):
    return Awaitable(hello(scope, receive, send))


def a_future(scope, receive, send):
    return asyncio.ensure_future(hello(scope, receive, send))


async def _answer_and_wake(send, sock):
    await answer(send, "answered")
    sock.send(b"x")


def compiled(scope, receive, send):
    """A coroutine of uvloop's, which Cython has compiled; asyncio's is one of Python's."""
    ours, theirs = PAIRS[key_of(scope)] = socket.socketpair()
    ours.setblocking(False)
    task = asyncio.ensure_future(_answer_and_wake(send, theirs))
    TASKS.add(task)
    task.add_done_callback(TASKS.discard)
    return asyncio.get_running_loop().sock_recv(ours, 1)


def cancelled_in_compiled(scope, receive, send):
    """It waits in such a coroutine when it is cancelled."""
    ours, _ = PAIRS[key_of(scope)] = socket.socketpair()
    ours.setblocking(False)
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    loop.call_later(0.05, _cancel, task, scope)
    return loop.sock_recv(ours, 1)


class Bare:
    """An awaitable whose iterator knows neither throw nor close."""

    def __init__(self, future):
        self.future = future

    def __await__(self):
        return itertools.chain(self.future.__await__())


def cancelled_in_bare(scope, receive, send):
    """It waits in an iterator that cannot be told."""
    loop = asyncio.get_running_loop()
    loop.call_later(0.05, _cancel, asyncio.current_task(), scope)
    return Bare(loop.create_future())


def _cancel(task, scope):
    note(scope, inspect.getcoroutinestate(task.get_coro()))
    note(scope, bool(repr(task)))
    task.add_done_callback(lambda done: note(scope, done.cancelled()))
    task.cancel()


def in_task(scope, receive, send):
    """Something is done before the coroutine is made."""
    before = NAME.get()
    NAME.set("leaked")
    return answer(send, [before, asyncio.current_task() is not None])


def gives_none(scope, receive, send):
    return None


def raises_at_once(scope, receive, send):
    raise ValueError("before the coroutine")


def wrong_signature(scope):
    raise AssertionError


SYNCHRONOUS = {
    each.__name__.encode(): each
    for each in (
        custom_awaitable,
        a_future,
        compiled,
        cancelled_in_compiled,
        cancelled_in_bare,
        in_task,
        gives_none,
        raises_at_once,
        wrong_signature,
    )
}

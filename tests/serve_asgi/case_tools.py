"""What every case has at hand: its register, notes and gates, and the events of an answer."""

import asyncio
import json
import os

CASES = {}
NOTES = {}
GATES = {}
HERE = os.path.dirname(__file__)


def case(function):
    """Register a case under its name."""
    CASES[function.__name__] = function
    return function


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

"""The application of the live tests: one coroutine a case, chosen by the field X-Case, behind the validator.

A case leaves what it saw in NOTES under the request's query string, for the test to ask for (case `notes`),
and waits for the test at gates (case `open`). The cases are in the rooms cases_*.py.
"""

import asyncio
import builtins
import gc
import os

import cases_errors
import cases_requests
import cases_responses
import cases_tasks
from case_tools import CASES, GATES, NOTES, answer, case, gate, key_of
from validator import Validator

ROOMS = (cases_requests, cases_responses, cases_errors, cases_tasks)  # each registers its cases
STATE = {"colour": "green", "list": []}


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
        if headers.get(b"x-case") in cases_tasks.SYNCHRONOUS:
            return cases_tasks.SYNCHRONOUS[headers[b"x-case"]](scope, receive, send)
        if b"x-bare" in headers:
            return dispatch(scope, receive, send)
        return self.app(scope, receive, send)


application = Application(Validator(dispatch))


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

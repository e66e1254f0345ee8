"""Cases of tasks, contexts and callables that are no coroutine functions."""

import asyncio
import contextvars
import inspect
import itertools
import os
import socket
import threading
import time

from case_tools import answer, body, case, gate, key_of, note, start
from cases_responses import hello

PAIRS = {}
PASSES = {}  # key: passes of the loop
TASKS = set()
NAME = contextvars.ContextVar("name", default="nobody")


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
async def soon(scope, receive, send):
    """The loop's call_soon is as ever, in the first step of a Task, too."""
    loop, seen, other = asyncio.get_running_loop(), [], contextvars.copy_context()
    NAME.set(key_of(scope))
    other.run(NAME.set, "other")
    loop.call_soon(lambda *given: seen.append([*given, NAME.get()]), 1, 2)
    loop.call_soon(lambda: seen.append(NAME.get()), context=other)
    cancelled = loop.call_soon(seen.append, "never")
    cancelled.cancel()
    child = asyncio.Task(asyncio.sleep(0, "slept"))
    first = list(seen)
    await answer(send, [first, await child, seen])


@case
async def watch_passes(scope, receive, send):
    """Count the passes of the loop until the gate opens."""
    loop, opened, key = asyncio.get_running_loop(), gate(scope), key_of(scope)
    PASSES[key] = 0

    def count():
        PASSES[key] += 1
        if not opened.is_set():
            loop.call_soon(count)

    loop.call_soon(count)
    await answer(send, None)


@case
async def compute(scope, receive, send):
    """Compute for 2 ms, and tell the loop's pass."""
    until = time.monotonic() + 0.002
    while time.monotonic() < until:
        pass
    await answer(send, PASSES[key_of(scope)])


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

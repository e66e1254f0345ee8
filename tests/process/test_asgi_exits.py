"""sys.exit() in a task or a callback of an ASGI application: what becomes of the other requests."""

from concurrent.futures import ThreadPoolExecutor

import pytest

EXITS = """
import asyncio, sys

WAITING, ALL_WAIT, GATE = [], asyncio.Event(), asyncio.Event()

def leave(error):
    asyncio.get_running_loop().call_later(0.1, GATE.set)
    raise error

async def leave_in_task(error):
    leave(error)

async def lifespan(receive, send):
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    print("shut down", flush=True)
    await send({"type": "lifespan.shutdown.complete"})

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return await lifespan(receive, send)
    _, way, name = scope["path"].split("/")
    error = {"exit": SystemExit(4), "interrupt": KeyboardInterrupt()}.get(name)
    if way == "wait":
        WAITING.append(scope)
        if len(WAITING) == 5:
            ALL_WAIT.set()
    else:
        await ALL_WAIT.wait()
    if way == "task":
        await asyncio.create_task(leave_in_task(error))
    if way == "callback":
        asyncio.get_running_loop().call_soon(leave, error)
    if way == "later":
        asyncio.get_running_loop().call_later(0.05, leave, error)
    await GATE.wait()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body"})
"""


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
@pytest.mark.parametrize(
    ("guilty", "status"), [("/task/exit", 500), ("/task/interrupt", 500), ("/callback/exit", 200)]
)
def test_exit_in_a_task_retires_the_worker_and_fails_nobody_else(server, loop, guilty, status):
    """All in flight are answered, the lifespan is shut down, and a new worker is there."""
    each = server(target="app", arguments=("--loop", loop))
    (each.directory / "app.py").write_text(EXITS)
    each.boot()
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(each.get, ["/wait/"] * 5 + [guilty]))
    assert [200] * 5 + [status] == [answer[0] for answer in answers]
    each.wait_for("asks to be retired.*the application asked to exit")
    each.wait_for("worker ended.*exited with status 0")
    assert 1 == each.output.count("shut down")
    assert 1 == each.output.count("exit in a task or callback of the application")
    each.wait_for_workers(1)


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_worker_outlives_every_exit_until_it_is_drained(server, loop):
    """A second one does not cut what the first has spared."""
    each = server(target="app", arguments=("--loop", loop))
    (each.directory / "app.py").write_text(EXITS)
    each.boot()
    with ThreadPoolExecutor(7) as pool:
        answers = list(pool.map(each.get, ["/wait/"] * 5 + ["/task/exit", "/later/interrupt"]))
    assert [200] * 5 + [500, 200] == [answer[0] for answer in answers]
    each.wait_for("worker ended.*exited with status 0")
    assert 2 == each.output.count("exit in a task or callback of the application")

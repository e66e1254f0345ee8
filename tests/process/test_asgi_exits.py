"""sys.exit() in a task or a callback of an ASGI application: what becomes of the other requests."""

import contextlib
import signal
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

UNENDING = """
import asyncio

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        print("shut down", flush=True)
        return await send({"type": "lifespan.shutdown.complete"})
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while True:
        await send({"type": "http.response.body", "body": b"tick", "more_body": True})
        try:
            await asyncio.sleep(0.05)
        except asyncio.CancelledError:
            print("cancelled", flush=True)
            if scope["path"] != "/deaf":
                raise
"""
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


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
@pytest.mark.parametrize("path", ["/", "/deaf"])
def test_a_stream_without_an_end_is_cancelled_before_the_drain_is_over(server, loop, path):
    """The application hears of it, in its request and in its shutdown; the client sees that it was cut."""
    each = server(target="app", arguments=("--loop", loop, "--drain-timeout", "2"))
    (each.directory / "app.py").write_text(UNENDING)
    each.boot()
    with socket.create_connection(each.address, 20) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        assert client.recv(1)
        each.send(signal.SIGTERM)
        received = b""
        cut = contextlib.suppress if path == "/deaf" else pytest.raises  # by the worker's end, at the latest
        with cut(ConnectionResetError):
            while part := client.recv(65536):
                received += part
    each.wait()
    assert b"\r\n0\r\n" not in received
    each.wait_for("requests that still run are cancelled.*requests=1")
    each.wait_for("cancelled\n")
    each.wait_for("shut down\n")
    each.wait_for(f"worker ended.*exited with status {int(path == '/deaf')}")

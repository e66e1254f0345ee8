"""What the log tells of ASGI workers whose requests wait, or whose loop is blocked, in a real cluster."""

import socket
import time

import pytest

from forkcluster.manager.control import ask

APP = """
import asyncio, time
async def innermost():
    await asyncio.Event().wait()
async def middle():
    await innermost()
async def child():
    await asyncio.sleep(3600)
def blocking():
    time.sleep(1.5)
async def application(scope, receive, send):
    if scope["type"] != "http":
        raise RuntimeError("http only")
    if scope["path"] == "/late":
        await middle()
    if scope["path"] == "/gathered":
        await asyncio.gather(asyncio.create_task(child(), name="the child"))
    if scope["path"] == "/receive":
        await receive()
        await receive()
    if scope["path"] == "/apart":
        task = asyncio.create_task(child(), name="apart")
        await asyncio.Event().wait()
    if scope["path"] == "/blocking":
        blocking()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body"})
"""


@pytest.fixture(params=["uvloop", "asyncio"])
def boot(request, server):
    """Start one ASGI worker with these options, on each loop."""

    def start(*arguments):
        each = server(arguments=[*arguments, "--loop", request.param], workers=1)
        (each.directory / "app.py").write_text(APP)
        return each.boot()

    return start


def request(each, path):
    """Send a request, and leave its answer unread."""
    client = socket.create_connection(each.address)
    client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    return client


def test_late_request_is_told_down_its_chain_of_awaits(boot):
    """Each coroutine of its Task, and the future at the end: not only the loop's poll."""
    each = boot("--request-warn", "0.3")
    with request(each, "/late"):
        each.wait_for("a request takes long.*GET /late")
        each.wait_for(r"GET /late waits for \d\.\d s:")
        each.wait_for("in innermost")
        each.wait_for("waits for <.*Future")
    chain = each.output[each.output.index("GET /late waits") :]
    places = [chain.index(f"in {name}\n") for name in ("application", "middle", "innermost")]
    assert sorted(places) == places
    assert "await innermost()" in chain


@pytest.mark.parametrize(
    ("path", "seen"),
    [
        ("/gathered", "(?s)waits for task 'the child':.*in child\n"),
        ("/receive", r"(?s)in application\n.*in receive\(\)"),
        ("/apart", "(?s)task 'apart':.*in child\n"),
    ],
)
def test_what_a_request_waits_for_is_followed(boot, path, seen):
    """Tasks that it awaits, our own awaitables; and tasks that no request awaits are told after it."""
    each = boot("--request-warn", "0.3")
    with request(each, path):
        each.wait_for(seen)


def test_blocked_loop_is_logged_with_its_stack_and_request(boot):
    """The handler's own frames, and the request whose Task they run in."""
    each = boot("--loop-stall-timeout", "0.3")
    with request(each, "/blocking") as client:
        each.wait_for("the event loop is blocked")
        each.wait_for("in blocking")
        each.wait_for("The task of this request is running: GET /blocking, for")
        assert client.recv(1000).startswith(b"HTTP/1.1 200")
    assert 1 == each.output.count("the event loop is blocked")


def test_request_that_waits_does_not_block_its_loop(boot):
    """A loop is blocked when it does not turn, however long its requests take."""
    each = boot("--loop-stall-timeout", "0.3", "--request-warn", "1.5")
    with request(each, "/late"):
        each.wait_for("a request takes long")
    each.drain()
    assert "is blocked" not in each.output


def test_stacks_are_asked_for_while_the_loop_is_idle(boot):
    """The command gives the stacks of a worker that has nothing to do."""
    each = boot()
    until = time.monotonic() + 20
    (answer,) = ask(each.control, "stacks")["workers"]
    assert "most recent call first" in answer["stacks"]
    assert time.monotonic() < until

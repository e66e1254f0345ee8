"""Answers that are not complete when their worker ends: the client must see that."""

import signal
import socket

import pytest

ENDLESS = {
    "wsgi": """
import threading

def application(environ, start_response):
    start_response("200 OK", [])
    yield b"first"
    threading.Event().wait()
""",
    "asgi": """
import asyncio

async def application(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"first", "more_body": True})
    await asyncio.Event().wait()
""",
    "asgi, blocked": """
import threading

async def application(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"first", "more_body": True})
    threading.Event().wait()
""",
}


WHOLE = {
    "wsgi": """
def application(environ, start_response):
    start_response("200 OK", [])
    yield from [b"x" * 65536] * 64
""",
    "asgi": """
async def application(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(64):
        await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
    await send({"type": "http.response.body"})
""",
}


def begin(client):
    """Ask, and wait for the first part of the body."""
    client.sendall(b"GET / HTTP/1.0\r\n\r\n")
    received = b""
    while b"first" not in received:
        received += client.recv(65536)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT], ids=["deadline", "quit"])
@pytest.mark.parametrize("app", ENDLESS)
def test_answer_that_ends_with_its_connection_is_reset_when_it_is_cut(server, app, number):
    """A client of HTTP/1.0 takes the end of the connection for the end of the answer: it gets a reset."""
    each = server(arguments=("--drain-timeout", "0.5"))
    (each.directory / "app.py").write_text(ENDLESS[app])
    each.boot()
    with socket.create_connection(each.address, 20) as client:
        begin(client)
        each.send(number)
        with pytest.raises(ConnectionResetError):
            client.recv(65536)
    each.wait()
    assert "killed by SIGKILL" not in each.output


@pytest.mark.parametrize("app", ENDLESS)
def test_answer_that_ends_with_its_connection_is_reset_when_its_worker_is_killed(server, app):
    """As for a request over its time, or by the kernel for want of memory: nobody is left to say anything."""
    each = server()
    (each.directory / "app.py").write_text(ENDLESS[app])
    each.boot()
    with socket.create_connection(each.address, 20) as client:
        begin(client)
        (worker,) = each.processes("worker")
        each.send(signal.SIGKILL, worker.pid)
        with pytest.raises(ConnectionResetError):
            client.recv(65536)


@pytest.mark.parametrize("app", WHOLE)
@pytest.mark.parametrize("pipelined", [b"", b"GET / HTTP/1.0\r\n\r\n"], ids=["alone", "with more behind"])
def test_whole_answer_that_ends_with_its_connection_reaches_a_slow_client(server, app, pipelined):
    """What still waits in the kernel when the connection is closed is delivered, and no reset follows it."""
    each = server()
    (each.directory / "app.py").write_text(WHOLE[app])
    each.boot()
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        client.settimeout(20)
        client.connect(each.address)
        client.sendall(b"GET / HTTP/1.0\r\n\r\n" + pipelined)
        _, _, body = b"".join(iter(lambda: client.recv(65536), b"")).partition(b"\r\n\r\n")
    assert 64 * 65536 == len(body)

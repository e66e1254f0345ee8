"""Answers that are not complete when their worker's time is over: the client must see that."""

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


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT], ids=["deadline", "quit"])
@pytest.mark.parametrize("app", ENDLESS)
def test_answer_that_ends_with_its_connection_is_reset_when_it_is_cut(server, app, number):
    """A client of HTTP/1.0 takes the end of the connection for the end of the answer: it gets a reset."""
    each = server(arguments=("--drain-timeout", "0.5"))
    (each.directory / "app.py").write_text(ENDLESS[app])
    each.boot()
    with socket.create_connection(each.address, 20) as client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        received = b""
        while b"first" not in received:
            received += client.recv(65536)
        each.send(number)
        with pytest.raises(ConnectionResetError):
            client.recv(65536)
    each.wait()
    assert "killed by SIGKILL" not in each.output

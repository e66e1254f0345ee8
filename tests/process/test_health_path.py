"""--health-path: answered by the engine, for load balancers that can reach nothing else."""

import re
import signal
import socket

import pytest
from harness import until
from test_admin import fetch

from forkcluster.manager.control import ask

ASGI = """
async def application(scope, receive, send):
    if scope["type"] != "http":
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["path"].encode()})
"""


@pytest.fixture(params=["wsgi", "asgi"])
def running(server, request, tmp_path):
    """A server with a health path and an access log, of both interfaces."""
    running = server(arguments=("--health-path", "/-/up", "--access-log", f"{tmp_path}/access.log"))
    if request.param == "asgi":
        (running.directory / "app.py").write_text(ASGI)
    return running.boot()


def talk(server, *requests):
    """Send requests in one go on one connection; give all that comes until its end."""
    with socket.create_connection(server.address, timeout=20) as line:
        line.sendall("".join(requests).encode())
        data = b""
        while part := line.recv(65536):
            data += part
    return data.decode()


def ask_for(target, method="GET", more=""):
    return f"{method} {target} HTTP/1.1\r\nHost: a\r\n{more}\r\n"


LAST = "Connection: close\r\n"


def test_the_engine_answers_it_between_other_requests(running):
    """On a connection that stays, in its place among pipelined requests, with a query or not."""
    text = talk(
        running,
        ask_for("/a"),
        ask_for("/-/up"),
        ask_for("/-/up?probe=1"),
        ask_for("/b"),
        ask_for("/-/up", more=LAST),
    )
    answers = re.findall(r"HTTP/1.1 (\d+)", text)
    assert ["200"] * 5 == answers
    assert 3 == text.count("\r\n\r\nok\n")
    assert text.endswith("\r\n\r\nok\n")


def test_head_has_no_body_and_other_requests_are_the_applications(running):
    """HEAD counts as GET; a POST, a longer or a shorter path is none of the engine's business."""
    assert talk(running, ask_for("/-/up", "HEAD", LAST)).endswith("\r\n\r\n")
    for request in (
        ask_for("/-/up", "POST", "Content-Length: 0\r\n" + LAST),
        ask_for("/-/upper", more=LAST),
        ask_for("/-/u", more=LAST),
    ):
        assert not talk(running, request).endswith("\r\n\r\nok\n")


def test_it_is_neither_counted_nor_logged(running, tmp_path):
    """Probes are not traffic: no metric and no line of the access log has them."""
    for _ in range(5):
        assert talk(running, ask_for("/-/up", more=LAST)).startswith("HTTP/1.1 200")
    talk(running, ask_for("/real", more=LAST))
    until(lambda: "/real" in (tmp_path / "access.log").read_text(), "the line of the access log")
    assert "/-/up" not in (tmp_path / "access.log").read_text()
    assert 1 == ask(running.control, "status")["workers"][0]["requests"]
    found = re.findall(r'^forkcluster_requests_total\{.*"2xx"\} (\S+)$', fetch(running, "/metrics")[1], re.M)
    assert 1.0 == sum(map(float, found))


def test_it_says_503_while_the_app_is_not_ready(server):
    """From the first moment of --drain-delay on, while requests are still answered."""
    running = server(arguments=("--health-path", "/-/up", "--drain-delay", "10")).boot()
    assert (200, b"ok\n") == running.get("/-/up")
    running.send(signal.SIGTERM)
    until(lambda: running.get("/-/up") == (503, b"not ready\n"), "503")
    assert 200 == running.get("/")[0]
    running.send(signal.SIGQUIT)
    assert 0 == running.wait()

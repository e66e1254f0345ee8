"""RFC 6455 section 4 against the live server: the handshake, and the application's ways to decline."""

from __future__ import annotations

import json
import re

import pytest
from client import Cut
from server import Server
from starter import Starter
from websockets.sync.client import connect
from ws_client import (
    LOOPS,
    SERVING,
    TEXT,
    Frame,
    Socket,
    ask,
    dial,
    frame,
)


@pytest.fixture(scope="module", params=LOOPS)
def server(request: pytest.FixtureRequest, started: Starter) -> Server:
    """One worker on each loop, with limits that a test can reach."""
    return started(*SERVING, f"--loop={request.param}")


# -- the opening handshake (RFC 6455 section 4) --------------------------------------------------------


def test_upgrade_is_answered_with_the_accept_key(server):
    """The proof of section 4.2.2, the fields of a 101, and ours."""
    answer = Socket(server.address).open("/echo")
    assert ["websocket", "Upgrade"] == [answer.one("Upgrade"), answer.one("Connection")]
    assert ["forkcluster", "yes"] == [answer.one("Server"), answer.one("X-All")]
    assert None is answer.one("Sec-WebSocket-Protocol")


@pytest.mark.parametrize(
    "replaced",
    [
        {"Sec_WebSocket_Key": None},
        {"Sec_WebSocket_Key": "c2hvcnQ="},
        {"Sec_WebSocket_Key": "?" * 24},
        {"Sec_WebSocket_Version": None},
    ],
    ids=["no key", "short key", "key not base64", "no version"],
)
def test_bad_handshake_is_400_and_never_reaches_the_application(server, replaced):
    """Section 4.2.1."""
    answer, line = ask(server, **replaced)
    assert 400 == answer.status
    assert line.ended()


def test_other_version_is_told_which_one_is_spoken(server):
    """Section 4.4: 426 with the version; RFC 9110 15.5.22: and with the protocol."""
    answer, _ = ask(server, Sec_WebSocket_Version="8")
    assert [426, "13"] == [answer.status, answer.one("Sec-WebSocket-Version")]
    assert ["websocket", "upgrade, close"] == [answer.one("Upgrade"), answer.one("Connection")]


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("framing", ["Content-Length: 9", "Transfer-Encoding: chunked"])
def test_handshake_with_a_body_is_refused(server, framing, at_once):
    """What follows the head is the request's content: no frames, however it arrives.

    Clause: RFC 9112 section 6.3 (message body length).
    """
    line = Socket(server.address)
    head = "\r\n".join(
        ["GET /echo HTTP/1.1", "Host: a", "Connection: Upgrade", "Upgrade: websocket", framing,
         "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Version: 13", "", ""]
    )  # fmt: skip
    line.send(head.encode() + (frame(TEXT, b"abc") if at_once else b""))
    assert 400 == line.answer().status


def test_upgrade_to_something_else_is_an_ordinary_request(server):
    """RFC 9110 section 7.8: an unknown protocol is ignored."""
    answer, _ = ask(server, Upgrade="h2c")
    assert [200, b"plain"] == [answer.status, answer.body]


def test_application_chooses_the_subprotocol(server):
    """It is offered all of them and names one.

    Clause: ASGI WebSocket, "Accept": subprotocol; RFC 6455 section 4.2.2.
    """
    answer, _ = ask(server, "/accept?subprotocol=two", Sec_WebSocket_Protocol="one, two")
    assert [101, "two"] == [answer.status, answer.one("Sec-WebSocket-Protocol")]


def test_application_adds_fields_to_the_acceptance(server):
    """In its order, repeated ones repeated.

    Clause: ASGI WebSocket, "Accept": headers.
    """
    answer, _ = ask(server, "/accept?headers=1")
    assert ["one", "two"] == answer.all("X-Mine")


@pytest.mark.parametrize(
    "field",
    ["name=X-A&value=a%0D%0AX-B:%20b", "name=X%20A&value=a", "name=Sec-WebSocket-Protocol&value=a",
     "name=Upgrade&value=h2c"],
    ids=["line break", "bad name", "subprotocol", "upgrade"],
)  # fmt: skip
def test_application_cannot_break_the_acceptance(server, name, field):
    """What would split or contradict the answer is the application's error: 500, and logged.

    Clause: ASGI WebSocket, "Accept": headers.
    """
    answer, _ = ask(server, f"/bad_accept?id={name}&{field}")
    assert 500 == answer.status
    server.wait_log(f'target="?/bad_accept\\?id={name}&')


def test_scope_is_complete(server):
    """ASGI: the scope of a WebSocket.

    Clause: ASGI WebSocket, "WebSocket Connection Scope".
    """
    line = dial(server, "/scope?a=1&b=%20", "Sec-WebSocket-Protocol: x, y", "X-Twice: 1", "X-Twice: 2")
    scope = json.loads(line.frame().data)
    host, port = line.socket.getsockname()
    assert ["bytes", "bytes"] == sorted({kind for pair in scope.pop("kinds") for kind in pair}) * 2
    assert {
        "type": "websocket", "asgi": {"version": "3.0", "spec_version": "2.5"}, "http_version": "1.1",
        "scheme": "ws", "path": "/scope", "raw_path": "/scope", "query_string": "a=1&b=%20",
        "root_path": "", "headers": None,
        "client": [host, port], "server": ["127.0.0.1", server.port], "subprotocols": ["x", "y"],
        "state": {"started": True}, "extensions": {"websocket.http.response": {}},
    } == scope  # fmt: skip


def test_frames_sent_before_the_answer_are_kept(server):
    """A client may not do it, but a proxy may deliver head and first frame together.

    Clause: ASGI WebSocket, "Connect": no receive event before Accept; RFC 6455 section 4.1.
    """
    line = Socket(server.address)
    head = "\r\n".join(
        ["GET /echo HTTP/1.1", "Host: a", "Connection: Upgrade", "Upgrade: websocket",
         "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Version: 13", "", ""]
    )  # fmt: skip
    line.send(head.encode() + frame(TEXT, b"early"))
    assert 101 == line.head().status
    assert Frame(TEXT, b"early", True, 0) == line.frame()


def test_handshakes_are_counted_and_logged(started):
    """101, 403 and 400 are answers like any other."""
    server = started("ws_cases:application", "--access-log=-", "--access-log-format=%(r)s -> %(s)s")
    with connect(server.url("/echo").replace("http", "ws")):
        server.wait_log(r"GET /echo HTTP/1.1 -> 101")
    ask(server, "/refuse")
    server.wait_log(r"GET /refuse HTTP/1.1 -> 403")
    ask(server, "/echo?bad", Sec_WebSocket_Key="x")
    server.wait_log(r"GET /echo\?bad HTTP/1.1 -> 400")


# -- declining -----------------------------------------------------------------------------------------


def test_close_before_accept_is_403(server, name):
    """ASGI: websocket.close; what is sent later is an error, what is received the end."""
    answer, line = ask(server, f"/refuse?id={name}")
    assert [403, b""] == [answer.status, answer.body]
    server.wait_log(f"{name}: websocket.disconnect")
    server.wait_log(f"{name}: send RuntimeError")
    assert line.ended()


@pytest.mark.parametrize("status", [401, 429, 503])
def test_denial_response_is_the_applications_own(server, name, status):
    """ASGI: the extension websocket.http.response, in pieces."""
    answer, _ = ask(server, f"/deny?id={name}&status={status}")
    assert [status, "because", b"not you"] == [answer.status, answer.one("X-Why"), answer.body]
    server.wait_log(f"{name}: websocket.disconnect")


def test_denial_that_is_not_finished_is_cut(server, name):
    """A truncated answer must look truncated.

    Clause: ASGI extensions, "WebSocket Denial Response".
    """
    with pytest.raises(Cut):
        ask(server, f"/deny_in_part?id={name}")
    server.wait_log("the application returned without completing its response")


@pytest.mark.parametrize("case", ["raise_early", "return_early"])
def test_failure_before_accept_is_500(server, name, case):
    """An exception, or no answer at all.

    Clause: RFC 6455 section 4.2.2; RFC 9110 section 15.6.1 (500).
    """
    assert 500 == ask(server, f"/{case}?id={name}")[0].status


def test_fault_is_logged_with_its_traceback_and_the_request(server, name):
    """Early and late alike."""
    for case in ("raise_early", "raise_late"):
        _, line = ask(server, f"/{case}?id={name}")
        if case == "raise_late":
            line.send(frame(TEXT, b"now"))
        server.wait_log(f'error in the application method=GET target="/{case}\\?id={name}"')
    assert 2 == len(re.findall(f"LookupError: raised for {name}$", server.log, re.M))


def test_client_that_leaves_before_the_answer_is_told_of(server, name):
    """receive gives disconnect 1006, accept raises OSError."""
    line = Socket(server.address)
    line.send(
        f"GET /hesitate?id={name} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    line.socket.close()
    server.wait_log(f"{name}: websocket.disconnect 1006")
    server.wait_log(f"{name}: accept OSError")

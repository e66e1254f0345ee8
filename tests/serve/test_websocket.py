"""WebSockets against the live server: RFC 6455 on the wire, and what ASGI promises to the application."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from client import Cut
from server import Server, until
from starter import Starter
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from ws_client import BINARY, CLOSE, CONT, PING, PONG, TEXT, Frame, Socket, closing, frame

from forkcluster._scoreboard import Scoreboard

NUMBERS = itertools.count()


@pytest.fixture(scope="module", params=["uvloop", "asyncio"])
def server(request: pytest.FixtureRequest, started: Starter) -> Server:
    """One worker on each loop, with limits that a test can reach."""
    return started(
        "ws_cases:application", f"--loop={request.param}", "--ws-max-size=100K", "--header=X-All: yes"
    )


@pytest.fixture(scope="module")
def impatient(started: Starter) -> Server:
    """A server that pings often and soon gives up."""
    return started(
        "ws_cases:application", "--ws-ping-interval=0.1", "--ws-ping-timeout=0.3", "--no-ws-deflate"
    )


@pytest.fixture(autouse=True)
def _hang_up() -> Iterator[None]:
    """Leave no connection open."""
    yield
    while Socket.made:
        Socket.made.pop().socket.close()


@pytest.fixture
def name() -> str:
    """What this test's conversation is called in the application's output."""
    return f"talk{next(NUMBERS)}"


def dial(server: Server, path: str, *fields: str) -> Socket:
    """An open WebSocket."""
    line = Socket(server.address)
    line.open(path, *fields)
    return line


def ask(server: Server, path: str = "/echo", *fields: str, **replaced: str | None) -> tuple:
    """The answer to an upgrade, and its connection."""
    line = Socket(server.address)
    return line.upgrade(path, *fields, **replaced), line


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
    """Section 4.4: 426 with the version."""
    answer, _ = ask(server, Sec_WebSocket_Version="8")
    assert [426, "13"] == [answer.status, answer.one("Sec-WebSocket-Version")]


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


# -- messages (sections 5 and 6) -----------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 100 * 1024])
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_messages_of_every_length_come_back(server, opcode, size):
    """All three forms of the length, up to the limit.

    Clause: RFC 6455 section 5.2 (payload length).
    """
    line = dial(server, "/echo")
    line.send(frame(opcode, b"a" * size))
    assert Frame(opcode, b"a" * size, True, 0) == line.frame()


def test_fragments_make_one_message_with_pings_between(server):
    """Section 5.4: control frames may come in the middle."""
    line = dial(server, "/echo")
    euro = "€uro".encode()
    line.send(frame(TEXT, euro[:1], fin=False) + frame(PING, b"!") + frame(CONT, euro[1:2], fin=False))
    assert Frame(PONG, b"!", True, 0) == line.frame()
    line.send(frame(CONT, b"", fin=False) + frame(CONT, euro[2:]))
    assert Frame(TEXT, euro, True, 0) == line.frame()


def test_message_in_single_bytes_is_the_same_message(server):
    """The kernel may cut anywhere.

    Clause: RFC 6455 section 5.2 (payload length).
    """
    line = dial(server, "/echo")
    for byte in frame(BINARY, bytes(range(200))):
        line.send(bytes([byte]))
    assert Frame(BINARY, bytes(range(200)), True, 0) == line.frame()


def test_many_messages_in_one_packet_keep_their_order(server):
    """More than the queue holds.

    Clause: ASGI WebSocket, "Receive": in order, once.
    """
    line = dial(server, "/echo")
    line.send(b"".join(frame(TEXT, str(number).encode()) for number in range(500)))
    assert [str(number) for number in range(500)] == [line.frame().data.decode() for _ in range(500)]


def test_ping_is_answered_with_its_data(server):
    """Section 5.5.3."""
    line = dial(server, "/accept")
    line.send(frame(PING, b"x" * 125))
    assert Frame(PONG, b"x" * 125, True, 0) == line.frame()


def test_unasked_pong_is_ignored(server):
    """Section 5.5.3: a unidirectional heartbeat."""
    line = dial(server, "/echo")
    line.send(frame(PONG, b"x") + frame(TEXT, b"a"))
    assert b"a" == line.frame().data


def test_cancelled_receive_loses_nothing(server):
    """An application may give up waiting, and wait again.

    Clause: ASGI WebSocket, "Receive": in order, once.
    """
    line = dial(server, "/impatient")
    assert b"now" == line.frame().data
    line.send(frame(TEXT, b"a"))
    assert b"a" == line.frame().data


def test_server_pushes_to_a_client_that_is_silent(server, name, tmp_path):
    """send does not need receive; and pings are answered meanwhile.

    Clause: ASGI WebSocket, "Send"; RFC 6455 section 5.5.2 (ping).
    """
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    line = dial(server, f"/push?id={name}&fifo={fifo}")
    line.send(frame(PING, b"?"))
    assert PONG == line.frame().opcode
    os.close(os.open(fifo, os.O_WRONLY))
    assert b"pushed" == line.frame().data


def test_two_dozen_connections_do_not_mix(server):
    """Each has its own.

    Clause: ASGI WebSocket, "Receive": in order, once.
    """
    lines = [dial(server, "/echo") for _ in range(24)]
    for number, line in enumerate(lines):
        line.send(frame(TEXT, f"hello {number}".encode()))
    assert [f"hello {number}" for number in range(24)] == [line.frame().data.decode() for line in lines]


# -- what breaks the protocol --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(TEXT, b"\xff\xfe"), 1007),
        (frame(TEXT, b"\xed\xa0\x80"), 1007),
        (frame(TEXT, b"\xe2\x82", fin=False) + frame(CONT, b"x"), 1007),
        (frame(TEXT, b"ok \xf4\x90\x80\x80"), 1007),
        (frame(TEXT, b"cut \xe2\x82"), 1007),
        (frame(BINARY, b"x" * (100 * 1024 + 1)), 1009),
        (frame(BINARY, b"x" * 60000, fin=False) + frame(CONT, b"x" * 60000), 1009),
        (frame(TEXT, b"a", mask=False), 1002),
        (frame(TEXT, b"a", reserved=4), 1002),
        (frame(TEXT, b"a", reserved=1), 1002),
        (frame(3, b"a"), 1002),
        (frame(11), 1002),
        (frame(CONT, b"a"), 1002),
        (frame(TEXT, b"a", fin=False) + frame(TEXT, b"b"), 1002),
        (frame(PING, b"a", fin=False), 1002),
        (frame(PING, b"a" * 126), 1002),
        (frame(CLOSE, b"\x03"), 1002),
        (closing(999), 1002),
        (closing(1005), 1002),
        (closing(1016), 1002),
        (frame(CLOSE, b"\x03\xe8\xff"), 1007),
    ],
    ids=[
        "not utf-8", "surrogate", "broken across fragments", "beyond unicode", "cut character", "too long",
        "too long in parts", "not masked", "reserved bit 1", "reserved bit 3", "reserved opcode",
        "reserved control opcode", "nothing to continue", "message inside a message", "fragmented ping",
        "long ping", "close of one byte", "close 999", "close 1005", "close 1016", "close reason not utf-8",
    ],
)  # fmt: skip
def test_fault_of_the_client_closes_with_its_code(server, name, data, code):
    """Sections 5 and 7.4.1; the application is told the code, and the connection ends.

    Clause: RFC 6455 sections 5 and 7.4.1 (close codes).
    """
    line = dial(server, f"/echo?id={name}")
    line.send(data)
    received = line.frame()
    assert [CLOSE, code] == [received.opcode, received.code]
    server.wait_log(f"{name}: disconnect {code} ")
    assert line.ended()


def test_messages_before_a_fault_are_still_served(server, name):
    """Order is kept to the last good one.

    Clause: RFC 6455 section 7.1.7 (fail the connection).
    """
    line = dial(server, f"/note?id={name}")
    line.send(frame(TEXT, b"good") + frame(TEXT, b"\xff") + frame(TEXT, b"after"))
    server.wait_log(f"{name}: disconnect 1007")
    assert CLOSE == line.frame().opcode
    assert [f"{name}: heard good"] == [words for words in server.lines if words.startswith(f"{name}: heard")]


def test_compressed_bomb_is_too_long(started):
    """The limit is on what comes out.

    Clause: RFC 7692 section 8 and RFC 6455 section 7.4.1 (1009).
    """
    server = started("ws_cases:application", "--ws-max-size=1M")
    with connect(f"ws://127.0.0.1:{server.port}/echo", compression="deflate") as line:
        line.send(b"\0" * (50 << 20))
        with pytest.raises(ConnectionClosed) as closed:
            line.recv()
    assert 1009 == closed.value.rcvd.code


# -- closing (section 7) -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "code", "reason"),
    [
        (closing(1000, "done"), 1000, "done"),
        (closing(1001), 1001, ""),
        (closing(3000, "ü"), 3000, "ü"),
        (closing(4999), 4999, ""),
        (frame(CLOSE), 1005, ""),
    ],
    ids=["1000", "1001", "3000", "4999", "no code"],
)
def test_client_closes_and_the_application_hears_code_and_reason(server, name, data, code, reason):
    """The close frame is returned, then the connection ends; no code is 1005.

    Clause: ASGI WebSocket, "Disconnect": code, reason; RFC 6455 section 7.1.5.
    """
    line = dial(server, f"/echo?id={name}")
    line.send(data)
    received = line.frame()
    assert [CLOSE, b"" if code == 1005 else code] == [received.opcode, received.data and received.code]
    server.wait_log(f"{name}: disconnect {code} {re.escape(json.dumps(reason))}")
    assert line.ended()


def test_messages_before_a_close_reach_the_application(server, name):
    """The end comes behind them, even in one packet.

    Clause: ASGI WebSocket, "Receive" and "Disconnect": in order.
    """
    line = dial(server, f"/note?id={name}")
    line.send(frame(TEXT, b"a") * 3 + closing(1000))
    server.wait_log(f"{name}: disconnect 1000")
    assert [f"{name}: heard a"] * 3 == [words for words in server.lines if words.startswith(f"{name}: heard")]


def test_lost_connection_is_1006(server, name):
    """No close frame was seen; a reset likewise.

    Clause: ASGI WebSocket, "Disconnect": code, reason; RFC 6455 section 7.1.5.
    """
    for leave in (lambda line: line.socket.close(), lambda line: line.reset()):
        line = dial(server, f"/echo?id={name}")
        leave(line)
        server.wait_log(f"{name}: disconnect 1006")


@pytest.mark.parametrize(
    ("query", "code", "reason"),
    [("", 1000, ""), ("&code=1001&reason=bye", 1001, "bye"), ("&code=4321&reason=%C3%BC", 4321, "ü")],
    ids=["default", "1001", "4321"],
)
def test_application_closes_with_code_and_reason(server, name, query, code, reason):
    """Sent to the client; then send is refused, a second close ignored, receive gives the disconnect."""
    line = dial(server, f"/close?id={name}{query}")
    received = line.frame()
    assert [CLOSE, code, reason] == [received.opcode, received.code, received.reason]
    line.send(frame(TEXT, b"crossed") + closing(code))
    assert line.ended()
    for words in ("close fine", "send RuntimeError", "close fine", f"disconnect {code}"):
        server.wait_log(f"{name}: {words}")
    assert f"{name}: heard" not in server.log


@pytest.mark.parametrize("query", ["code=1005", "code=1006", "code=999", f"code=1000&reason={'x' * 124}"])
def test_application_cannot_close_with_what_must_not_be_sent(server, name, query):
    """Section 7.4: an error to the application."""
    line = dial(server, f"/close?id={name}&{query}")
    server.wait_log(f"{name}: close ValueError")
    line.send(frame(CLOSE))


def test_send_after_the_client_left_raises_oserror(server, name):
    """ASGI 2.4; close is ignored, and receive gives the disconnect again."""
    line = dial(server, f"/outlive?id={name}")
    line.send(closing(1000))
    for words in ("disconnect 1000", "send OSError", "close fine", "websocket.disconnect again"):
        server.wait_log(f"{name}: {words}")


def test_exception_after_accept_closes_with_1011(server, name):
    """The client learns that it was the server.

    Clause: RFC 6455 section 7.4.1 (1011, 1000).
    """
    line = dial(server, f"/raise_late?id={name}")
    line.send(frame(TEXT, b"now"))
    assert 1011 == line.frame().code


def test_return_after_accept_closes_with_1000(server, name):
    """An application that has nothing more to say.

    Clause: RFC 6455 section 7.4.1 (1011, 1000).
    """
    assert 1000 == dial(server, f"/return_late?id={name}").frame().code


def test_events_out_of_order_are_errors_and_harmless(server, name):
    """Each raises in the application, and the conversation goes on.

    Clause: ASGI WebSocket, "Accept", "Send", "Close": what may come when.
    """
    line = dial(server, f"/nonsense?id={name}")
    assert b"still here" == line.frame().data
    for words in ("sned RuntimeError", "send RuntimeError", "accept RuntimeError", "send ValueError"):
        server.wait_log(f"{name}: {words}")


def test_half_closed_client_is_gone(server, name):
    """A WebSocket is over when one side ends the stream without a close frame.

    Clause: ASGI WebSocket, "Disconnect": code, reason; RFC 6455 section 7.1.5.
    """
    line = dial(server, f"/echo?id={name}")
    line.half_close()
    server.wait_log(f"{name}: disconnect 1006")


# -- pings of ours -------------------------------------------------------------------------------------


def test_silent_client_is_closed_for_its_ping(impatient, name):
    """1011 on the wire, and 1011 for the application.

    Clause: RFC 6455 section 5.5.3 (pong).
    """
    line = dial(impatient, f"/echo?id={name}")
    assert PING == line.frame().opcode
    received = line.frame()
    assert [CLOSE, 1011, "keepalive ping timeout"] == [received.opcode, received.code, received.reason]
    impatient.wait_log(f"{name}: disconnect 1011")


def test_client_that_answers_pings_stays(impatient):
    """Ping after ping, each with other data; messages pass.

    Clause: RFC 6455 section 5.5.3 (pong).
    """
    line = dial(impatient, "/echo")
    seen = set()
    for _ in range(5):
        ping = line.frame()
        assert PING == ping.opcode
        seen.add(ping.data)
        line.send(frame(PONG, ping.data))
    line.send(frame(TEXT, b"here"))
    assert b"here" == line.frame().data
    assert 5 == len(seen)


def test_pong_with_other_data_is_no_answer(impatient):
    """It must be the ping's own.

    Clause: RFC 6455 section 5.5.3 (pong).
    """
    line = dial(impatient, "/echo")
    line.frame()
    line.send(frame(PONG, b"other"))
    assert 1011 == line.frame().code


def test_slow_application_is_not_the_clients_fault(impatient, name, tmp_path):
    """While nothing is read the answers to pings cannot be seen, so none is missed.

    Clause: RFC 6455 section 5.5.3 (pong).
    """
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    line = dial(impatient, f"/hold?id={name}&fifo={fifo}")
    impatient.wait_log(f"{name}: holding")
    line.send(frame(BINARY, b"x" * 60000) * 8)
    line.send(frame(PONG, line.frame().data))
    line.socket.settimeout(1.0)
    with pytest.raises(TimeoutError):
        line.frame()
    line.socket.settimeout(10)
    os.close(os.open(fifo, os.O_WRONLY))
    line.send(frame(TEXT, b"end"))
    while (received := line.frame()).opcode == PING:
        line.send(frame(PONG, received.data))
    assert b"8 480000" == received.data


# -- compression (RFC 7692) ----------------------------------------------------------------------------


def test_deflate_is_agreed_on_when_offered(server):
    """And works both ways, in messages of any kind.

    Clause: RFC 7692 section 5 (negotiation).
    """
    with connect(f"ws://127.0.0.1:{server.port}/echo", compression="deflate") as line:
        assert "permessage-deflate" in line.response.headers["Sec-WebSocket-Extensions"]
        for message in ("a" * 10000, b"b" * 10000, "", ["in ", "three ", "parts"]):
            line.send(message)
            assert (message if not isinstance(message, list) else "in three parts") == line.recv()


def test_deflate_can_be_switched_off(impatient):
    """--no-ws-deflate.

    Clause: RFC 7692 section 5 (negotiation).
    """
    answer, _ = ask(impatient, "/echo", "Sec-WebSocket-Extensions: permessage-deflate")
    assert [101, None] == [answer.status, answer.one("Sec-WebSocket-Extensions")]


def test_unknown_extension_is_not_agreed_on(server):
    """Section 9.1."""
    answer, _ = ask(server, "/echo", "Sec-WebSocket-Extensions: x-unknown; a=b")
    assert [101, None] == [answer.status, answer.one("Sec-WebSocket-Extensions")]


# -- back-pressure -------------------------------------------------------------------------------------


def resident(server: Server) -> int:
    """Bytes of memory of the worker."""
    (pid,) = server.workers()
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE")


def test_client_that_does_not_read_holds_the_application_back(server, name):
    """send waits; what is kept for the client is bounded; then all of it arrives.

    Clause: ASGI WebSocket, "Send": back-pressure.
    """
    line = Socket(server.address, receive_buffer=16384)
    line.open(f"/flood?id={name}&pieces=200")
    before = resident(server)
    server.wait_log(f"{name}: waiting after")
    assert resident(server) - before < 8 << 20
    total = 0
    while (received := line.frame()).opcode == BINARY:
        total += len(received.data)
    assert [200 * 65536, CLOSE] == [total, received.opcode]


def test_application_that_does_not_receive_holds_the_client_back(server, name, tmp_path):
    """The socket fills up instead of the memory; nothing is lost.

    Clause: ASGI WebSocket, "Receive": back-pressure.
    """
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    line = dial(server, f"/hold?id={name}&fifo={fifo}")
    server.wait_log(f"{name}: holding")
    before = resident(server)
    piece, sent = frame(BINARY, b"x" * 65000), 0
    line.socket.settimeout(0.5)
    view = memoryview(b"")
    try:
        while sent < 1000:
            view = memoryview(piece)
            while view:
                view = view[line.socket.send(view) :]
            sent += 1
    except TimeoutError:
        pass
    assert sent < 1000
    assert resident(server) - before < 8 << 20
    os.close(os.open(fifo, os.O_WRONLY))
    line.socket.settimeout(10)
    line.send(bytes(view) + frame(TEXT, b"end"))
    assert f"{sent + 1} {(sent + 1) * 65000}".encode() == line.frame().data


def test_client_that_never_reads_is_cut_at_the_write_timeout(started, name):
    """It must not hold the application for ever.

    Clause: ASGI WebSocket, "Send": back-pressure.
    """
    server = started("ws_cases:application", "--write-timeout=0.5")
    line = Socket(server.address, receive_buffer=16384)
    line.open(f"/flood?id={name}&pieces=800")
    server.wait_log(f"{name}: cut after")


# -- drain ---------------------------------------------------------------------------------------------


def test_reload_closes_with_1012_and_the_next_generation_serves(started, name):
    """Clients are sent away, not cut; the application hears of it; the worker ends in order.

    Clause: RFC 6455 section 7.4.1 and its registry of codes (1012).
    """
    server = started("ws_cases:application", "--drain-timeout=10")
    (old,) = server.workers()
    lines = [dial(server, f"/echo?id={name}") for _ in range(5)]
    server.process.send_signal(signal.SIGHUP)
    received = [line.frame() for line in lines]
    assert [(CLOSE, 1012)] * 5 == [(each.opcode, each.code) for each in received]
    server.wait_log(f"{name}: disconnect 1012")
    for line in lines:
        line.send(closing(1012))
        assert line.ended()
    until(lambda: old not in server.workers(), "the end of the old worker")
    new = dial(server, "/pid")
    assert [int(new.frame().data)] == server.workers()


def test_client_that_ignores_1012_does_not_hold_up_a_stop(started, name):
    """The closing handshake has its time, the drain has its own.

    Clause: RFC 6455 section 7.4.1 and its registry of codes (1012).
    """
    server = started("ws_cases:application", "--drain-timeout=2")
    line = dial(server, f"/echo?id={name}")
    server.process.send_signal(signal.SIGTERM)
    assert 1012 == line.frame().code
    server.process.wait(8)


def test_library_client_reconnects_through_a_reload(started):
    """The `websockets` client, as a user has it: no exception but the close.

    Clause: RFC 6455 section 7.4.1 and its registry of codes (1012).
    """
    server = started("ws_cases:application", "--instances=2")
    url = f"ws://127.0.0.1:{server.port}/echo"
    with connect(url) as line:
        line.send("one")
        assert "one" == line.recv()
        server.process.send_signal(signal.SIGHUP)
        with pytest.raises(ConnectionClosed) as closed:
            line.recv(timeout=10)
    assert 1012 == closed.value.rcvd.code
    with connect(url) as line:
        line.send("two")
        assert "two" == line.recv()


def test_plain_requests_and_websockets_share_a_worker(server):
    """One connection may ask plainly first and be upgraded then.

    Clause: RFC 9110 section 7.8 (Upgrade).
    """
    line = Socket(server.address)
    assert b"plain" == line.get("/").body
    line.open("/echo")
    line.send(frame(TEXT, b"a"))
    assert b"a" == line.frame().data
    with server.client() as other:
        assert b"plain" == other.get("/").body


def test_over_a_unix_socket(started, tmp_path):
    """server is the path and no port; there is no client.

    Clause: ASGI WebSocket, "WebSocket Connection Scope".
    """
    path = str(tmp_path / "s")
    server = started("ws_cases:application", f"--bind=unix:{path}")
    line = Socket(path)
    line.open("/scope")
    scope = json.loads(line.frame().data)
    assert [[path, None], None] == [scope["server"], scope["client"]]
    assert socket.AF_UNIX == line.socket.family
    assert server.port == 0


def test_lag_of_the_loop_is_measured(started):
    """A request that blocks the loop shows on the scoreboard."""
    server = started("ws_cases:application")
    names = server.descriptors(server.process.pid).items()
    board = next(number for number, name in names if "memfd:forkcluster-scoreboard" in name)
    descriptor = os.open(f"/proc/{server.process.pid}/fd/{board}", os.O_RDONLY)
    line = Socket(server.address)
    assert b"blocked" == line.get("/block").body
    view = Scoreboard(descriptor)
    until(lambda: view.line(0)["loop_lag_ns"] > 200_000_000, "a lag of 0.6 s less 0.25 s")
    view.close()
    os.close(descriptor)

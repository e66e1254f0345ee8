"""RFC 6455 section 7 against the live server: who ends a WebSocket and how; pings; a drain."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import socket

import pytest
from server import Server, until
from starter import Starter
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from ws_client import (
    BINARY,
    CLOSE,
    LOOPS,
    PING,
    PONG,
    SERVING,
    TEXT,
    Socket,
    closing,
    dial,
    frame,
)


@pytest.fixture(scope="module", params=LOOPS)
def server(request: pytest.FixtureRequest, started: Starter) -> Server:
    """One worker on each loop, with limits that a test can reach."""
    return started(*SERVING, f"--loop={request.param}")


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


def test_client_with_much_to_read_comes_to_its_ping_late(impatient, name):
    """A ping is behind what was sent before it: while the client reads on, its pong is not late.

    Clause: RFC 6455 section 5.5.3 (pong).
    """
    line = Socket(impatient.address, receive_buffer=16384)
    line.open(f"/flood?id={name}&pieces=80")
    pieces = pings = 0
    while (received := line.frame()).opcode != CLOSE:
        if received.opcode == PING:
            line.send(frame(PONG, received.data))
            pings += 1
        else:
            pieces += 1
            select.select(
                [], [], [], 0.02
            )  # the slowness of this client: 40 pieces take longer than a pong may
    assert (80, 1000) == (pieces, received.code)
    assert pings


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
    line = Socket(server.address)
    assert b"blocked" == line.get("/block").body
    until(lambda: server.line()["loop_lag_ns"] > 200_000_000, "a lag of 0.6 s less 0.25 s")

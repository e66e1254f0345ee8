"""RFC 6455 sections 5 and 6 against the live server: messages, faults, compression, back-pressure."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from server import Server
from starter import Starter
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from ws_client import (
    BINARY,
    CLOSE,
    CONT,
    LOOPS,
    PING,
    PONG,
    SERVING,
    TEXT,
    Frame,
    Socket,
    ask,
    closing,
    dial,
    frame,
)


@pytest.fixture(scope="module", params=LOOPS)
def server(request: pytest.FixtureRequest, started: Starter) -> Server:
    """One worker on each loop, with limits that a test can reach."""
    return started(*SERVING, f"--loop={request.param}")


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


@pytest.mark.parametrize("character", ["é", "漢", "😀"])
def test_texts_that_are_more_bytes_than_characters_go_on_for_ever(server, character):
    """What waits for the application is counted as it is taken.

    Clause: RFC 6455 section 5.6 (text is UTF-8); ASGI, "Receive".
    """
    line = dial(server, "/echo")
    text = (character * 1000).encode()
    for _ in range(100):
        line.send(frame(TEXT, text))
        assert Frame(TEXT, text, True, 0) == line.frame()


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
    while (received := line.frame()).opcode in (BINARY, PING):  # a ping, where this takes long
        total += len(received.data) if received.opcode == BINARY else 0
    assert [200 * 65536, CLOSE] == [total, received.opcode]


def test_client_that_sends_all_before_it_reads_is_heard(server):
    """What it does not read yet keeps the application's sends waiting, not its own messages.

    Clause: ASGI WebSocket, "Receive": messages come as they are sent.
    """
    line = Socket(server.address, receive_buffer=16384)
    line.open(f"/duplex?pieces=100&bytes={300 * 65536}")
    for _ in range(300):
        line.send(frame(BINARY, b"x" * 65536))
    assert [BINARY] * 100 == [line.frame().opcode for _ in range(100)]


def test_client_that_pings_and_does_not_read_is_held_back(server):
    """Its pongs are kept up to a bound; no ping is read beyond it, and none is lost.

    Clause: RFC 6455 section 5.5.2 (ping).
    """
    line = Socket(server.address, receive_buffer=16384)
    line.open("/echo")
    line.socket.settimeout(0.5)
    ping, sent = frame(PING, b"x" * 125), 0
    with pytest.raises(TimeoutError):
        while sent < 32 << 20:
            at = sent % len(ping)
            sent += line.socket.send((ping * 1000)[at:])
    line.socket.settimeout(10)
    pongs = bytes([0x80 | PONG, 125]) + b"x" * 125
    pongs *= sent // len(ping)
    assert pongs == line.read(len(pongs))


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

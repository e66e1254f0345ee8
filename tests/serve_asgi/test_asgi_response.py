"""Responses: HTTP & WebSocket 2.5, "Response Start" and "Response Body"; RFC 9110 and 9112 on the wire."""

import socket
import threading

import pytest
from harness import until
from wire import CutError


def test_single_body(live):
    """One body event: Content-Length is known, no chunks.

    Clause: ASGI HTTP, "Response Body"; RFC 9112 section 6.2 (Content-Length).
    """
    answer = live.ask("hello")
    assert (200, "OK", b"hello", "5", None) == (
        answer.status,
        answer.reason,
        answer.body,
        answer.get("content-length"),
        answer.get("transfer-encoding"),
    )


def test_defaults(live):
    """headers, body and more_body may be left out.

    Clause: ASGI HTTP, "Response Start" and "Response Body": defaults.
    """
    answer = live.ask("no_body_key")
    assert (200, b"", "0") == (answer.status, answer.body, answer.get("content-length"))


def test_pieces_arrive_one_by_one(live, key):
    """A piece reaches the client before the application gives the next.

    Clause: ASGI HTTP, "Response Body": data is flushed into the send buffer.
    """
    with live.wire() as wire:
        wire.request("pieces", target=f"/?{key}")
        assert "chunked" == wire.head().get("transfer-encoding")
        assert b"one" == wire.chunk()
        live.open(key)
        assert [b"two", b"three", b""] == [wire.chunk(), wire.chunk(), wire.chunk()]


def test_empty_first_piece(live, key):
    """An empty piece with more to come sends the head.

    Clause: ASGI HTTP, "Response Body": data is flushed into the send buffer.
    """
    with live.wire() as wire:
        wire.request("empty_first", target=f"/?{key}")
        assert 200 == wire.head().status
        live.open(key)
        assert b"rest" == wire.chunk()


def test_start_alone_sends_nothing(live, key):
    """The server must not begin to answer before the first body event.

    Clause: ASGI HTTP, "Response Start": nothing is sent before the first body event.
    """
    with live.wire() as wire:
        wire.request("start_only", target=f"/?{key}")
        live.wait_for_notes(key)
        wire.socket.setblocking(False)
        with pytest.raises(BlockingIOError):
            wire.socket.recv(1)
        wire.socket.settimeout(10)
        live.open(key)
        assert b"now" == wire.answer().body


def test_pieces_to_http_1_0(live, key):
    """A client of HTTP/1.0 gets no chunks; the end of the connection is the end of the answer.

    Clause: RFC 9112 section 7 and 9.3 (HTTP/1.0).
    """
    with live.wire() as wire:
        wire.request("pieces", target=f"/?{key}", version="1.0")
        answer = wire.head()
        live.open(key)
        assert (None, "close", b"onetwothree") == (
            answer.get("transfer-encoding"),
            answer.get("connection"),
            wire.rest(),
        )


def test_keep_alive_of_http_1_0(live):
    """A client of HTTP/1.0 that asks for it keeps its connection.

    Clause: RFC 9112 section 7 and 9.3 (HTTP/1.0).
    """
    with live.wire() as wire:
        for _ in range(2):
            assert "keep-alive" == wire.ask(
                "hello", version="1.0", headers=[("Connection", "keep-alive")]
            ).get("connection")


def stall(live, key):
    """How many pieces a flood gives before send() waits for a client that does not read."""
    seen = []
    until(
        lambda: seen.append(live.wait_for_notes(key)[0]) or (len(seen) > 3 and len(set(seen[-3:])) == 1),
        "a stall",
    )
    return seen[-1]


def test_back_pressure(live, key):
    """send() waits while the client does not read, and goes on when it does.

    Clause: ASGI HTTP, "Response Body": send waits when the buffer is full.
    """
    with live.wire(receive_buffer=4096) as wire:
        wire.request("flood", target=f"/?{key}")
        assert stall(live, key) < 256
        assert 32 << 20 == len(wire.answer().body)
        assert [512, "done"] == live.wait_for_notes(key, 2)
        assert b"hello" == wire.ask("hello").body


def test_all_that_was_sent_arrives_though_nothing_follows(live, key):
    """What the kernel could not take, and is less than lets send() wait, goes out when the client reads.

    Clause: ASGI HTTP, "Response Body": an event's data is sent, whatever follows and when.
    """
    with live.wire(receive_buffer=4096) as wire:
        wire.request("flood", target=f"/?{key}-flood")
        count = stall(live, f"{key}-flood") - 1  # two pieces less than made it wait
    with live.wire(receive_buffer=4096) as wire:
        wire.request("some_pieces", target=f"/?{key}", headers=[("Count", str(count))])
        live.wait_for_notes(key)
        wire.head()
        assert [65536] * count == [len(wire.chunk()) for _ in range(count)]
        live.open(key)
        assert b"" == wire.chunk()


def test_slow_reader_does_not_delay_others(live, key):
    """While one client does not read, others are served.

    Clause: ASGI HTTP, "Response Body": send waits when the buffer is full.
    """
    with live.wire(receive_buffer=4096) as wire:
        wire.request("flood", target=f"/?{key}")
        live.wait_for_notes(key)
        assert b"hello" == live.ask("hello").body


def test_fast_reader_does_not_delay_others(live, key):
    """Others are served while one client takes an endless answer as fast as it comes.

    Clause: ASGI HTTP, "Response Body": send waits when the buffer is full.
    """
    with live.wire() as wire:
        wire.request("flood_until_cut", target=f"/?{key}")
        enough = threading.Event()
        reader = threading.Thread(target=wire.swallow, args=(enough,))
        reader.start()
        try:
            for _ in range(10):
                assert b"hello" == live.ask("hello").body
        finally:
            enough.set()
            reader.join()
    live.wait_for_notes(key, 3)


@pytest.mark.parametrize(("case", "size"), [("passes_of_sends", 0), ("passes_of_receives", 4 << 20)])
def test_loop_passes_between_pieces(live, case, size):
    """A client as fast as its application lets the loop go on after 1 MiB at most.

    Clause: PEP 492: an await that never suspends would keep all other tasks waiting.
    """
    with live.wire() as wire:
        wire.request(case, "POST", body=b"x" * size)
        most = int(wire.answer().body.lstrip(b"x"))
    assert 65536 <= most <= (1 << 20) + 65536


@pytest.mark.parametrize("leave", ["reset", "close"])
def test_client_that_leaves_midway(live, key, leave):
    """send() raises OSError when the client has gone (specification 2.4), every time."""
    wire = live.wire(receive_buffer=4096)
    wire.request("flood_until_cut", target=f"/?{key}")
    wire.head()
    wire.reset() if leave == "reset" else wire.socket.close()
    found = live.wait_for_notes(key, 3)
    assert [True, True, "http.disconnect"] == [
        found[0].startswith("OSError"),
        found[1].startswith("OSError"),
        found[2],
    ]


def test_reader_too_slow(strict, key):
    """A client that takes nothing for --write-timeout is cut; send() raises OSError.

    Clause: ASGI HTTP, "Disconnected Client" send exception.
    """
    with strict.wire(receive_buffer=4096) as wire:
        wire.request("flood_until_cut", target=f"/?{key}")
        assert strict.wait_for_notes(key, 3)[0].startswith("OSError")
        with pytest.raises(CutError):
            wire.answer()


def test_cancelled_send(live, key):
    """A send() that is cancelled while it waits for room has sent what it was given, once.

    Clause: ASGI HTTP, "Response Body": send waits when the buffer is full.
    """
    with live.wire(receive_buffer=4096) as wire:
        wire.request("cancelled_send", target=f"/?{key}")
        (count,) = live.wait_for_notes(key)
        whole = wire.answer().body
        assert [b"%08d" % (i + 1) for i in range(count)] == [
            whole[i * 100_000 : i * 100_000 + 8] for i in range(count)
        ]
        assert b"end" == whole[count * 100_000 :]


def test_overtaken_send(live, key):
    """A send() that waits for room has succeeded when another task completes the answer.

    Clause: ASGI HTTP, "Response Body": send waits when the buffer is full.
    """
    with live.wire(receive_buffer=4096) as wire:
        wire.request("overtaken_send", target=f"/?{key}")
        assert [False, "taken"] == live.wait_for_notes(key, 2)
        assert b"x" * (4 << 20) + b"end" == wire.answer().body


STATUS = [
    (200, "OK"),
    (201, "Created"),
    (302, "Found"),
    (404, "Not Found"),
    (418, "I'm a Teapot"),
    (422, "Unprocessable Content"),
    (500, "Internal Server Error"),
    (599, ""),
    (999, ""),
]


@pytest.mark.parametrize(("code", "reason"), STATUS, ids=[str(code) for code, _ in STATUS])
def test_status(live, code, reason):
    """The status, with the reason phrase of RFC 9110 where there is one."""
    answer = live.ask("status", target=f"/{code}")
    assert (code, reason, b"text") == (answer.status, answer.reason, answer.body)


@pytest.mark.parametrize("code", [204, 304])
def test_status_without_body(live, code):
    """204 and 304 have no body and no length of one; the connection goes on (RFC 9112 section 6.3)."""
    with live.wire() as wire:
        answer = wire.ask("status", target=f"/{code}")
        assert (code, None, None) == (
            answer.status,
            answer.get("content-length"),
            answer.get("transfer-encoding"),
        )
        assert b"hello" == wire.ask("hello").body


@pytest.mark.parametrize("case", ["hello", "big", "headers", "kinds_of_bytes", "no_body_key"])
def test_head(live, case):
    """The answer to HEAD is that of GET without its body (RFC 9110 section 9.3.2)."""
    with live.wire() as wire:
        assert 200 == wire.ask(case, "HEAD").status
        assert b"hello" == wire.ask("hello").body


def test_head_of_pieces(live, key):
    """The pieces of an answer to HEAD go nowhere.

    Clause: RFC 9110 section 9.3.2 (HEAD).
    """
    with live.wire() as wire:
        wire.request("pieces", "HEAD", target=f"/?{key}")
        live.open(key)
        assert 200 == wire.answer("HEAD").status
        assert b"hello" == wire.ask("hello").body


LENGTHS = [
    ("exact", "/5/hello", b"hello"),
    ("pieces", "/5/he/llo", b"hello"),
    ("empty-last", "/5/hello/", b"hello"),
    ("zero", "/0/", b""),
    ("too-long", "/3/hello", b"hel"),
    ("too-long-pieces", "/3/he/llo/more", b"hel"),
]


@pytest.mark.parametrize(
    ("target", "body"), [case[1:] for case in LENGTHS], ids=[case[0] for case in LENGTHS]
)
def test_content_length(live, target, body):
    """The application's Content-Length holds: what is beyond is kept back, and the next answer is whole.

    Clause: ASGI HTTP, "Response Body"; RFC 9112 section 6.2 (Content-Length).
    """
    with live.wire() as wire:
        answer = wire.ask("with_length", target=target)
        assert (body, str(len(body))) == (answer.body, answer.get("content-length"))
        assert b"hello" == wire.ask("hello").body


@pytest.mark.parametrize("target", ["/9/hello", "/9/he/llo", "/1/"])
def test_content_length_too_big(live, target):
    """Less than the Content-Length: the connection is cut, so that the client sees it.

    Clause: RFC 9112 section 8 (incomplete messages).
    """
    with live.wire() as wire:
        wire.request("with_length", target=target)
        with pytest.raises(CutError):
            wire.answer()
    assert "less than its Content-Length" in live.wait_for(r"less than its Content-Length")[0]


def test_kinds_of_bytes(live):
    """Bytes-like bodies, and headers in any iterable.

    Clause: ASGI HTTP, "Response Start": headers is an iterable of [name, value].
    """
    answer = live.ask("kinds_of_bytes")
    assert (b"bytes bytearray memoryview", "1", "2") == (answer.body, answer.get("x-a"), answer.get("x-b"))


def test_big_body(live):
    """A body far beyond the socket's buffer in one event.

    Clause: ASGI HTTP, "Response Body": data is flushed into the send buffer.
    """
    assert b"0123456789abcdef" * (1 << 17) == live.ask("big").body


def test_headers(live):
    """Header fields go out in order and as often as given; those of the connection are the server's.

    Clause: ASGI HTTP, "Response Start": headers is an iterable of [name, value].
    """
    answer = live.ask("headers")
    expected = [
        ("x-one", "1"),
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2"),
        ("x-empty", ""),
        ("x-latin", "caf\xe9"),
        ("server", "mine"),
        ("date", "never"),
        ("Content-Length", "2"),
    ]
    assert expected == answer.headers


def test_server_and_date(live):
    """Server and Date are added where the application has none.

    Clause: RFC 9110 sections 6.6.1 (Date) and 10.2.4 (Server).
    """
    answer = live.ask("hello")
    assert ("forkcluster", True) == (answer.get("server"), answer.get("date").endswith(" GMT"))


def test_close_by_the_application(live):
    """Connection: close of the application ends the connection after the answer.

    Clause: RFC 9112 section 9.6 (tear-down).
    """
    with live.wire() as wire:
        answer = wire.ask("close")
        assert ("close", b"bye", True) == (answer.get("connection"), answer.body, wire.ended())


def test_close_by_the_client(live):
    """Connection: close of the client does, too.

    Clause: RFC 9112 section 9.6 (tear-down).
    """
    with live.wire() as wire:
        answer = wire.ask("hello", headers=[("Connection", "close")])
        assert ("close", True) == (answer.get("connection"), wire.ended())


def test_keep_alive(live):
    """Many requests on one connection.

    Clause: RFC 9112 section 9.3 (persistence).
    """
    with live.wire() as wire:
        for _ in range(100):
            assert b"hello" == wire.ask("hello").body


def test_pipelining(live, key):
    """Requests sent together are answered in their order, however long each takes.

    Clause: RFC 9112 section 9.3.2 (pipelining).
    """
    with live.wire() as wire:
        wire.request("pieces", target=f"/?{key}")
        for _ in range(20):
            wire.request("events", "POST", body=b"x" * 100)
        wire.request("hello")
        live.open(key)
        assert b"onetwothree" == wire.answer().body
        for _ in range(20):
            assert 200 == wire.answer().status
        assert b"hello" == wire.answer().body


def test_half_closed_client(live):
    """A client that has sent its end still gets its answer.

    Clause: RFC 9112 section 9.6 (tear-down).
    """
    with live.wire() as wire:
        wire.request("hello")
        wire.end()
        assert b"hello" == wire.answer().body
        assert wire.ended()


def test_background_work(live, key):
    """Work after the last body does not delay the next request of the connection.

    Clause: RFC 9112 section 9.3 (persistence).
    """
    with live.wire() as wire:
        assert "answered" == wire.ask("background", target=f"/?{key}").json
        assert b"hello" == wire.ask("hello").body
        assert ["working"] == live.wait_for_notes(key)
        live.open(key)
        assert ["working", "worked"] == live.wait_for_notes(key, 2)


def test_background_work_is_awaited_at_the_end(server):
    """A stop waits for work after the last body, within the drain's deadline.

    Clause: ASGI HTTP, "Response Body": complete with more_body false, whatever the application does after it.
    """
    each = server("--drain-timeout", "20")
    assert "answered" == each.ask("late_work").json
    assert 0 == each.stop()
    assert "worked to its end" in each.output


def test_background_work_outlives_the_connection(live, key):
    """Work after the last body goes on when the client has gone.

    Clause: ASGI HTTP, "Response Body": complete with more_body false, whatever the application does after it.
    """
    assert "answered" == live.ask("background", target=f"/?{key}").json
    live.open(key)
    assert ["working", "worked"] == live.wait_for_notes(key, 2)


def test_late_end_of_an_answer(strict, key):
    """The idle time of a connection begins with the end of the answer, not with its last bytes.

    Clause: RFC 9112 section 9.3 (persistence).
    """
    with strict.wire() as wire:
        assert b"one" == wire.ask("late_end", target=f"/?{key}").body
        for _ in range(3):  # 408 after --body-timeout each, together longer than --keep-alive
            with strict.wire() as other:
                other.request("until_disconnect", "POST", headers=[("Content-Length", "4")])
                assert 408 == other.answer().status
        strict.open(key)
        strict.wait_for_notes(key)
        assert b"hello" == wire.ask("hello").body


def test_small_answer_in_one_segment(live):
    """Head and small body of an answer go out in one send.

    Clause: ASGI HTTP, "Response Body": data is flushed into the send buffer.
    """
    with live.wire() as wire:
        wire.request("hello")
        wire.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        assert wire.socket.recv(65536).endswith(b"\r\n\r\nhello")

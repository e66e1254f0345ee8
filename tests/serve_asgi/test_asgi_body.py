"""Request bodies.

HTTP & WebSocket 2.5, "Request - receive event"; RFC 9112 sections 6 and 7, RFC 9110 section 10.1.1.
"""

import json
import select

import pytest
from wire import CutError, chunked, head

CHUNKED = [("Transfer-Encoding", "chunked")]


def events(answer):
    """The whole body and whether only the last event says that there is no more."""
    return "".join(body for _, body, _ in answer.json), [more for _, _, more in answer.json]


BODIES = [
    ("none", [], None, ""),
    ("empty", [], b"", ""),
    ("small", [], b"hello", "hello"),
    ("bytes", [], bytes(range(256)), bytes(range(256)).decode("latin-1")),
    ("chunked", CHUNKED, chunked(b"hel", b"lo"), "hello"),
    ("no-chunks", CHUNKED, chunked(), ""),
    ("extension", CHUNKED, b"5;a=b\r\nhello\r\n0\r\n\r\n", "hello"),
    ("trailer", CHUNKED, chunked(b"hello", trailer=b"X-Sum: 1\r\n"), "hello"),
    ("buffer", [], b"x" * 16384, "x" * 16384),
    ("beyond-the-buffer", [], b"y" * 100_000, "y" * 100_000),
    (
        "many-chunks",
        CHUNKED,
        chunked(*[b"z" * (i % 97 + 1) for i in range(2000)]),
        "z" * sum(i % 97 + 1 for i in range(2000)),
    ),
    ("big-chunk", CHUNKED, chunked(b"w" * 300_000), "w" * 300_000),
]


@pytest.mark.parametrize(
    ("headers", "body", "seen"), [case[1:] for case in BODIES], ids=[case[0] for case in BODIES]
)
def test_body(live, headers, body, seen):
    """The body comes whole; only its last event has more_body false; then the next request.

    Clause: ASGI HTTP, "Request" receive event.
    """
    with live.wire() as wire:
        whole, more = events(wire.ask("events", "POST", headers=headers, body=body))
        assert (seen, [True] * (len(more) - 1) + [False]) == (whole, more)
        assert "hello" == wire.ask("hello").body.decode()


@pytest.mark.parametrize("headers", [[], CHUNKED], ids=["length", "chunked"])
def test_body_byte_by_byte(live, headers):
    """However the bytes arrive, the body is the same, and the next request begins where it ends.

    Clause: ASGI HTTP, "Request" receive event.
    """
    body = chunked(b"ab", b"c", b"defgh") if headers else b"abcdefgh"
    with live.wire() as wire:
        for byte in head("events", "POST", headers=headers, body=body) + body + head("hello"):
            wire.send(bytes([byte]))
        assert "abcdefgh" == events(wire.answer())[0]
        assert b"hello" == wire.answer().body


@pytest.mark.parametrize("headers", [[], CHUNKED], ids=["length", "chunked"])
def test_big_body(live, headers):
    """A body of 4 MiB arrives whole, in pieces of bounded size.

    Clause: ASGI HTTP, "Request" receive event.
    """
    data = bytes(range(256)) * (1 << 14)
    body = chunked(*[data[at : at + 50_000] for at in range(0, len(data), 50_000)]) if headers else data
    found = live.ask("digest", "POST", headers=headers, body=body).json
    assert len(data) == found["length"]
    assert found["longest"] <= 65536


def test_echo_while_receiving(live):
    """Answer and request stream at the same time.

    Clause: ASGI HTTP, "Request": body may stream while the response does.
    """
    with live.wire() as wire:
        wire.send(head("echo", "POST", headers=CHUNKED))
        for piece in (b"one", b"two", b"three"):
            wire.send(b"%x\r\n%b\r\n" % (len(piece), piece))
            if piece == b"one":
                wire.head()
            assert piece == wire.chunk()
        wire.send(b"0\r\n\r\n")
        assert b"" == wire.chunk()


def test_back_pressure(live, key):
    """While the application does not receive, the client stalls; when it does, all arrives.

    Clause: ASGI HTTP, "Request": more_body; RFC 9112 section 9.3 (flow by the transport).
    """
    length = 64 << 20
    with live.wire() as wire:
        wire.send(head("gated_body", "POST", target=f"/?{key}", headers=[("Content-Length", str(length))]))
        wire.socket.setblocking(False)
        piece = b"x" * 65536
        sent = 0
        while select.select([], [wire.socket], [], 0.2)[1]:
            sent += wire.socket.send(piece)
            assert sent < length // 2
        live.open(key)
        wire.socket.setblocking(True)
        while sent < length:
            sent += wire.socket.send(piece[: min(len(piece), length - sent)])
        assert length == wire.answer().json


def cut_short(wire, case, key, headers, body):
    wire.send(head(case, "POST", target=f"/?{key}", headers=headers) + body)


SHORT = [
    ("length", [("Content-Length", "10")], b"12345"),
    ("chunk", CHUNKED, b"a\r\n12345"),
    ("chunk-size", CHUNKED, b"5\r\n12345\r\n5"),
    ("last-chunk", CHUNKED, b"5\r\n12345\r\n0\r\n"),
]


@pytest.mark.parametrize("end", ["end", "reset"])
@pytest.mark.parametrize(("headers", "body"), [case[1:] for case in SHORT], ids=[case[0] for case in SHORT])
def test_body_cut_short(live, key, headers, body, end):
    """A body that the client cuts short ends in http.disconnect, never in more_body false."""
    wire = live.wire()
    cut_short(wire, "until_disconnect", key, headers, body)
    live.wait_for_notes(key)
    getattr(wire, end)()
    found = live.wait_for_notes(key, 4)
    wire.socket.close()
    kinds = [word for word in found if word.startswith("http")]
    assert ["http.disconnect"] * 2 == kinds[-2:]
    assert {"http.request"} == set(kinds[:-2])
    assert found[-1].startswith("OSError")


MALFORMED = [
    ("size", b"x\r\nhello\r\n0\r\n\r\n"),
    ("no-size", b"\r\nhello\r\n0\r\n\r\n"),
    ("long-chunk", b"3\r\nhello\r\n0\r\n\r\n"),
    ("bare-lf", b"5\nhello\n0\n\n"),
    ("huge", b"ffffffffffffffffff\r\nhello"),
    ("second", b"5\r\nhello\r\nzz\r\n"),
]


@pytest.mark.parametrize("body", [case[1] for case in MALFORMED], ids=[case[0] for case in MALFORMED])
def test_malformed_chunks(live, body):
    """RFC 9112 section 7.1: a malformed chunk is http.disconnect to the application and 400 to the client."""
    with live.wire() as wire:
        wire.send(head("answer_after_disconnect", "POST", headers=CHUNKED) + body)
        answer = wire.answer()
        assert (400, "close", True) == (answer.status, answer.get("connection"), wire.ended())


@pytest.mark.parametrize("case", ["until_disconnect", "answer_after_disconnect", "raise_after_disconnect"])
def test_chunked_body_over_the_limit(strict, case, key):
    """A chunked body over --limit-body is http.disconnect to the application and 413 to the client."""
    with strict.wire() as wire:
        wire.send(head(case, "POST", target=f"/?{key}", headers=CHUNKED) + chunked(*[b"x" * 30_000] * 4))
        answer = wire.answer()
        assert (413, "close", True) == (answer.status, answer.get("connection"), wire.ended())


def test_length_over_the_limit(strict, key):
    """A length over --limit-body is refused before the application is called.

    Clause: RFC 9110 section 15.5.14 (413).
    """
    with strict.wire() as wire:
        wire.send(head("until_disconnect", "POST", target=f"/?{key}", headers=[("Content-Length", "102401")]))
        assert 413 == wire.answer().status
    assert [] == strict.notes(key)


def test_stalled_body(strict, key):
    """A client that stalls while the application waits for its body is told 408 after --body-timeout.

    Clause: RFC 9110 section 15.5.9 (408).
    """
    with strict.wire() as wire:
        wire.send(
            head("until_disconnect", "POST", target=f"/?{key}", headers=[("Content-Length", "10")]) + b"12345"
        )
        assert 408 == wire.answer().status
    assert "http.disconnect" in strict.notes(key)


def test_time_of_the_application_is_not_the_clients(strict, key):
    """--body-timeout does not run while the application takes its time, even after a cancelled wait.

    Clause: RFC 9110 section 15.5.9 (408).
    """
    with strict.wire() as wire, strict.wire() as other:
        wire.send(head("cancelled_then_busy", "POST", target=f"/?{key}", headers=[("Content-Length", "4")]))
        strict.wait_for_notes(key)
        assert 408 == stall(other, key)  # the same deadline, of a client that is waited for, has passed
        strict.open(key)
        strict.wait_for_notes(key, 2)
        wire.send(b"body")
        assert "body" == wire.answer().json


def stall(wire, key):
    """Let a body stall until it is refused; the status."""
    wire.send(head("one_event", "POST", target=f"/?{key}-stall", headers=[("Content-Length", "4")]))
    wire.socket.settimeout(10)
    try:
        return wire.answer().status
    except CutError:
        return None


def test_deadline_of_the_body_ends_with_it(strict, key):
    """After a streamed body the application may wait for http.disconnect longer than --body-timeout."""
    with strict.wire() as wire, strict.wire() as other:
        wire.send(head("watch", "POST", target=f"/?{key}", headers=[("Content-Length", "4")]) + b"bo")
        wire.send(b"dy")
        strict.wait_for_notes(key)
        assert stall(other, key) in {200, 408}
        with strict.wire() as third:
            stall(third, key + "-again")
        strict.open(key)
        assert "still there" == wire.answer().json


EXPECT = [("Expect", "100-continue")]


@pytest.mark.parametrize("headers", [[("Content-Length", "5")], CHUNKED], ids=["length", "chunked"])
def test_expect_continue(live, headers):
    """RFC 9110 section 10.1.1: 100 (Continue) when the application asks for the body."""
    with live.wire() as wire:
        wire.send(head("events", "POST", headers=[*headers, *EXPECT]))
        assert 100 == wire.head().status
        wire.send(b"hello" if headers != CHUNKED else chunked(b"hello"))
        assert "hello" == events(wire.answer())[0]
        assert b"hello" == wire.ask("hello").body


def test_expect_continue_with_the_body_at_once(live):
    """A client that does not wait needs no 100.

    Clause: RFC 9110 section 10.1.1 (Expect).
    """
    with live.wire() as wire:
        wire.request("events", "POST", headers=EXPECT, body=b"hello")
        assert "hello" == events(wire.answer())[0]


def test_expect_continue_of_a_body_that_nobody_reads(live):
    """The final answer instead of 100, and the connection ends: the body may or may not follow.

    Clause: RFC 9110 section 10.1.1 (Expect).
    """
    with live.wire() as wire:
        wire.send(head("ignore_body", "POST", headers=[("Content-Length", "5"), *EXPECT]))
        answer = wire.answer()
        assert (200, "close", True) == (answer.status, answer.get("connection"), wire.ended())


def test_expect_continue_after_a_hint(live):
    """An early hint does not stand for 100 (Continue).

    Clause: RFC 9110 section 10.1.1 (Expect).
    """
    with live.wire() as wire:
        wire.send(head("hint_then_body", "POST", headers=[("Content-Length", "5"), *EXPECT]))
        assert [103, 100] == [wire.head().status, wire.head().status]
        wire.send(b"hello")
        assert "hello" == wire.answer().json


def test_unread_body_that_is_there(live):
    """A body that came with its head and is not read does not stand before the next request.

    Clause: RFC 9112 section 9.3 (persistence: the whole body is read, or the connection ends).
    """
    with live.wire() as wire:
        assert "ignored" == wire.ask("ignore_body", "POST", body=b"GET /smuggled HTTP/1.1\r\n\r\n").json
        assert b"hello" == wire.ask("hello").body


def test_unread_body_that_is_not_there(live):
    """A body still to come that is not read: the answer says that the connection ends.

    Clause: RFC 9112 section 9.3 (persistence: the whole body is read, or the connection ends).
    """
    with live.wire() as wire:
        wire.send(head("ignore_body", "POST", headers=[("Content-Length", "100000")]) + b"x" * 10)
        answer = wire.answer()
        wire.send(b"x" * 1000)
        assert (json.dumps("ignored").encode(), "close") == (answer.body, answer.get("connection"))


@pytest.mark.parametrize("size", [16383, 16384, 16385, 32768])
def test_head_that_fills_the_buffer(live, size):
    """A head as long as the read buffer leaves room for a chunked body.

    Clause: RFC 9112 section 7.1 (chunked).
    """
    fields = [("Transfer-Encoding", "chunked")] + [(f"X-{i}", "a" * 4000) for i in range(size // 4096)]
    base = len(head("events", "POST", headers=[*fields, ("X-Pad", "")]))
    assert 0 < size - base < 8000
    with live.wire() as wire:
        wire.send(head("events", "POST", headers=[*fields, ("X-Pad", "p" * (size - base))]))
        wire.send(chunked(b"hello", b"x" * 10_000))
        assert "hello" + "x" * 10_000 == events(wire.answer())[0]

"""receive(): HTTP & WebSocket 2.5, "Disconnect - receive event"; cancellation as asyncio and anyio do it."""

import sys

import pytest
from harness import until
from wire import BARE, head

pytestmark = pytest.mark.usefixtures("both_ways")


@pytest.mark.parametrize("end", ["end", "reset"])
def test_disconnect_while_waiting(live, key, end):
    """http.disconnect comes when the client leaves, to an application that waits for it."""
    wire = live.wire()
    wire.request("watch", target=f"/?{key}")
    assert ["watching"] == live.wait_for_notes(key)
    getattr(wire, end)()
    assert ["watching", "http.disconnect"] == live.wait_for_notes(key, 2)
    wire.socket.close()


def test_no_disconnect_before(live, key):
    """http.disconnect does not come while the client is there."""
    with live.wire() as wire:
        wire.request("watch", target=f"/?{key}")
        live.wait_for_notes(key)
        live.open(key)
        assert "still there" == wire.answer().json
    assert ["watching"] == live.notes(key)


def test_pipelined_bytes_are_no_disconnect(live, key):
    """The next request, arriving while this one waits, is no reason to think that the client left.

    Clause: ASGI HTTP, "Disconnect": after the connection has closed, and never before.
    """
    with live.wire() as wire:
        wire.request("watch", target=f"/?{key}")
        live.wait_for_notes(key)
        wire.request("hello")
        live.open(key)
        assert "still there" == wire.answer().json
        assert b"hello" == wire.answer().body


def test_cancelled_waits_are_no_disconnect(live):
    """asyncio.wait_for(receive()) that runs out of time, many times: nothing is invented.

    Clause: ASGI HTTP, "Disconnect": after the connection has closed, and never before.
    """
    with live.wire() as wire:
        assert 50 == wire.ask("wait_for_receive").json
        assert b"hello" == wire.ask("hello").body


CHUNKED = [("Transfer-Encoding", "chunked")]


@pytest.mark.parametrize("headers", [[("Content-Length", "6")], CHUNKED], ids=["length", "chunked"])
def test_cancelled_waits_lose_no_bytes(live, key, headers):
    """Waits for the body that run out of time lose nothing of it.

    Clause: ASGI HTTP, "Request": all of the body, in order.
    """
    pieces = [b"ab", b"cd", b"ef"]
    with live.wire() as wire:
        wire.send(head("cancelled_body_waits", "POST", target=f"/?{key}", headers=headers))
        live.wait_for_notes(key)
        for index, piece in enumerate(pieces):
            wire.send(b"2\r\n%b\r\n" % piece if headers == CHUNKED else piece)
            until(lambda seen=2 * index + 2: seen in live.notes(key), f"piece {index}")
        if headers == CHUNKED:
            wire.send(b"0\r\n\r\n")
        assert {"body": "abcdef", "timeouts": True} == wire.answer().json


def test_cancelled_task_loses_no_bytes(live, key):
    """A task in receive() that is cancelled leaves the body to the next.

    Clause: ASGI HTTP, "Request": all of the body, in order.
    """
    with live.wire() as wire:
        wire.send(head("cancelled_body_task", "POST", target=f"/?{key}", headers=[("Content-Length", "4")]))
        assert [True] == live.wait_for_notes(key)
        wire.send(b"body")
        assert "body" == wire.answer().json


def test_two_waiters_for_the_body(live, key):
    """Two tasks in receive() get one event each.

    Clause: ASGI HTTP, "Request": all of the body, in order.
    """
    with live.wire() as wire:
        wire.send(head("two_body_waiters", "POST", target=f"/?{key}", headers=[("Content-Length", "4")]))
        live.wait_for_notes(key)
        wire.send(b"ab")
        assert ["waiting", "ab"] == live.wait_for_notes(key, 2)
        wire.send(b"cd")
        assert "both" == wire.answer().json
    assert ["waiting", "ab", "cd"] == live.notes(key)


def test_two_waiters_for_the_disconnect(live, key):
    """Two tasks in receive() both hear of the client's leaving.

    Clause: ASGI HTTP, "Disconnect": after the connection has closed, and never before.
    """
    with live.wire() as wire:
        wire.request("two_leaving_waiters", target=f"/?{key}")
        live.wait_for_notes(key)
    assert ["waiting", "http.disconnect", "http.disconnect"] == live.wait_for_notes(key, 3)


def test_receive_after_completion(live, key):
    """After the response was completed receive() gives http.disconnect, and send() refuses."""
    with live.wire() as wire:
        assert "done" == wire.ask("after_completion", target=f"/?{key}").json
        found = live.wait_for_notes(key, 4)
        assert ["http.disconnect"] * 2 == found[:2]
        assert all("after the response was completed" in words for words in found[2:])
        assert b"hello" == wire.ask("hello").body


def test_waiting_at_completion(live, key):
    """A task that waits in receive() when the response is completed hears http.disconnect."""
    with live.wire() as wire:
        assert "done" == wire.ask("waiting_at_completion", target=f"/?{key}").json
        assert ["http.disconnect"] == live.wait_for_notes(key)
        assert b"hello" == wire.ask("hello").body


def test_an_await_is_for_once(live):
    """What receive() gives cannot be awaited twice, as a coroutine cannot.

    Clause: PEP 492 (an awaitable of a coroutine is awaited once).
    """
    (words,) = set(live.ask("await_again").json)
    assert words == "cannot await receive() a second time" if BARE else "cannot reuse" in words


def test_receive_in_a_cancelled_scope(live):
    """receive() in a cancelled scope of anyio, as Starlette asks whether the client left.

    Clause: ASGI HTTP, "Disconnect"; ASGI, "Applications": receive is an awaitable callable.
    """
    assert [None] * 3 == live.ask("is_disconnected").json


def test_receive_in_a_task_group(live):
    """An anyio task group with a child in receive() can be cancelled.

    Clause: ASGI HTTP, "Disconnect"; ASGI, "Applications": receive is an awaitable callable.
    """
    assert "left the group" == live.ask("anyio_group").json


def test_receive_with_a_time_limit_of_anyio(live):
    """anyio.fail_after around receive().

    Clause: ASGI HTTP, "Disconnect"; ASGI, "Applications": receive is an awaitable callable.
    """
    assert "timed out" == live.ask("anyio_fail_after").json


@pytest.mark.skipif(sys.version_info < (3, 11), reason="asyncio.timeout is of Python 3.11")
def test_receive_with_a_time_limit_of_asyncio(live):
    """asyncio.timeout around receive() leaves the task uncancelled.

    Clause: ASGI HTTP, "Disconnect"; ASGI, "Applications": receive is an awaitable callable.
    """
    assert [0] == live.ask("asyncio_timeout").json

"""Clients that are slow, or silent, against the live server: whom it waits for, and how long."""

from __future__ import annotations

import select
import time
from pathlib import Path

import pytest
from client import DEADLINE, Client, Cut
from server import Server, assert_refused
from starter import Starter


@pytest.fixture(scope="module")
def hasty(started: Starter) -> Server:
    """A server whose patience ends after a fraction of a second."""
    return started(
        "wsgi_cases:application", "--header-timeout=0.3", "--keep-alive=0.2", "--body-timeout=0.3",
        "--body-min-rate=0", "--write-timeout=0.3",
    )  # fmt: skip


def silence(client: Client, seconds: float) -> bool:
    """Whether nothing comes for so long."""
    return not select.select([client.socket], [], [], seconds)[0]


@pytest.mark.parametrize(
    "head", ["G", "GET / HTTP/1.1\r\nHost: a\r\n", "POST / HTTP/1.1\r\nHost: a\r\nContent-Le"]
)
def test_a_slow_head_is_answered_408(hasty: Server, head: str) -> None:
    """--header-timeout; RFC 9110 15.5.9."""
    with hasty.client() as client:
        assert_refused(client.send(head).answer(), 408)
        client.half_close()
        assert client.ended()


def test_a_dripping_head_is_answered_408(hasty: Server) -> None:
    """--header-timeout counts from the first byte, not from the last."""
    with hasty.client() as client:
        client.send("GET / HTTP/1.1\r\n")
        began = time.monotonic()
        while silence(client, 0.05):
            client.send("X-A: b\r\n")
            assert time.monotonic() < began + DEADLINE
        assert 408 == client.answer().status


@pytest.mark.parametrize("framing", ["Content-Length: 100", "Transfer-Encoding: chunked"])
def test_a_stalled_body_is_answered_408(hasty: Server, framing: str) -> None:
    """--body-timeout."""
    with hasty.client() as client:
        client.request("POST", "/reached?stalled", framing).send("5\r\nabcde")
        assert_refused(client.answer(), 408)
    assert "reached stalled" not in hasty.log


def test_a_body_stalled_after_much_is_answered_408(start: Starter) -> None:
    """--body-timeout is for each stall: bytes that came fast before buy no time."""
    server = start("wsgi_cases:application", "--body-timeout=0.3", "--body-min-rate=240")
    with server.client() as client:
        client.request("POST", "/echo", "Content-Length: 3000000").send(b"x" * 2_000_000)
        assert 408 == client.answer().status


def test_a_slow_but_steady_body_is_taken(hasty: Server) -> None:
    """--body-min-rate 0: at any speed, as long as it does not stall."""
    with hasty.client() as client:
        client.request("POST", "/echo", "Content-Length: 8")
        for byte in b"abcdefg":
            client.send(bytes([byte]))
            assert silence(client, 0.1)
        assert b"abcdefgh" == client.send("h").answer().body


def test_a_body_below_the_minimum_rate_is_answered_408(start: Starter) -> None:
    """--body-min-rate: steady, but too slow."""
    server = start("wsgi_cases:application", "--body-timeout=0.3", "--body-min-rate=1000")
    with server.client() as client:
        client.request("POST", "/echo", "Content-Length: 1000")
        began = time.monotonic()
        while silence(client, 0.05):
            client.send("x")
            assert time.monotonic() < began + DEADLINE
        assert 408 == client.answer().status


def test_a_stalled_body_behind_100_continue_raises(hasty: Server) -> None:
    """--body-timeout, while the application reads: TimeoutError, which it lets through: 408."""
    with hasty.client() as client:
        client.request("POST", "/reached?timeout", "Expect: 100-continue", "Content-Length: 5")
        assert 100 == client.head().status
        answer = client.send("abc").answer()
        assert (408, "close") == (answer.status, answer.one("Connection"))
    hasty.wait_log("^reading timeout TimeoutError")
    assert "Traceback" not in hasty.log


def test_an_idle_connection_is_closed(hasty: Server) -> None:
    """--keep-alive: without a word, for nothing was asked (RFC 9112 9.5)."""
    with hasty.client() as client:
        assert b"ignored" == client.get("/ignore").body
        assert client.ended()


def test_a_silent_connection_is_closed(hasty: Server) -> None:
    """--header-timeout for a client that never asks anything."""
    with hasty.client() as client:
        assert client.ended()


def test_no_keep_alive_is_told_and_lets_a_slow_start_ask(start: Starter) -> None:
    """--keep-alive 0: each answer says close; a connection that has not asked yet is given its time."""
    server = start("wsgi_cases:application", "--keep-alive=0")
    with server.client() as client:
        assert silence(client, 0.3)
        answer = client.get("/ignore")
        assert (b"ignored", "close", True) == (answer.body, answer.one("Connection"), client.ended())


@pytest.mark.parametrize("path", ["/one_item?30000000", "/write_big", "/close_endless?slow", "/file?{}"])
def test_a_client_that_reads_nothing_is_cut_off(hasty: Server, path: str, tmp_path: Path) -> None:
    """--write-timeout: for a whole answer, for write(), for a generator and for a file."""
    (tmp_path / "big").write_bytes(b"x" * 30_000_000)
    with hasty.client(receive_buffer=4096) as client:
        client.request("GET", path.format(tmp_path / "big"))
        pid = hasty.workers()[0]
        poller = select.poll()
        poller.register(client.socket, select.POLLHUP | select.POLLERR)
        assert poller.poll(DEADLINE * 1000), "the server waits for ever"
        with pytest.raises(Cut) as cut:
            client.answer()
        assert "reset" == cut.value.how
        assert [pid] == hasty.workers()


def test_a_slow_reader_is_not_cut_off(hasty: Server) -> None:
    """--write-timeout: a client that takes something now and then gets it all."""
    with hasty.client(receive_buffer=65536) as client:
        client.request("GET", "/one_item?6000000")
        got = b""
        for _ in range(10):
            got += client.socket.recv(65536)
            select.select([], [], [], 0.08)  # the slowness of this client
        client.unread = got
        assert 6_000_000 == len(client.answer().body)

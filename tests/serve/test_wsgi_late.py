"""A thread of the application is still in read() or write() when its request ends: nothing is mixed up."""

from __future__ import annotations

import pytest
from client import Client, Cut
from server import Server, let_go
from starter import Starter


@pytest.fixture(scope="module")
def server(started: Starter) -> Server:
    """One worker."""
    return started("wsgi_late:application")


def test_a_body_that_a_thread_waits_for_is_no_request(server: Server, client: Client, fifo: str) -> None:
    """RFC 9112 section 9.3: the connection ends with the answer; what else comes is that body."""
    (worker,) = server.workers()
    client.request("POST", f"/reads?{fifo}", "Expect: 100-continue", "Content-Length: 50000")
    assert 100 == client.head().status
    let_go(fifo)
    answer = client.answer()
    assert ("close", b"over") == (answer.one("Connection"), answer.body)
    server.wait_log("^second read: RuntimeError")
    server.wait_log("^read: ConnectionResetError")
    client.send("GET /reads HTTP/1.1\r\nHost: a\r\n\r\n")
    assert client.ended()
    assert [worker] == server.workers()


def test_an_answer_that_a_thread_still_writes_is_cut(server: Server, fifo: str) -> None:
    """Its end is missing, and the client sees that."""
    (worker,) = server.workers()
    with server.client(receive_buffer=4096) as client:
        client.request("GET", f"/writes?{fifo}")
        client.head()
        let_go(fifo)
        server.wait_log("^second write: RuntimeError")
        server.wait_log("^write: BrokenPipeError")
        with pytest.raises(Cut):
            while True:
                client.chunk()
    assert [worker] == server.workers()


def test_a_child_does_not_wait_for_a_thread_of_its_parents(client: Client, fifo: str) -> None:
    """What is lent to a thread is in no hands in a forked child: it ends."""
    client.request("POST", f"/forks?{fifo}", "Expect: 100-continue", "Content-Length: 50000")
    assert 100 == client.head().status
    let_go(fifo)
    assert b"over" == client.answer().body


def test_only_the_iterable_itself_may_write_while_it_is_sent(server: Server, client: Client) -> None:
    """PEP 3333, write(): its bytes come before the iterable's; another thread's would come anywhere."""
    assert b"firstsecondthird" == client.get("/writes_on").body
    server.wait_log("^late write: RuntimeError")

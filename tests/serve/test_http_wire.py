"""HTTP/1.1 on the wire (RFC 9112) against the live server: framing, limits, deadlines, bad clients."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest
from client import Client
from server import Server, assert_refused, let_go, until
from starter import Starter

pytestmark = pytest.mark.usefixtures("nothing_left_open")

GET = "GET {} HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture(scope="module")
def server(started: Starter) -> Server:
    """One worker with small limits where a test wants to exceed them."""
    return started(
        "wsgi_cases:application", "--limit-request-line=1000", "--limit-field=1200", "--limit-fields=10",
        "--limit-head=8K", "--limit-body=100K", "--body-buffer=10K",
    )  # fmt: skip


# -- connections --------------------------------


def test_a_connection_serves_many_requests(client: Client) -> None:
    """RFC 9112 9.3: persistent by default."""
    assert [b"ignored"] * 100 == [client.get("/ignore").body for _ in range(100)]


@pytest.mark.parametrize(
    ("version", "asks", "says", "stays"),
    [
        ("1.1", [], None, True),
        ("1.1", ["Connection: close"], "close", False),
        ("1.1", ["Connection: x, CLOSE"], "close", False),
        ("1.1", ["Connection: keep-alive"], None, True),
        ("1.0", [], "close", False),
        ("1.0", ["Connection: keep-alive"], "keep-alive", True),
        ("1.0", ["Connection: Keep-Alive, close"], "close", False),
    ],
)
def test_the_client_says_how_long_a_connection_lives(
    client: Client, version: str, asks: list[str], says: str | None, stays: bool
) -> None:
    """RFC 9112 9.3, 9.6: by version and Connection; the answer tells what will be."""
    answer = client.request("GET", "/ignore", *asks, version=version).answer()
    assert (says, b"ignored") == (answer.one("Connection"), answer.body)
    assert b"ignored" == client.get("/ignore").body if stays else client.ended()


def test_http_1_0_gets_no_chunks(client: Client) -> None:
    """RFC 9112 6.1: the end of a body of unknown length is the end of the connection."""
    answer = client.request("GET", "/several", "Connection: keep-alive", version="1.0").answer()
    assert (None, "close", b"onetwo") == (
        answer.one("Transfer-Encoding"),
        answer.one("Connection"),
        answer.body,
    )


def test_pipelined_requests_are_answered_in_order(client: Client) -> None:
    """RFC 9112 9.3.2: twenty requests in one write, answers of every kind."""
    paths = ["/saw/{}", "/several?{}", "/one_item?{}", "/status?204+No+Content&{}"]
    targets = [paths[number % 4].format(number) for number in range(20)]
    client.send("".join(GET.format(target) for target in targets))
    answers = [client.answer() for _ in targets]
    for number, answer in enumerate(answers):
        kind = number % 4
        expected = [f'["GET", "/saw/{number}", "", ""]'.encode(), b"onetwo", b"x" * number, b""][kind]
        assert expected == answer.body


def test_pipelined_bodies_stay_apart(client: Client) -> None:
    """A length, chunks, and none, in one write."""
    client.send(
        "POST /saw/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
        "POST /saw/2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ndef\r\n0\r\n\r\n"
        "GET /saw/3 HTTP/1.1\r\nHost: a\r\n\r\n"
        "POST /saw/4 HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\n\r\n"
        + "g" * 20000
        + GET.format("/saw/5")
    )
    seen = [json.loads(client.answer().body) for _ in range(5)]
    assert [["POST", "/saw/1", "", "abc"], ["POST", "/saw/2", "", "def"], ["GET", "/saw/3", "", ""]] == seen[
        :3
    ]
    assert [["POST", "/saw/4", "", "g" * 20000], ["GET", "/saw/5", "", ""]] == seen[3:]


def test_a_pair_of_requests_split_at_every_byte(client: Client) -> None:
    """Wherever the stream breaks, the two requests are the same."""
    upload = b"POST /saw/1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"
    pair = upload + GET.format("/saw/2").encode()
    for at in range(1, len(pair)):
        client.send(pair[:at])
        client.send(pair[at:])
        assert [["POST", "/saw/1", "", "ab"], ["GET", "/saw/2", "", ""]] == [
            json.loads(client.answer().body) for _ in range(2)
        ]


def test_a_request_byte_by_byte(client: Client) -> None:
    """Each byte in a packet of its own."""
    for byte in b"POST /saw/x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc":
        client.send(bytes([byte]))
    assert ["POST", "/saw/x", "", "abc"] == json.loads(client.answer().body)


@pytest.mark.parametrize("size", [5, 10_000, 10_001, 50_000])
def test_a_body_that_comes_after_its_head(client: Client, size: int) -> None:
    """The head alone in one packet, the body in others, beyond --body-buffer, too."""
    client.request("POST", "/echo", f"Content-Length: {size}")
    with Client(client.socket.getpeername()) as other:
        assert b"ignored" == other.get("/ignore").body  # the head has been read by now
    body = bytes(number % 255 for number in range(size))
    assert body == client.send(body).answer().body


def test_an_empty_line_before_a_request_is_skipped(client: Client) -> None:
    """RFC 9112 2.2."""
    client.get("/ignore")
    assert b"ignored" == client.send("\r\n").get("/ignore").body


def test_a_half_closed_client_gets_its_answers(client: Client) -> None:
    """RFC 9112 9.6 from the other side: what was asked before the end is answered, then comes our end."""
    client.send(GET.format("/saw/1") + GET.format("/several") + GET.format("/saw/2")).half_close()
    answers = [client.answer() for _ in range(3)]
    assert [b'["GET", "/saw/1", "", ""]', b"onetwo", b'["GET", "/saw/2", "", ""]'] == [
        a.body for a in answers
    ]
    assert client.ended()


def test_requests_that_arrive_together_with_the_end_are_answered(server: Server, tmp_path: Path) -> None:
    """... when the worker, busy meanwhile, learns of all of it in one event, too."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with server.client() as busy, server.client() as client:
        client.get("/ignore")
        busy.request("POST", f"/slow_read?{fifo}", body=b"x")
        writer = os.open(fifo, os.O_WRONLY)  # returns when the worker is in the application
        client.send(GET.format("/saw/1") + GET.format("/saw/2")).half_close()
        os.close(writer)
        assert ["/saw/1", "/saw/2"] == [json.loads(client.answer().body)[1] for _ in range(2)]
        assert client.ended()


def test_a_half_closed_client_gets_a_large_answer(server: Server) -> None:
    """... one that the socket does not hold at once, too."""
    with server.client(receive_buffer=4096) as client:
        client.request("GET", "/one_item?5000000").half_close()
        assert 5_000_000 == len(client.answer().body)
        assert client.ended()


def test_a_client_that_leaves_in_the_head_is_no_request(client: Client, server: Server) -> None:
    """RFC 9112 8: an incomplete head is dropped without an answer."""
    client.send("GET /reached?head HTTP/1.1\r\nHost: a\r\n").half_close()
    assert client.ended()
    assert "reached head" not in server.log


def test_an_answer_names_server_and_date(client: Client) -> None:
    """RFC 9110 6.6.1, 10.2.4."""
    answer = client.get("/ignore")
    date = answer.one("Date") or ""
    assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", date)
    assert abs(parsedate_to_datetime(date).timestamp() - time.time()) < 5
    assert "forkcluster" == answer.one("Server")


def test_the_fields_of_every_answer_are_options(start: Starter) -> None:
    """--no-server-header, --no-date-header, --header: in the application's answers and in our own."""
    server = start(
        "wsgi_cases:application", "--no-server-header", "--no-date-header", "--header=X-Extra: a b"
    )
    with server.client() as client:
        answers = [
            client.get("/ignore"),
            client.get("/raises"),
            client.get("/several"),
            client.send("x\r\n\r\n").answer(),
        ]
    assert [200, 500, 200, 400] == [answer.status for answer in answers]
    assert [(None, None, "a b")] * 4 == [tuple(map(a.one, ("Server", "Date", "X-Extra"))) for a in answers]


# -- limits --------------------------------


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (f"GET /{'a' * 986} HTTP/1.1\r\nHost: a\r\n\r\n", 200),
        (f"GET /{'a' * 987} HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (f"GET / HTTP/1.1\r\nHost: a\r\nX-A: {'a' * 1195}\r\n\r\n", 200),
        (f"GET / HTTP/1.1\r\nHost: a\r\nX-A: {'a' * 1196}\r\n\r\n", 431),
        ("GET / HTTP/1.1\r\nHost: a\r\n" + "X-A: b\r\n" * 9 + "\r\n", 200),
        ("GET / HTTP/1.1\r\nHost: a\r\n" + "X-A: b\r\n" * 10 + "\r\n", 431),
        ("GET / HTTP/1.1\r\nHost: a\r\n" + f"X-A: {'a' * 1100}\r\n" * 8 + "\r\n", 431),
        ("POST /ignore HTTP/1.1\r\nHost: a\r\nContent-Length: 102401\r\n\r\n", 413),
        ("POST /ignore HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n", 400),
        ("POST /ignore HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 102401\r\n\r\n", 413),
        ("POST /ignore HTTP/1.1\r\nHost: a\r\nExpect: tea\r\nContent-Length: 1\r\n\r\n", 417),
        ("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", 501),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
    ],
)
def test_limits_are_met_exactly(client: Client, request_: str, status: int) -> None:
    """--limit-request-line 414, --limit-field, --limit-fields, --limit-head 431, --limit-body 413."""
    answer = client.send(request_).answer()
    if status == 200:
        assert 200 == answer.status
    else:
        assert_refused(answer, status)
        client.half_close()
        assert client.ended()


def test_a_body_of_the_limit_is_taken(client: Client) -> None:
    """--limit-body bytes are not too many."""
    assert 102400 == len(client.post("/echo", b"x" * 102400).body)


def test_a_chunked_body_is_limited_as_it_comes(client: Client) -> None:
    """413 as soon as the limit is passed, without waiting for the end."""
    client.request("POST", "/reached?chunked", "Transfer-Encoding: chunked")
    client.send(b"ffff\r\n" + b"x" * 0xFFFF + b"\r\n").send(b"ffff\r\n" + b"x" * 0xFFFF)
    assert_refused(client.answer(), 413)


def test_the_answer_to_a_refused_upload_can_be_read(client: Client) -> None:
    """RFC 9112 9.6: a lingering close: megabytes still on their way do not destroy the answer."""
    client.request("POST", "/ignore", "Content-Length: 3000000")
    client.send(b"x" * 3_000_000)
    assert_refused(client.answer(), 413)
    client.half_close()
    assert client.ended()


def test_the_answer_to_an_unread_expectation_can_be_read(client: Client) -> None:
    """... and a client that sends its body unasked gets the application's answer."""
    client.request("POST", "/ignore", "Expect: 100-continue", "Content-Length: 90000")
    answer = client.send(b"x" * 90_000).answer()
    assert b"ignored" == answer.body


def test_a_refusal_of_head_has_no_body(client: Client) -> None:
    """RFC 9110 9.3.2 holds for errors, too."""
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n").half_close()
    data, how = client.rest()
    assert (b"HTTP/1.1 400 ", b"\r\n\r\n", "fin") == (data[:13], data[-4:], how)


def test_requests_of_one_connection_are_counted(start: Starter) -> None:
    """--keep-alive-requests: the last one is told."""
    server = start("wsgi_cases:application", "--keep-alive-requests=3")
    with server.client() as client:
        assert [None, None, "close"] == [client.get("/ignore").one("Connection") for _ in range(3)]
        assert client.ended()


# -- many clients, bad clients --------------------------------


@pytest.mark.parametrize("path", ["/one_item?50000000", "/close_endless?fair", "/file?{}"])
def test_a_slow_reader_holds_up_nobody(server: Server, path: str, tmp_path: Path) -> None:
    """One worker, one thread: 50 MB for a client that does not read, and another is served at once."""
    (tmp_path / "big").write_bytes(b"x" * 50_000_000)
    with server.client(receive_buffer=4096) as slow, server.client() as fast:
        slow.request("GET", path.format(tmp_path / "big")).head()
        assert [b"ignored"] * 20 == [fast.get("/ignore").body for _ in range(20)]
        if "endless" not in path:
            slow.unread, missing = b"", 50_000_000 - len(slow.unread)
            while missing:
                missing -= len(slow.socket.recv(1 << 20))


def test_what_a_pausing_stream_has_given_arrives(server: Server, tmp_path: Path) -> None:
    """... though the kernel did not take it at once, and the application gives nothing more for long."""
    fifo, told = tmp_path / "fifo", []
    os.mkfifo(fifo)
    with server.client(receive_buffer=4096) as client:
        client.request("GET", f"/pieces?500&{tmp_path}")
        until(
            lambda: told.append(server.log.count(f" {tmp_path}")) or [told[-1] or None] * 3 == told[-3:],
            "a stall",
        )
    for count in range(told[-1] - 4, told[-1] + 1):
        with server.client(receive_buffer=4096) as client:
            client.request("GET", f"/pieces?{count}&{fifo}").head()
            missing = count * len("10000\r\n" + 65536 * "x" + "\r\n") - len(client.unread)
            while missing:
                missing -= len(client.socket.recv(missing))
            let_go(str(fifo))
            end = b""
            while len(end) < len("0\r\n\r\n"):
                end += client.socket.recv(99)
            assert b"0\r\n\r\n" == end


def test_a_slow_upload_holds_up_nobody(server: Server) -> None:
    """Bodies are received before the application is called."""
    with server.client() as slow, server.client() as fast:
        slow.request("POST", "/echo", "Content-Length: 10").send("hello")
        assert b"ignored" == fast.get("/ignore").body
        assert b"helloworld" == slow.send("world").answer().body


@pytest.mark.parametrize("leave", ["close", "reset"])
def test_clients_that_leave_leave_nothing_behind(server: Server, leave: str, tmp_path: Path) -> None:
    """Gone in the head, in an upload, before, in and after an answer: no descriptor stays in the worker."""
    (tmp_path / "big").write_bytes(b"x" * 20_000_000)
    pid = server.workers()[0]
    with server.client() as client:
        client.get("/ignore")
    before = sorted(name for name in server.descriptors(pid).values() if "socket" not in name)
    sockets = len(server.descriptors(pid)) - len(before)
    for request in (
        "",
        "GET / HT",
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 90000\r\n\r\n" + "x" * 20000,
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n" + "x" * 20000,
        "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 90000\r\n\r\n",
        GET.format("/one_item?20000000"),
        GET.format("/close_endless?left"),
        GET.format(f"/file?{tmp_path / 'big'}"),
        GET.format("/write_big"),
        GET.format("/ignore") * 50,
        "nonsense\r\n\r\n",
    ):
        client = server.client(receive_buffer=4096).send(request)
        if "Expect" in request:
            client.head()
        client.reset() if leave == "reset" else client.socket.close()
    until(lambda: len(server.descriptors(pid)) <= len(before) + sockets, f"no more than {before}")
    assert [pid] == server.workers()


def test_a_worker_told_to_end_finishes_in_peace(start: Starter) -> None:
    """TERM to a worker asleep in epoll: it leaves with status 0, and is replaced."""
    server = start("wsgi_cases:application")
    os.kill(server.workers()[0], signal.SIGTERM)
    server.wait_log(r"worker (ended|died) .*how=\"exited with status 0\"")
    with server.client() as client:
        assert b"ignored" == client.get("/ignore").body


def test_nothing_is_said_to_a_client_that_says_nothing(client: Client) -> None:
    """Connect and close."""
    client.half_close()
    assert client.ended()

"""PEP 3333 against the live server, clause by clause: what an application may rely on, and not break."""

from __future__ import annotations

import gzip
import json
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import pytest
from client import Client, Cut
from server import Server, until
from starter import Starter

CONTINUE = "Expect: 100-continue"


@pytest.fixture(scope="module")
def server(started: Starter) -> Server:
    """One worker with the default options but a small body buffer."""
    return started("wsgi_cases:application", "--body-buffer=64K")


@pytest.fixture
def fifo(tmp_path: Path) -> str:
    """A path that the application waits on until the test opens it."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return str(path)


def let_go(fifo: str) -> None:
    """Let the application that waits on the FIFO go on."""
    os.close(os.open(fifo, os.O_WRONLY))


def call(expression: str) -> str:
    """Make a target for `malformed` and `fields`."""
    return quote(expression, safe="")


# -- the validator --------------------------------


@pytest.mark.parametrize("path", ["/valid", "/valid_generator", "/valid_write", "/valid/deeper/path?a=b"])
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS"])
def test_the_standard_validator_finds_nothing(client: Client, path: str, method: str) -> None:
    """wsgiref.validate checks environ, input, errors, start_response and the iterable."""
    body = b"line one\nline two" if method in ("POST", "PUT") else b""
    answer = client.request(method, path, body=body).answer(method)
    assert (200, True) == (answer.status, method == "HEAD" or answer.body.startswith(b"valid "))
    if body and "write" not in path:
        assert b"valid " + body == answer.body


def test_the_validator_agrees_with_an_empty_body(client: Client) -> None:
    """Content-Length: 0 is a body that reads as nothing."""
    assert b"valid " == client.request("POST", "/valid", "Content-Length: 0").answer().body


# -- start_response(), write() --------------------------------


def test_write_comes_before_the_iterable(client: Client) -> None:
    """The write() Callable: its data go out before what the iterable gives, in order."""
    assert b"one two three" == client.get("/write").body


def test_write_sends_at_once(client: Client, fifo: str) -> None:
    """The write() Callable: "the data must be transmitted … before write() returns" to the server's care."""
    head = client.request("GET", f"/write_streams?{fifo}").head()
    assert b"first" == client.chunk()
    let_go(fifo)
    assert (200, b"second", b"") == (head.status, client.chunk(), client.chunk())


def test_write_waits_for_a_slow_client(server: Server) -> None:
    """write() of much more than the socket holds loses nothing."""
    with server.client(receive_buffer=4096) as client:
        body = client.get("/write_big").body
    assert b"".join(bytes([number]) * 65536 for number in range(64)) == body


def test_write_refuses_text(server: Server, client: Client) -> None:
    """Unicode Issues: bodies are bytes, never str."""
    assert 500 == client.get("/write_text").status
    server.wait_log("TypeError: write: the data must be bytes, not str")


def test_exc_info_before_the_head_replaces_it(client: Client) -> None:
    """start_response: with exc_info and nothing sent, the new status and headers replace the old ones."""
    answer = client.get("/replaced")
    assert (500, "Oops", None, "2", b"replaced") == (
        answer.status, answer.phrase, answer.one("X-First"), answer.one("X-Second"), answer.body,
    )  # fmt: skip
    assert "never" != answer.one("Date")


def test_exc_info_after_the_head_is_raised_again(server: Server, client: Client) -> None:
    """start_response: headers already sent: it raises exc_info; the client sees the cut."""
    with pytest.raises(Cut) as cut:
        client.get("/reraised")
    assert (True, "reset") == (b"sent" in cut.value.got, cut.value.how)
    server.wait_log("raised again after the head")


def test_exc_info_may_be_given_by_name(client: Client) -> None:
    """start_response(status, response_headers, exc_info=None)."""
    assert (201, b"by name") == ((answer := client.get("/keyword")).status, answer.body)


def test_a_second_start_response_without_exc_info_is_an_error(server: Server, client: Client) -> None:
    """start_response: "it is a fatal error to call start_response without exc_info" a second time."""
    assert 500 == client.get("/twice").status
    server.wait_log("AssertionError: start_response was called a second time without exc_info")


@pytest.mark.parametrize("path", ["/never", "/never_generator", "/never_empty", "/file_lazy?/dev/null"])
def test_start_response_never_called_is_an_error(client: Client, path: str) -> None:
    """An answer without status and headers becomes a 500, whatever body it had."""
    answer = client.get(path)
    assert (500, False) == (answer.status, b"never" in answer.body)
    assert 200 == client.get("/ignore").status


def test_start_response_may_be_called_in_the_first_next(client: Client) -> None:
    """Specification Details: start_response must come before the first chunk, not before returning."""
    assert ("yes", b"lazy") == ((answer := client.get("/lazily")).one("X-Lazy"), answer.body)


def test_the_head_waits_for_the_first_bytes(client: Client) -> None:
    """start_response: headers are not sent until a non-empty chunk, so an error can still change them."""
    assert (503, b"sorry") == ((answer := client.get("/empty_first")).status, answer.body)


def test_start_response_and_write_end_with_their_request(server: Server) -> None:
    """What an application keeps of a request cannot reach into a later one."""
    with server.client() as client:
        client.get("/keep_start")
        assert b"RuntimeError RuntimeError " == client.get("/keep_start").body


# -- the iterable --------------------------------


@pytest.mark.parametrize("path", ["/streams", "/sized_stream"])
def test_a_chunk_reaches_the_client_before_the_next_is_made(client: Client, fifo: str, path: str) -> None:
    """Buffering and Streaming: servers "must not delay the transmission of any block"."""
    head = client.request("GET", f"{path}?{fifo}").head()
    chunked = head.one("Transfer-Encoding") == "chunked"
    assert b"first" == (client.chunk() if chunked else client.read(5))
    let_go(fifo)
    assert b"second" == (client.chunk() if chunked else client.read(6))


def test_one_chunk_gets_a_length(client: Client) -> None:
    """Handling the Content-Length Header: len() of 1 gives it from the first item."""
    answer = client.get("/one_item?70000")
    assert ("70000", 70000, None) == (
        answer.one("Content-Length"),
        len(answer.body),
        answer.one("Transfer-Encoding"),
    )


def test_an_empty_answer_gets_length_zero(client: Client) -> None:
    """An empty list is an empty body, framed."""
    assert "0" == client.get("/nothing").one("Content-Length")


def test_several_chunks_come_whole(client: Client) -> None:
    """Empty strings between chunks end nothing."""
    assert b"onetwo" == client.get("/several").body


@pytest.mark.parametrize("path", ["/text", "/plain_bytes", "/none", "/raises"])
def test_an_answer_that_is_no_iterable_of_bytes_becomes_a_500(
    server: Server, client: Client, path: str
) -> None:
    """Error Handling: before the head is out, the server answers with an error of its own and logs it."""
    assert 500 == client.get(path).status
    server.wait_log(rf"TypeError|LookupError.*target={path}|LookupError: in the application")
    assert 200 == client.get("/ignore").status


@pytest.mark.parametrize("path", ["/text_second", "/raises_midway"])
def test_an_error_after_the_head_cuts_the_answer_visibly(client: Client, path: str) -> None:
    """Error Handling: after the head nothing can be repaired: no last chunk, and a reset."""
    with pytest.raises(Cut) as cut:
        client.get(path)
    assert "reset" == cut.value.how


def test_an_application_that_exits_ends_its_worker_after_the_answer(start: Starter) -> None:
    """SystemExit is answered with a 500; the worker drains and is replaced."""
    server = start("wsgi_cases:application")
    with server.client() as client:
        before = client.get("/pid").body
        answer = client.get("/exits")
        assert (500, "close", True) == (answer.status, answer.one("Connection"), client.ended())
    server.wait_log(r"worker (ended|died).*pid=" + before.decode())
    with server.client() as client:
        assert before != client.get("/pid").body


@pytest.mark.parametrize("path", ["/too_long", "/too_long_list"])
def test_more_than_the_content_length_is_not_sent(server: Server, client: Client, path: str) -> None:
    """Handling the Content-Length Header: "must stop transmitting … when enough … has been sent"."""
    assert b"abc" == client.get(path).body
    assert b"ignored" == client.get("/ignore").body
    server.wait_log(f"sent more than its Content-Length.*{path}( |$)")


@pytest.mark.parametrize("path", ["/too_short", "/too_short_list"])
def test_less_than_the_content_length_closes_the_connection(
    server: Server, client: Client, path: str
) -> None:
    """Handling the Content-Length Header: too little: "should close the connection and log"."""
    with pytest.raises(Cut) as cut:
        client.get(path)
    assert cut.value.got.endswith(b"abcd")
    server.wait_log(f"sent less than its Content-Length.*{path}( |$)")


@pytest.mark.parametrize(
    "path", ["/status?200+OK", "/status_stream?200+OK", "/several", "/file_memory", "/write"]
)
def test_head_has_no_body(client: Client, path: str) -> None:
    """RFC 9110 9.3.2: no byte follows the head; the connection serves on."""
    answer = client.request("HEAD", path).answer("HEAD")
    assert (200, b"ignored") == (answer.status, client.get("/ignore").body)


def test_head_keeps_the_length_that_the_application_gave(client: Client) -> None:
    """RFC 9110 8.6: Content-Length of a HEAD answer is that of the GET."""
    assert "4" == client.request("HEAD", "/status?200+OK").answer("HEAD").one("Content-Length")


@pytest.mark.parametrize("path", ["/status?{}", "/status_stream?{}"])
@pytest.mark.parametrize("status", ["204+No+Content", "304+Not+Modified"])
def test_statuses_without_content_have_no_body(client: Client, path: str, status: str) -> None:
    """RFC 9110 15.3.5, 15.4.5; RFC 9112 6.1: no body, no Transfer-Encoding, for 204 no Content-Length."""
    answer = client.get(path.format(status))
    assert (int(status[:3]), None) == (answer.status, answer.one("Transfer-Encoding"))
    assert status.startswith("304") or answer.one("Content-Length") is None
    assert b"ignored" == client.get("/ignore").body


# -- what start_response refuses --------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        "'200 OK\\r\\nX-Evil: 1', []",
        "'200 OK\\n', []",
        "'200 OK\\0', []",
        "'20 OK', []",
        "'2000 OK', []",
        "'200OK', []",
        "'', []",
        "'OK 200', []",
        "'100 Continue', []",
        "'101 Switching Protocols', []",
        "b'200 OK', []",
        "'200 \\u20ac', []",
        "'200 OK', [('X-A', 'b\\r\\nX-Evil: 1')]",
        "'200 OK', [('X-A', 'b\\rc')]",
        "'200 OK', [('X-A', 'b\\nc')]",
        "'200 OK', [('X-A', 'b\\0c')]",
        "'200 OK', [('X-A', 'b\\x7fc')]",
        "'200 OK', [('X-A\\r\\nX-Evil', 'b')]",
        "'200 OK', [('X-A\\n', 'b')]",
        "'200 OK', [('X A', 'b')]",
        "'200 OK', [('X-A:', 'b')]",
        "'200 OK', [('X-\\xe9', 'b')]",
        "'200 OK', [('', 'b')]",
        "'200 OK', [('X-A', '\\u20ac')]",
        "'200 OK', [('X-A', 5)]",
        "'200 OK', [('X-A', b'b')]",
        "'200 OK', [(b'X-A', 'b')]",
        "'200 OK', [('X-A', None)]",
        "'200 OK', [['X-A', 'b']]",
        "'200 OK', [('X-A',)]",
        "'200 OK', [('X-A', 'b', 'c')]",
        "'200 OK', {'X-A': 'b'}",
        "'200 OK', (('X-A', 'b'),)",
        "'200 OK', None",
        "'200 OK', [('Content-Length', 'five')]",
        "'200 OK', [('Content-Length', '-1')]",
        "'200 OK', [('Content-Length', '')]",
        "'200 OK', [('Content-Length', '99999999999999999999')]",
        "'200 OK', [('Content-Length', '1'), ('Content-Length', '2')]",
        "'200 OK',",
        "'200 OK', [], None, 1",
        "'200 OK', [], 'not exc_info after all', 1",
    ],
)
def test_a_malformed_head_is_refused_and_logged(server: Server, client: Client, arguments: str) -> None:
    """start_response: servers should check for errors in the headers; nothing of a bad head is sent."""
    answer = client.get(f"/malformed?{call(arguments)}")
    assert (500, None, False) == (answer.status, answer.one("X-Evil"), b"never" in answer.body)
    server.wait_log(r"(ValueError|TypeError): .*start_response|start_response takes")


def test_field_values_are_sent_as_latin_1(client: Client) -> None:
    """Unicode Issues: headers are str of Latin-1; white space inside a value is the application's."""
    answer = client.get("/fields?" + call(r"[('X-A', 'caf\xe9 \t x'), ('X-a', ''), ('X-B', '\xff')]"))
    assert (["café \t x", ""], "ÿ") == (answer.all("X-A"), answer.one("X-B"))


def test_hop_by_hop_fields_are_the_servers(client: Client) -> None:
    """Other HTTP Features: an application must not use hop-by-hop headers; they do not reach the client."""
    names = ("Transfer-Encoding", "Connection", "Keep-Alive", "Upgrade", "X-A")
    answer = client.get("/fields?" + call(repr([(name, "b") for name in names])))
    names = [name for name, _ in answer.fields]
    assert ["X-A", "Content-Length", "Server", "Date"] == names
    assert b"fields" == answer.body


def test_an_application_may_ask_for_the_end_of_the_connection(client: Client) -> None:
    """Connection: close is obeyed, and said once."""
    answer = client.get("/fields?" + call("[('Connection', 'close')]"))
    assert ("close", True) == (answer.one("Connection"), client.ended())


def test_the_applications_server_and_date_are_kept(client: Client) -> None:
    """The server adds Server and Date only where they are missing."""
    answer = client.get("/fields?" + call("[('Server', 'mine'), ('date', 'today')]"))
    assert ("mine", "today") == (answer.one("Server"), answer.one("Date"))


# -- close() --------------------------------


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", ["close_normal", "close_raises", "close_before_head", "close_list"])
def test_close_is_called(server: Server, path: str, method: str) -> None:
    """Specification Details: close() "must be called on completion of the current request", error or not."""
    token = f"{path}-{method}"
    with server.client() as client:
        with suppress(Cut):
            client.request(method, f"/{path}?{token}").answer(method)
        server.wait_log(f"^closed {token}$")
    assert 1 == server.lines.count(f"closed {token}")


@pytest.mark.parametrize("leave", ["close", "reset"])
def test_close_is_called_when_the_client_has_gone(server: Server, leave: str) -> None:
    """... "or terminated early due to … a disconnect of the client"."""
    client = server.client()
    client.request("GET", f"/close_endless?gone-{leave}").read_until(b"xxxx")
    client.socket.close() if leave == "close" else client.reset()
    server.wait_log(f"^closed gone-{leave}$")


def test_an_error_in_close_spoils_nothing_but_the_log(server: Server, client: Client) -> None:
    """The answer was whole before close() ran."""
    assert (b"sent", b"ignored") == (client.get("/close_fails").body, client.get("/ignore").body)
    server.wait_log("LookupError: in close")


# -- wsgi.input --------------------------------

LINES = b"one\ntwo\n\nthree" * 3
EXPRESSIONS = {
    "i.read()": LINES,
    "i.read(-1)": LINES,
    "i.read(None)": LINES,
    "i.read(0)": b"",
    "i.read(5)": LINES[:5],
    "i.read(10000)": LINES,
    "[i.read(4),i.read(4),i.read()]": [LINES[:4], LINES[4:8], LINES[8:]],
    "[i.read(),i.read(),i.read(1)]": [LINES, b"", b""],
    "i.readline()": b"one\n",
    "i.readline(2)": b"on",
    "i.readline(0)": b"",
    "i.readline(-1)": b"one\n",
    "i.readline(100)": b"one\n",
    "[i.readline(),i.readline(),i.readline(),i.readline()]": [b"one\n", b"two\n", b"\n", b"threeone\n"],
    "i.readlines()": LINES.splitlines(keepends=True),
    "i.readlines(5)": [b"one\n", b"two\n"],
    "i.readlines(0)": LINES.splitlines(keepends=True),
    "list(i)": LINES.splitlines(keepends=True),
    "[next(i),i.read(2),next(i)]": [b"one\n", b"tw", b"o\n"],
    "[i.read(),list(i),i.readline(),i.readlines()]": [LINES, [], b"", []],
}


@pytest.mark.parametrize("size", ["in memory", "in a file"])
@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_input_reads_like_a_file(client: Client, expression: str, size: str) -> None:
    """Input and Error Streams: read, readline, readlines and iteration, to the body's end and not beyond."""
    many = size == "in a file"
    if many and "readlines" not in expression and "list" not in expression:
        lines = LINES + b"\n" * 70000
        expected = eval(expression, {"i": __import__("io").BytesIO(lines)})
    else:
        lines, expected = LINES, EXPRESSIONS[expression]
    answer = client.post(f"/reads?{expression}", lines)
    assert repr(expected).encode() == answer.body
    assert b"ignored" == client.get("/ignore").body


@pytest.mark.parametrize("expression", ["i.read()", "i.readline()", "i.readlines()", "list(i)"])
def test_input_of_a_request_without_body_is_empty(client: Client, expression: str) -> None:
    """Input: a request without a body reads as nothing, at once."""
    expected = b"[]" if "l" in expression.replace("readline()", "") else b"b''"
    assert expected == client.get(f"/reads?{expression}").body


@pytest.mark.parametrize("size", [1, 100, 16_384, 65_536, 65_537, 3_000_000])
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_bodies_arrive_byte_for_byte(client: Client, size: int, chunked: bool) -> None:
    """In the buffer, in memory or in a file (--body-buffer 64K): the same bytes, and a known length."""
    body = bytes(number % 251 for number in range(size))
    if chunked:
        client.request("POST", "/echo", "Transfer-Encoding: chunked")
        for at in range(0, size, 50_000):
            part = body[at : at + 50_000]
            client.send(b"%x\r\n%s\r\n" % (len(part), part))
        answer = client.send(b"0\r\n\r\n").answer()
    else:
        answer = client.post("/echo", body)
    assert (str(size), True) == (answer.one("X-Length"), body == answer.body)
    assert b"ignored" == client.get("/ignore").body


def test_an_unread_body_is_not_the_next_request(client: Client) -> None:
    """Input: what the application leaves unread is the server's to consume."""
    smuggled = b"GET /raises HTTP/1.1\r\nHost: a\r\n\r\n" * 3000
    assert [b"ignored"] * 3 == [client.post("/ignore", smuggled).body for _ in range(3)]


def test_input_ends_with_its_request(server: Server) -> None:
    """A kept wsgi.input cannot read the body of a later request."""
    with server.client() as client:
        client.post("/keep_input", b"abc")
        assert b"ValueError" == client.post("/keep_input", b"def").body


def test_a_chunked_body_has_a_length_and_no_coding(client: Client) -> None:
    """It is decoded: CONTENT_LENGTH is its size, wsgi.input_terminated true, no HTTP_TRANSFER_ENCODING."""
    client.request("POST", "/environ", "Transfer-Encoding: chunked", "Trailer: X-T")
    seen = json.loads(client.send("3;x=y\r\nabc\r\n0\r\nX-T: 1\r\n\r\n").answer().body)
    assert ("3", True) == (seen["CONTENT_LENGTH"], seen["wsgi.input_terminated"])
    assert not {"HTTP_TRANSFER_ENCODING", "HTTP_X_T"} & seen.keys()


@pytest.mark.parametrize("end", ["close", "half_close", "reset"])
@pytest.mark.parametrize("kind", ["length", "chunked", "expect"])
def test_a_body_cut_short_never_passes_for_whole(server: Server, kind: str, end: str) -> None:
    """RFC 9112 8: an incomplete message is not a request; with 100-continue reading it raises."""
    token = f"{kind}-{end}"
    client = server.client()
    framing = "Transfer-Encoding: chunked" if kind == "chunked" else "Content-Length: 10"
    client.request("POST", f"/reached?{token}", framing, *([CONTINUE] if kind == "expect" else []))
    if kind == "expect":
        assert 100 == client.head().status
    client.send("5\r\nabcde\r\n" if kind == "chunked" else "abcde")
    {"close": client.socket.close, "half_close": client.half_close, "reset": client.reset}[end]()
    if kind == "expect":
        server.wait_log(f"^reading {token} ConnectionResetError")
    with server.client() as other:  # the worker has seen the end by the time that it answers another
        assert b"ignored" == other.get("/ignore").body
    client.socket.close()
    assert (False, kind == "expect") == (f"whole {token}" in server.log, f"reached {token}" in server.log)


def test_100_continue_is_sent_when_the_body_is_read(server: Server, client: Client) -> None:
    """HTTP 1.1 Expect/Continue: the interim answer waits for the application's first read."""
    answer = client.request("POST", "/echo", CONTINUE, "Content-Length: 5").head()
    assert 100 == answer.status
    assert b"hello" == client.send("hello").answer().body
    assert b"ignored" == client.get("/ignore").body


def test_100_continue_is_not_sent_when_the_body_is_not_read(client: Client) -> None:
    """... and an application that answers without reading spares the client the upload."""
    answer = client.request("POST", "/ignore", CONTINUE, "Content-Length: 5").answer()
    assert ([], b"ignored", "close", True) == (
        answer.interim,
        answer.body,
        answer.one("Connection"),
        client.ended(),
    )


def test_100_continue_is_needless_when_the_body_is_there(client: Client) -> None:
    """RFC 9110 10.1.1: it may be left out when part of the body has come already."""
    answer = client.request("POST", "/echo", CONTINUE, body=b"hello").answer()
    assert ([], b"hello") == (answer.interim, answer.body)


def test_100_continue_works_for_chunked_bodies(client: Client) -> None:
    """A chunked upload that waits is told to go on."""
    assert 100 == client.request("POST", "/echo", CONTINUE, "Transfer-Encoding: chunked").head().status
    assert b"abc" == client.send("3\r\nabc\r\n0\r\n\r\n").answer().body


def test_100_continue_is_not_for_http_1_0(client: Client) -> None:
    """RFC 9110 10.1.1: the expectation of an HTTP/1.0 request is ignored."""
    client.request("POST", "/echo", CONTINUE, "Content-Length: 5", version="1.0")
    answer = client.send("hello").answer()
    assert ([], b"hello") == (answer.interim, answer.body)


def test_a_large_body_after_100_continue_is_whole(client: Client) -> None:
    """Fetched on the first read, into a file."""
    body = os.urandom(1_000_000)
    assert 100 == client.request("POST", "/echo", CONTINUE, f"Content-Length: {len(body)}").head().status
    assert body == client.send(body).answer().body


def test_reading_nothing_does_not_ask_for_the_body(client: Client) -> None:
    """read(0) is no read."""
    assert [] == client.request("POST", "/reads?i.read(0)", CONTINUE, "Content-Length: 5").answer().interim


def test_no_interim_answer_inside_an_answer(client: Client) -> None:
    """RFC 9110 15.2: interim answers come before the final one; one that is under way is not torn by them."""
    head = client.request("POST", "/late_read", CONTINUE, "Content-Length: 5").head()
    assert (200, b"first ") == (head.status, client.chunk())
    assert (b"hello", b"") == (client.send("hello").chunk(), client.chunk())


# -- file_wrapper --------------------------------

CONTENT = bytes(range(256)) * 4000


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of about a megabyte, and beside it the same packed."""
    path = tmp_path_factory.mktemp("files") / "content"
    path.write_bytes(CONTENT)
    path.with_suffix(".gz").write_bytes(gzip.compress(CONTENT))
    path.with_suffix(".empty").write_bytes(b"")
    return path


@pytest.mark.parametrize("offset", [0, 1, 5000, 1_000_000, len(CONTENT) - 1, len(CONTENT), len(CONTENT) + 5])
def test_a_file_is_sent_from_its_position(client: Client, content: Path, offset: int) -> None:
    """Optional Platform-Specific File Handling: transmission begins at the file's current position."""
    answer = client.get(f"/file?{content}:{offset}")
    assert (str(len(CONTENT[offset:])), True) == (
        answer.one("Content-Length"),
        CONTENT[offset:] == answer.body,
    )
    assert b"ignored" == client.get("/ignore").body


def test_a_file_of_more_than_the_length_is_cut_at_it(client: Client, content: Path) -> None:
    """... and ends at Content-Length bytes."""
    assert CONTENT[:1000] == client.get(f"/file_sized?{content}:1000").body
    assert b"ignored" == client.get("/ignore").body


def test_a_file_of_less_than_the_length_cuts_the_connection(client: Client, content: Path) -> None:
    """A file too short for its Content-Length is no whole answer."""
    with pytest.raises(Cut):
        client.get(f"/file_sized?{content}:{len(CONTENT) + 1}")


def test_an_empty_file_is_an_empty_answer(client: Client, content: Path) -> None:
    """Nothing to send is sent, framed."""
    assert "0" == client.get(f"/file?{content.with_suffix('.empty')}").one("Content-Length")


def test_head_of_a_file_has_no_body(client: Client, content: Path) -> None:
    """The file is not sent for HEAD."""
    client.request("HEAD", f"/file?{content}").answer("HEAD")
    assert b"ignored" == client.get("/ignore").body


@pytest.mark.parametrize("end", ["read", "leave"])
def test_a_wrapped_file_is_closed(server: Server, content: Path, end: str) -> None:
    """file_wrapper: the server calls close(), whether the client has read it all or left."""
    with server.client(receive_buffer=4096) as client:
        client.request("GET", f"/file_told?{content}:file-{end}")
        if end == "read":
            assert CONTENT == client.answer().body
        else:
            client.head()
            client.reset()
        server.wait_log(f"^closed file-{end}$")


@pytest.mark.parametrize(
    ("path", "body"),
    [("/file_memory", b"memory" * 10000), ("/file_only_read", b"only read"), ("/file_pipe", b"from a pipe")],
)
def test_objects_without_a_regular_file_are_read(client: Client, path: str, body: bytes) -> None:
    """file_wrapper: what the platform cannot transmit is iterated by read(blksize)."""
    assert body == client.get(path).body


def test_a_file_that_decodes_is_read_not_copied(client: Client, content: Path) -> None:
    """The descriptor of a GzipFile holds the packed bytes: they are not what read() gives."""
    assert CONTENT == client.get(f"/file_gzip?{content.with_suffix('.gz')}").body


def test_a_file_after_write_joins_its_answer(client: Client, content: Path) -> None:
    """write() has sent the head: the file follows in the same framing."""
    assert b"before " + CONTENT == client.get(f"/write_then_file?{content}").body


def test_a_useless_block_size_is_refused(server: Server, client: Client) -> None:
    """A block size of nothing is the application's mistake."""
    assert 500 == client.get("/file_bad_block").status
    server.wait_log("ValueError: blksize must be positive")


# -- environ --------------------------------


def seen(
    client: Client, target: str, *lines: str, method: str = "GET", body: bytes = b""
) -> dict[str, object]:
    """Ask for the environ."""
    answer: dict[str, object] = json.loads(client.request(method, target, *lines, body=body).answer().body)
    return answer


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/", "/", ""),
        ("/a/b?x=1&y=%20", "/a/b", "x=1&y=%20"),
        ("/a?", "/a", ""),
        ("/a?b?c", "/a", "b?c"),
        ("/a%20b%2Fc", "/a b/c", ""),
        ("/caf%C3%A9", "/caf\xc3\xa9", ""),
        ("/%ff%FE", "/\xff\xfe", ""),
        ("/a%25b", "/a%b", ""),
        ("/a%2525", "/a%25", ""),
        ("//a//b", "//a//b", ""),
        ("/a/../b/.", "/a/../b/.", ""),
        ("/a;b=c", "/a;b=c", ""),
        ('/a?%zz+"', "/a", '%zz+"'),
        ("http://other:81/p?q", "/p", "q"),
        ("http://other", "/", ""),
    ],
)
def test_the_path_is_decoded_and_the_query_is_not(client: Client, target: str, path: str, query: str) -> None:
    """environ: PATH_INFO percent-decoded, bytes as Latin-1; QUERY_STRING as sent, "" if there is none."""
    environ = seen(client, target)
    assert (path, query, "", target) == (
        environ["PATH_INFO"], environ["QUERY_STRING"], environ["SCRIPT_NAME"], environ["RAW_URI"],
    )  # fmt: skip


def test_options_asterisk_reaches_the_application(client: Client) -> None:
    """RFC 9112 3.2.4: the asterisk-form."""
    assert "*" == seen(client, "*", method="OPTIONS")["PATH_INFO"]


def test_an_absolute_form_names_the_host(client: Client) -> None:
    """RFC 9112 3.2.2: the authority of the target replaces Host."""
    assert "other:81" == seen(client, "http://other:81/p")["HTTP_HOST"]


def test_the_server_and_the_client_are_named(server: Server, client: Client) -> None:
    """environ: SERVER_NAME and SERVER_PORT are never empty; REMOTE_ADDR and REMOTE_PORT are the peer's."""
    environ = seen(client, "/")
    host, port = client.socket.getsockname()
    assert ("127.0.0.1", str(server.port), host, str(port), "HTTP/1.1", "http") == tuple(
        environ[key]
        for key in (
            "SERVER_NAME",
            "SERVER_PORT",
            "REMOTE_ADDR",
            "REMOTE_PORT",
            "SERVER_PROTOCOL",
            "wsgi.url_scheme",
        )
    )
    assert ([1, 0], "GET", "test") == (
        environ["wsgi.version"],
        environ["REQUEST_METHOD"],
        environ["HTTP_HOST"],
    )


@pytest.mark.parametrize("method", ["GET", "PATCH", "PROPFIND", "M-SEARCH", "get"])
def test_any_method_reaches_the_application(client: Client, method: str) -> None:
    """RFC 9110 9.1: method names are case-sensitive tokens; the application decides."""
    assert method == seen(client, "/", method=method)["REQUEST_METHOD"]


def test_http_1_0_is_told(client: Client) -> None:
    """environ: SERVER_PROTOCOL is the client's version."""
    answer = client.request("GET", "/", version="1.0").answer()
    assert "HTTP/1.0" == json.loads(answer.body)["SERVER_PROTOCOL"]


def test_fields_become_variables(client: Client) -> None:
    """environ: HTTP_ variables, Latin-1, without the white space around the value."""
    environ = seen(client, "/", "X-Custom:  caf\xe9 x \t", "x-eMPTY:", "Accept-Language: de", "User-Agent: t")
    assert ("caf\xe9 x", "", "de", "t") == tuple(
        environ[f"HTTP_{name}"] for name in ("X_CUSTOM", "X_EMPTY", "ACCEPT_LANGUAGE", "USER_AGENT")
    )


def test_repeated_fields_are_joined(client: Client) -> None:
    """RFC 9110 5.3: by a comma in their order; cookies by a semicolon (RFC 6265 5.4)."""
    environ = seen(
        client, "/", "X-A: 1", "Cookie: a=1", "Accept: x", "x-a: 2", "Cookie: b=2", "accept: y", "X-A: 3"
    )
    assert ("1, 2, 3", "a=1; b=2", "x, y") == tuple(
        environ[f"HTTP_{name}"] for name in ("X_A", "COOKIE", "ACCEPT")
    )


def test_a_proxy_field_cannot_set_the_proxy(client: Client) -> None:
    """httpoxy (CVE-2016-5385): Proxy does not become HTTP_PROXY."""
    assert "HTTP_PROXY" not in seen(client, "/", "Proxy: http://evil/", "PROXY: x")


def test_underscores_cannot_pass_for_hyphens(client: Client) -> None:
    """X_Forwarded_For and X-Forwarded-For would be one variable: names with an underscore are dropped."""
    environ = seen(
        client, "/", "X_Real_Name: evil", "Content_Length: 5", "Remote_User: evil", "X-Real-Name: good"
    )
    assert ("good", False) == (
        environ["HTTP_X_REAL_NAME"],
        "HTTP_REMOTE_USER" in environ or "CONTENT_LENGTH" in environ,
    )


def test_content_type_and_length_have_no_prefix(client: Client) -> None:
    """environ: CONTENT_TYPE and CONTENT_LENGTH; absent when the client sent none."""
    environ = seen(client, "/", "Content-Type: a/b; c=d", method="POST", body=b"12345")
    assert ("a/b; c=d", "5") == (environ["CONTENT_TYPE"], environ["CONTENT_LENGTH"])
    assert not {"HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH"} & environ.keys()
    assert not {"CONTENT_TYPE", "CONTENT_LENGTH"} & seen(client, "/").keys()


def test_the_process_model_is_told_as_it_is(server: Server, client: Client) -> None:
    """environ: multithread and multiprocess true, run_once false; the main thread waits for signals."""
    environ = seen(client, "/")
    assert (True, True, False) == tuple(
        environ[f"wsgi.{name}"] for name in ("multithread", "multiprocess", "run_once")
    )
    assert b"other" == client.get("/thread").body


def test_each_environ_is_its_own(client: Client) -> None:
    """environ: a plain dict that the application may change; the next request does not see it."""
    assert "CONTENT_TYPE" in seen(client, "/", "Content-Type: a/b", "X-Once: 1", method="POST", body=b"x")
    assert not {"CONTENT_TYPE", "HTTP_X_ONCE"} & seen(client, "/").keys()


def test_a_long_name_and_a_long_value_pass(client: Client) -> None:
    """Longer than any cache keeps, shorter than the limit."""
    environ = seen(client, "/", f"X-{'n' * 200}: 1", f"X-Long: {'v' * 8000}")
    assert ("1", 8000) == (environ[f"HTTP_X_{'N' * 200}"], len(str(environ["HTTP_X_LONG"])))


def test_each_call_has_a_fresh_context(client: Client) -> None:
    """Context variables of one request are not the next one's, and last through one answer."""
    assert [b"12", b"12"] == [client.get("/context").body for _ in range(2)]


@pytest.fixture(scope="module")
def mounted(started: Starter) -> Server:
    """Mounted at /shop, behind a proxy on 127.0.0.1."""
    return started(
        "wsgi_cases:application",
        "--root-path=/shop",
        "--forwarded-allow-ips=127.0.0.1,10.0.0.0/8",
        "--forwarded-fields=either",
    )


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/shop/a", "/a"),
        ("/shop", ""),
        ("/shop/", "/"),
        ("/shopping", "/shopping"),
        ("/a", "/a"),
        ("/sh%6fp/b", "/b"),
    ],
)
def test_the_mount_point_is_script_name(mounted: Server, target: str, path: str) -> None:
    """environ: SCRIPT_NAME is --root-path, PATH_INFO the rest; a proxy may have removed it already."""
    with mounted.client() as client:
        environ = seen(client, target)
    assert ("/shop", path) == (environ["SCRIPT_NAME"], environ["PATH_INFO"])


def who(server: Server, *lines: str) -> tuple[object, ...]:
    """Ask who the client is, over which scheme, to which host."""
    with server.client() as client:
        environ = seen(client, "/", *lines)
    return environ["REMOTE_ADDR"], environ["wsgi.url_scheme"], environ["HTTP_HOST"]


@pytest.mark.parametrize(
    ("lines", "client"),
    [
        (["X-Forwarded-For: 1.2.3.4", "X-Forwarded-Proto: https"], ("1.2.3.4", "https", "test")),
        (["X-Forwarded-For: 6.6.6.6, 1.2.3.4, 10.1.1.1"], ("1.2.3.4", "http", "test")),
        (["X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: 1.2.3.4"], ("1.2.3.4", "http", "test")),
        (["X-Forwarded-For: nonsense"], ("127.0.0.1", "http", "test")),
        (
            ["X-Forwarded-Host: shop.example", "X-Forwarded-Proto: https"],
            ("127.0.0.1", "https", "shop.example"),
        ),
        (["Forwarded: for=1.2.3.4;proto=https;host=a.example"], ("1.2.3.4", "https", "a.example")),
        (['Forwarded: for="[2001:db8::1]:99"'], ("2001:db8::1", "http", "test")),
        (["X-Forwarded-Proto: gopher"], ("127.0.0.1", "http", "test")),
        ([], ("127.0.0.1", "http", "test")),
    ],
)
def test_a_trusted_proxy_is_believed(mounted: Server, lines: list[str], client: tuple[str, ...]) -> None:
    """--forwarded-allow-ips: from the right, as far as the hops are trusted."""
    assert client == who(mounted, *lines)


def test_a_client_cannot_choose_who_it_is_by_the_kind_its_proxy_passes_on(start: Starter) -> None:
    """--forwarded-fields: X-Forwarded-* by default; a Forwarded that the proxy did not write says nothing."""
    server = start("wsgi_cases:application")
    assert ("1.2.3.4", "http", "test") == who(
        server, "Forwarded: for=6.6.6.6;proto=https;host=evil", "X-Forwarded-For: 1.2.3.4"
    )


def test_an_untrusted_peer_is_not_believed(start: Starter) -> None:
    """Nobody behind no proxy chooses who they are."""
    server = start("wsgi_cases:application", "--forwarded-allow-ips=10.0.0.1")
    lines = [
        "X-Forwarded-For: 1.2.3.4",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: evil",
        "Forwarded: for=1.2.3.4",
    ]
    assert ("127.0.0.1", "http", "test") == who(server, *lines)


def test_a_unix_socket_serves(start: Starter, tmp_path: Path) -> None:
    """--bind unix:PATH: no peer address, a name and a port all the same, and the proxy is believed."""
    path = tmp_path / "s"
    start("wsgi_cases:application", f"--bind=unix:{path}")
    with Client(str(path)) as client:
        environ = seen(client, "/")
        assert ("", "") == (environ["REMOTE_ADDR"], environ["REMOTE_PORT"])
        assert environ["SERVER_NAME"] and environ["SERVER_PORT"]
        assert "1.2.3.4" == seen(client, "/", "X-Forwarded-For: 1.2.3.4")["REMOTE_ADDR"]


# -- processes of the application --------------------------------


def sockets(server: Server, pid: int) -> set[str]:
    """The sockets that a process has open."""
    return {name for name in server.descriptors(pid).values() if name.startswith("socket:")}


def test_a_forked_child_keeps_nothing_open(server: Server, fifo: str) -> None:
    """os.fork in a view: the child has neither the listener nor any connection, which ends without it."""
    with server.client() as other, server.client() as client:
        assert 200 == other.get("/ignore").status
        child = int(client.get(f"/forks?{fifo}").body)
        try:
            assert client.ended()
            until(lambda: not sockets(server, child), "the child has no socket")
        finally:
            let_go(fifo)
        assert b"reaped" == other.get(f"/reaps?{child}").body


def test_a_forked_child_that_returns_does_not_answer(server: Server, client: Client) -> None:
    """The parent alone answers; the child ends without touching the client or the counters."""
    assert b"from the parent" == client.get("/forks_and_returns").body
    assert b"ignored" == client.get("/ignore").body


def test_a_forked_child_ends_on_term(server: Server, client: Client, fifo: str) -> None:
    """The worker's way with TERM is not its children's: multiprocessing.Pool.terminate() relies on it."""
    child = int(client.get(f"/forks?{fifo}").body)
    until(lambda: not sockets(server, child), "the child has parted from the worker")
    os.kill(child, signal.SIGTERM)
    with server.client() as other:
        assert b"reaped" == other.get(f"/reaps?{child}").body
        assert b"ignored" == other.get("/ignore").body


def test_multiprocessing_works_in_a_view(client: Client) -> None:
    """A pool of forked processes computes and ends."""
    assert b"55" == client.get("/pool").body


@pytest.fixture(scope="module", autouse=True)
def nothing_left_open(server: Server) -> Iterator[None]:
    """At the end the worker has the descriptors that it had after its first answer."""
    with server.client() as client:
        client.get("/ignore")
        pid = server.workers()[0]
        before = len(server.descriptors(pid))
        yield
        assert [pid] == server.workers()
        until(lambda: len(server.descriptors(pid)) <= before, f"{server.descriptors(pid)}, before {before}")

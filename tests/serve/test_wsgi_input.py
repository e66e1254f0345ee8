"""PEP 3333 against the live server: what an application reads (wsgi.input), and files that it sends."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest
from client import Client, Cut
from server import Server
from starter import Starter

CONTINUE = "Expect: 100-continue"


@pytest.fixture(scope="module")
def server(started: Starter) -> Server:
    """One worker with the default options but a small body buffer."""
    return started("wsgi_cases:application", "--body-buffer=64K")


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


@pytest.mark.parametrize("length", [8191, 8192, 8193, 20000])
def test_lines_of_a_file_are_of_any_length(client: Client, length: int) -> None:
    """Input: a line that is longer than what is read ahead, or just as long, is one line."""
    lines = (b"x" * (length - 1) + b"\n") * 10
    answer = client.post(
        "/reads?[len(i.readline()),i.readline(3),len(i.readline()),len(i.readline())]", lines
    )
    assert repr([length, b"xxx", length - 3, length]).encode() == answer.body


@pytest.mark.skipif(not Path("/proc/thread-self/io").exists(), reason="the kernel counts no calls")
def test_a_line_of_a_file_is_read_once(client: Client) -> None:
    """Not to look for its end and then again; each time the GIL is given up."""
    assert b"100" == client.post("/read_calls", b"a line\n" * 20000).body


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


@pytest.mark.parametrize("kind", ["wrapper", "subclass", "translating"])
def test_what_reads_otherwise_than_its_file_is_read(client: Client, content: Path, kind: str) -> None:
    """file_wrapper: what iterating gives is sent, of a range no byte more than the range."""
    assert b"ranged" == client.get(f"/file_ranged?{content}:{kind}").body
    assert b"ignored" == client.get("/ignore").body


@pytest.mark.parametrize("kind", ["named", "proxy", "buffered"])
def test_what_hands_its_file_out_is_sent_by_the_kernel(client: Client, kind: str) -> None:
    """file_wrapper: tempfile's files and Django's have the read() of a plain one; their size is known."""
    answer = client.get(f"/file_handed_out?{kind}")
    assert (b"handed out", "10") == (answer.body, answer.one("Content-Length"))


def test_what_was_written_to_a_file_is_sent_with_it(client: Client) -> None:
    """file_wrapper: bytes that only the file object's buffer holds are what its read() gives."""
    answer = client.get("/file_written")
    assert (b"sent before", "11") == (answer.body, answer.one("Content-Length"))


def test_a_file_whose_size_nobody_knows_is_read(client: Client) -> None:
    """procfs says 0 and sysfs a page."""
    for path in ("/proc/sys/kernel/ostype", "/sys/kernel/mm/transparent_hugepage/enabled"):
        assert Path(path).read_bytes() == client.get(f"/file?{path}").body


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

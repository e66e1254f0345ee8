"""PEP 3333 against the live server, clause by clause: the response that an application makes."""

from __future__ import annotations

from contextlib import suppress
from urllib.parse import quote

import pytest
from client import Client, Cut
from server import Server, let_go
from starter import Starter


@pytest.fixture(scope="module")
def server(started: Starter) -> Server:
    """One worker with the default options but a small body buffer."""
    return started("wsgi_cases:application", "--body-buffer=64K")


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


def test_reset_content_is_framed_as_no_content(client: Client) -> None:
    """RFC 9110 15.3.6: 205 has no content; RFC 9112 6.3: it says so by Content-Length: 0."""
    for path in ("/status?205+Reset+Content", "/status_stream?205+Reset+Content"):
        answer = client.get(path)
        assert (205, ["0"], b"") == (answer.status, answer.all("Content-Length"), answer.body)
        assert b"ignored" == client.get("/ignore").body


def test_a_length_that_is_given_twice_is_sent_once(client: Client) -> None:
    """RFC 9110 5.3: a field that is no list is not sent twice."""
    answer = client.get("/fields?" + call("[('Content-Length', '6'), ('content-length', '6')]"))
    assert (["6"], b"fields") == (answer.all("Content-Length"), answer.body)


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


def test_upgrade_required_says_what_to_upgrade_to(client: Client) -> None:
    """RFC 9110 15.5.22: a 426 has Upgrade; 7.8: which Connection names."""
    arguments = "'426 Upgrade Required', [('Upgrade', 'websocket'), ('Content-Length', '5')]"
    answer = client.get(f"/malformed?{call(arguments)}")
    assert ["websocket", "upgrade"] == [answer.one("Upgrade"), answer.one("Connection")]
    assert b"never" == answer.body
    assert b"ignored" == client.get("/ignore").body


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
    """The answer was whole before close() ran; the log tells the request."""
    assert (b"sent", b"ignored") == (client.get("/close_fails?here").body, client.get("/ignore").body)
    server.wait_log("LookupError: in close")
    server.wait_log(r"error in close\(\) of the application's answer method=GET target=\"?/close_fails\?here")

"""PEP 3333 against the live server: what stands in the environ, and processes of the application."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from client import Client
from server import Server, let_go, until
from starter import Starter

pytestmark = pytest.mark.usefixtures("nothing_left_open")


@pytest.fixture(scope="module")
def server(started: Starter) -> Server:
    """One worker with the default options but a small body buffer."""
    return started("wsgi_cases:application", "--body-buffer=64K")


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
    before = server.line()
    assert b"from the parent" == client.get("/forks_and_returns").body
    assert b"ignored" == client.get("/ignore").body
    until(lambda: server.line()["in_flight"] == 0, "nothing to be in flight")
    assert before["requests"][2] + 2 == server.line()["requests"][2]


def test_a_forked_childs_crash_is_written_into_no_file_of_its_own(client: Client, tmp_path: Path) -> None:
    """The pipe for the worker's last words is closed in the child: its number may be any file's."""
    assert b"" == client.get(f"/forks_and_crashes?{tmp_path}/file").body


def test_a_forked_child_ends_on_term(server: Server, client: Client, fifo: str) -> None:
    """The worker's way with TERM is not its children's: multiprocessing.Pool.terminate() relies on it."""
    child = int(client.get(f"/forks?{fifo}").body)
    until(lambda: not sockets(server, child), "the child has parted from the worker")
    os.kill(child, signal.SIGTERM)
    with server.client() as other:
        assert b"reaped" == other.get(f"/reaps?{child}").body
        assert b"ignored" == other.get("/ignore").body


def test_a_forked_childs_own_children_keep_what_it_has_opened(client: Client) -> None:
    """What was the worker's is closed once: the numbers are the child's then."""
    assert b"all" == client.get("/forks_twice").body


def test_multiprocessing_works_in_a_view(client: Client) -> None:
    """A pool of forked processes computes and ends."""
    assert b"55" == client.get("/pool").body

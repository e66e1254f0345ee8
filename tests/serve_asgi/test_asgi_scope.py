"""The scope of a request: HTTP & WebSocket 2.5, "HTTP Connection Scope"; RFC 9112 section 3.2 for targets."""

import json

import pytest
from wire import Wire

PATHS = [
    # target, path, raw_path, query_string
    ("/", "/", "/", ""),
    ("/a/b", "/a/b", "/a/b", ""),
    ("/a%20b", "/a b", "/a%20b", ""),
    ("/caf%C3%A9", "/café", "/caf%C3%A9", ""),
    ("/caf%c3%a9", "/café", "/caf%c3%a9", ""),
    ("/%E4%BD%A0%E5%A5%BD", "/你好", "/%E4%BD%A0%E5%A5%BD", ""),
    ("/%F0%9F%A6%84", "/🦄", "/%F0%9F%A6%84", ""),
    ("/%FF", "/\ufffd", "/%FF", ""),
    ("/a%2Fb", "/a/b", "/a%2Fb", ""),
    ("/a%3Fb", "/a?b", "/a%3Fb", ""),
    ("/%25", "/%", "/%25", ""),
    ("/%2520", "/%20", "/%2520", ""),
    ("/a+b", "/a+b", "/a+b", ""),
    ("/a;v=1,2", "/a;v=1,2", "/a;v=1,2", ""),
    ("//a//b", "//a//b", "//a//b", ""),
    ("/a/../b/./c", "/a/../b/./c", "/a/../b/./c", ""),
    ("/a?", "/a", "/a", ""),
    ("/a?b=c&d=%20+e", "/a", "/a", "b=c&d=%20+e"),
    ("/a??x", "/a", "/a", "?x"),
    ("/a?x=/y?z", "/a", "/a", "x=/y?z"),
    ("/?%C3%A9", "/", "/", "%C3%A9"),
    ("http://other.example/abs?x", "/abs", "/abs", "x"),
    ("http://other.example:81/", "/", "/", ""),
    ("http://other.example", "/", "/", ""),
    ("http://other.example?x=1", "/", "/", "x=1"),
    ("/" + "%41" * 400, "/" + "A" * 400, "/" + "%41" * 400, ""),
    ("/" + "b" * 3000, "/" + "b" * 3000, "/" + "b" * 3000, ""),
]


@pytest.mark.parametrize(("target", "path", "raw", "query"), PATHS, ids=[case[0][:30] for case in PATHS])
def test_path(live, target, path, raw, query):
    """path is decoded, raw_path and query_string are as they came.

    Clause: ASGI HTTP, "HTTP Connection Scope": path, raw_path, query_string.
    """
    scope = live.ask("scope", target=target).json
    assert [path, raw, query] == [scope["path"], scope["raw_path"], scope["query_string"]]


def test_asterisk(live):
    """OPTIONS * (RFC 9112 section 3.2.4) is no path; it is shown as it came."""
    assert "*" == live.ask("scope", "OPTIONS", target="*").json["path"]


@pytest.mark.parametrize(
    "method", ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "BREW", "QUERY"]
)
def test_method(live, method):
    """method is what the client says; methods of no standard too.

    Clause: ASGI HTTP, "HTTP Connection Scope": method.
    """
    assert method == live.ask("scope", method).json["method"]


def test_method_of_head(live):
    """HEAD is HEAD to the application.

    Clause: ASGI HTTP, "HTTP Connection Scope": method.
    """
    with live.wire() as wire:
        wire.request("events", "HEAD")
        assert 200 == wire.answer("HEAD").status


HEADERS = [
    ([("X-Mixed-CASE", "Value")], [["x-mixed-case", "Value"]]),
    ([("X-A", "1"), ("x-b", "2"), ("X-A", "3")], [["x-a", "1"], ["x-b", "2"], ["x-a", "3"]]),
    ([("Cookie", "a=1; b=2")], [["cookie", "a=1; b=2"]]),
    ([("Accept", "text/html"), ("Accept", "*/*")], [["accept", "text/html"], ["accept", "*/*"]]),
    ([("X-Empty", "")], [["x-empty", ""]]),
    ([("X-Space", "  both \t")], [["x-space", "both"]]),
    ([("X-Inner", "a  b\tc")], [["x-inner", "a  b\tc"]]),
    ([("X-Latin", "caf\xe9")], [["x-latin", "caf\xe9"]]),
    ([("X-Long", "v" * 5000)], [["x-long", "v" * 5000]]),
    (
        [("User-Agent", "test/1 (a; b)"), ("Referer", "/x")],
        [["user-agent", "test/1 (a; b)"], ["referer", "/x"]],
    ),
    ([("Content-Type", "text/plain")], [["content-type", "text/plain"]]),
    ([(f"X-{i}", str(i)) for i in range(80)], [[f"x-{i}", str(i)] for i in range(80)]),
]


@pytest.mark.parametrize(("sent", "seen"), HEADERS, ids=[case[0][0][0] for case in HEADERS])
def test_headers(live, sent, seen):
    """headers: names in lower case, values without the white space around them, each as often as it came.

    Clause: ASGI HTTP, "HTTP Connection Scope": headers.
    """
    found = live.ask("scope", headers=sent).json["headers"]
    assert [["host", "test"], ["x-case", "scope"], *seen] == found


def test_host_of_an_absolute_target(live):
    """RFC 9112 section 3.2.2: the target's host counts, not the field."""
    headers = dict(live.ask("scope", target="http://other.example:81/x").json["headers"])
    assert "other.example:81" == headers["host"]


def test_http_1_0(live):
    """http_version of a request of HTTP/1.0, and no extension that it cannot carry."""
    with live.wire() as wire:
        scope = wire.ask("scope", version="1.0", headers=[("TE", "trailers")]).json
    assert "1.0" == scope["http_version"]
    assert "http.response.trailers" not in scope["extensions"]


def test_http_1_1(live):
    """http_version of a request of HTTP/1.1.

    Clause: ASGI HTTP, "HTTP Connection Scope": http_version.
    """
    assert "1.1" == live.ask("scope").json["http_version"]


def test_addresses(live):
    """client and server are host and port of the two ends.

    Clause: ASGI HTTP, "HTTP Connection Scope": client, server.
    """
    with live.wire() as wire:
        scope = wire.ask("scope").json
        assert [list(wire.socket.getsockname()), list(wire.socket.getpeername())] == [
            scope["client"],
            scope["server"],
        ]


def test_type_and_version(live):
    """type http; asgi tells the versions.

    Clause: ASGI HTTP, "HTTP Connection Scope": type, asgi.
    """
    scope = live.ask("scope").json
    assert ["http", {"version": "3.0", "spec_version": "2.5"}] == [scope["type"], scope["asgi"]]


def test_scheme(live):
    """Without a proxy that says otherwise the scheme is http.

    Clause: ASGI HTTP, "HTTP Connection Scope": scheme.
    """
    assert "http" == live.ask("scope").json["scheme"]


def test_extensions(live):
    """extensions: what the server can do for any client."""
    expected = ["http.response.early_hint", "http.response.pathsend", "http.response.zerocopysend"]
    assert expected == sorted(live.ask("scope").json["extensions"])


@pytest.mark.parametrize(
    ("te", "takes"),
    [
        ("trailers", True),
        ("gzip, Trailers", True),
        ("trailers;q=0.5", False),
        ("gzip", False),
        ("trailersx", False),
    ],
)
def test_trailers_extension(live, te, takes):
    """http.response.trailers is offered when the client takes trailers (RFC 9110 section 10.1.4)."""
    extensions = live.ask("scope", headers=[("TE", te), ("Connection", "TE")]).json["extensions"]
    assert takes == ("http.response.trailers" in extensions)


def test_state(live):
    """lifespan 2.0: the state of the lifespan comes with every request.

    Clause: ASGI lifespan, "Lifespan State".
    """
    assert {"colour": "green", "list": []} == live.ask("scope").json["state"]


def test_scopes_are_the_requests_own(live):
    """What an application does to a scope and its state stays with the request.

    Clause: ASGI, "Connection Scope"; lifespan, "Lifespan State": a copy for each request.
    """
    with live.wire() as wire:
        assert [None] * 4 == wire.ask("own_scope").json
        assert [None] * 4 == wire.ask("own_scope").json
        assert ["host", "x-case"] == [name for name, _ in wire.ask("scope").json["headers"]]


FORWARDED = [
    ([("X-Forwarded-For", "203.0.113.7")], "203.0.113.7", "http"),
    ([("X-Forwarded-For", "203.0.113.7"), ("X-Forwarded-Proto", "https")], "203.0.113.7", "https"),
    ([("Forwarded", "for=198.51.100.1;proto=https")], "198.51.100.1", "https"),
    ([("X-Forwarded-For", "10.9.9.9, 203.0.113.7")], "203.0.113.7", "http"),
]


@pytest.mark.parametrize(
    ("headers", "client", "scheme"), FORWARDED, ids=["for", "proto", "forwarded", "list"]
)
def test_forwarded(live, headers, client, scheme):
    """A trusted proxy (here the loopback) says who the client is.

    Clause: ASGI HTTP, "HTTP Connection Scope": scheme.
    """
    scope = live.ask("scope", headers=headers).json
    assert [client, scheme] == [scope["client"][0], scope["scheme"]]


def test_forwarded_host(live):
    """X-Forwarded-Host of a trusted proxy stands in the place of Host.

    Clause: RFC 7239 (forwarding is believed from trusted proxies only).
    """
    headers = live.ask("scope", headers=[("X-Forwarded-Host", "shop.example")]).json["headers"]
    assert ["host", "shop.example"] == headers[0]


def test_forwarded_by_nobody_trusted(server):
    """Where no proxy is trusted the peer is the client.

    Clause: RFC 7239 (forwarding is believed from trusted proxies only).
    """
    found = server("--forwarded-allow-ips", "203.0.113.1")
    with found.wire() as wire:
        scope = wire.ask(
            "scope", headers=[("X-Forwarded-For", "1.2.3.4"), ("X-Forwarded-Proto", "https")]
        ).json
        assert [list(wire.socket.getsockname()), "http"] == [scope["client"], scope["scheme"]]


ROOTED = [
    ("/x?y", "/shop/x", "/x"),
    ("/shop/x", "/shop/x", "/shop/x"),
    ("/shop", "/shop", "/shop"),
    ("/shopping", "/shop/shopping", "/shopping"),
    ("/", "/shop/", "/"),
]


def test_root_path(server):
    """root_path is where the application is mounted; path contains it, sent by the proxy or not.

    Clause: ASGI HTTP, "HTTP Connection Scope": root_path.
    """
    found = server("--root-path", "/shop")
    for target, path, raw in ROOTED:
        scope = found.ask("scope", target=target).json
        assert ["/shop", path, raw] == [scope["root_path"], scope["path"], scope["raw_path"]]


def test_unix_socket(server, tmp_path):
    """On a unix socket server is (path, None), and there is no client address.

    Clause: ASGI HTTP, "HTTP Connection Scope": client, server.
    """
    found = server("--bind", f"unix:{tmp_path}/s")
    with Wire(f"{tmp_path}/s") as wire:
        scope = wire.ask("scope").json
    assert [[f"{tmp_path}/s", None], None] == [scope["server"], scope["client"]]
    with Wire(f"{tmp_path}/s") as wire:
        scope = wire.ask("scope", headers=[("X-Forwarded-For", "203.0.113.7")]).json
    assert "203.0.113.7" == scope["client"][0]
    assert json.dumps(found.ask("scope").json["server"][0]) == '"127.0.0.1"'

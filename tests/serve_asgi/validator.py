"""An ASGI middleware that holds server and application to the specification.

Written from the ASGI specification alone (HTTP & WebSocket 2.5, lifespan 2.0, the extensions page). It checks
every scope, every event in both directions, and whether the server refuses what it must and takes what it
must. A violation is a line in the file that the environment variable VIOLATIONS names; the tests look there.
"""

import os
from urllib.parse import unquote_to_bytes

REQUIRED = {"type", "asgi", "http_version", "method", "path", "query_string", "headers"}
OPTIONAL = {"scheme", "raw_path", "root_path", "client", "server", "state", "extensions"}
FRAMING = {
    b"content-length",
    b"transfer-encoding",
    b"trailer",
    b"host",
}  # no trailers: RFC 9110 section 6.5.1
TOKEN = frozenset(b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")


def complain(words):
    """Write a violation down."""
    with open(os.environ["VIOLATIONS"], "a", encoding="utf-8") as file:
        file.write(words + "\n")


class Validator:
    """The middleware. `app` is an ASGI 3 application."""

    def __init__(self, app):
        self.app = app
        self.state = None
        self.known_states = {}

    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            self.state = scope.get("state")
            await self.app(scope, Lifespan(receive).receive, send)
        elif scope["type"] == "http":
            self.check_state(scope)
            check_http_scope(scope)
            exchange = Exchange(scope, receive, send)
            await self.app(scope, exchange.receive, exchange.send)
        else:
            await self.app(scope, receive, send)

    def check_state(self, scope):
        """Lifespan 2.0, "Lifespan State": a shallow copy for each request."""
        if self.state is None:
            expect("state" not in scope, "state without one of the lifespan")
            return
        state = scope.get("state")
        expect(type(state) is dict and state is not self.state, "state is not a copy of the lifespan's")
        expect(state == self.state, f"state {state!r} is not equal to {self.state!r}")
        expect(all(state[key] is self.state[key] for key in self.state), "the copy of state is not shallow")


class Lifespan:
    """lifespan.startup, then lifespan.shutdown."""

    def __init__(self, receive):
        self._receive = receive
        self._due = ["lifespan.startup", "lifespan.shutdown"]

    async def receive(self):
        """Check the order."""
        event = await self._receive()
        expect(self._due and event == {"type": self._due.pop(0)}, f"lifespan event {event!r} out of order")
        return event


def expect(condition, words):
    """Complain unless the condition holds."""
    if not condition:
        complain(words)


def check_http_scope(scope):
    """HTTP & WebSocket 2.5, "HTTP Connection Scope"."""
    keys = set(scope)
    expect(type(scope) is dict, "the scope is not a dict")
    expect(keys >= REQUIRED, f"scope lacks {sorted(REQUIRED - keys)}")
    expect(keys <= REQUIRED | OPTIONAL, f"scope has unknown {sorted(keys - REQUIRED - OPTIONAL)}")
    expect(scope["asgi"].get("version") == "3.0", "asgi version")
    expect(scope["asgi"].get("spec_version") in {"2.3", "2.4", "2.5"}, "asgi spec_version")
    expect(scope["http_version"] in {"1.0", "1.1"}, f"http_version {scope['http_version']!r}")
    expect(type(scope["method"]) is str and scope["method"], "method is not text")
    expect(scope.get("scheme", "http") in {"http", "https"}, f"scheme {scope.get('scheme')!r}")
    expect(type(scope["query_string"]) is bytes, "query_string is not bytes")
    check_path(scope)
    check_headers(scope["headers"])
    for name in ("client", "server"):
        check_address(name, scope.get(name))
    extensions = scope.get("extensions", {})
    expect(
        type(extensions) is dict
        and all(type(key) is str and type(extensions[key]) is dict for key in extensions),
        f"extensions {extensions!r}",
    )


def check_path(scope):
    """raw_path as it came, path decoded from it; root_path a prefix that path contains."""
    path, raw, root = scope["path"], scope.get("raw_path"), scope.get("root_path", "")
    expect(type(path) is str and (path.startswith("/") or path == "*"), f"path {path!r}")
    expect(type(root) is str and not root.endswith("/"), f"root_path {root!r}")
    expect(not root or path == root or path.startswith(root + "/"), f"path {path!r} outside of {root!r}")
    if raw is None:
        return
    expect(type(raw) is bytes and b"?" not in raw, f"raw_path {raw!r}")
    decoded = unquote_to_bytes(raw).decode("utf-8", "replace")
    expect(path in (decoded, root + decoded), f"path {path!r} is not raw_path {raw!r}")


def check_headers(headers):
    """A list of pairs of bytes, names in lower case."""
    for header in headers:
        expect(len(header) == 2 and all(type(part) is bytes for part in header), f"header {header!r}")
        name, value = header
        expect(name and name == name.lower() and set(name) <= TOKEN, f"header name {name!r}")
        expect(value == value.strip(b" \t") and not set(value) & set(b"\r\n\0"), f"header value {value!r}")


def check_address(name, address):
    """(host, port); for server also (path, None); None where it is not known."""
    if address is None:
        return
    host, port = address
    expect(type(host) is str and host, f"{name} host {host!r}")
    expect(type(port) is int or (name == "server" and port is None), f"{name} port {port!r}")


class Exchange:
    """The events of one request."""

    def __init__(self, scope, receive, send):
        self._receive = receive
        self._send = send
        self._extensions = scope.get("extensions", {})
        self._body_over = False
        self._disconnected = False
        self._started = False
        self._begun = False
        self._trailers = False
        self._state = "start"  # then "body", "trailers", "complete", "cut"

    async def receive(self):
        """http.request until more_body is false, then http.disconnect for good."""
        event = await self._receive()
        kind = event.get("type")
        if kind == "http.disconnect":
            expect(event == {"type": "http.disconnect"}, f"event {event!r}")
            self._disconnected = True
        elif kind == "http.request":
            expect(not self._disconnected, "http.request after http.disconnect")
            expect(not self._body_over, "http.request after the last one")
            expect(type(event.get("body", b"")) is bytes, f"body of {event!r}")
            expect(type(event.get("more_body", False)) is bool, f"more_body of {event!r}")
            expect(
                event.get("body") or not event.get("more_body"), "an empty http.request that is not the last"
            )
            self._body_over = not event.get("more_body", False)
        else:
            complain(f"event {event!r}")
        return event

    async def send(self, event):
        """Let the server take what is legal and refuse what is not."""
        legal = self._is_legal(event)
        gone = self._disconnected and self._state not in {"complete"}
        try:
            result = await self._send(event)
        except OSError:
            if self._state != "complete" and not _names_a_file(event):  # else the file may be the reason
                self._state = "cut"
            raise
        except Exception as error:
            expect(
                not legal or _names_a_file(event), f"{event!r} was refused in state {self._state}: {error!r}"
            )
            raise
        expect(result is None, f"send() gave {result!r}")
        expect(legal, f"{event!r} was taken in state {self._state}")
        expect(not gone, f"{event!r} was taken after http.disconnect")
        self._advance(event)
        return result

    def _is_legal(self, event):
        if not isinstance(event, dict):
            return False
        kind = event.get("type")
        if kind == "http.response.start":
            return self._state == "start" and _is_start(event)
        if kind == "http.response.early_hint":
            return self._state in {"start", "body"} and _is_hint(event)
        if kind == "http.response.body":
            return self._state == "body" and isinstance(
                event.get("body", b""), bytes | bytearray | memoryview
            )
        if kind == "http.response.trailers":
            return self._state == "trailers" and _are_headers(event.get("headers", ()), FRAMING)
        return self._state == "body" and _is_file(event)

    def _advance(self, event):
        kind = event["type"]
        if kind == "http.response.start":
            self._state = "body"
            self._trailers = event.get("trailers", False)
        elif kind == "http.response.trailers":
            self._state = "trailers" if event.get("more_trailers") else "complete"
        elif kind != "http.response.early_hint" and not event.get("more_body"):
            self._state = "trailers" if self._trailers else "complete"


def _is_start(event):
    status = event.get("status")
    return isinstance(status, int) and 200 <= status <= 999 and _are_headers(event.get("headers", ()))


def _names_a_file(event):
    return isinstance(event, dict) and event.get("type") in {
        "http.response.pathsend",
        "http.response.zerocopysend",
    }


def _is_hint(event):
    links = event.get("links")
    return isinstance(links, list | tuple) and all(
        isinstance(link, bytes) and _is_value(link) for link in links
    )


def _is_file(event):
    if event.get("type") == "http.response.pathsend":
        return isinstance(event.get("path"), str)
    return event.get("type") == "http.response.zerocopysend" and "file" in event


def _are_headers(headers, forbidden=()):
    if not isinstance(headers, list | tuple):
        return hasattr(headers, "__iter__")  # any iterable will do; looking would use it up
    for header in headers:
        if not isinstance(header, list | tuple) or len(header) != 2:
            return False
        name, value = header
        if not isinstance(name, bytes) or not isinstance(value, bytes):
            return False
        if not name or not set(name) <= TOKEN or not _is_value(value):
            return False
        if name.lower() in forbidden or (name.lower() == b"content-length" and not value.isdigit()):
            return False
    return True


def _is_value(value):
    return all(byte == 9 or (byte >= 32 and byte != 127) for byte in value)

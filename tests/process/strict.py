"""A strict client on raw sockets: it never retries, every request has an id, and whatever is not a whole
right answer is recorded by name.

The names: refused, unreachable, reset (before or inside an answer), closed (end of file before an answer),
truncated (end of file inside one), timeout, wrong (not the answer to this request), status (not 200),
hung_up (a kept-alive connection that the server closes, or says it will).
"""

import collections
import itertools
import json
import select
import socket
import threading
import weakref

PATIENCE = 10.0

APP = """
import json, os, time

def application(environ, start_response):
    body = environ["wsgi.input"].read()
    if environ["PATH_INFO"].startswith("/slow"):
        time.sleep(0.05)
    if environ["PATH_INFO"].startswith("/hold"):
        time.sleep(float(environ["QUERY_STRING"]))
    answer = {"pid": os.getpid(), "path": environ["PATH_INFO"], "body": body.decode()}
    data = json.dumps(answer).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(data)))])
    return [data]
"""

ASGI_APP = """
import asyncio, json, os

async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            event = (await receive())["type"]
            await send({"type": event + ".complete"})
            if event == "lifespan.shutdown":
                return
    body, more = b"", True
    while more:
        event = await receive()
        body += event.get("body", b"")
        more = event.get("more_body", False)
    if scope["path"].startswith("/slow"):
        await asyncio.sleep(0.05)
    if scope["path"].startswith("/hold"):
        await asyncio.sleep(float(scope["query_string"]))
    data = json.dumps({"pid": os.getpid(), "path": scope["path"], "body": body.decode()}).encode()
    length = [(b"content-length", str(len(data)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": length})
    await send({"type": "http.response.body", "body": data})
"""

APPS = {"wsgi": APP, "asgi": ASGI_APP}
_ids = itertools.count()
_made = weakref.WeakSet()


class Fault(Exception):  # noqa: N818  what the client saw is not an error of the client
    """What went wrong, by name."""


class Connection:
    """One connection. `ask` gives the answer or raises Fault."""

    def __init__(self, address):
        try:
            self.socket = socket.create_connection(address, PATIENCE)
        except ConnectionRefusedError:
            raise Fault("refused") from None
        except OSError as error:
            raise Fault(f"unreachable {error}") from None
        self.buffer = b""
        self.staying = True
        _made.add(self)

    def ask(self, path="/", body=None, close=False):
        """One request and its answer."""
        unique = f"{path}/{next(_ids)}" if "?" not in path else path
        self.send(unique, body, close)
        return self.take(unique, body, close)

    def send(self, path, body=None, close=False):
        """One request, or the beginning of one."""
        method = "GET" if body is None else "POST"
        lines = [f"{method} {path} HTTP/1.1", "Host: strict"]
        lines += ["Connection: close"] if close else []
        lines += [] if body is None else [f"Content-Length: {len(body)}"]
        self.send_bytes("\r\n".join([*lines, "", body or ""]).encode())

    def send_bytes(self, data):
        try:
            self.socket.sendall(data)
        except TimeoutError:
            raise Fault("timeout") from None
        except OSError as error:
            raise Fault(f"reset {error}") from None

    def take(self, path=None, body=None, close=False):
        """One answer, whole."""
        while b"\r\n\r\n" not in self.buffer:
            self._more()
        head, _, rest = self.buffer.partition(b"\r\n\r\n")
        fields = dict(line.lower().split(": ", 1) for line in head.decode().split("\r\n")[1:])
        while len(rest) < int(fields["content-length"]):
            self._more()
            rest = self.buffer.partition(b"\r\n\r\n")[2]
        data, self.buffer = rest[: int(fields["content-length"])], rest[int(fields["content-length"]) :]
        if not head.startswith(b"HTTP/1.1 200 "):
            raise Fault(f"status {head[9:12].decode()}")
        self.staying = fields.get("connection") != "close"
        if not close and not self.staying:
            raise Fault("hung_up (Connection: close)")
        answer = json.loads(data)
        if path is not None and (answer["path"], answer["body"]) != (path.partition("?")[0], body or ""):
            raise Fault(f"wrong {answer}")
        return answer

    def _more(self):
        try:
            data = self.socket.recv(65536)
        except TimeoutError:
            raise Fault("timeout") from None
        except OSError as error:
            raise Fault(f"reset {error}") from None
        if not data:
            raise Fault("truncated" if self.buffer else "closed")
        self.buffer += data

    def is_open(self):
        """Whether the server has closed nothing and said nothing unasked."""
        return not select.select([self.socket], [], [], 0)[0]

    def close(self):
        self.socket.close()


def close_what_is_left():
    """Close what a failed test has left open: the next is not to be blamed for it."""
    for connection in list(_made):
        connection.close()


class Load:
    """Threads that ask without a pause until told to stop. `faults` and `answers` count by kind of client."""

    def __init__(self, address, keep=2, new=2, slow=1, idle=8):
        self.address = address
        self.faults = collections.Counter()
        self.answers = collections.Counter()
        self.pids = set()
        self._stop = threading.Event()
        kinds = [(self._keep, keep), (self._new, new), (self._slow, slow), (self._idle, 1 if idle else 0)]
        self._idlers = idle
        self._threads = [threading.Thread(target=kind) for kind, count in kinds for _ in range(count)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(2 * PATIENCE)

    def _record(self, kind, call):
        try:
            answer = call()
        except Fault as fault:
            self.faults[f"{kind}: {fault}"] += 1
            return False
        self.answers[kind] += 1
        self.pids.add(answer["pid"])
        return True

    def _keep(self):
        connection = None
        while not self._stop.wait(0.001):
            if connection is None:
                connection = self._connect("keep")
                continue
            body = f"body {self.answers['keep']}" if self.answers["keep"] % 2 else None
            if not self._record("keep", lambda c=connection, b=body: c.ask("/keep", b)):
                connection.close()
                connection = None
        if connection is not None:
            connection.close()

    def _connect(self, kind):
        try:
            return Connection(self.address)
        except Fault as fault:
            self.faults[f"{kind}: {fault}"] += 1
            return None

    def _new(self, path="/new"):
        while not self._stop.wait(0.001):
            connection = self._connect("new")
            if connection is not None:
                self._record(path[1:], lambda c=connection: c.ask(path, "posted", close=True))
                connection.close()

    def _slow(self):
        self._new("/slow")

    def _idle(self):
        """Connections that mostly wait: each asks once in a while, and never finds itself closed."""
        connections = [self._connect("idle") for _ in range(self._idlers)]
        turn = itertools.cycle(range(len(connections)))
        while not self._stop.wait(0.02):
            at = next(turn)
            if connections[at] is None:
                connections[at] = self._connect("idle")
            elif not connections[at].is_open():
                self.faults["idle: hung_up"] += 1
                connections[at].close()
                connections[at] = None
            elif not self._record("idle", lambda c=connections[at]: c.ask("/idle")):
                connections[at].close()
                connections[at] = None
        for connection in connections:
            if connection is not None:
                connection.close()

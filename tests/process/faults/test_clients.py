"""Clients that come and go at bad moments. Rows 46 to 49, and the last moment of an app."""

import socket
import struct
import threading

import pytest
from board import total, wait_for_ready
from harness import until
from scene import CALLED, serve_source, whole
from strict import Connection, Fault, Load

CHUNKS = """
import os, time
def application(environ, start_response):
    if environ["PATH_INFO"] == "/upload":
        try:
            environ["wsgi.input"].read()
        finally:
            open("upload", "a").write("over ")
    class Chunks:
        def __iter__(self):
            for _ in range(2000):
                yield b"x" * 65536
        def close(self):
            open("closed", "a").write("closed ")
    start_response("200 OK", [])
    return Chunks() if environ["PATH_INFO"] == "/download" else [b"ok"]
"""


def reset(connection):
    """Leave with a RST."""
    connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


@pytest.mark.parametrize("leave", [Connection.close, reset])
def test_row_46_clients_that_leave_in_the_middle_cost_nothing(server, leave):
    """In the body, in the answer, before the accept: iterables are closed, nothing is logged."""
    each = serve_source(server, CHUNKS, workers=2)
    wait_for_ready(each, 2)
    mark = len(each.output)
    for _ in range(5):
        upload, download, silent = (Connection(each.address) for _ in range(3))
        upload.send_bytes(b"POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + b"u" * 100)
        download.send_bytes(b"GET /download HTTP/1.1\r\nHost: x\r\n\r\n")
        download.socket.recv(1000)
        for each_one in (silent, upload, download):
            leave(each_one)
    until(lambda: total(each, "in_flight") == 0 and total(each, "open") == 0, "everything to be free")
    closed = each.directory / "closed"
    until(lambda: closed.exists() and closed.read_text().split() == ["closed"] * 5, "the iterables' close()")
    assert 200 == each.get()[0]
    each.drain()
    assert "Traceback" not in each.output[mark:]


def test_row_47_pipelined_requests_are_all_answered_at_a_drain(serve):
    """Those behind a running one when the worker is retired by scaling down are answered in order."""
    each = serve(workers=1, arguments=("--observe", "0"))
    connection = Connection(each.address)
    paths = ["/hold?0.5", "/two", "/three"]
    for path in paths:
        connection.send(path)
    until(lambda: total(each, "in_flight") == 1, "the first to run")
    each.send(1)
    assert ["/hold", "/two", "/three"] == [connection.take(path)["path"] for path in paths]
    connection.close()


def test_row_48_posts_on_kept_connections_meet_no_reset_in_reloads(server):
    """A client posts as fast as it is answered, through five reloads: no connection of its is ever closed."""
    each = serve_source(server, CALLED, workers=2, arguments=("--observe", "0"))
    with Load(each.address, keep=4, new=0, slow=0, idle=0) as load:
        for _ in range(5):
            before = load.answers.total()
            each.reload()
            until(lambda b=before: load.answers.total() > b + 100, "answers")
    assert {} == dict(load.faults)


SSE = """
import asyncio
async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for number in range(20):
        body = b"data: %02d\\n\\n" % number
        await send({"type": "http.response.body", "body": body, "more_body": True})
        await asyncio.sleep(0.05)
    await send({"type": "http.response.body", "body": b""})
"""


@pytest.mark.parametrize("event", ["reload", "stop"])
def test_row_49_event_stream_is_whole_through_reload_and_stop(server, event):
    """A stream that ends within drain_timeout ends as it should, with its last chunk."""
    each = serve_source(server, SSE, workers=1, arguments=("--observe", "0"))
    connection = Connection(each.address)
    connection.send("/events")
    data = connection.socket.recv(65536)
    if event == "reload":
        each.reload()
    else:
        each.send(15)
    while not data.endswith(b"0\r\n\r\n") and (more := connection.socket.recv(65536)):
        data += more
    assert data.endswith(b"0\r\n\r\n")
    assert 20 == data.count(b"data: ")
    connection.close()
    if event == "stop":
        assert 0 == each.wait()


@pytest.mark.parametrize("bind", ["127.0.0.1:0", "unix:app.sock"])
def test_clients_that_connect_in_the_last_moment_are_answered_or_refused(serve, bind):
    """TERM while clients connect without a pause: nobody who got in is reset, closed or cut."""
    each = serve(workers=2, bind=("127.0.0.1:0", bind) if bind.startswith("unix") else (bind,))
    wait_for_ready(each, 2)
    seen, lock, stop = {}, threading.Lock(), threading.Event()

    def connect():
        if bind.startswith("unix"):
            connection = Connection.__new__(Connection)
            connection.socket = socket.socket(socket.AF_UNIX)
            connection.buffer = b""
            try:
                connection.socket.connect(f"{each.directory}/app.sock")
            except OSError:
                connection.close()
                raise Fault("refused") from None
            return connection
        return Connection(each.address)

    def call():
        while not stop.is_set():
            try:
                connection = connect()
            except Fault as fault:
                word = str(fault).split()[0]
            else:
                try:
                    connection.ask("/", "posted", close=True)
                    word = "answered"
                except Fault as fault:
                    word = str(fault)
                connection.close()
            with lock:
                seen[word] = seen.get(word, 0) + 1
            if word == "refused":
                return

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    until(lambda: seen.get("answered", 0) > 200, "answers")
    each.send(15)
    code = each.wait()
    stop.set()
    for thread in threads:
        thread.join(20)
    assert {"answered", "refused"} >= set(seen), seen
    assert 0 == code


def test_rows_46_and_48_leave_nothing_behind(server):
    """After a load of all kinds, descriptors, processes and connections are as before."""
    each = serve_source(server, CALLED, workers=2, arguments=("--observe", "0"))
    each.reload()
    whole(each, workers=2)
    before = each.descriptors()
    with Load(each.address) as load:
        until(lambda: load.answers.total() > 200, "answers")
    until(lambda: total(each, "open") == 0, "no connections")
    assert {} == dict(load.faults)
    until(lambda: each.descriptors() <= before, f"{before} descriptors")

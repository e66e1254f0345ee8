"""Who asks for /metrics without a pause, and a server that stands in for the admin process.

Both are processes of their own at SCHED_IDLE, which every other process preempts when it wakes: the scrapers
as if they were on another machine, the stand-in to tell what a hundred clients cost whoever shares a CPU
with the one they ask, be it ever so considerate. Standard library only.
"""

import contextlib
import os
import re
import select
import signal
import socket
import time
from collections.abc import Callable, Iterator

SCRAPERS = 100
PAUSE = 0.25  # seconds; the admin's between two pages
METRICS = b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"


def scrape(port: int, over: int) -> int:
    """Scrape without a pause on SCRAPERS connections, and a byte a second on another, until the descriptor
    `over` is at its end; give the whole answers.
    """
    lines = {}
    for _ in range(SCRAPERS):
        line = socket.create_connection(("127.0.0.1", port))
        line.sendall(METRICS)
        lines[line.fileno()] = (line, bytearray())
    slow = socket.socket()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.connect(("127.0.0.1", port))
    slow.sendall(METRICS * 8)
    poll = select.poll()
    for descriptor in (*lines, over):
        poll.register(descriptor, select.POLLIN)
    answers, next_byte = 0, 0.0
    while True:
        if time.monotonic() >= next_byte:
            slow.recv(1, socket.MSG_DONTWAIT) if next_byte else None
            next_byte = time.monotonic() + 1
        for descriptor, _ in poll.poll(1000):
            if descriptor == over:
                return answers
            line, got = lines[descriptor]
            got += line.recv(1 << 18)
            head, found, body = got.partition(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE) if found else None
            if length and len(body) >= int(length[1]):
                answers += 1
                got.clear()
                line.sendall(METRICS)


@contextlib.contextmanager
def scraped(port: int) -> Iterator[Callable[[], int]]:
    """Have a process of its own scrape; what is given ends it and tells its whole answers."""
    over, end = os.pipe()
    told, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(end)
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        try:
            os.write(tell, str(scrape(port, over)).encode())
        finally:
            os._exit(0)
    os.close(over)
    os.close(tell)

    def count() -> int:
        os.close(end)
        return int(os.read(told, 32) or b"-1")

    try:
        yield count
    finally:
        os.waitpid(pid, 0)
        os.close(told)


@contextlib.contextmanager
def standing_in(page: bytes, cpu: int) -> Iterator[tuple[int, int]]:
    """Have a process serve this page on a CPU, PAUSE apart, to all who have asked; give its pid and port."""
    with socket.create_server(("127.0.0.1", 0), backlog=SCRAPERS) as listener:
        pid = os.fork()
        if pid == 0:
            try:
                os.sched_setaffinity(0, {cpu})
                os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
                answer(listener, page)
            finally:
                os._exit(1)
        try:
            yield pid, listener.getsockname()[1]
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def answer(listener: socket.socket, page: bytes) -> None:
    """Serve the page to all who have asked, then pause; for ever."""
    whole = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(page), page)
    lines: dict[int, socket.socket] = {}
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    while True:
        ready = [descriptor for descriptor, _ in poll.poll()]
        if listener.fileno() in ready:
            line, _ = listener.accept()
            line.setblocking(False)
            lines[line.fileno()] = line
            poll.register(line, select.POLLIN)
            continue
        for descriptor in ready:
            if not serve(lines[descriptor], whole):
                poll.unregister(descriptor)
                lines.pop(descriptor).close()
        time.sleep(PAUSE)


def serve(line: socket.socket, whole: bytes) -> bool:
    """Answer one client; False when it has gone, or does not read."""
    try:
        return bool(line.recv(4096)) and line.send(whole) == len(whole)
    except OSError:
        return False

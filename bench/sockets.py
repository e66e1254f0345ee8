"""Compares what a message over one of 1,000 open WebSockets costs the ASGI servers that are installed.

    python bench/sockets.py [--rounds 5] [--servers uvicorn,granian] [--peers PYTHON]

One worker on a CPU of its own. The client sends a text of 64 bytes on every connection, reads every echo, and
begins again; servers take turns, round after round. The figure is CPU time of all the server's threads.
`uvicorn-sansio` is uvicorn over the same protocol library as forkcluster. Standard library only. run.py owns
starting and stopping servers.
"""

import os
import select
import socket
import sys
import time

from run import running
from servers import SERVERS, Server
from streams import compare, cpu_micros, settings_of

TEXT = b"x" * 64
MASK = bytes(4)  # a mask of zeros leaves the text as it is (RFC 6455 section 5.3)
FRAME = bytes([0x81, 0x80 | len(TEXT)]) + MASK + TEXT
ECHO = bytes([0x81, len(TEXT)]) + TEXT
HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
COLUMNS = ("server", "CPU µs/message", "spread", "messages/s", "spread")
CONNECTIONS = 1000
TURNS = 40
UVICORN = next(each for each in SERVERS if each.name == "uvicorn")
ALL = (
    *(each for each in SERVERS if each.interface == "ASGI"),
    Server("uvicorn-sansio", "ASGI", "uvicorn", (*UVICORN.command, "--ws", "websockets-sansio")),
)


def receive(ours: socket.socket, most: int) -> bytes:
    """What has come. Raises RuntimeError when nothing will."""
    data = ours.recv(most)
    if not data:
        raise RuntimeError("the server closed a connection")
    return data


def upgrade(port: int) -> socket.socket:
    """Open one WebSocket."""
    ours = socket.create_connection(("127.0.0.1", port), 10)
    ours.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    ours.sendall(HANDSHAKE)
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += receive(ours, 1)
    if not head.startswith(b"HTTP/1.1 101"):
        raise RuntimeError(f"the handshake was answered by {head!r}")
    return ours


def turn(poll: select.epoll, sockets: dict[int, socket.socket]) -> None:
    """One message on every connection, and its echo."""
    waiting = dict.fromkeys(sockets, b"")
    for each in sockets.values():
        each.sendall(FRAME)
    while waiting:
        for number, _ in poll.poll(10):
            waiting[number] += receive(sockets[number], len(ECHO))
            if waiting[number] == ECHO:
                del waiting[number]
            elif len(waiting[number]) >= len(ECHO):
                raise RuntimeError(f"not the echo: {waiting[number]!r}")


def measure(command: list[str], port: int) -> tuple[float, float]:
    """CPU microseconds per message and messages per second, after some turns to warm up."""
    cpus = sorted(os.sched_getaffinity(0))
    with running(command, port, {cpus[0]}) as session, select.epoll() as poll:
        os.sched_setaffinity(0, {cpus[-1]})
        sockets = {}
        try:
            for _ in range(CONNECTIONS):
                ours = upgrade(port)
                sockets[ours.fileno()] = ours
                poll.register(ours, select.EPOLLIN)
            for _ in range(TURNS // 4):
                turn(poll, sockets)
            before, began = cpu_micros(session), time.monotonic()
            for _ in range(TURNS):
                turn(poll, sockets)
            messages = TURNS * CONNECTIONS
            return (cpu_micros(session) - before) / messages, messages / (time.monotonic() - began)
        finally:
            os.sched_setaffinity(0, cpus)
            for ours in sockets.values():
                ours.close()


if __name__ == "__main__":
    sys.exit(compare(ALL, settings_of(__doc__, 5, sys.argv[1:]), measure, COLUMNS))

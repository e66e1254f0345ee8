"""Asks a master through its control socket: one request, one answer, blocking, within a time."""

import socket
import time

from forkcluster.errors import PeerError, UserError, from_json
from forkcluster.wire.control import MOST_ANSWER, Body, Decoder, encode

TIMEOUT = 10.0


class NotRunningError(UserError):
    """Nobody listens on that control socket."""

    kind = "not running"


def ask(path: str, command: str, *, timeout: float | None = TIMEOUT, **arguments: object) -> Body:
    """Give the master's answer to one command; `timeout` (seconds) None waits as long as it takes.

    Raise NotRunningError, PeerError (no answer in time, or none that can be understood), or the error that
    the master answers with.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.settimeout(timeout)
        _connect(line, path)
        try:
            line.sendall(encode({"command": command, **arguments}))
            answer = _receive(line, timeout)
        except TimeoutError as error:
            text = f"asking {path} for {command}: no answer within {timeout:g} s"
            raise PeerError(text, "the master is stopped or very busy") from error
        except OSError as error:
            raise PeerError(f"asking {path} for {command}: {error.strerror}") from error
    if answer.get("ok") is not True:
        raise from_json(answer.get("error"))
    return answer


def _connect(line: socket.socket, path: str) -> None:
    try:
        line.connect(path)
    except OSError as error:
        raise NotRunningError(f"connecting to {path}: {error.strerror or error}") from error


def _receive(line: socket.socket, timeout: float | None) -> Body:
    decoder = Decoder(MOST_ANSWER)
    deadline = None if timeout is None else time.monotonic() + timeout
    while True:
        if deadline is not None:
            line.settimeout(max(0.001, deadline - time.monotonic()))
        data = line.recv(65536)
        if not data:
            raise PeerError("the master closed the control connection without an answer")
        body = decoder.feed(data)
        if body is not None:
            return body

"""The manager's way to running apps: asks one master, or many at once."""

import selectors
import socket
import time
from collections.abc import Callable, Mapping

from forkcluster.dataclass import dataclass, field
from forkcluster.errors import ForkclusterError, PeerError, from_json
from forkcluster.wire.client import NotRunningError, ask
from forkcluster.wire.control import MOST_ANSWER, Body, Decoder, encode

__all__ = ["NoAnswerError", "NotRunningError", "ask", "ask_all"]

BUSY = "its master is stopped or very busy"


class NoAnswerError(PeerError):
    """A master has taken the connection, and not answered in time."""


Answer = Body | ForkclusterError


@dataclass(slots=True, eq=False)
class _Call:
    """One connection to a master: sending its request, then collecting the answer."""

    name: str
    line: socket.socket
    unsent: bytes
    decoder: Decoder = field(default_factory=lambda: Decoder(MOST_ANSWER))


def ask_all(
    paths: Mapping[str, str],
    command: str,
    *,
    timeout: float | None,
    done: Callable[[str, Answer], None] | None = None,
    **arguments: object,
) -> dict[str, Answer]:
    """Give every master's answer to one command, by name: what it says, or the error that came instead.

    `paths` are control sockets by name. All are asked at the same time; whoever has not answered after
    `timeout` seconds (None: however long it takes) has a PeerError. `done` is called with each as it comes.
    """
    request = encode({"command": command, **arguments})
    answers: dict[str, Answer] = {}

    def settle(name: str, answer: Answer) -> None:
        answers[name] = answer
        if done is not None:
            done(name, answer)

    deadline = None if timeout is None else time.monotonic() + timeout
    with selectors.DefaultSelector() as selector:
        for name, path in paths.items():
            try:
                _open(selector, name, path, request)
            except BlockingIOError:  # a unix socket does not wait: its queue is full
                settle(name, PeerError(f"asking {name} for {command}: too many others wait", BUSY))
            except OSError as error:
                settle(name, NotRunningError(f"connecting to {path}: {error.strerror or error}"))
        try:
            _turn(selector, deadline, settle)
        finally:
            for key in list(selector.get_map().values()):
                name = key.data.name
                key.data.line.close()
                if name not in answers:
                    text = f"asking {name} for {command}: no answer within {timeout or 0:g} s"
                    settle(name, NoAnswerError(text, BUSY))
    return answers


def _open(selector: selectors.BaseSelector, name: str, path: str, request: bytes) -> None:
    """Connect, without waiting. Raise OSError."""
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        line.connect(path)
    except OSError:
        line.close()
        raise
    selector.register(line, selectors.EVENT_WRITE, _Call(name, line, request))


def _turn(
    selector: selectors.BaseSelector, deadline: float | None, settle: Callable[[str, Answer], None]
) -> None:
    while selector.get_map():
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            return
        for key, _ in selector.select(left):
            call: _Call = key.data
            try:
                answer = _advance(selector, call)
            except ForkclusterError as error:
                answer = error
            except OSError as error:
                answer = PeerError(f"asking {call.name}: {error.strerror or error}")
            if answer is not None:
                selector.unregister(call.line)
                call.line.close()
                settle(call.name, answer)


def _advance(selector: selectors.BaseSelector, call: _Call) -> Answer | None:
    """Send or receive what can be now; give the answer once it is whole. Raise OSError or PeerError."""
    if call.unsent:
        call.unsent = call.unsent[call.line.send(call.unsent) :]
        if not call.unsent:
            selector.modify(call.line, selectors.EVENT_READ, call)
        return None
    data = call.line.recv(1 << 16)
    if not data:
        raise PeerError(f"asking {call.name}: the master closed the connection without an answer")
    body = call.decoder.feed(data)
    if body is None:
        return None
    return body if body.get("ok") is True else from_json(body.get("error"))

"""The HTTP engine of a worker: accept, parse, call the application, answer (C, csrc/py_engine.c)."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import final

OnError = Callable[[str, BaseException, str, str], None]
Asgi = Callable[..., object]
OnWebsocket = Callable[[Asgi, dict[str, object], Request], Coroutine[object, object, None]]

@final
class Engine:
    """The engine of one worker; making one starts the native monitor that reads the master's channel.

    ``listeners``: (descriptor, scheme, server name, server port) each; the descriptors stay the caller's.
    ``channel``: the worker's end, from now on read by the monitor only; -1: none.
    ``options``: values of the option table by name; ``access_log`` is a descriptor that is taken over.
    ``on_error(where, exception, method, target)`` is told of every fault of the application.
    Raises ``OSError`` and ``ValueError``.
    """

    def __init__(
        self,
        listeners: Sequence[tuple[int, str, str, str]],
        scoreboard: int,
        seat: int,
        epoch: int,
        channel: int,
        options: Mapping[str, object],
        on_error: OnError,
        multiprocess: bool = False,
    ) -> None: ...
    def begin(self, app: Callable[..., object], /) -> None:
        """Listen, to serve a WSGI application by as many threads as the option ``threads`` allows.

        Raises ``OSError``, and ``RuntimeError`` when it serves already.
        """

    def attend(self) -> bool:
        """Wait until another thread is wanted, whose target is ``serve``; False: serving is over.

        Runs the handlers of signals. Raises what they raise.
        """

    def no_more_threads(self) -> None:
        """The thread that ``attend`` wanted cannot be made: do with those that serve."""

    def serve(self) -> None:
        """Be one of the serving threads until serving is over."""

    def attach(
        self,
        app: Asgi,
        loop: asyncio.AbstractEventLoop,
        task_type: type[asyncio.Task[object]],
        eager: bool,
        state: dict[str, object] | None,
        on_websocket: OnWebsocket | None,
        on_drained: Callable[[], object],
        on_drain: Callable[[], object] | None = None,
    ) -> int:
        """Begin to serve an ASGI application; give the descriptor to be watched by the loop, for ``turn``.

        ``state`` is copied into every scope. ``on_drain`` is called once when the drain begins,
        ``on_drained`` once when nothing is open and no request runs. Needs the option ``nested``.
        Raises ``OSError`` and ``RuntimeError``.
        """

    def turn(self) -> None:
        """Be the loop's callback: one turn of the engine."""

    def beat(self) -> None:
        """Be the loop's callback four times a second while there are turns: measure how late it is."""

    def on_stacks(self, signal: int, pipe: int, callback: Callable[[], object], /) -> None:
        """On that signal write into the pipe which request's task is running, and call back in the loop.

        Raises ``OSError`` and ``RuntimeError``.
        """

    def waiting(self) -> list[tuple[float, str, str, asyncio.Task[object]]]:
        """Give seconds, method, target and task of the requests without an answer, the newest first."""

    def tasks(self) -> list[asyncio.Task[object]]:
        """Give the tasks of all requests that run, those with an answer and those of WebSockets, too."""

    def stop_log(self) -> None:
        """Write what is left of the access log."""

    def close_inherited(self) -> None:
        """In a child that the application has forked: close every descriptor of the engine."""

@final
class Request:
    """One ASGI request; of a WebSocket, the connection that it came by."""

    @property
    def queued(self) -> int:
        """Bytes that wait to be sent."""

    @property
    def untaken(self) -> int:
        """Those, and what was sent and the client's side has not received. A system call."""

    def raw_receive(self) -> Awaitable[bytes]:
        """Await bytes of the client; b"" at the end."""

    def raw_read(self) -> bytes | None:
        """Give bytes that are there; b"" at the end; None: nothing yet, the watcher will be called."""

    def raw_watch(self, callback: Callable[[], object] | None, /) -> None:
        """Have it called, in a turn of the engine: ``raw_read`` may find something, or there is room."""

    def raw_answer(self) -> Callable[[dict[str, object]], Awaitable[None]]:
        """Decline the upgrade: give the ``send`` of a plain response, the last of its connection.

        Raises ``RuntimeError`` when the request is over.
        """

    def raw_write(self, data: bytes, /) -> bool:
        """Send or queue bytes; False: the client is gone."""

    def raw_drain(self) -> Awaitable[None]:
        """Await that little is queued. Raises ``OSError`` when the client is gone."""

    def raw_close(self) -> None:
        """End the connection after what is queued."""

    def raw_abort(self) -> None:
        """Cut the connection."""

    def raw_account(self, status: int, /) -> None:
        """Count and log the answer to the upgrade."""

class FileWrapper:
    """``wsgi.file_wrapper``: a file as a response, sent by the kernel when it can be."""

    def __init__(self, filelike: object, blksize: int = 8192) -> None: ...
    def close(self) -> None: ...
    def __iter__(self) -> FileWrapper: ...
    def __next__(self) -> bytes: ...

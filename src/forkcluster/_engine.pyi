"""The HTTP engine of a worker: accept, parse, call the application, answer (C, csrc/py_engine.c)."""

from collections.abc import Callable, Mapping, Sequence
from typing import final

OnError = Callable[[str, BaseException, str, str], None]

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
    def serve_wsgi(self, app: Callable[..., object], /) -> None:
        """Serve a WSGI application on this thread until the drain is complete."""

    def close_inherited(self) -> None:
        """In a child that the application has forked: close every descriptor of the engine."""

class FileWrapper:
    """``wsgi.file_wrapper``: a file as a response, sent by the kernel when it can be."""

    def __init__(self, filelike: object, blksize: int = 8192) -> None: ...
    def close(self) -> None: ...
    def __iter__(self) -> FileWrapper: ...
    def __next__(self) -> bytes: ...

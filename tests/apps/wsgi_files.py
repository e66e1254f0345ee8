"""Small WSGI applications that answer with files, each the other side of one test of wsgi.file_wrapper."""

from __future__ import annotations

import gzip
import io
import os
import tempfile

from wsgi_tools import PLAIN, say

WRITTEN = tempfile.TemporaryFile()  # noqa: SIM115


def file(environ, start_response):
    """file_wrapper around the file of the query, `path:offset`."""
    path, _, offset = environ["QUERY_STRING"].partition(":")
    file = open(path, "rb")  # noqa: SIM115  the server closes it
    file.read(int(offset or 0))  # through the buffer: the descriptor's own position is further
    start_response("200 OK", PLAIN)
    return environ["wsgi.file_wrapper"](file, 4096)


def file_sized(environ, start_response):
    """... with a Content-Length of its own, `path:length`."""
    path, _, length = environ["QUERY_STRING"].partition(":")
    start_response("200 OK", [("Content-Length", length), *PLAIN])
    return environ["wsgi.file_wrapper"](open(path, "rb"))


def file_told(environ, start_response):
    """... that says when it is closed, `path:token`."""
    path, _, token = environ["QUERY_STRING"].partition(":")

    class File(io.FileIO):
        def close(self) -> None:
            if not self.closed:
                say("closed", token)
            super().close()

    start_response("200 OK", PLAIN)
    return environ["wsgi.file_wrapper"](File(path))


def file_memory(environ, start_response):
    start_response("200 OK", PLAIN)
    return environ["wsgi.file_wrapper"](io.BytesIO(b"memory" * 10000))


def file_only_read(environ, start_response):
    class Reader:
        parts = [b"only ", b"read"]  # noqa: RUF012  emptied by read

        def read(self, size: int) -> bytes:
            return self.parts.pop(0) if self.parts else b""

    start_response("200 OK", PLAIN)
    return environ["wsgi.file_wrapper"](Reader())


def file_gzip(environ, start_response):
    """A file whose descriptor holds other bytes than it reads."""
    start_response("200 OK", PLAIN)
    return environ["wsgi.file_wrapper"](gzip.open(environ["QUERY_STRING"], "rb"))


def file_ranged(environ, start_response):
    """Objects that have a file with a descriptor, and a read() of their own: `path:kind`."""
    path, _, kind = environ["QUERY_STRING"].partition(":")
    given = [b"ranged"]

    class Wrapper:
        def __init__(self, file) -> None:
            self.file = file

        def __getattr__(self, name):
            return getattr(self.file, name)

        def read(self, size: int = -1) -> bytes:
            return given.pop() if given else b""

    class Subclass(io.BufferedReader):
        def read(self, size: int = -1) -> bytes:
            return given.pop() if given else b""

    class Translating(io.FileIO):
        def readinto(self, buffer) -> int:
            data = given.pop() if given else b""
            buffer[: len(data)] = data
            return len(data)

    file = {
        "wrapper": lambda: Wrapper(open(path, "rb")),  # noqa: SIM115
        "subclass": lambda: Subclass(io.FileIO(path)),
        "translating": lambda: io.BufferedReader(Translating(path)),
    }[kind]()
    start_response("200 OK", PLAIN)
    return environ["wsgi.file_wrapper"](file)


def file_handed_out(environ, start_response):
    """Files whose read() is that of a plain one, by the query."""

    class Proxy:
        def __init__(self, file) -> None:
            self.file = file

        read = property(lambda self: self.file.read)
        tell = property(lambda self: self.file.tell)

    named = tempfile.NamedTemporaryFile()  # noqa: SIM115
    named.write(b"handed out")
    named.flush()
    named.seek(0)
    file = {
        "named": lambda: named,
        "proxy": lambda: Proxy(open(named.name, "rb")),  # noqa: SIM115
        "buffered": lambda: open(named.name, "rb"),  # noqa: SIM115
    }[environ["QUERY_STRING"]]()
    start_response("200 OK", PLAIN)
    return environ["wsgi.file_wrapper"](file)


def file_written(environ, start_response):
    """A file that holds, in its buffer alone, what was written into what was read; nobody closes it."""

    class Proxy:
        read = WRITTEN.read
        tell = WRITTEN.tell

    WRITTEN.seek(0)
    WRITTEN.write(b"read before")
    WRITTEN.seek(0)
    WRITTEN.read(1)  # fills the buffer, within which seek() and write() stay
    WRITTEN.seek(0)
    WRITTEN.write(b"sent")
    WRITTEN.seek(0)
    start_response("200 OK", PLAIN)
    return environ["wsgi.file_wrapper"](Proxy())


def file_pipe(environ, start_response):
    reading, writing = os.pipe()
    os.write(writing, b"from a pipe")
    os.close(writing)
    start_response("200 OK", PLAIN)
    return environ["wsgi.file_wrapper"](os.fdopen(reading, "rb"))


def file_lazy(environ, start_response):
    """A wrapped file whose start_response was never called."""
    return environ["wsgi.file_wrapper"](open(environ["QUERY_STRING"], "rb"))


def file_bad_block(environ, start_response):
    return environ["wsgi.file_wrapper"](io.BytesIO(), 0)

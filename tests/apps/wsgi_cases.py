"""Small WSGI applications, each the other side of one test: `/name?argument` calls the function `name`.

What a test must learn beyond the answer is printed. A path in the argument is a FIFO: opening it waits for
the test.
"""

from __future__ import annotations

import contextvars
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from wsgiref.validate import validator

import wsgi_files
from wsgi_tools import PLAIN, say

KEPT: dict[str, object] = {}
VISITS = contextvars.ContextVar("VISITS", default=0)


def wait_for(fifo: str) -> None:
    """Wait until the test opens the FIFO and closes it."""
    with open(fifo, "rb") as file:
        file.read()


class Told:
    """An iterable that says when it is closed."""

    def __init__(self, token: str, chunks: Iterable[bytes]) -> None:
        self.token, self.chunks = token, iter(chunks)

    def __iter__(self) -> Iterator[bytes]:
        return self.chunks

    def close(self) -> None:
        say("closed", self.token)


# -- the environ and the body


def environ(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    shown = {key: value for key, value in environ.items() if isinstance(value, str | int | bool | tuple)}
    return [json.dumps(shown).encode()]


def echo(environ, start_response):
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("X-Length", environ.get("CONTENT_LENGTH", "none")), *PLAIN])
    return [body]


def saw(environ, start_response):
    """Say which request this was, and its body."""
    body = environ["wsgi.input"].read()
    start_response("200 OK", PLAIN)
    return [json.dumps([environ["REQUEST_METHOD"], environ["PATH_INFO"], environ["QUERY_STRING"],
                        body.decode("latin-1")]).encode()]  # fmt: skip


def reads(environ, start_response):
    """Run the expression of the query on wsgi.input."""
    result = eval(environ["QUERY_STRING"], {"i": environ["wsgi.input"]})
    start_response("200 OK", PLAIN)
    return [repr(result).encode()]


def read_calls(environ, start_response):
    """Say how many system calls the first 100 lines of the body have cost that read something."""

    def calls() -> int:
        with open("/proc/thread-self/io") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("syscr"))

    seen = [calls(), calls(), [environ["wsgi.input"].readline() for _ in range(100)] and calls()]
    start_response("200 OK", PLAIN)
    return [str((seen[2] - seen[1]) - (seen[1] - seen[0])).encode()]


def ignore(environ, start_response):
    start_response("200 OK", PLAIN)
    return [b"ignored"]


def reached(environ, start_response):
    """Say that the application was reached, and what reading gave."""
    say("reached", environ["QUERY_STRING"])
    try:
        environ["wsgi.input"].read()
    except OSError as error:
        say("reading", environ["QUERY_STRING"], type(error).__name__)
        raise
    say("whole", environ["QUERY_STRING"])
    start_response("200 OK", PLAIN)
    return [b"whole"]


def late_read(environ, start_response):
    """Read the body only after part of the answer is out."""
    start_response("200 OK", PLAIN)
    yield b"first "
    yield environ["wsgi.input"].read()


def slow_read(environ, start_response):
    """Read the body only when the test says so."""
    wait_for(environ["QUERY_STRING"])
    return echo(environ, start_response)


def keep_input(environ, start_response):
    """Keep wsgi.input beyond the request; try the one kept before."""
    start_response("200 OK", PLAIN)
    before = KEPT.get("input")
    KEPT["input"] = environ["wsgi.input"]
    environ["wsgi.input"].read(1)
    try:
        return [before.read() if before else b"kept"]
    except ValueError:
        return [b"ValueError"]


# -- start_response and the iterable


@validator
def valid(environ, start_response):
    body = environ["wsgi.input"].read(-1)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body) + 6))])
    return [b"valid ", body]


@validator
def valid_generator(environ, start_response):
    environ["wsgi.errors"].write("")
    environ["wsgi.errors"].flush()
    environ["wsgi.errors"].writelines([])
    lines = [environ["wsgi.input"].readline(), *environ["wsgi.input"].readlines(), *environ["wsgi.input"]]

    def chunks():
        yield b"valid "
        yield from lines

    start_response("200 OK", PLAIN)
    return chunks()


@validator
def valid_write(environ, start_response):
    write = start_response("200 OK", PLAIN)
    write(b"valid ")
    return [b"write"]


def write(environ, start_response):
    out = start_response("200 OK", PLAIN)
    out(b"one ")
    out(b"")
    out(b"two ")
    return [b"three"]


def write_streams(environ, start_response):
    start_response("200 OK", PLAIN)(b"first")
    wait_for(environ["QUERY_STRING"])
    return [b"second"]


def write_big(environ, start_response):
    out = start_response("200 OK", PLAIN)
    for number in range(64):
        out(bytes([number]) * 65536)
    return []


def write_text(environ, start_response):
    start_response("200 OK", PLAIN)("text")
    return []


def write_then_file(environ, start_response):
    start_response("200 OK", PLAIN)(b"before ")
    return environ["wsgi.file_wrapper"](open(environ["QUERY_STRING"], "rb"))


def replaced(environ, start_response):
    start_response("200 OK", [("X-First", "1"), ("Content-Length", "3"), ("Date", "never"), *PLAIN])
    try:
        raise ValueError("before the head")
    except ValueError:
        start_response("500 Oops", [("X-Second", "2"), *PLAIN], sys.exc_info())
    return [b"replaced"]


def reraised(environ, start_response):
    start_response("200 OK", PLAIN)
    yield b"sent"
    try:
        raise ValueError("after the head")
    except ValueError:
        try:
            start_response("500 Oops", PLAIN, sys.exc_info())
        except ValueError as error:
            say("raised again", error)
            raise


def keyword(environ, start_response):
    start_response("200 OK", PLAIN)
    start_response("201 Created", PLAIN, exc_info=(ValueError, ValueError(), None))
    return [b"by name"]


def twice(environ, start_response):
    start_response("200 OK", PLAIN)
    start_response("200 OK", PLAIN)
    return [b"never"]


def never(environ, start_response):
    return [b"never"]


def never_generator(environ, start_response):
    yield b"never"


def never_empty(environ, start_response):
    return iter(())


def lazily(environ, start_response):
    start_response("200 OK", [("X-Lazy", "yes"), *PLAIN])
    yield b"lazy"


def empty_first(environ, start_response):
    """PEP 3333: the head waits for the first non-empty chunk, so it can still be replaced."""
    start_response("200 OK", PLAIN)
    yield b""
    try:
        raise ValueError("late, but nothing was sent")
    except ValueError:
        start_response("503 Later", PLAIN, sys.exc_info())
    yield b"sorry"


def streams(environ, start_response):
    start_response("200 OK", PLAIN)
    yield b"first"
    wait_for(environ["QUERY_STRING"])
    yield b"second"


def pieces(environ, start_response):
    """As many pieces of 64 KiB as the argument says, each told; then the end, when the FIFO lets go."""
    count, fifo = environ["QUERY_STRING"].split("&")
    start_response("200 OK", PLAIN)
    for at in range(int(count)):
        say("piece", at, fifo)
        yield b"x" * 65536
    wait_for(fifo)


def sized_stream(environ, start_response):
    start_response("200 OK", [("Content-Length", "11"), *PLAIN])
    yield b"first"
    wait_for(environ["QUERY_STRING"])
    yield b"second"


def one_item(environ, start_response):
    start_response("200 OK", PLAIN)
    return [b"x" * int(environ["QUERY_STRING"] or "5")]


def nothing(environ, start_response):
    start_response("200 OK", PLAIN)
    return []


def several(environ, start_response):
    start_response("200 OK", PLAIN)
    return [b"one", b"", b"two"]


def text(environ, start_response):
    start_response("200 OK", PLAIN)
    return ["text"]


def text_second(environ, start_response):
    start_response("200 OK", PLAIN)
    return iter([b"bytes", "text"])


def plain_bytes(environ, start_response):
    start_response("200 OK", PLAIN)
    return b"bytes"


def none(environ, start_response):
    start_response("200 OK", PLAIN)


def raises(environ, start_response):
    raise LookupError("in the application")


def raises_midway(environ, start_response):
    start_response("200 OK", PLAIN)
    yield b"sent"
    raise LookupError("midway")


def exits(environ, start_response):
    raise SystemExit(3)


def too_long(environ, start_response):
    start_response("200 OK", [("Content-Length", "3"), *PLAIN])
    return iter([b"ab", b"cdef", b"ghi"])


def too_long_list(environ, start_response):
    start_response("200 OK", [("Content-Length", "3"), *PLAIN])
    return [b"abcdef"]


def too_short(environ, start_response):
    start_response("200 OK", [("Content-Length", "9"), *PLAIN])
    return iter([b"ab", b"cd"])


def too_short_list(environ, start_response):
    start_response("200 OK", [("Content-Length", "9"), *PLAIN])
    return [b"abcd"]


def status(environ, start_response):
    """Answer with the status of the query, and a body that not every status may have."""
    start_response(environ["QUERY_STRING"].replace("+", " "), [("Content-Length", "4"), *PLAIN])
    return [b"body"]


def status_stream(environ, start_response):
    start_response(environ["QUERY_STRING"].replace("+", " "), PLAIN)
    return iter([b"bo", b"dy"])


def malformed(environ, start_response):
    """start_response with the arguments of the query, a Python expression."""
    from urllib.parse import unquote

    start_response(*eval(unquote(environ["QUERY_STRING"])))
    return [b"never"]


def fields(environ, start_response):
    """Answer with the fields of the query."""
    from urllib.parse import unquote

    start_response("200 OK", eval(unquote(environ["QUERY_STRING"])))
    return [b"fields"]


def keep_start(environ, start_response):
    """Keep start_response and write beyond the request; try those kept before."""
    before = KEPT.get("start")
    KEPT["start"] = (start_response, start_response("200 OK", PLAIN))
    results = []
    for number in range(2 if before else 0):
        try:
            before[0]("200 OK", []) if number == 0 else before[1](b"intruder")
        except RuntimeError:
            results.append(b"RuntimeError ")
    return [b"".join(results) or b"kept"]


# -- close()


def close_normal(environ, start_response):
    start_response("200 OK", PLAIN)
    return Told(environ["QUERY_STRING"], [b"a", b"b"])


def close_raises(environ, start_response):
    start_response("200 OK", PLAIN)
    return Told(environ["QUERY_STRING"], (1 // (1 - number) * b"a" for number in range(2)))


def close_before_head(environ, start_response):
    return Told(environ["QUERY_STRING"], (1 // 0 for _ in range(2)))


def close_endless(environ, start_response):
    start_response("200 OK", PLAIN)
    return Told(environ["QUERY_STRING"], iter(lambda: b"x" * 65536, b""))


def close_fails(environ, start_response):
    start_response("200 OK", PLAIN)

    class Failing(Told):
        def close(self) -> None:
            raise LookupError("in close")

    return Failing("", [b"sent"])


def close_list(environ, start_response):
    start_response("200 OK", PLAIN)

    class Closing(list):
        def close(self) -> None:
            say("closed", environ["QUERY_STRING"])

    return Closing([b"a"])


# -- the process


def context(environ, start_response):
    """Count visits in a context variable, across two steps of a generator."""
    VISITS.set(VISITS.get() + 1)
    start_response("200 OK", PLAIN)
    yield b"%d" % VISITS.get()
    VISITS.set(VISITS.get() + 1)
    yield b"%d" % VISITS.get()


def thread(environ, start_response):
    start_response("200 OK", PLAIN)
    return [b"main" if threading.current_thread() is threading.main_thread() else b"other"]


def pid(environ, start_response):
    start_response("200 OK", PLAIN)
    return [b"%d" % os.getpid()]


def forks(environ, start_response):
    """Fork a child that lives until the test ends it."""
    child = os.fork()
    if child == 0:
        wait_for(environ["QUERY_STRING"])
        os._exit(0)
    start_response("200 OK", [("Connection", "close"), *PLAIN])
    return [b"%d" % child]


def forks_and_returns(environ, start_response):
    """A forked child that returns into the server."""
    child = os.fork()
    if child == 0:
        start_response("200 OK", PLAIN)
        return [b"from the child"]
    os.waitpid(child, 0)
    start_response("200 OK", PLAIN)
    return [b"from the parent"]


def forks_and_crashes(environ, start_response):
    """A child has a file under every number that may have been the worker's, and dies of a fault."""
    child = os.fork()
    if child == 0:
        file = os.open(environ["QUERY_STRING"], os.O_WRONLY | os.O_CREAT)
        for _ in range(64):
            os.dup(file)
        os.kill(os.getpid(), signal.SIGSEGV)
    os.waitpid(child, 0)
    start_response("200 OK", PLAIN)
    with open(environ["QUERY_STRING"], "rb") as file:
        return [file.read()]


def forks_twice(environ, start_response):
    """A child opens files and forks: does its child have them all?"""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        opened = [os.open(os.devnull, os.O_RDONLY) for _ in range(64)]
        grandchild = os.fork()
        if grandchild == 0:
            here = {int(name) for name in os.listdir("/proc/self/fd")}
            os.write(writing, b"all" if here.issuperset(opened) else b"%r" % sorted(set(opened) - here))
            os._exit(0)
        os.waitpid(grandchild, 0)
        os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with open(reading, "rb") as told:
        start_response("200 OK", PLAIN)
        return [told.read()]


def reaps(environ, start_response):
    """Wait for the child of `forks`."""
    os.waitpid(int(environ["QUERY_STRING"]), 0)
    start_response("200 OK", PLAIN)
    return [b"reaped"]


def pool(environ, start_response):
    import multiprocessing

    with multiprocessing.get_context("fork").Pool(2) as workers:
        total = sum(workers.map(abs, range(-10, 0)))
    start_response("200 OK", PLAIN)
    return [b"%d" % total]


def application(environ: dict[str, object], start_response: Callable[..., object]) -> Iterable[bytes]:
    """Call the function that the path names; `environ` for any other."""
    name = str(environ["PATH_INFO"]).lstrip("/").split("/")[0]
    function = globals().get(name) or getattr(wsgi_files, name, globals()["environ"])
    return function(environ, start_response)

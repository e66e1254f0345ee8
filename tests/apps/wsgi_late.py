"""A WSGI application that leaves its request to a thread of its own, and ends before that has ended.

`/reads?FIFO` and others: the call returns when the test opens the FIFO. What the thread saw is printed.
"""

import os
import threading

from wsgi_cases import PLAIN, say, wait_for

PIECE = b"x" * (16 << 20)


def reads(environ, start_response):
    """Read the body in a thread."""
    begin("read", environ["wsgi.input"].read)
    wait_for(environ["QUERY_STRING"])
    attempt("second read", environ["wsgi.input"].read)
    start_response("200 OK", [("Content-Length", "4"), *PLAIN])
    return [b"over"]


def forks(environ, start_response):
    """Read the body in a thread, and fork meanwhile: the child has no such thread."""
    begin("read", environ["wsgi.input"].read)
    wait_for(environ["QUERY_STRING"])
    child = os.fork()
    if child:
        os.waitpid(child, 0)
    start_response("200 OK", [("Content-Length", "4"), *PLAIN])
    return [b"over"]


def writes_on(environ, start_response):
    """Write in a thread while the iterable is sent."""
    out = start_response("200 OK", PLAIN)
    yield b"first"
    thread = threading.Thread(target=attempt, args=("late write", lambda: out(b"more")))
    thread.start()
    thread.join()
    out(b"second")
    yield b"third"


def writes(environ, start_response):
    """Write more than a client takes in a thread."""
    out = start_response("200 OK", PLAIN)
    begin("write", lambda: out(PIECE))
    wait_for(environ["QUERY_STRING"])
    attempt("second write", lambda: out(b"more"))
    return [b"over"]


def begin(what, call):
    threading.Thread(target=attempt, args=(what, call), daemon=True).start()


def attempt(what, call):
    """Call, and tell what came of it."""
    try:
        call()
    except Exception as error:
        say(f"{what}: {type(error).__name__}")
    else:
        say(f"{what}: done")


def application(environ, start_response):
    calls = {"/reads": reads, "/writes": writes, "/writes_on": writes_on, "/forks": forks}
    return calls[environ["PATH_INFO"]](environ, start_response)

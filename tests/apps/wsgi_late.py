"""A WSGI application that leaves its request to a thread of its own, and ends before that has ended.

`/reads?FIFO`, `/writes?FIFO`: the call returns when the test opens the FIFO. What the thread saw is printed.
"""

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
    return {"/reads": reads, "/writes": writes}[environ["PATH_INFO"]](environ, start_response)

"""A WSGI application without dependencies: says hello, and which worker says it. `make run` serves it.

forkcluster hello:application --chdir examples -i 0
"""

import os
from collections.abc import Callable, Iterable

StartResponse = Callable[[str, list[tuple[str, str]]], object]


def application(environ: dict[str, object], start_response: StartResponse) -> Iterable[bytes]:
    """Answer any request with one line of text (PEP 3333)."""
    body = f"Hello from worker process {os.getpid()}: {environ['REQUEST_METHOD']} {environ['PATH_INFO']}\n"
    data = body.encode("latin-1")
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(data)))])
    return [data]

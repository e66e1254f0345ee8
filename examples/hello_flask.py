"""A Flask application: a page, JSON, and a body that is streamed.

pip install flask
forkcluster hello_flask:app --chdir examples -i 0
"""

import os
from collections.abc import Iterator

from flask import Flask, Response, request

app = Flask(__name__)


@app.get("/")
def index() -> str:
    """Greet whoever `?name=` says."""
    return f"Hello, {request.args.get('name', 'world')}!\n"


@app.post("/echo")
def echo() -> dict[str, object]:
    """Give back the JSON that was sent, and the worker's process id."""
    return {"received": request.get_json(), "pid": os.getpid()}


@app.get("/count")
def count() -> Response:
    """Stream the numbers from 1 to 10, a line each."""

    def lines() -> Iterator[str]:
        for number in range(1, 11):
            yield f"{number}\n"

    return Response(lines(), mimetype="text/plain")

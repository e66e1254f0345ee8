"""A Flask application of the usual kind: routes, JSON, forms, uploads, streams, sessions, errors."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator

from flask import (
    Flask,
    Response,
    abort,
    jsonify,
    redirect,
    request,
    send_file,
    session,
    stream_with_context,
    url_for,
)

app = Flask(__name__)
app.secret_key = "for tests only"


@app.get("/hello/<name>")
def hello(name: str) -> str:
    return f"hello {name}"


@app.post("/json")
def json() -> Response:
    return jsonify(got=request.get_json())


@app.post("/form")
def form() -> Response:
    return jsonify(request.form.to_dict(flat=False))


@app.post("/upload")
def upload() -> Response:
    file = request.files["file"]
    return jsonify(name=file.filename, sha=hashlib.sha256(file.read()).hexdigest(), note=request.form["note"])


@app.get("/stream")
def stream() -> Response:
    @stream_with_context
    def lines() -> Iterator[str]:
        for number in range(1000):
            yield f"{request.path} {number}\n"

    return Response(lines(), mimetype="text/plain")


@app.get("/file")
def file() -> Response:
    return send_file(__file__, conditional=True)


@app.get("/memory")
def memory() -> Response:
    return send_file(io.BytesIO(b"memory" * 1000), mimetype="text/plain")


@app.get("/count")
def count() -> str:
    session["count"] = session.get("count", 0) + 1
    return str(session["count"])


@app.get("/away")
def away() -> Response:
    return redirect(url_for("hello", name="there", _external=True))


@app.get("/fails")
def fails() -> str:
    raise LookupError("in a view")


@app.get("/teapot")
def teapot() -> str:
    abort(418)


@app.errorhandler(418)
def short(error: Exception) -> tuple[str, int]:
    return "short and stout", 418

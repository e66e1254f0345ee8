"""The applications that are measured: hello and echo, for WSGI and for ASGI, as small as they get."""

HELLO = b"Hello, world!"


def wsgi(environ, start_response):
    """GET: thirteen bytes. POST: the body that came."""
    body = HELLO
    if environ["REQUEST_METHOD"] == "POST":
        body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


async def asgi(scope, receive, send):
    """The same for ASGI 3; other scopes than http are refused, which servers take as "no lifespan"."""
    if scope["type"] != "http":
        raise RuntimeError("http only")
    body = HELLO
    if scope["method"] == "POST":
        parts, more = [], True
        while more:
            message = await receive()
            parts.append(message.get("body", b""))
            more = message.get("more_body", False)
        body = b"".join(parts)
    headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})

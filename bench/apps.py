"""The applications that are measured, as small as they get: hello and echo for WSGI and ASGI, and streams."""

HELLO = b"Hello, world!"
PIECE = b"x" * 65536
STREAM = 100 << 20  # bytes


def wsgi(environ, start_response):
    """GET: thirteen bytes. POST: the body that came."""
    body = HELLO
    if environ["REQUEST_METHOD"] == "POST":
        body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


async def asgi(scope, receive, send):
    """The same for ASGI 3, and WebSockets that echo; lifespan is refused, which servers take as "none"."""
    if scope["type"] == "websocket":
        await echo(receive, send)
        return
    if scope["type"] != "http":
        raise RuntimeError("http and websocket only")
    if scope["path"] != "/":
        await stream(scope, receive, send)
        return
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


async def echo(receive, send):
    """Every text goes back."""
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})


async def stream(scope, receive, send):
    """/down: STREAM bytes in pieces. /up: how many bytes came."""
    if scope["path"] == "/down":
        headers = [(b"content-length", str(STREAM).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for _ in range(STREAM // len(PIECE)):
            await send({"type": "http.response.body", "body": PIECE, "more_body": True})
        await send({"type": "http.response.body"})
        return
    count, more = 0, True
    while more:
        message = await receive()
        count += len(message.get("body", b""))
        more = message.get("more_body", False)
    body = str(count).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})

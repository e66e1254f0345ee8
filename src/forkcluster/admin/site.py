"""The admin's site: paths to handlers, as an ASGI application. Knows nothing of what the handlers tell.

A handler is a coroutine function from Request to Response. New paths are added with `Site.add`; an answer
that goes on (server-sent events) has an async iterator as its content.
"""

import json
import traceback
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any
from urllib.parse import parse_qs

from forkcluster import log
from forkcluster.dataclass import dataclass, field
from forkcluster.errors import ForkclusterError, UsageError

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

PLAIN = "text/plain; charset=utf-8"
JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked: header names are lower-case, the last value of a name counts, as in `query`."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    client: str
    receive: Receive

    async def body(self) -> bytes:
        """Receive the body; the engine has limited it."""
        parts = []
        while True:
            message = await self.receive()
            parts.append(message.get("body", b""))
            if not message.get("more_body"):
                return b"".join(parts)


@dataclass(frozen=True, slots=True)
class Response:
    """An answer. Text is sent as UTF-8; an iterator's parts are sent as they come."""

    content: str | bytes | AsyncGenerator[bytes, None]
    status: int = 200
    type: str = PLAIN
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, value: object, status: int = 200) -> "Response":
        """Make one of a value that JSON can say."""
        return cls(json.dumps(value, ensure_ascii=False) + "\n", status, JSON)


Handler = Callable[[Request], Awaitable[Response]]


class Site:
    """Handlers by path and method."""

    def __init__(self) -> None:
        self._handlers: dict[str, dict[str, Handler]] = {}

    def add(self, method: str, path: str, handler: Handler) -> None:
        """Have a path answered; GET answers HEAD, too."""
        self._handlers.setdefault(path, {})[method] = handler

    @property
    def paths(self) -> list[str]:
        """Every path with a GET handler."""
        return [path for path, handlers in self._handlers.items() if "GET" in handlers]

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request; ASGI's http scope only."""
        if scope["type"] != "http":
            raise RuntimeError(f"the admin does not speak {scope['type']}")
        response = await self._respond(_request(scope, receive))
        await _answer(response, send, bare=scope["method"] == "HEAD")

    async def _respond(self, request: Request) -> Response:
        handlers = self._handlers.get(request.path)
        if handlers is None:
            return Response(f"there is {', '.join(sorted(self.paths))}\n", 404)
        handler = handlers.get("GET" if request.method == "HEAD" else request.method)
        if handler is None:
            return Response("not with this method\n", 405, headers={"Allow": ", ".join(sorted(handlers))})
        try:
            return await handler(request)
        except ForkclusterError as error:
            status = 400 if isinstance(error, UsageError) else 502
            return Response.of({"ok": False, "error": error.to_json()}, status)
        except Exception as error:
            text = "".join(traceback.format_exception(error)).rstrip()
            log.error(f"the admin's handler failed\n{text}", path=request.path)
            return Response("this is forkcluster's own fault; its log has the traceback\n", 500)


def _request(scope: dict[str, Any], receive: Receive) -> Request:
    query = parse_qs(scope["query_string"].decode("latin-1"))
    return Request(
        method=scope["method"],
        path=scope["path"],
        query={name: values[-1] for name, values in query.items()},
        headers={name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]},
        client=scope["client"][0] if scope.get("client") else "a unix socket",
        receive=receive,
    )


async def _answer(response: Response, send: Send, *, bare: bool) -> None:
    headers = {"Content-Type": response.type, "Cache-Control": "no-store", **response.headers}
    headers["X-Content-Type-Options"] = "nosniff"
    content = response.content.encode() if isinstance(response.content, str) else response.content
    if isinstance(content, bytes):
        headers["Content-Length"] = str(len(content))
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": response.status, "headers": raw})
    if bare or isinstance(content, bytes):
        await send({"type": "http.response.body", "body": b"" if bare else content})
        return
    async with aclosing(content):
        async for part in content:
            await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": b""})

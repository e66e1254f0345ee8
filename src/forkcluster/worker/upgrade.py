"""All WebSockets of a worker: their beginning, their end in a drain, and what is told of their faults."""

import asyncio
import random
from collections.abc import Callable
from typing import cast

from forkcluster.worker.handshake import Refusal, check
from forkcluster.worker.websocket import Application, Connection, Event, Settings, Transport

SPREAD = 0.25  # the part of the drain's time in which clients are sent away ...
PACE = 0.005  # ... each in its own 5 ms, if there are few
Report = Callable[[str, BaseException, str, str], None]


class Websockets:
    """`serve` is the engine's on_websocket."""

    def __init__(self, settings: Settings, drain_timeout: float, report: Report) -> None:
        self._settings = settings
        self._drain_timeout = drain_timeout
        self._report = report
        self._open: set[Connection] = set()
        self._draining = False

    async def serve(self, application: object, scope: Event, transport: Transport) -> None:
        """Serve one request for an upgrade, to the end of its connection."""
        found = check(scope["headers"], max_size=self._settings.max_size, deflate=self._settings.deflate)
        if isinstance(found, Refusal):
            await _refuse(transport, found)
            return

        def report(fault: Exception) -> None:
            self._report("in the application", fault, "GET", _target(scope))

        connection = Connection(transport, *found, self._settings)
        self._open.add(connection)
        if self._draining:
            connection.leave()
        try:
            await connection.run(cast(Application, application), scope, report)
        finally:
            self._open.discard(connection)
            connection.abandon()

    def drain(self) -> None:
        """Send the clients away, not all in the same moment: they will come back together."""
        self._draining = True
        loop = asyncio.get_running_loop()
        window = min(self._drain_timeout * SPREAD, len(self._open) * PACE)
        for connection in list(self._open):
            loop.call_later(random.uniform(0, window), connection.leave)  # noqa: S311  (jitter, no secret)


async def _refuse(transport: Transport, refusal: Refusal) -> None:
    send = transport.raw_answer()
    await send({"type": "http.response.start", "status": refusal.status, "headers": refusal.headers})
    await send({"type": "http.response.body", "body": refusal.body})


def _target(scope: Event) -> str:
    query = scope["query_string"]
    return cast(bytes, scope["raw_path"] + (b"?" + query if query else b"")).decode("latin-1")

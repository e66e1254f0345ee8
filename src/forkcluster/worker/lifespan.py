"""The lifespan of an ASGI application (ASGI specification, "Lifespan Protocol"): one task, two conversations.

Knows no engine and no process: it is told when to start and when to stop.
"""

import asyncio
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

from forkcluster import log
from forkcluster.errors import ApplicationError

Event = dict[str, Any]
Asgi = Callable[..., Awaitable[object]]


class Lifespan:
    """The conversation with one application. `mode`: auto, on or off.

    `state` is what the application has put there; `supported` tells whether it takes part. `on_failure` is
    called when it fails while it serves.
    """

    def __init__(self, application: Asgi, mode: str, on_failure: Callable[[], object]) -> None:
        self.state: dict[str, object] = {}
        self.supported = False
        self._application = application
        self._mode = mode
        self._on_failure = on_failure
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[object] | None = None
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._started: asyncio.Future[str | None] = self._loop.create_future()  # the message of a failure
        self._stopped: asyncio.Future[str | None] = self._loop.create_future()

    async def start(self) -> None:
        """Await startup. Raises ApplicationError, or what the application raises when the mode is on."""
        if self._mode == "off":
            return
        self._events.put_nowait({"type": "lifespan.startup"})
        self._task = self._loop.create_task(self._run(), name="lifespan")
        await _either(self._task, self._started)
        if not self._started.done():
            self._do_without(self._task)
        elif (message := self._started.result()) is not None:
            self._task.add_done_callback(_heard)
            raise ApplicationError(f"the application's startup failed: {message or 'it does not say why'}")
        else:
            self.supported = True
            self._task.add_done_callback(self._ended)

    async def stop(self, timeout: float) -> None:
        """Await shutdown, for at most `timeout` seconds; what goes wrong is logged."""
        if self._task is None or not self.supported or self._task.done():
            return
        self._events.put_nowait({"type": "lifespan.shutdown"})
        await _either(self._task, self._stopped, timeout)
        if self._stopped.done():
            if (message := self._stopped.result()) is not None:
                log.error(f"the application's shutdown failed: {message or 'it does not say why'}")
        elif not self._task.done():
            log.error(f"the application's shutdown took longer than {timeout:.1f} s: ended without it")

    def _do_without(self, task: asyncio.Task[object]) -> None:
        """The application has ended before it said that it is started: it knows no lifespan, or is broken."""
        error = task.exception()
        if self._mode == "on":
            raise error or ApplicationError(
                "the application returned from its lifespan without lifespan.startup.complete",
                "--lifespan auto, if it does not take part in the lifespan protocol",
            )
        log.debug("the application takes no part in the lifespan protocol", error=repr(error))

    async def _run(self) -> None:
        scope = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": self.state,
        }
        await self._application(scope, self._receive, self._send)

    async def _receive(self) -> Event:
        return await self._events.get()

    async def _send(self, event: Event) -> None:
        kind = event["type"]
        phase, _, outcome = kind.removeprefix("lifespan.").partition(".")
        heard = {"startup": self._started, "shutdown": self._stopped}.get(phase)
        if heard is None or outcome not in ("complete", "failed"):
            raise RuntimeError(f"not a message of the lifespan protocol: {kind!r}")
        if heard.done():
            raise RuntimeError(f"sent twice: {kind!r} after the end of {phase}")
        heard.set_result(None if outcome == "complete" else str(event.get("message", "")))

    def _ended(self, task: asyncio.Task[object]) -> None:
        """The application's lifespan is over, in time or not."""
        error = None if task.cancelled() else task.exception()
        if error is None or self._stopped.done():
            return
        text = "".join(traceback.format_exception(error)).rstrip()
        log.error(f"error in the application's lifespan\n{text}")
        if self._mode == "on" and self._events.empty():
            self._on_failure()


async def _either(
    task: asyncio.Task[object], heard: asyncio.Future[str | None], timeout: float | None = None
) -> None:
    """Wait for the end of the task or for what is to be heard, at most `timeout` seconds."""
    both: list[asyncio.Future[Any]] = [task, heard]
    await asyncio.wait(both, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)


def _heard(task: asyncio.Task[object]) -> None:
    """What it raises after it said that it failed is no news."""
    if not task.cancelled():
        task.exception()

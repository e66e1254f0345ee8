"""/live: what the dashboard shows, as server-sent events; one look a second, only while somebody listens.

Events of the stream, each with a JSON object: `hello` (what does not change, and the samples of the last
minutes), `sample` (one look against the one before it), `event` (what the history was told), `line` (what
the app printed, where that is captured). A listener that does not read is cut; a browser comes back by
itself, and hears `hello` again.
"""

import asyncio
import json
import time
from collections import deque
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Final

from forkcluster import log
from forkcluster._scoreboard import SEATS, Scoreboard, bucket_bounds
from forkcluster.admin.line import Present
from forkcluster.admin.output import Output
from forkcluster.admin.processes import Processes
from forkcluster.admin.sample import Look, WorkerLook, sample
from forkcluster.admin.site import Request, Response, Site
from forkcluster.dataclass import dataclass
from forkcluster.errors import ForkclusterError
from forkcluster.wire.control import Body

if TYPE_CHECKING:
    from forkcluster._scoreboard import Line

PERIOD: Final = 1.0  # seconds
SPAN: Final = 300  # samples kept
LINGER: Final = 60.0  # seconds; how long looks go on after the last listener has left
LISTENERS: Final = 32
UNREAD: Final = 512  # messages that may wait for a listener
EVENT_STREAM: Final = "text/event-stream"

Queue = asyncio.Queue[bytes | None]


@dataclass(frozen=True, slots=True)
class About:
    """What the page is told once: the app's name and mode, and whether actions are possible."""

    app: str
    mode: str  # cluster or fork
    actions: bool


class Live:
    """The looks and those who listen. Belongs to the running loop."""

    def __init__(
        self, about: About, board: Scoreboard, present: Present, processes: Processes, output: Output
    ) -> None:
        self._about = about
        self._board = board
        self._present = present
        self._processes = processes
        self._output = output
        self._samples: deque[Body] = deque(maxlen=SPAN)
        self._events: list[Body] = []
        self._last: Look | None = None
        self._listeners: set[Queue] = set()
        self._left = 0.0
        self._task: asyncio.Task[None] | None = None

    def add_to(self, site: Site) -> None:
        """Have its path answered."""
        site.add("GET", "/live", self._live)

    async def _live(self, _request: Request) -> Response:
        if len(self._listeners) >= LISTENERS:
            return Response(f"{LISTENERS} are listening already; close a tab\n", 503)
        if self._task is None or self._task.done():
            self._last = None
            self._samples.clear()  # a gap would be drawn as one long second
            await self._look()
            self._left = time.monotonic()
            self._task = asyncio.create_task(self._go_on())
        headers = {"X-Accel-Buffering": "no"}  # a proxy in front shall not collect what is to be seen now
        return Response(self._listen(), type=EVENT_STREAM, headers=headers)

    async def _listen(self) -> AsyncGenerator[bytes, None]:
        """Give the stream of one listener, until it is cut."""
        queue: Queue = asyncio.Queue(UNREAD)
        self._listeners.add(queue)
        try:
            yield self._hello()
            for event in self._events:
                yield message("event", event)
            for line in self._output.latest():
                yield message("line", line)
            while (part := await queue.get()) is not None:
                yield part
        finally:
            self._listeners.discard(queue)
            self._left = time.monotonic()

    def _hello(self) -> bytes:
        bounds = [bound * 1e-9 for bound in bucket_bounds()]
        about = {
            "app": self._about.app,
            "mode": self._about.mode,
            "actions": self._about.actions,
            "output": self._output.note,
        }
        return message("hello", {**about, "bounds": bounds, "samples": list(self._samples)})

    async def _go_on(self) -> None:
        """Look once a period, while somebody listens or has just listened."""
        while self._listeners or time.monotonic() - self._left < LINGER:
            await asyncio.sleep(PERIOD)
            await self._look()

    async def _look(self) -> None:
        """Look at everything; tell the listeners what is new."""
        try:
            status = await self._present.status()
        except ForkclusterError as error:
            log.debug("a look without the master", error=str(error))
            return
        now = Look(time.monotonic(), time.time(), self._workers(), status)
        if self._last is not None:
            self._samples.append(sample(self._last, now))
            self._tell("sample", self._samples[-1])
        self._last = now
        events = status.get("events")
        if isinstance(events, list):
            for event in newer(self._events, events):
                self._tell("event", event)
            self._events = events
        self._output.follow(status.get("output"))
        for line in self._output.read():
            self._tell("line", line)

    def _workers(self) -> dict[tuple[int, int], WorkerLook]:
        """Look at every worker there is, by seat and epoch."""
        _, _, by_seat = self._board.totals()
        lines = [(seat, self._board.line(seat)) for seat in range(min(len(by_seat) + 1, SEATS))]
        living = [(seat, line) for seat, line in lines if line["pid"] and line["state"] != "empty"]
        self._processes.watch(line["pid"] for _, line in living)
        return {(seat, line["epoch"]): self._worker(line) for seat, line in living}

    def _worker(self, line: "Line") -> WorkerLook:
        usage, sharing = self._processes.usage(line["pid"]), self._processes.sharing(line["pid"])
        return WorkerLook(
            line,
            cpu=usage.cpu if usage else None,
            resident=usage.resident if usage else None,
            proportional=sharing.proportional or None if sharing else None,
        )

    def _tell(self, name: str, body: Body) -> None:
        part = message(name, body)
        for queue in list(self._listeners):
            try:
                queue.put_nowait(part)
            except asyncio.QueueFull:
                self._cut(queue)

    def _cut(self, queue: Queue) -> None:
        """End the stream of a listener that does not read."""
        self._listeners.discard(queue)
        queue.get_nowait()
        queue.put_nowait(None)


def message(name: str, body: Body) -> bytes:
    """Give one server-sent event (HTML Standard, section 9.2). Pure."""
    return f"event: {name}\ndata: {json.dumps(body, ensure_ascii=False)}\n\n".encode("utf-8", "replace")


def newer(known: list[Body], events: list[Body]) -> list[Body]:
    """Give those of the latest `events` that came after the known ones. Pure."""
    if not known or known[-1] not in events:
        return events
    last = len(events) - 1 - events[::-1].index(known[-1])
    return events[last + 1 :]

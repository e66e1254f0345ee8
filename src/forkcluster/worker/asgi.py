"""Serves an ASGI application: loop, lifespan, and the engine as a reader of the loop until it is drained."""

import asyncio
import contextlib
import gc
import os
import sys
import time
import traceback
from collections.abc import Callable
from typing import cast

from forkcluster import log
from forkcluster._engine import Engine
from forkcluster.errors import ApplicationError
from forkcluster.wire.stacks import answer_also
from forkcluster.wire.stops import stop_here
from forkcluster.worker.chains import describe
from forkcluster.worker.engine import report_fault
from forkcluster.worker.lifespan import Asgi, Lifespan
from forkcluster.worker.line import Line
from forkcluster.worker.loop import make_loop, run
from forkcluster.worker.spec import Application, WorkerSpec
from forkcluster.worker.upgrade import Websockets
from forkcluster.worker.websocket import Settings

MARGIN = 0.5  # seconds of the drain that are left to the exit itself
GRACE = 2.0  # seconds before that, of a long drain, in which what still runs is cancelled and shutdown runs


def serve_asgi(
    spec: WorkerSpec, line: Line, engine: Engine, application: Application | None, stacks: int = -1
) -> int:
    """Serve until the drain is complete; give the exit code. None: the app is imported in the running loop.

    `stacks` is the pipe that the signal for stacks is answered by.

    Raises what the import or the startup raises, SystemExit too.
    """
    main = _serve(spec, line, engine, application, stacks)
    return run(make_loop(spec.options.loop), main, lambda error: _outlive(line, error))


def _outlive(line: Line, error: BaseException) -> bool:
    """A task or callback of the application exits: be retired, in order. False: it is still to start."""
    if not line.booted:
        return False
    text = "".join(traceback.format_exception(error)).rstrip()
    log.error(f"exit in a task or callback of the application\n{text}")
    line.leave("the application asked to exit")
    return True


async def _serve(
    spec: WorkerSpec, line: Line, engine: Engine, application: Application | None, stacks: int
) -> int:
    app = cast(Asgi, application or _import(spec))
    lifespan = Lifespan(app, spec.options.lifespan, lambda: line.leave("its lifespan failed"))
    await lifespan.start()
    websockets = _websockets(spec)
    drain = Drain(engine, spec.options.drain_timeout, websockets.drain)
    loop = asyncio.get_running_loop()
    descriptor = engine.attach(
        app=app,
        loop=loop,
        task_type=asyncio.Task,
        eager=sys.version_info >= (3, 12),
        state=lifespan.state if lifespan.supported else None,
        on_websocket=websockets.serve,
        on_drained=drain.complete,
        on_drain=drain.begin,
    )
    loop.add_reader(descriptor, engine.turn)
    if stacks >= 0:
        _tell_tasks(engine, stacks)
    stop_here("worker-before-ready", spec.slot, spec.epoch, spec.generation)
    line.ready()
    await drain.completed
    loop.remove_reader(descriptor)
    await lifespan.stop(drain.left())
    engine.stop_log()
    return 0


def _tell_tasks(engine: Engine, stacks: int) -> None:
    """Have the signal for stacks tell the tasks, too: what late requests wait for."""
    mine = [task for task in asyncio.all_tasks() if task.get_name() in ("lifespan", "serve")]

    def tell() -> None:
        with contextlib.suppress(BlockingIOError):  # full: faulthandler has said enough
            os.write(stacks, b"\n" + describe(engine.waiting(), mine).encode("utf-8", "replace") + b"\n")

    answer_also(lambda number: engine.on_stacks(number, stacks, tell), stacks)


def _import(spec: WorkerSpec) -> Application:
    """Import the app in the running loop. Raises what that raises, and ApplicationError."""
    application, interface = spec.load()
    if interface != "asgi":
        raise ApplicationError(
            "the application is WSGI, but its import wants a running event loop",
            "--interface asgi, if it is an ASGI application after all",
        )
    gc.freeze()
    return application


def _websockets(spec: WorkerSpec) -> Websockets:
    options = spec.options
    fields = [("Server", "forkcluster")] if options.server_header else []
    settings = Settings(
        max_size=options.ws_max_size,
        deflate=options.ws_deflate,
        ping_interval=options.ws_ping_interval,
        ping_timeout=options.ws_ping_timeout,
        fields=tuple((name.encode(), value.encode("latin-1")) for name, value in (*fields, *options.header)),
    )
    return Websockets(settings, options.drain_timeout, report_fault)


class Drain:
    """When the drain began and whether it is over. `begun` is called at its beginning."""

    def __init__(self, engine: Engine, timeout: float, begun: Callable[[], None]) -> None:
        self._engine = engine
        self.completed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._timeout = timeout
        self._until = 0.0
        self._begun = begun

    def begin(self) -> None:
        """The engine takes no more connections from now on."""
        self._until = time.monotonic() + self._timeout - MARGIN
        loop = asyncio.get_running_loop()
        late = self._timeout - MARGIN - min(GRACE, self._timeout / 10)
        loop.call_later(max(self._timeout * 0.75, late), self._cut)
        self._begun()

    def _cut(self) -> None:
        """Cancel the requests that still run, and go on to the shutdown whether they end or not."""
        running = self._engine.tasks()
        if running and not self.completed.done():
            log.warning(
                "requests that still run are cancelled: the drain's time is over", requests=len(running)
            )
            for task in running:
                task.cancel()
        asyncio.get_running_loop().call_later(self.left() / 2, self.complete)

    def complete(self) -> None:
        """Nothing is open and no request runs."""
        if not self.completed.done():
            self.completed.set_result(None)

    def left(self) -> float:
        """Seconds that shutdown may take; the master kills what takes longer."""
        return max(0.1, self._until - time.monotonic())

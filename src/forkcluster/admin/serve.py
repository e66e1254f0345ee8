"""Serves the admin's site: one engine of ours on an asyncio loop, with a private scoreboard of its own.

The application here is ours, so what a worker needs around its engine (lifespan, drain, WebSockets,
hand-over) is left out; the process ends with the master.
"""

import asyncio
import os
import sys
from functools import partial

from forkcluster import _scoreboard, log
from forkcluster._engine import Engine
from forkcluster.admin.actions import Actions
from forkcluster.admin.app_metrics import AppMetrics
from forkcluster.admin.collector import Collector
from forkcluster.admin.dashboard import Dashboard
from forkcluster.admin.health import Health
from forkcluster.admin.line import MasterLine, Present
from forkcluster.admin.live import About, Live
from forkcluster.admin.metrics import Metrics
from forkcluster.admin.output import Output
from forkcluster.admin.processes import Processes
from forkcluster.admin.site import Site
from forkcluster.wire.orders import AdminOrder

# Narrower than an application's: who asks here sends little, and is not waited for long.
ENGINE_OPTIONS = {
    "nested": 1,
    "limit_head": 16384,
    "limit_body": 65536,
    "header_timeout": 10,
    "body_timeout": 10,
    "keep_alive": 75,
    "write_timeout": 60,
    "date_header": True,
    "forwarded_allow_ips": "",
}


def serve(order: AdminOrder) -> int:
    """Serve until the master is gone."""
    asyncio.run(_serve(order))
    return 0


async def _serve(order: AdminOrder) -> None:
    board = _scoreboard.Scoreboard(order.board)
    master = MasterLine(order.control)
    site = build(order, board, master)
    engine = make_engine(order.listener)
    loop = asyncio.get_running_loop()
    over = loop.create_future()
    descriptor = engine.attach(
        app=site,
        loop=loop,
        task_type=asyncio.Task,
        eager=sys.version_info >= (3, 12),
        state=None,
        on_websocket=None,
        on_drained=partial(over.set_result, None),
    )
    loop.add_reader(descriptor, engine.turn)
    log.debug("the admin process serves")
    await over


def build(order: AdminOrder, board: _scoreboard.Scoreboard, master: MasterLine) -> Site:
    """Make the site: each part adds its own paths."""
    present = Present(master)
    processes = Processes()
    site = Site()
    Health(board, present).add_to(site)
    collector = Collector(order.app, order.mode, board, processes)
    Metrics(collector, present, AppMetrics(order.app_metrics)).add_to(site)
    Live(About(order.app, order.mode, actions=bool(order.token)), board, present, processes, Output()).add_to(
        site
    )
    Actions(order.token, master).add_to(site)
    Dashboard().add_to(site)
    return site


def make_engine(listener: int) -> Engine:
    """Make an engine that accepts from this listener and counts for itself. Raises OSError."""
    own = _scoreboard.create("admin")
    _scoreboard.Scoreboard(own, writable=True).claim(0, 1, 0, 1)
    engine = Engine(
        listeners=[(listener, "http", "localhost", "80")],
        scoreboard=own,
        seat=0,
        epoch=1,
        channel=-1,
        options=ENGINE_OPTIONS,
        on_error=_report,
    )
    os.close(own)
    return engine


def _report(where: str, error: BaseException, method: str, target: str) -> None:
    log.error(f"error {where}: {error!r}", method=method, target=target)

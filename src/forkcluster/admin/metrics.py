"""/metrics: one exposition, in the format that the scraper prefers."""

from collections.abc import Iterator

from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector as Source
from prometheus_client.registry import CollectorRegistry

from forkcluster import log
from forkcluster._scoreboard import Scoreboard
from forkcluster.admin.collector import Collector, Status
from forkcluster.admin.line import Present
from forkcluster.admin.processes import Processes
from forkcluster.admin.site import Request, Response, Site
from forkcluster.errors import ForkclusterError


class Metrics:
    """Answers scrapes. What only the master knows is left out when it does not answer."""

    def __init__(self, app: str, board: Scoreboard, present: Present, processes: Processes) -> None:
        self._present = present
        self._collector = Collector(app, board, processes)

    def add_to(self, site: Site) -> None:
        """Have its path answered."""
        site.add("GET", "/metrics", self._metrics)

    async def _metrics(self, request: Request) -> Response:
        status: Status | None
        try:
            status = await self._present.status()
        except ForkclusterError as error:
            log.warning("metrics without what the master knows", error=str(error))
            status = None
        registry = CollectorRegistry(auto_describe=False)
        registry.register(Once(self._collector.collect(status)))
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), type=content_type)


class Once(Source):
    """Families that are there already, for a registry that is asked once."""

    def __init__(self, families: Iterator[Metric]) -> None:
        self._families = families

    def describe(self) -> list[Metric]:
        """Say nothing beforehand."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Give them."""
        return self._families

"""/metrics: one exposition, in the format that the scraper prefers.

Scrapers share it: it is made PAUSE seconds after the last one at the earliest, for all who have asked
meanwhile, so that a hundred of them cost little more CPU than one.
"""

from collections.abc import Callable
from functools import partial
from typing import Final

from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector as Source
from prometheus_client.registry import CollectorRegistry

from forkcluster import log
from forkcluster.admin.app_metrics import AppMetrics
from forkcluster.admin.catalogue import APP_METRICS_FAILURES
from forkcluster.admin.collector import Collector, Status, single
from forkcluster.admin.line import Present
from forkcluster.admin.shared import Shared
from forkcluster.admin.site import Request, Response, Site
from forkcluster.errors import ForkclusterError

PAUSE: Final = 0.25
MOST_PAGES: Final = 8  # a scraper says which version of the format it wants, and may say anything
Encode = Callable[[CollectorRegistry], bytes]


class Metrics:
    """Answers scrapes. What only the master knows is left out when it does not answer."""

    def __init__(self, collector: Collector, present: Present, theirs: AppMetrics) -> None:
        self._present = present
        self._collector = collector
        self._app_metrics = theirs
        self._pages: dict[str, Shared[bytes]] = {}  # by the type of their content

    def add_to(self, site: Site) -> None:
        """Have its path answered."""
        site.add("GET", "/metrics", self._metrics)

    async def _metrics(self, request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        if content_type not in self._pages:
            if len(self._pages) == MOST_PAGES:
                del self._pages[next(iter(self._pages))]
            self._pages[content_type] = Shared(partial(self._page, encode), PAUSE)
        return Response(await self._pages[content_type].get(), type=content_type)

    async def _page(self, encode: Encode) -> bytes:
        status: Status | None
        try:
            status = await self._present.status()
        except ForkclusterError as error:
            log.warning("metrics without what the master knows", error=str(error))
            status = None
        registry = CollectorRegistry(auto_describe=False)
        theirs = self._app_metrics.collect()
        ours = [*self._collector.collect(status), single(APP_METRICS_FAILURES, self._app_metrics.failures)]
        registry.register(Once([*ours, *theirs]))
        return encode(registry)


class Once(Source):
    """Families that are there already, for a registry that is asked once."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def describe(self) -> list[Metric]:
        """Say nothing beforehand."""
        return []

    def collect(self) -> list[Metric]:
        """Give them."""
        return self._families

"""/metrics keeps few pages, whatever scrapers say they want."""

import asyncio

from forkcluster.admin import metrics
from forkcluster.admin.site import Request
from forkcluster.errors import PeerError


class Nothing:
    """A collector, the application's metrics, and a master that does not answer."""

    failures = 0

    def collect(self, *_status):
        return []

    async def status(self):
        raise PeerError("no answer")


async def scrape(served, accept):
    response = await served._metrics(Request("GET", "/metrics", {}, {"accept": accept}, "", None))
    return response.type


def test_a_scraper_that_asks_for_ever_other_versions_fills_no_memory(monkeypatch):
    """Each gets the version it asked for; the oldest page is forgotten."""
    monkeypatch.setattr(metrics, "PAUSE", 0)
    served = metrics.Metrics(Nothing(), Nothing(), Nothing())
    versions = [f"1.0.{number}" for number in range(3 * metrics.MOST_PAGES)]

    async def story():
        return [await scrape(served, f"application/openmetrics-text; version={each}") for each in versions]

    types = asyncio.run(story())
    assert [True] * len(versions) == [
        f"version={each};" in got for each, got in zip(versions, types, strict=True)
    ]
    assert metrics.MOST_PAGES == len(served._pages)

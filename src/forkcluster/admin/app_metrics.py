"""The application's own metrics, merged from the files that its workers write (mold/app_metrics.py)."""

import os

from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector

from forkcluster import log

OURS = "forkcluster_"


class AppMetrics:
    """Reads the directory; empty: there is none."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self.failures = 0

    def collect(self) -> list[Metric]:
        """Give the families of all workers together, but for names that would clash with ours.

        What cannot be read is counted, and fails no scrape.
        """
        if not self._directory or not os.path.isdir(self._directory):
            return []
        try:
            found = MultiProcessCollector(None, path=self._directory).collect()  # type: ignore[no-untyped-call]
            return [metric for metric in found if not metric.name.startswith(OURS)]
        except Exception as error:  # the library's, over files that the application writes
            self.failures += 1
            log.error("the application's own metrics cannot be read", error=repr(error))
            return []

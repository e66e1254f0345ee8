"""Writes docs/metrics.md from the catalogue; with --check only says whether the page is up to date.

Owns the page's words around the table. Knows the catalogue and nothing else of forkcluster.
"""

import sys
from pathlib import Path

from forkcluster.admin.catalogue import CATALOGUE, Metric

PAGE = Path(__file__).with_name("metrics.md")
HEAD = """# Metrics

<!-- Written by docs/write_metrics.py from src/forkcluster/admin/catalogue.py by `make options`. -->

Every app answers `/metrics` at its admin address in Prometheus' text format, or in OpenMetrics for who asks
for that. By default the address is the unix socket `admin.sock` in the app's directory; Prometheus wants a
port:

```
forkcluster shop.wsgi -i 4 --admin 127.0.0.1:9180
curl --unix-socket ~/.forkcluster/apps/shop/admin.sock http://admin/metrics
```

```yaml
scrape_configs:
  - job_name: forkcluster
    static_configs: [{targets: ["127.0.0.1:9180"]}]
```

A process of its own answers, started by the first who asks; however slow or many those are, the master and
the workers do not notice: a page is made four times a second at most, for all who ask, and a worker that
wakes on the same CPU goes first: beside 100 scrapers one of its wake-ups in a thousand waited for 0.07 ms or
longer (`make bench-scrape` measures on your machine). A kernel older than 6.12 may let it wait for some
milliseconds as often. The figures come from the scoreboard, which workers write with plain stores.

**Seats.** A seat is one line of the scoreboard. Each worker has one; who comes after it on that seat adds to
the same counts, so counters labelled by `seat` never go back, whatever dies, is reloaded or scaled. Sum over
seats to know the app; `forkcluster_worker_info` tells which slot, generation and process a seat has now:

```
sum(rate(forkcluster_requests_total[1m])) by (status)
histogram_quantile(0.99, sum(rate(forkcluster_request_duration_seconds_bucket[5m])) by (le))
forkcluster_requests_in_flight * on (seat) group_left (slot, pid) forkcluster_worker_info
```

In [fork mode](fork-mode.md) seats are the programs' processes, and nothing is told of requests.

**Your own metrics.** An application that uses `prometheus_client` needs no set-up: its counters,
histograms and gauges of all workers are merged into the same `/metrics`. It is the library's multi-process
mode, with its rules: a gauge says how workers are merged (`multiprocess_mode`); exemplars and `Info` are left
out, and so is a metric whose name begins with `forkcluster_`. The label `pid` of a gauge is the seat. An
application that sets `PROMETHEUS_MULTIPROC_DIR` itself, and `--no-app-metrics`, leave all that to it.

Dashboards and alert rules are in `examples/`; [the runbook](runbook.md) says what to do when one fires.
"""


def page() -> str:
    """The whole page, LF-ended."""
    rows = "".join(row(metric) for metric in CATALOGUE)
    return f"{HEAD}\n| metric | kind | labels | what it tells |\n|---|---|---|---|\n{rows}"


def row(metric: Metric) -> str:
    """One line of the table."""
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    return f"| `{metric.exposed}` | {metric.kind} | {labels} | {metric.help} |\n"


def main(arguments: list[str]) -> int:
    """Write or check; 1 when the page is out of date."""
    if arguments == ["--check"]:
        fresh = PAGE.exists() and page() == PAGE.read_text(encoding="utf-8")
        print(f"docs/metrics.md is {'up to date' if fresh else 'out of date: make options'}")
        return 0 if fresh else 1
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

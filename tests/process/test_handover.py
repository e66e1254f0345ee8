"""Connections move between workers and nobody outside notices."""

import os

from harness import until
from strict import APPS, Load

RELOADS = int(os.environ.get("FORKCLUSTER_TEST_RELOADS", "30"))


def serve(server, **settings):
    each = server(**settings)
    (each.directory / "app.py").write_text(APPS["wsgi"])
    return each.boot()


def test_reloads_under_load_lose_nothing(server):
    """Keep-alive, connection per request, slow and idle clients see no refusal, reset, cut, 5xx or closed connection."""
    each = serve(server, workers=2, arguments=("--observe", "0"))
    with Load(each.address) as load:
        for _ in range(RELOADS):
            before = load.answers.total()
            each.reload()
            until(lambda b=before: load.answers.total() > b + 50, "answers between two reloads")
    assert {} == dict(load.faults)
    assert {"keep", "new", "slow", "idle"} == set(load.answers)
    assert len(load.pids) > RELOADS

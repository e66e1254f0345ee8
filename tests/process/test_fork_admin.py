"""The admin address of an app in fork mode: the same paths, over processes that know nothing of it."""

import json
import os
import re
import signal

import pytest
from browser import PROGRAM, Browser
from fork_harness import WORKER
from harness import until
from test_admin import admin_url, fetch

BURNER = """
import os, signal
while sum(os.times()[:2]) < 0.5:
    pass
signal.pause()
"""


def value(each, series):
    """The value of one series; None when it is not told."""
    found = re.search(rf"^{re.escape(series)} (\S+)$", fetch(each, "/metrics")[1], re.MULTILINE)
    return None if found is None else float(found[1])


def kinds(each):
    return [event["event"] for event in each.status()["events"]]


def exits(each, reason):
    return value(each, f'forkcluster_worker_exits_total{{reason="{reason}"}}')


def test_metrics_tell_processes_restarts_and_reasons_but_no_requests(fork):
    """What the master knows is counted, over a crash, a reload and scaling."""
    each = fork(script=WORKER, workers=2).boot()
    pids = each.until_ready(2)
    assert 2 == value(each, 'forkcluster_workers{state="ready"}')
    assert 0 == exits(each, "crash")
    text = fetch(each, "/metrics")[1]
    assert "forkcluster_requests_total" not in text
    assert {*map(str, pids)} == set(re.findall(r'forkcluster_worker_info\{.*pid="(\d+)"', text))
    resident = re.findall(r"^forkcluster_worker_resident_memory_bytes\S+ (\S+)$", text, re.MULTILINE)
    assert [True] * 2 == [float(each) > 1e6 for each in resident]
    os.kill(pids[0], signal.SIGKILL)
    until(lambda: exits(each, "crash") == 1, "the crash to be counted")
    each.until_ready(2)
    assert 1 == value(each, "forkcluster_worker_restarts_total")
    each.reload()
    assert (2, 1) == (exits(each, "reload"), value(each, 'forkcluster_reloads_total{result="done"}'))
    assert 2 == value(each, "forkcluster_generation")
    assert 5 == value(each, "forkcluster_worker_starts_total")


def test_cpu_of_a_seat_goes_on_after_a_death(fork):
    """The time of the dead is kept, and that of the successor added to it."""
    each = fork("burner.py", script=BURNER).boot()
    (pid,) = each.until_ready(1)
    name = 'forkcluster_worker_cpu_seconds_total{seat="0"}'
    until(lambda: value(each, name) >= 0.5, "the CPU time of the first process")
    os.kill(pid, signal.SIGKILL)
    until(lambda: value(each, name) >= 1.0, "that of both")


def test_readyz_follows_the_policy(fork):
    """False while fewer processes than --min-ready do their work."""
    script = "import pathlib, signal, sys\nif pathlib.Path('bad').exists(): sys.exit(3)\nsignal.pause()\n"
    each = fork(script=script).boot()
    (pid,) = each.until_ready(1)
    assert (200, "ok\n") == fetch(each, "/readyz")
    (each.directory / "bad").touch()
    os.kill(pid, signal.SIGKILL)
    until(lambda: fetch(each, "/readyz")[0] == 503, "the app to be not ready")
    assert "fewer than 1" in until(lambda: fetch(each, "/readyz")[1], "the reason")
    assert (200, "ok\n") == fetch(each, "/livez")
    (each.directory / "bad").unlink()
    until(lambda: fetch(each, "/readyz")[0] == 200, "the app to be ready again")


def test_a_slot_at_rest_is_a_state_of_its_own(fork):
    """A program that has done its work is stopped, not missing, and the app stays ready for the others."""
    script = (
        "import os, signal, time\n"
        "if os.environ['FORKCLUSTER_INSTANCE'] == '1':\n    time.sleep(0.5)\nelse:\n    signal.pause()\n"
    )
    each = fork("worker.py", "--restart", "on-failure", script=script, workers=2).boot()
    until(lambda: value(each, 'forkcluster_workers{state="stopped"}') == 1, "the slot to rest")
    assert (1, 0) == (exits(each, "done"), value(each, "forkcluster_worker_restarts_total"))
    assert 200 == fetch(each, "/readyz")[0]


def test_history_has_kinds_and_who_asked(fork):
    """What happened is told by the same words as of a cluster."""
    each = fork("worker.py", "--admin-actions", "secret-token", script=WORKER, workers=1).boot()
    (pid,) = each.until_ready(1)
    os.kill(pid, signal.SIGKILL)
    until(lambda: "crash" in kinds(each), "the crash to be told")
    each.until_ready(1)
    headers = {"Authorization": "Bearer secret-token"}
    status, text = fetch(each, "/scale", "POST", headers, json.dumps({"workers": "+1"}))
    assert (200, 2) == (status, json.loads(text)["workers"])
    each.until_ready(2)
    assert 200 == fetch(each, "/reload", "POST", headers)[0]
    events = each.status()["events"]
    assert {"start", "ready", "up", "crash", "asked", "scale", "reload", "reload-done", "end"} <= set(
        kinds(each)
    )
    asked = [event["fields"]["asked_by"] for event in events if event["event"] == "asked"]
    assert 2 == len([who for who in asked if who.endswith("by the admin address")])
    assert {"reload"} == {event["fields"]["why"] for event in events if event["event"] == "end"}


@pytest.mark.skipif(PROGRAM is None, reason="no Chromium here")
def test_page_shows_processes_and_nothing_of_requests(fork, tmp_path_factory):
    """The dashboard leaves out what nobody knows."""
    each = fork("worker.py", "--admin", "127.0.0.1:0", script=WORKER, workers=2).boot()
    browser = Browser(tmp_path_factory.mktemp("browser"))
    try:
        browser.open(admin_url(each))
        browser.until("document.querySelectorAll('#workers tr').length === 2")
        browser.until("document.getElementById('state').textContent === '2 of 2 workers ready'")
        assert not browser.value("document.getElementById('rates').checkVisibility()")
        assert browser.value("document.getElementById('memory').checkVisibility()")
        assert [] == browser.complaints
    finally:
        browser.close()

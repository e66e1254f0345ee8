"""The application's own prometheus_client metrics: one scrape has those of all workers, and loses none."""

import http.client
import os
import re
import signal

import pytest
from harness import until
from test_admin import fetch

from forkcluster.manager.control import ask

APP = """
import os
from prometheus_client import Counter, Gauge, Histogram

SEEN = Counter("shop_seen", "Requests seen.", ["path"])
SECONDS = Histogram("shop_seconds", "Time.", buckets=(1, 2))
LIVE = Gauge("shop_live", "Workers that have answered.", multiprocess_mode="livesum")
CLASH = Counter("forkcluster_requests", "Not ours.")

def application(environ, start_response):
    SEEN.labels(environ["PATH_INFO"]).inc()
    SECONDS.observe(0.5)
    LIVE.set(1)
    CLASH.inc(1000000)
    start_response("200 OK", [])
    if environ["PATH_INFO"] == "/fork":
        child = os.fork()
        if not child:
            SEEN.labels("/child").inc()
            os._exit(0)
        os.waitpid(child, 0)
    return [f"{os.getpid()} {os.environ.get('PROMETHEUS_MULTIPROC_DIR')}".encode()]
"""


def make(server, *arguments, app=APP, **settings):
    """Boot a server of two workers with an app that counts."""
    running = server(workers=2, arguments=("--admin", "127.0.0.1:0", *arguments), **settings)
    (running.directory / "app.py").write_text(app)
    return running.boot()


def value(server, series):
    """The value of one series in a scrape, None when it is not there."""
    _, text = fetch(server, "/metrics")
    found = re.search(rf"^{re.escape(series)} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else None


def get(server, path, times):
    """Ask so often, each on a connection of its own; every answer must come."""
    for _ in range(times):
        assert 200 == server.get(path)[0]


def answered(server):
    """Ask until all workers have answered."""
    pids = set()
    until(lambda: pids.add(int(server.get("/warm")[1].split()[0])) or len(pids) == 2, "both workers")


def test_a_counter_is_exact_over_kills_and_reloads(server):
    """What every worker has counted is the sum, whoever died or was replaced meanwhile."""
    running = make(server)
    get(running, "/a", 20)
    for _ in range(3):
        before = running.worker_pids()
        os.kill(min(before), signal.SIGKILL)
        until(lambda before=before: len(running.worker_pids() - before) == 1, "a successor")
        until(lambda: len(ask(running.control, "status")["workers"]) == 2, "two workers")
        get_with_patience(running, "/a", 10)
    running.reload()
    get(running, "/a", 20)
    running.reload()
    ask(running.control, "scale", workers="1")
    until(lambda: len(running.worker_pids()) == 1, "one worker")
    get(running, "/a", 7)
    assert 77.0 == value(running, 'shop_seen_total{path="/a"}')
    assert 77.0 == value(running, "shop_seconds_count")
    assert 38.5 == value(running, "shop_seconds_sum")
    _, text = fetch(running, "/metrics")
    ours = sum(
        float(each) for each in re.findall(r'^forkcluster_requests_total\{.*"2xx"\} (\S+)$', text, re.M)
    )
    assert 77.0 == ours


def get_with_patience(server, path, times):
    """As `get`; a connection that the dead worker had in its inbox is moved, never refused."""
    for _ in range(times):
        connection = http.client.HTTPConnection(*server.address, timeout=20)
        connection.request("GET", path)
        assert 200 == connection.getresponse().status
        connection.close()


def test_live_gauges_go_with_their_worker(server):
    """A sum over the living: a dead worker's part is removed."""
    running = make(server)
    answered(running)
    assert 2.0 == value(running, "shop_live")
    os.kill(min(running.worker_pids()), signal.SIGKILL)
    until(lambda: value(running, "shop_live") == 1.0, "one live worker's gauge")


def test_a_child_of_the_application_counts_for_itself(server):
    """A process that a view forks never writes into its parent's file."""
    running = make(server)
    get(running, "/fork", 5)
    assert (5.0, 5.0) == (
        value(running, 'shop_seen_total{path="/fork"}'),
        value(running, 'shop_seen_total{path="/child"}'),
    )


def test_an_application_that_counts_can_be_forked(server):
    """The library's files have the suffix of sqlite's, but no process shares them."""
    running = make(server)
    assert "preload   no" not in running.output
    assert "cannot be forked" not in running.output


def test_nothing_is_left_behind(server):
    """The directory is there while the app runs, private, and gone with it."""
    running = make(server)
    directory = running.get("/")[1].decode().split()[1]
    assert 0o700 == os.stat(directory).st_mode & 0o777
    running.send(signal.SIGKILL)
    until(lambda: not running.worker_pids(), "the end of the workers")
    again = make(server)
    assert directory == again.get("/x")[1].decode().split()[1]
    assert 0.0 == (value(again, 'shop_seen_total{path="/"}') or 0.0)
    assert 0 == again.stop()
    assert not os.path.exists(directory)


@pytest.mark.parametrize("how", ["option", "variable", "code"])
def test_an_application_that_wants_none_or_its_own_is_left_alone(server, how, tmp_path):
    """Switched off, or a directory chosen before the library is imported: nothing is set up."""
    own = tmp_path / "own"
    own.mkdir()
    arguments = {"option": ("--no-app-metrics",), "variable": ("--env", f"PROMETHEUS_MULTIPROC_DIR={own}")}
    app = f"import os\nos.environ['PROMETHEUS_MULTIPROC_DIR'] = {str(own)!r}\n{APP}" if how == "code" else APP
    running = make(server, *arguments.get(how, ()), app=app)
    get(running, "/a", 3)
    assert ("None" if how == "option" else str(own)) == running.get("/")[1].decode().split()[1]
    assert None is value(running, 'shop_seen_total{path="/a"}')


def test_a_bare_mold_changes_nothing(server):
    """Workers that import the application by themselves write the same files."""
    running = make(server, "--preload", "never")
    get(running, "/a", 9)
    assert 9.0 == value(running, 'shop_seen_total{path="/a"}')


def test_files_that_cannot_be_read_fail_no_scrape(server):
    """They are counted; everything else is told."""
    running = make(server)
    answered(running)
    directory = running.get("/")[1].decode().split()[1]
    with open(f"{directory}/counter_0.db", "r+b") as file:
        file.write(b"\xff\xff\xff\x7f")
    assert 1.0 == value(running, "forkcluster_app_metrics_failures_total")
    assert 1.0 == value(running, "forkcluster_master_up")

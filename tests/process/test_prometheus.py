"""A real Prometheus scrapes a real app under load while workers are killed and the code is reloaded."""

import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from pathlib import Path

import pytest
from harness import until
from test_admin import admin_url, fetch

from forkcluster.admin.catalogue import CATALOGUE
from forkcluster.manager.control import ask

CONFIG = """
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
  - job_name: app
    static_configs: [{{targets: ["{target}"]}}]
"""


def needs(program):
    return pytest.mark.skipif(
        not shutil.which(program), reason=f"there is no {program} here (Debian: prometheus)"
    )


class Prometheus:
    """A Prometheus server in a directory of its own."""

    def __init__(self, directory, target):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        (directory / "prometheus.yml").write_text(CONFIG.format(target=target))
        self.log = (directory / "prometheus.log").open("wb")
        self.process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={directory}/prometheus.yml",
                f"--storage.tsdb.path={directory}/data",
                f"--web.listen-address=127.0.0.1:{self.port}",
            ],
            stdout=self.log,
            stderr=self.log,
        )

    def ask(self, path, **parameters):
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(
            f"http://127.0.0.1:{self.port}/api/v1/{path}?{query}", timeout=10
        ) as answer:
            return json.load(answer)["data"]["result"]

    def value(self, expression):
        """The value of an expression that gives one sample, None when there is none yet."""
        try:
            result = self.ask("query", query=expression)
        except OSError:
            return None
        return float(result[0]["value"][1]) if result else None

    def range(self, expression, seconds):
        """All values of an expression, second by second."""
        now = time.time()
        result = self.ask("query_range", query=expression, start=now - seconds, end=now, step=1)
        return [float(value) for series in result for _, value in series["values"]]

    def stop(self):
        self.process.terminate()
        self.process.wait(20)
        self.log.close()


class Clients(threading.Thread):
    """Ask one after the other, each on its own connection; a broken one is counted as lost."""

    def __init__(self, server):
        super().__init__()
        self._server = server
        self._over = threading.Event()
        self.answers = self.lost = 0

    def run(self):
        while not self._over.is_set():
            try:
                self.answers += self._server.get("/")[0] == 200
            except OSError:
                self.lost += 1

    def end(self):
        self._over.set()
        self.join()


def counters():
    """Every series that must not go back."""
    for metric in CATALOGUE:
        if metric.kind == "counter":
            yield metric.exposed
        if metric.kind in ("histogram", "summary"):
            yield from (f"{metric.exposed}_{part}" for part in ("count", "sum"))
        if metric.kind == "histogram":
            yield f"{metric.exposed}_bucket"


@needs("prometheus")
def test_rates_never_go_back_and_totals_are_exact(server, tmp_path):
    """Over two kills and a reload under load: what Prometheus has is what the clients had, give or take those
    requests that a kill cut off.
    """
    running = server(workers=2, arguments=("--admin", "127.0.0.1:0")).boot()
    prometheus = Prometheus(tmp_path, admin_url(running).removeprefix("http://"))
    try:
        until(lambda: prometheus.value("forkcluster_ready") == 1, "the first scrape")
        began = time.monotonic()
        clients = [Clients(running) for _ in range(3)]
        for client in clients:
            client.start()
        for _ in range(2):
            before = running.worker_pids()
            os.kill(min(before), signal.SIGKILL)
            until(lambda before=before: len(running.worker_pids() - before) == 1, "a successor")
        running.reload()
        for client in clients:
            client.end()
        answers, lost = sum(each.answers for each in clients), sum(each.lost for each in clients)
        total = 'sum(forkcluster_requests_total{status="2xx"})'
        until(lambda: answers <= (prometheus.value(total) or 0) <= answers + lost, "the clients' own total")
        until(lambda: prometheus.value("forkcluster_generation") == 2, "the reload")
        seconds = int(time.monotonic() - began) + 2
        rates = prometheus.range("rate(forkcluster_requests_total[5s])", seconds)
        rates += prometheus.range("rate(forkcluster_worker_cpu_seconds_total[5s])", seconds)
        assert min(rates) >= 0
        assert max(rates) > 0
        # A counter that went back would be a reset to Prometheus.
        for name in counters():
            assert [] == prometheus.ask("query", query=f"resets({name}[{seconds}s]) > 0"), name
        assert 2.0 == prometheus.value('forkcluster_worker_exits_total{reason="crash"}')
        assert 1.0 == prometheus.value('forkcluster_reloads_total{result="done"}')
    finally:
        prometheus.stop()


@needs("promtool")
def test_the_exposition_is_clean(server):
    """promtool has nothing to say, neither about names nor about help."""
    running = server(workers=2, arguments=("--admin", "127.0.0.1:0")).boot()
    running.get("/")
    _, text = fetch(running, "/metrics")
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True)
    assert (0, "", "") == (done.returncode, done.stdout, done.stderr)


def test_every_metric_is_in_the_catalogue_and_the_other_way_round(server):
    """What docs/metrics.md lists is what a scrape has, with those labels."""
    from prometheus_client.parser import text_string_to_metric_families

    running = server(workers=2, arguments=("--admin", "127.0.0.1:0")).boot()
    until(
        lambda: "forkcluster_worker_proportional_memory_bytes{" in fetch(running, "/metrics")[1], "a sample"
    )
    _, text = fetch(running, "/metrics")
    exposed = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            exposed.setdefault(family.name, set()).update(set(sample.labels) - {"le"})
    declared = {
        (each.full_name + ("_info" if each.kind == "info" else "")): set(each.labels) for each in CATALOGUE
    }
    assert declared == exposed


def test_openmetrics_is_negotiated(server):
    """Who asks for it gets it, with its end marked; a browser gets text."""
    running = server(arguments=("--admin", "127.0.0.1:0")).boot()
    accept = "application/openmetrics-text; version=1.0.0, text/plain; version=0.0.4; q=0.5"
    status, text = fetch(running, "/metrics", headers={"Accept": accept})
    assert (200, True) == (status, text.endswith("# EOF\n"))
    from prometheus_client.openmetrics.parser import text_string_to_metric_families

    assert "forkcluster_requests" in {family.name for family in text_string_to_metric_families(text)}
    assert "# EOF" not in fetch(running, "/metrics")[1]


def test_slow_and_many_scrapers_are_nobodys_business(server):
    """One that reads a byte a second and a hundred at once: the master's and the workers' CPU time and the
    app's answers are as without them.
    """
    running = server(workers=2, arguments=("--admin", "127.0.0.1:0")).boot()
    host, _, port = admin_url(running).removeprefix("http://").rpartition(":")
    fetch(running, "/metrics")
    ask_lines = [socket.create_connection((host, int(port)), timeout=20) for _ in range(100)]
    for line in ask_lines:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        line.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
    slow = ask_lines.pop()
    assert b"H" == slow.recv(1)
    asked = cpu(running.pid)
    for _ in range(20):
        assert 200 == running.get("/")[0]
        assert b"" != slow.recv(1)
    for line in ask_lines:
        assert line.recv(4096).startswith(b"HTTP/1.1 200 OK")
    # At most ten askings a second reach the master, whatever comes.
    assert cpu(running.pid) - asked < 0.5
    assert 2 == len(ask(running.control, "status")["workers"])
    (admin,) = running.processes("admin")
    assert admin.state != "Z"
    for line in [slow, *ask_lines]:
        line.close()
    assert 200 == fetch(running, "/metrics")[0]


def cpu(pid):
    """CPU seconds of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

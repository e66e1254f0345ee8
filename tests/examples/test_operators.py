"""What is shipped for operators: rules that fire, a dashboard whose queries are about metrics that exist."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from forkcluster.admin.catalogue import CATALOGUE

HERE = Path(__file__).parent
EXAMPLES = HERE.parents[1] / "examples"
DASHBOARD = json.loads((EXAMPLES / "grafana-dashboard.json").read_text())
RULES = (EXAMPLES / "prometheus-rules.yml").read_text()
needs_promtool = pytest.mark.skipif(
    not shutil.which("promtool"), reason="there is no promtool here (Debian: prometheus)"
)


def promtool(*arguments):
    done = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True)
    assert 0 == done.returncode, done.stdout + done.stderr
    return done.stdout


def expressions():
    """Every query of the dashboard, with Grafana's variables filled in."""
    found = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    found += [each["expr"] for each in DASHBOARD["annotations"]["list"]]
    values = {"$__rate_interval": "1m", "$job": "app", "$instance": "a"}
    for variable, value in values.items():
        found = [each.replace(variable, value) for each in found]
    return found


def names(text):
    """The metrics of ours that a query names, without what a rule records."""
    found = set(re.findall(r"(?<![\w:])forkcluster_[a-z_]+", text))
    return {re.sub(r"_(bucket|count|sum)$", "", name) for name in found}


@needs_promtool
def test_the_rules_are_sound():
    """promtool reads them."""
    assert "SUCCESS" in promtool("check", "rules", EXAMPLES / "prometheus-rules.yml")


@needs_promtool
def test_every_alert_fires_when_it_should_and_none_on_a_healthy_app(tmp_path):
    """By promtool's own clock, on series of a healthy and of a broken app."""
    shutil.copy(EXAMPLES / "prometheus-rules.yml", tmp_path)
    test = shutil.copy(HERE / "prometheus-rules-test.yml", tmp_path)
    assert "SUCCESS" in promtool("test", "rules", test)
    alerts = set(re.findall(r"alert: (\w+)", RULES))
    assert alerts == set(re.findall(r'alertname="(\w+)"', (HERE / "prometheus-rules-test.yml").read_text()))


@needs_promtool
def test_every_query_of_the_dashboard_can_be_parsed(tmp_path):
    """As recording rules, which promtool can check."""
    rules = [{"record": f"query:{number}", "expr": each} for number, each in enumerate(expressions())]
    (tmp_path / "rules.yml").write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert f"{len(rules)} rules found" in promtool("check", "rules", tmp_path / "rules.yml")


@pytest.mark.parametrize("text", [*expressions(), RULES])
def test_only_metrics_that_exist_are_asked_for(text):
    """A query about a metric that was renamed would show nothing, for ever."""
    exposed = {metric.exposed for metric in CATALOGUE} | {metric.full_name for metric in CATALOGUE}
    assert names(re.sub(r"job_instance:\S+", "", text)) <= exposed


def test_every_alert_has_its_place_in_the_runbook():
    """The anchors that the rules name are headings there, and each alert's name is found there."""
    text = (EXAMPLES.parent / "docs" / "runbook.md").read_text()
    headings = {title.lower().replace(" ", "-") for title in re.findall(r"^## (.*)$", text, re.MULTILINE)}
    assert set(re.findall(r"runbook\.md#([\w-]+)", RULES)) <= headings
    assert 1 < len(headings)
    assert [] == [name for name in re.findall(r"alert: (\w+)", RULES) if f"`{name}`" not in text]


def test_the_dashboard_has_no_two_panels_in_one_place():
    """Ids are unique, and no panel covers another."""
    taken = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))

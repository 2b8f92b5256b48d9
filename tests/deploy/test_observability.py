"""Rules and dashboards: promtool's own check and tests, and every metric they name is one that a role has."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from orchestrator.metrics import DeciderMetrics, ServerMetrics, WorkerMetrics, families, text_of
from orchestrator.service import operations
from orchestrator.service.operations import Diagnosis
from orchestrator_cli.deployment.dashboards import DASHBOARDS
from orchestrator_cli.deployment.kubernetes import KEDA
from tests.deploy.conftest import DEPLOY, tool

PROMETHEUS = DEPLOY / "prometheus"


def there() -> set[str]:
    """Every name of a series that some role tells."""
    diagnosis = Diagnosis(operations.Server("Redis", "7", "noeviction", True, 1, 1), 1.0, 16, [], [], [])
    texts = [text_of(one.registry) for one in (DeciderMetrics(), WorkerMetrics(1), ServerMetrics())]
    kinds: dict[str, str] = dict(re.findall(r"^# TYPE (\w+) (\w+)$", "".join(texts), re.M))
    kinds |= {one.name + ("_total" if one.type == "counter" else ""): one.type for one in families(diagnosis, {})}
    histograms = [name for name, kind in kinds.items() if kind == "histogram"]
    return set(kinds) | {f"{name}_{part}" for name in histograms for part in ("bucket", "count", "sum")}


def used(text: str) -> set[str]:
    return set(re.findall(r"\borchestrator_\w+", text))


@pytest.mark.parametrize(
    "path", ["prometheus/rules.yml", "prometheus/rules.test.yml", KEDA, "helm/orchestrator/templates/keda.yaml"]
)
def test_rules_and_scaling_name_metrics_that_there_are(path: str) -> None:
    names = used((DEPLOY / path).read_text())
    assert names
    assert names - there() == set()


@pytest.mark.parametrize("name", sorted(DASHBOARDS))
def test_dashboards_name_metrics_that_there_are(name: str) -> None:
    document = json.loads((DEPLOY / "grafana" / "dashboards" / f"{name}.json").read_text())
    expressions = [target["expr"] for panel in document["panels"] for target in panel["targets"]]
    names = set().union(*map(used, expressions))
    assert len(names) > 5
    assert names - there() == set()


def test_recorded_series_are_recorded_somewhere() -> None:
    text = (PROMETHEUS / "rules.yml").read_text()
    recorded = set(re.findall(r"record: (\S+)", text))
    assert set(re.findall(r"\borchestrator:[\w:]+", text)) == recorded


def test_panels_lie_beside_each_other() -> None:
    for name in DASHBOARDS:
        document = json.loads((DEPLOY / "grafana" / "dashboards" / f"{name}.json").read_text())
        places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in document["panels"]]
        assert len(set(places)) == len(places)
        assert len({panel["id"] for panel in document["panels"]}) == len(places)


@pytest.mark.parametrize(
    "arguments",
    [("check", "rules", "rules.yml"), ("check", "config", "prometheus.yml"), ("test", "rules", "rules.test.yml")],
)
def test_promtool_is_content(arguments: tuple[str, ...]) -> None:
    promtool = tool("promtool", "apt-get install prometheus")
    run = subprocess.run([promtool, *arguments], cwd=PROMETHEUS, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


def test_every_expression_of_the_dashboards_is_one(tmp_path: Path) -> None:
    promtool = tool("promtool", "apt-get install prometheus")
    expressions = [
        query.expression.replace("$__rate_interval", "1m")
        for _, graphs in DASHBOARDS.values()
        for graph in graphs
        for query in graph.queries
    ]
    rules = [{"record": f"r:{number}", "expr": expression} for number, expression in enumerate(expressions)]
    (tmp_path / "rules.yml").write_text(json.dumps({"groups": [{"name": "dashboards", "rules": rules}]}))
    run = subprocess.run([promtool, "check", "rules", str(tmp_path / "rules.yml")], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr

"""The plain objects and the chart: the chart's engine renders it, both say the same, and Kubernetes' schemas know all of it."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator_cli.deployment.installation import EXAMPLE, GRACE_S
from orchestrator_cli.deployment.kubernetes import KEDA
from tests.deploy.conftest import DEPLOY, ROOT, tool

Thing = dict[str, Any]

CHART = DEPLOY / "helm" / "orchestrator"
EXAMPLE_VALUES = DEPLOY / "helm" / "values.example.yaml"
PYTHON = str(ROOT / ".venv-deploy" / "bin" / "python")
VERSIONS = ("1.29", "1.33", "1.36")

RENDER = """
import json, sys
import helm_python as helm
values = json.loads(sys.argv[2])
with helm.Chart.load(sys.argv[1]) as chart:
    chart.validate_schema(values)
    print(json.dumps(chart.render(values, name=sys.argv[3], namespace="flows")))
"""
LINT = "import json, sys, helm_python; print(json.dumps(helm_python.lint(sys.argv[1])))"


def helm(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Helm's own engine, which the tools' environment has as a library."""
    tool("check-jsonschema", "make .venv-deploy/.ready")
    return subprocess.run([PYTHON, "-c", program, *arguments], capture_output=True, text=True)


def rendered(values: Thing, name: str = "orchestrator") -> list[Thing]:
    """The chart's objects."""
    run = helm(RENDER, str(CHART), json.dumps(values), name)
    assert run.returncode == 0, run.stderr
    return things(text for path, text in json.loads(run.stdout).items() if path.endswith(".yaml"))


def things(texts: Iterable[str]) -> list[Thing]:
    return [thing for text in texts for thing in yaml.safe_load_all(text) if thing]


def example_values() -> Thing:
    values: Thing = yaml.safe_load(EXAMPLE_VALUES.read_text())
    return values


def plain(name: str = "*.yaml") -> list[Thing]:
    paths = sorted((DEPLOY / "kubernetes").glob(name))
    return things(path.read_text() for path in paths if path.name != "kustomization.yaml")


def named(found: Iterable[Thing]) -> dict[str, Thing]:
    return {f"{thing['kind']} {thing['metadata']['name']}": thing for thing in found}


def bare(thing: Thing) -> Thing:
    """Without what only a chart has: its labels, and marks that restart pods when settings change."""
    thing = json.loads(json.dumps(thing))
    for name in ("app.kubernetes.io/managed-by", "helm.sh/chart"):
        thing["metadata"]["labels"].pop(name, None)
    if thing["kind"] == "Deployment":
        notes = thing["spec"]["template"]["metadata"]["annotations"]
        for name in [name for name in notes if name.startswith("checksum/")]:
            del notes[name]
    return thing


def test_the_chart_gives_the_plain_objects() -> None:
    expected = {name: thing for name, thing in named(plain()).items() if not name.startswith("Secret")}
    found = named(bare(thing) for thing in rendered(example_values()))
    assert sorted(found) == sorted(expected)
    for name, thing in found.items():
        assert thing == expected[name], name


def test_the_chart_scales_as_the_plain_objects_do() -> None:
    values = example_values()
    values["workers"][0]["autoscaling"] = {"enabled": True}
    found = named(bare(thing) for thing in rendered(values))
    assert found["ScaledObject orchestrator-worker-default"] == things([(DEPLOY / KEDA).read_text()])[0]
    assert "replicas" not in found["Deployment orchestrator-worker-default"]["spec"], "it would undo the scaling"


def test_helm_finds_nothing_wrong_with_the_chart() -> None:
    told = json.loads(helm(LINT, str(CHART)).stdout)
    assert [one["error"] for one in told["messages"]] == ["icon is recommended"]
    assert told["errors"] == []


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_knows_every_field(version: str, tmp_path: Path) -> None:
    everything = {
        **example_values(),
        "redis": {"url": "redis://redis:6379/0"},
        "server": {
            "ingress": {"enabled": True, "host": "flows.example", "tlsSecret": "flows-tls", "className": "nginx"}
        },
        "imagePullSecrets": [{"name": "registry"}],
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "flows", "operator": "Exists"}],
    }
    paths = []
    for number, thing in enumerate([*plain(), *rendered(everything, name="flows")]):
        paths.append(tmp_path / f"{number}.json")
        paths[-1].write_text(json.dumps(thing))
    command = [tool("kubernetes-validate", "make .venv-deploy/.ready"), "--strict", "-k", version]
    run = subprocess.run([*command, *map(str, paths)], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


def test_kubernetes_would_have_said_so(tmp_path: Path) -> None:
    broken = plain("server.yaml")[0]
    broken["spec"]["template"]["spec"]["containers"][0]["livenessProb"] = {}
    (tmp_path / "broken.json").write_text(json.dumps(broken))
    command = [tool("kubernetes-validate", "make .venv-deploy/.ready"), "--strict", "-k", VERSIONS[-1]]
    run = subprocess.run([*command, str(tmp_path / "broken.json")], capture_output=True, text=True)
    assert run.returncode != 0
    assert "livenessProb" in run.stdout + run.stderr


@pytest.mark.parametrize(
    "values",
    [
        {"redis": {"url": "http://redis"}},
        {"redis": {"existingSecret": "x"}, "workers": [{"name": "Billing!", "modules": ["a"]}]},
        {"redis": {"existingSecret": "x"}, "workers": [{"name": "billing"}]},
        {"redis": {"existingSecret": "x"}, "deciders": {"replicas": 3}},
        {"redis": {"existingSecret": "x"}, "decider": {"replicas": "three"}},
        {"redis": {"existingSecret": "x"}, "settings": {"LOG_LEVEL": "INFO"}},
    ],
)
def test_wrong_values_are_refused_by_the_schema(values: Thing) -> None:
    run = helm(RENDER, str(CHART), json.dumps(values), "orchestrator")
    assert run.returncode != 0
    assert "schema" in run.stderr.lower()


def test_what_the_comments_of_the_values_offer_is_accepted() -> None:
    worker = {
        "name": "default", "modules": ["my_project.tasks"], "concurrency": 20, "replicas": 2, "domain": "eu",
        "image": "registry.example/shop:7", "env": [{"name": "A", "value": "1"}], "nodeSelector": {"a": "b"},
        "resources": {}, "autoscaling": {"enabled": True, "taskTypes": "charge|ship", "minReplicas": 1, "maxReplicas": 20},
    }  # fmt: skip
    comments = (CHART / "values.yaml").read_text()
    assert [name for name in worker if not re.search(rf"\b{name}\b", comments)] == []
    found = named(rendered({**example_values(), "workers": [worker]}))
    container = found["Deployment orchestrator-worker-default"]["spec"]["template"]["spec"]["containers"][0]
    assert container["args"][2:6] == ["--concurrency", "20", "--domain", "eu"]
    assert (container["image"], container["env"]) == (worker["image"], worker["env"])
    scaled = found["ScaledObject orchestrator-worker-default"]["spec"]["triggers"][0]["metadata"]
    assert 'task_type=~"charge|ship"' in scaled["query"]


def deployments() -> list[Thing]:
    return [thing for thing in plain() if thing["kind"] == "Deployment"]


def test_every_role_has_a_deployment_with_probes_and_no_rights() -> None:
    found = {thing["metadata"]["labels"]["app.kubernetes.io/component"]: thing for thing in deployments()}
    assert sorted(found) == sorted(role.name for role in EXAMPLE.roles)
    for role in EXAMPLE.roles:
        pod = found[role.name]["spec"]["template"]["spec"]
        container = pod["containers"][0]
        paths = [container[probe]["httpGet"]["path"] for probe in ("livenessProbe", "readinessProbe", "startupProbe")]
        assert paths == ["/livez", "/readyz", "/startupz"]
        assert container["ports"][0]["containerPort"] == role.port
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["terminationGracePeriodSeconds"] > GRACE_S
        assert f"PodDisruptionBudget orchestrator-{role.name}" in named(plain())


def test_network_policies_choose_pods_that_there_are() -> None:
    components = {thing["metadata"]["labels"]["app.kubernetes.io/component"] for thing in deployments()}
    policies = [thing for thing in plain() if thing["kind"] == "NetworkPolicy"]
    assert len(policies) == 3
    for policy in policies:
        for among in policy["spec"]["podSelector"].get("matchExpressions", []):
            assert set(among["values"]) <= components
    everybody = named(policies)["NetworkPolicy orchestrator"]["spec"]
    assert everybody["policyTypes"] == ["Ingress", "Egress"]


def test_the_kustomization_lists_all_but_the_secret_to_be_replaced() -> None:
    listed = yaml.safe_load((DEPLOY / "kubernetes" / "kustomization.yaml").read_text())["resources"]
    there = {path.name for path in (DEPLOY / "kubernetes").glob("*.yaml")}
    assert set(listed) == there - {"kustomization.yaml", "secret.example.yaml"}

"""The files in deploy/ are what `orchestrator deploy render` writes, and what somebody asks for is in what they get."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from orchestrator_cli.deploy import FORMS, rendered
from orchestrator_cli.deployment import files
from orchestrator_cli.deployment.installation import EXAMPLE
from orchestrator_cli.main import root
from tests.deploy.conftest import DEPLOY, ROOT


def render(*arguments: str) -> Result:
    return CliRunner().invoke(root, ["deploy", "render", *arguments], prog_name="orchestrator")


def test_the_files_in_the_repository_are_what_is_rendered() -> None:
    there = {path.relative_to(DEPLOY).as_posix(): path.read_text() for path in DEPLOY.rglob("*") if path.is_file()}
    there.pop("README.md")
    expected = rendered("all", EXAMPLE)
    assert sorted(there) == sorted(expected)
    assert [name for name in there if there[name] != expected[name]] == [], "run: make deploy"


def test_what_is_written_as_it_is_goes_into_the_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: set[str] = set()

    def fixed(*folders: str) -> dict[str, str]:
        asked.update(folders)
        return {}

    monkeypatch.setattr(files, "fixed", fixed)
    rendered("all", EXAMPLE)
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    places = {name: place for name, place in wheel["force-include"].items() if name.startswith("deploy/")}
    assert places == {f"deploy/{name}": f"orchestrator_cli/deployment/deploy/{name}" for name in asked}


@pytest.mark.parametrize("form", [form for form in FORMS if form != "all"])
def test_every_form_is_written_by_itself(form: str, tmp_path: Path) -> None:
    result = render(form, "-d", str(tmp_path))
    assert result.exit_code == 0
    written = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert written == set(rendered(form, EXAMPLE))
    assert sorted(result.stdout.split()) == sorted(str(tmp_path / name) for name in written)


def test_scripts_can_be_run_as_they_are(tmp_path: Path) -> None:
    render("systemd", "-d", str(tmp_path))
    assert os.access(tmp_path / "redis" / "backup.sh", os.X_OK)
    assert os.access(DEPLOY / "redis" / "backup.sh", os.X_OK)


def test_an_image_and_workers_of_ones_own_are_in_every_form(tmp_path: Path) -> None:
    asked = ["--image", "registry.example:5000/shop:7", "--program", "/srv/shop/bin/orchestrator"]
    asked += ["--worker", "billing=shop.billing,shop.mail@5", "--worker", "reports=shop.reports"]
    assert render("all", "-d", str(tmp_path), *asked).exit_code == 0
    compose = yaml.safe_load((tmp_path / "compose/compose.yaml").read_text())["services"]
    assert compose["worker-billing"]["command"][:5] == ["worker", "shop.billing", "shop.mail", "--concurrency", "5"]
    assert {compose[name]["image"] for name in ("server", "worker-reports")} == {"registry.example:5000/shop:7"}
    deployment = next(yaml.safe_load_all((tmp_path / "kubernetes/worker-reports.yaml").read_text()))
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    assert (container["image"], container["args"][1]) == ("registry.example:5000/shop:7", "shop.reports")
    values = yaml.safe_load((tmp_path / "helm/values.example.yaml").read_text())
    assert values["image"] == {"repository": "registry.example:5000/shop", "tag": "7"}
    assert values["workers"][0] == {
        "name": "billing", "modules": ["shop.billing", "shop.mail"], "concurrency": 5, "replicas": 2,
    }  # fmt: skip
    assert "MODULES=shop.billing shop.mail\n" in (tmp_path / "systemd/worker-billing.env").read_text()
    unit = (tmp_path / "systemd/orchestrator-worker@.service").read_text()
    assert "ExecStart=/srv/shop/bin/orchestrator worker $MODULES" in unit
    wanted = (tmp_path / "systemd/orchestrator.target").read_text()
    assert "orchestrator-worker@billing.service orchestrator-worker@reports.service" in wanted
    assert "worker_reports: exec orchestrator worker shop.reports" in (tmp_path / "Procfile").read_text()


@pytest.mark.parametrize("asked", ["billing", "=shop", "billing=", "bil/ling=shop", "billing=shop@many"])
def test_a_worker_that_is_said_wrong_is_refused(asked: str, tmp_path: Path) -> None:
    result = render("procfile", "-d", str(tmp_path), "--worker", asked)
    assert result.exit_code == 2
    assert "NAME=MODULE" in result.stderr
    assert list(tmp_path.iterdir()) == []

"""The image and the compose files: what a linter, the schema and the files they mount say of them. No container is run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml

from orchestrator_cli.deployment.installation import EXAMPLE, USER_ID
from tests.deploy.conftest import DEPLOY, ROOT, tool
from tests.store.test_cluster import free_port
from tests.support.eventually import eventually
from tests.support.redis_server import RedisServer

DOCKERFILES = ("Dockerfile", "Dockerfile.worker")
COMPOSE = ("compose.yaml", "compose.ha.yaml", "compose.observability.yaml")


def services(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose" / name).read_text())["services"]
    return found


@pytest.mark.parametrize("name", DOCKERFILES)
def test_hadolint_finds_nothing(name: str) -> None:
    command = [tool("hadolint", "make .venv-deploy/.ready"), str(DEPLOY / "docker" / name)]
    run = subprocess.run(command, capture_output=True, text=True)
    assert (run.returncode, run.stdout + run.stderr) == (0, "")


def test_the_image_is_built_from_what_there_is() -> None:
    text = (DEPLOY / "docker" / "Dockerfile").read_text()
    copied = [word for line in re.findall(r"^COPY ((?!--).*)$", text, re.M) for word in line.split()[:-1]]
    assert copied
    assert [name for name in copied if not (ROOT / name).exists()] == []
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = {path.split("/")[0] for path in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]}
    assert packages | {"deploy", "pyproject.toml"} <= set(copied)
    extras = re.search(r'"\.\[(.*)\]"', text)
    assert extras is not None
    assert set(extras[1].split(",")) <= set(project["project"]["optional-dependencies"])
    assert EXAMPLE.image.endswith(f":{project['project']['version']}")


@pytest.mark.parametrize("name", DOCKERFILES)
def test_the_image_runs_as_nobody_in_particular(name: str) -> None:
    users = re.findall(r"^USER (.*)$", (DEPLOY / "docker" / name).read_text(), re.M)
    assert users[-1] == f"{USER_ID}:{USER_ID}"


@pytest.mark.parametrize("name", COMPOSE)
def test_compose_files_are_what_the_specification_says(name: str) -> None:
    command = [tool("check-jsonschema", "make .venv-deploy/.ready"), "--builtin-schema", "vendor.compose-spec"]
    run = subprocess.run([*command, str(DEPLOY / "compose" / name)], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("name", COMPOSE)
def test_what_compose_files_mount_and_wait_for_is_there(name: str) -> None:
    document = yaml.safe_load((DEPLOY / "compose" / name).read_text())
    for service in document["services"].values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source in document["volumes"] or (DEPLOY / "compose" / source).exists(), volume
        for other in service.get("depends_on", {}):
            assert "healthcheck" in document["services"][other]


@pytest.mark.parametrize("name", COMPOSE)
def test_every_container_is_confined(name: str) -> None:
    for one, service in services(name).items():
        told = (service["read_only"], service["cap_drop"], service["security_opt"])
        assert told == (True, ["ALL"], ["no-new-privileges:true"]), one
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), one


@pytest.mark.parametrize("name", ["compose.yaml", "compose.ha.yaml"])
def test_every_role_is_there_with_its_probe_and_its_time_to_end(name: str) -> None:
    found = services(name)
    for role in EXAMPLE.roles:
        service = found[role.name]
        assert f"127.0.0.1:{role.port}/livez" in service["healthcheck"]["test"][-1]
        assert str(role.port) in service["command"]
        assert service["stop_grace_period"] == "30s"


def test_variables_of_compose_files_are_in_the_example() -> None:
    example = set(re.findall(r"^([A-Z_]+)=", (DEPLOY / "compose" / "env.example").read_text(), re.M))
    used = {
        variable
        for name in COMPOSE
        for variable in re.findall(r"(?<!\$)\$\{([A-Z_]+)", (DEPLOY / "compose" / name).read_text())
    }
    assert used == example


def test_dashboards_find_the_data_source_that_is_provisioned() -> None:
    folder = DEPLOY / "grafana" / "provisioning"
    places = yaml.safe_load((folder / "dashboards/orchestrator.yaml").read_text())["providers"][0]["options"]["path"]
    mounted = services("compose.observability.yaml")["grafana"]["volumes"]
    assert f"../grafana/dashboards:{places}:ro" in mounted


@pytest.mark.parametrize("name", ["compose.yaml", "compose.ha.yaml"])
def test_the_servers_of_the_compose_files_start_as_they_are_told(
    name: str, redis_server: RedisServer, tmp_path: Path
) -> None:
    """Each twice, because what it keeps for the second time may not be written anew; all but the first are replicas."""
    for number, (one, service) in enumerate(services(name).items()):
        if not one.startswith("redis"):
            continue
        folder, port = tmp_path / one, free_port()
        shutil.copytree(DEPLOY / "redis", folder / "etc")
        conf = folder / "etc" / "redis.conf"
        conf.write_text(
            conf.read_text().replace("port 6379", f"port {port}").replace("dir /data", f"dir {folder}/data")
        )
        for place in ("run", "data"):
            (folder / place).mkdir()
        command = service["command"][-1].replace("$$", "$").replace("bind * -::*", "bind 127.0.0.1")
        for place, ours in (("/run/redis", "run"), ("/etc/redis", "etc"), ("/data/", "data/")):
            command = command.replace(place, str(folder / ours) + ("/" if place.endswith("/") else ""))
        for _ in range(2):
            environment = {**os.environ, "REDIS_PASSWORD": "secret"}
            process = subprocess.Popen([*service["command"][:-1], command], env=environment, stdout=subprocess.DEVNULL)
            with redis.Redis(port=port, username="operator", password="secret") as client:
                told = eventually(lambda: client.config_get("*"), timeout_s=10, retry_on=(redis.RedisError,))
            process.terminate()
            assert process.wait(20) == 0
        is_ha = name == "compose.ha.yaml"
        assert told["maxmemory-policy"] == "noeviction"
        assert told["masterauth"] == "secret"
        assert told["min-replicas-to-write"] == ("1" if is_ha else "0")
        assert told["replicaof"] == ("redis-1 6379" if is_ha and number > 0 else "")

"""systemd units and the Procfile: what systemd says of them, and their commands, run as a service manager runs them."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from orchestrator import Client, Workflow, task
from orchestrator_cli.deploy import rendered
from orchestrator_cli.deployment.installation import EXAMPLE, Installation, worker
from tests.cli.conftest import PATHS, end_group
from tests.cli.test_notify import Manager
from tests.deploy.conftest import DEPLOY, tool
from tests.store.test_cluster import free_port
from tests.support.eventually import eventually

TASKS = "from orchestrator import task\n\n\n@task\ndef greet(name: str) -> str:\n    return f'Hello, {name}'\n"
PROGRAM = f"{sys.executable} -m orchestrator_cli.main"


@task
def greet(name: str) -> str:
    """As the workers' own."""
    return f"Hello, {name}"


@pytest.fixture
def installed(tmp_path: Path) -> Installation:
    """An installation whose program is the one under test, with workers of a module that there is."""
    (tmp_path / "mine.py").write_text(TASKS)
    return Installation(program=PROGRAM, workers=(worker("default", ["mine"]),))


class Services:
    """Processes started from lines of units or of a Procfile, in an environment of their own."""

    def __init__(self, folder: Path, **variables: str) -> None:
        self._folder = folder
        self._variables = {"PYTHONPATH": f"{PATHS}:{folder}", "PATH": "/usr/bin:/bin", **variables}
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, command: list[str], **more: str) -> None:
        self.running[name] = subprocess.Popen(
            command, cwd=self._folder, env={**self._variables, **more}, start_new_session=True
        )

    def end(self) -> dict[str, int]:
        """SIGTERM to all; how each ended."""
        for process in self.running.values():
            process.terminate()
        return {name: process.wait(30) for name, process in self.running.items()}


@pytest.fixture
def services(tmp_path: Path, redis_url: str) -> Iterator[Services]:
    services = Services(tmp_path, ORCHESTRATOR_REDIS_URL=redis_url)
    yield services
    for process in services.running.values():
        end_group(process)


def runs_workflows(url: str) -> None:
    """A workflow with a task of the workers' and one that the system-task role carries out."""
    with Client(url) as client:
        flow = Workflow("greeting").then(greet, name="Ada")
        client.register(flow)
        assert client.start_workflow(flow).result(timeout_s=30) == {"result": "Hello, Ada"}


# --- systemd ------------------------------------------------------------------------------------------------------------


def settings(text: str) -> dict[str, list[str]]:
    """Name -> values of a unit, in order."""
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"^(\w+)=(.*)$", text, re.M):
        found.setdefault(name, []).append(value)
    return found


def variables(text: str) -> dict[str, str]:
    return dict(re.findall(r"^([A-Z_]+)=(.*)$", text, re.M))


def words(command: str, environment: dict[str, str], instance: str) -> list[str]:
    """The command line as systemd makes it: ${NAME} is one word, $NAME as many as its value has, %i the instance."""
    found = []
    for word in shlex.split(command.replace("%i", instance)):
        split = re.fullmatch(r"\$([A-Z_]+)", word)
        whole = re.sub(r"\$\{([A-Z_]+)\}", lambda name: environment[name[1]], word)
        found += environment[split[1]].split() if split else [whole]
    return found


def test_systemd_has_nothing_to_say_against_the_units(tmp_path: Path) -> None:
    analyze = tool("systemd-analyze", "apt-get install systemd")
    installation = Installation(program=sys.executable, workers=EXAMPLE.workers)
    names = []
    for name, text in rendered("systemd", installation).items():
        if name.startswith("systemd/"):
            path = tmp_path / name.removeprefix("systemd/").replace("@.", "@9101.")
            path.write_text(re.sub(r"^EnvironmentFile=", "EnvironmentFile=-", text, flags=re.M))
            names += [path.name] if path.suffix in (".service", ".target") else []
    # Servers of other packages that units are ordered after need not be there.
    run = subprocess.run([analyze, "verify", "--man=no", *names], cwd=tmp_path, capture_output=True, text=True)
    told = [line for line in run.stderr.splitlines() if any(name in line for name in names)]
    assert (run.returncode, told) == (0, []), run.stderr


def test_every_role_is_a_unit_with_a_watchdog_and_the_target_wants_it() -> None:
    units = {name: settings(text) for name, text in rendered("systemd", EXAMPLE).items() if name.endswith(".service")}
    assert len(units) == len(EXAMPLE.roles)
    target = settings((DEPLOY / "systemd" / "orchestrator.target").read_text())["Wants"][0].split()
    templates = {re.sub(r"@.*\.", "@.", name) for name in target}
    assert templates == {name.removeprefix("systemd/") for name in units}
    for unit in units.values():
        assert (unit["Type"], unit["WatchdogSec"]) == (["notify"], ["30"])
        assert int(unit["TimeoutStopSec"][0]) > 20
        assert unit["DynamicUser"] == ["yes"]


def test_the_commands_of_the_units_run_workflows_and_end_in_order(
    installed: Installation, services: Services, redis_url: str, tmp_path: Path
) -> None:
    files = rendered("systemd", installed)
    common = {**variables(files["systemd/orchestrator.env"]), "SERVER_PORT": str(free_port())}
    del common["ORCHESTRATOR_REDIS_URL"]
    managers = []
    for wanted in settings(files["systemd/orchestrator.target"])["Wants"][0].split():
        template, _, rest = wanted.removesuffix(".service").partition("@")
        unit = settings(files[f"systemd/{template}@.service" if rest else f"systemd/{template}.service"])
        environment = dict(common)
        if len(unit["EnvironmentFile"]) == 2:
            environment |= variables(files[f"systemd/worker-{rest}.env"])
            environment |= {"PYTHONPATH": f"{PATHS}:{tmp_path}", "METRICS_PORT": str(free_port())}
        instance = str(free_port()) if rest.isdigit() else rest
        manager = Manager(str(tmp_path / f"{template}.socket"))
        managers.append(manager)
        watchdog = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": f"{unit['WatchdogSec'][0]}000000"}
        services.start(wanted, words(unit["ExecStart"][0], environment, instance), **environment, **watchdog)
    assert len(services.running) == 4
    for manager in managers:
        with manager.socket:
            assert [manager.hear(), manager.hear()] == ["READY=1", "WATCHDOG=1"]
    runs_workflows(redis_url)
    assert services.end() == dict.fromkeys(services.running, 0)


# --- Procfile -----------------------------------------------------------------------------------------------------------


def test_the_commands_of_the_procfile_run_workflows_and_end_in_order(
    installed: Installation, services: Services, redis_url: str, tmp_path: Path
) -> None:
    (tmp_path / "orchestrator").write_text(f'#!/bin/sh\nexec {PROGRAM} "$@"\n')
    (tmp_path / "orchestrator").chmod(0o755)
    port = free_port()
    for line in rendered("procfile", installed)["Procfile"].splitlines():
        name, _, command = line.partition(": ")
        services.start(name, ["sh", "-c", command], PATH=f"{tmp_path}:/usr/bin:/bin", PORT=str(port))
    assert sorted(services.running) == ["decider", "server", "system", "worker_default"]
    runs_workflows(redis_url)

    address = f"http://127.0.0.1:{port}/livez"
    eventually(lambda: httpx2.get(address).status_code == 200, timeout_s=20, retry_on=(httpx2.TransportError,))
    assert services.end() == dict.fromkeys(services.running, 0)

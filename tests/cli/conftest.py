"""Fixtures of the command line: commands run in process, an engine beside them, and commands as real processes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from orchestrator.api import create_app
from orchestrator.engine.process import DeciderProcess
from orchestrator.settings import Settings
from orchestrator_cli.main import root
from orchestrator_workers.worker import Worker
from tests.cli import shop
from tests.support.served import Served

ROOT = Path(__file__).resolve().parents[2]
PATHS = os.pathsep.join(str(ROOT / folder) for folder in ("", "workers", "cli"))
SHOP = str(Path(shop.__file__))

Invoke = Callable[..., Result]
Command = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(autouse=True)
def _nothing_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable and no profile of the machine's decides a test, and the current folder holds no ``dev``."""
    for name in [name for name in os.environ if name.startswith("ORCHESTRATOR_") or name == "NO_COLOR"]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def invoke(fakeredis_url: str) -> Invoke:
    """Run a command line in this process against an empty store: ``invoke("def", "list").stdout``."""

    def run(*arguments: str, stdin: str | None = None, url: str = fakeredis_url) -> Result:
        return CliRunner().invoke(root, ["--redis", url, *arguments], input=stdin, prog_name="orchestrator")

    return run


@pytest.fixture
def engine(fakeredis_url: str) -> Iterator[None]:
    """A decider and a worker of the shop's tasks, each in a thread, on the store of ``invoke``."""
    settings = Settings(redis_url=fakeredis_url, drain_timeout_s=1)
    process, ready = DeciderProcess(settings), threading.Event()
    decider = threading.Thread(target=process.run, args=(ready.set,))
    decider.start()
    assert ready.wait(10)
    loop = asyncio.new_event_loop()
    worker = Worker(settings, tasks=shop.TASKS)
    hands = threading.Thread(target=loop.run_until_complete, args=(worker.run(),))
    hands.start()
    yield
    loop.call_soon_threadsafe(worker.request_stop)
    hands.join()
    loop.close()
    process.stop()
    decider.join()


@pytest.fixture(params=["redis", "server"])
def ask(request: pytest.FixtureRequest, invoke: Invoke, engine: None, fakeredis_url: str) -> Iterator[Invoke]:
    """A command line on the engine's store, and one that asks a server before it."""
    if request.param == "redis":
        yield invoke
        return
    with Served(create_app(settings=Settings(redis_url=fakeredis_url))) as served:

        def run(*arguments: str, stdin: str | None = None) -> Result:
            return CliRunner().invoke(root, ["--server", served.url, *arguments], input=stdin)

        yield run


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Command]:
    """Start ``orchestrator ARGUMENTS...`` as a process that leads a group of its own, in an empty folder."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, environment: dict[str, str] | None = None) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "orchestrator_cli.main", *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": PATHS, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        end_group(process)


def end_group(process: subprocess.Popen[Any]) -> None:
    """Kill whatever is left of a process's group, and let go of its pipes."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()


def finished(process: subprocess.Popen[str], timeout_s: float = 30) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of a process that ends by itself."""
    stdout, stderr = process.communicate(timeout=timeout_s)
    return process.returncode, stdout, stderr


def write(folder: Path, name: str, content: str | Sequence[str]) -> str:
    """Write a file of a test; its path as an argument."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else "\n".join(content))
    return str(path)

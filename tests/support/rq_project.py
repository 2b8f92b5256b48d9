"""A project that uses RQ and nothing of ours: an environment with RQ alone, a module of functions, workers.

The environment is a real one, whose packages are links to those of the running Python: nothing is downloaded and our
packages are not in it. Workers are RQ's own, started as a project starts them, and end with the ``with`` block.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import venv
from importlib.metadata import distribution
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.eventually import eventually


class RqProject:
    """An environment in ``folder`` and the functions of ``code`` beside it, as module ``name``.

    ``installs`` is a requirement for pip, in place of the links.

    Example: ``with RqProject(tmp_path, code, redis_url) as project: project.work_off()``
    """

    def __init__(self, folder: Path, code: str, url: str, *, name: str = "jobs", installs: str | None = None) -> None:
        self.folder = folder
        self.url = url
        (folder / f"{name}.py").write_text(code)
        self._workers: list[subprocess.Popen[bytes]] = []
        self.python = folder / "venv" / "bin" / "python"
        venv.create(folder / "venv", with_pip=installs is not None, symlinks=True)
        if installs is not None:
            subprocess.run([self.python, "-m", "pip", "install", "--quiet", installs], check=True, timeout=120)
        else:
            (site,) = (folder / "venv" / "lib").glob("python*/site-packages")
            for path in _packages("rq"):
                (site / path.name).symlink_to(path)

    def start_worker(self, *queues: str, options: tuple[str, ...] = ()) -> subprocess.Popen[bytes]:
        """A worker that runs until it is ended, in a process group of its own."""
        command = [str(self.python), "-m", "rq.cli", "worker", "--url", self.url, *options, *(queues or ("default",))]
        # Without what points to our packages in the environment of a test.
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        with (self.folder / "worker.log").open("ab") as log:
            worker = subprocess.Popen(
                command, cwd=self.folder, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        self._workers.append(worker)
        return worker

    def work_off(self, *queues: str, options: tuple[str, ...] = ()) -> None:
        """Run a worker until the queues are empty."""
        assert self.start_worker(*queues, options=("--burst", *options)).wait(40) == 0, self.log()

    def knows(self, module: str) -> bool:
        """Whether the environment has a module."""
        return subprocess.run([self.python, "-c", f"import {module}"], cwd=self.folder, stderr=-3).returncode == 0

    def log(self) -> str:
        """What the workers said."""
        return (self.folder / "worker.log").read_text()

    def wait_for(self, name: str) -> None:
        """Until a function has made a file of that name in the project's folder."""
        eventually(lambda: (self.folder / name).exists(), timeout_s=30)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        for worker in self._workers:
            kill_group(worker)


def kill_group(worker: subprocess.Popen[bytes]) -> None:
    """End a worker and its work-horse with SIGKILL, as a host that dies does."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()


def _packages(name: str, seen: set[str] | None = None) -> set[Path]:
    """The top-level files and folders of a distribution and of what it needs."""
    seen = set() if seen is None else seen
    seen.add(name)
    found = distribution(name)
    paths = {Path(str(found.locate_file(file.parts[0]))) for file in found.files or () if file.parts[0] != ".."}
    for requirement in found.requires or ():
        other = re.match(r"[A-Za-z0-9_.-]+", requirement)
        if other and "extra ==" not in requirement and other[0] not in seen and _applies(requirement):
            paths |= _packages(other[0], seen)
    return {path for path in paths if path.name != "__pycache__"}


def _applies(requirement: str) -> bool:
    from packaging.requirements import Requirement

    marker = Requirement(requirement).marker
    return marker is None or marker.evaluate()

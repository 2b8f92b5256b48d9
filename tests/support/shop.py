"""The modules that docs/applications.md shows, in a folder of their own, and programs that run there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from orchestrator import Client
from tests.support.build import noop, workflow_def

ROOT = Path(__file__).resolve().parents[2]
BLOCKS = dict(
    re.findall(r'^```python title="(\S+)"\n(.*?)^```$', (ROOT / "docs/applications.md").read_text(), re.M | re.S)
)


class Shop:
    """A folder with the modules of the page, and an installation in which ``fulfil`` is registered."""

    def __init__(self, folder: Path, url: str) -> None:
        self.url = url
        paths = os.pathsep.join(str(ROOT / name) for name in ("", "workers", "cli"))
        # gunicorn puts a socket into the home folder.
        own = {"ORCHESTRATOR_REDIS_URL": self.url, "PYTHONPATH": paths, "HOME": str(folder)}
        environment = {**os.environ, **own}
        self._place: dict[str, Any] = {"cwd": folder, "env": environment}
        self.client = Client(url)
        self.client.register(workflow_def(noop("done"), name="fulfil"))
        for name, code in BLOCKS.items():
            (folder / name).write_text(code)

    def run(self, *command: str) -> list[str]:
        """What a program in the folder prints, in words."""
        done = subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=50, **self._place)
        assert done.returncode == 0, done.stderr
        printed: str = done.stdout
        return printed.split()

    def begin(self, *command: str, log: Path) -> subprocess.Popen[bytes]:
        """Begin such a program and give its process; whoever begins it ends it."""
        with log.open("ab") as out:
            return subprocess.Popen([sys.executable, *command], stdout=out, stderr=subprocess.STDOUT, **self._place)

    def order_of(self, workflow_id: str) -> str:
        """The order that a workflow was started with."""
        found: str = self.client.workflow(workflow_id).describe().input["order_id"]
        return found

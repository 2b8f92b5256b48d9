"""An HTTP server as a process of one's own: started as an operator would, stopped, frozen or killed with SIGKILL.

It is gone when its ``with`` block ends, and nothing else is ever signalled. ``constants`` are those that this server has
other values of, because nobody waits for a minute in a test.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.eventually import eventually

ROOT = Path(__file__).resolve().parents[2]
PATHS = os.pathsep.join(str(ROOT / folder) for folder in ("", "workers", "cli"))
START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 40.0
PROGRAM = """
import importlib
from orchestrator_cli.main import main
for path, value in {constants!r}.items():
    module, _, name = path.rpartition(".")
    assert hasattr(importlib.import_module(module), name)
    setattr(importlib.import_module(module), name, value)
main()
"""


class ServerProcess:
    """``orchestrator server`` before a store; ``files_max``: the hard limit of its file descriptors.

    Example: ``with ServerProcess(redis.url, tmp_path / "server.log") as server: httpx2.get(f"{server.url}/health")``
    """

    def __init__(
        self,
        store_url: str,
        log: Path,
        *,
        constants: dict[str, float] | None = None,
        environment: dict[str, str] | None = None,
        files_max: int | None = None,
    ) -> None:
        self._store_url = store_url
        self._log = log
        self._constants = constants or {}
        self._environment = environment or {}
        self._files_max = files_max
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""

    @property
    def address(self) -> tuple[str, int]:
        """Host and port, for those who speak to it through a bare socket."""
        host, _, port = self.url.removeprefix("http://").removesuffix("/api").rpartition(":")
        return host, int(port)

    @property
    def pid(self) -> int:
        """The id of its process."""
        assert self._process is not None
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def files(self) -> int:
        """How many files and sockets it has open; known on Linux only."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def log(self) -> str:
        """What it has said since its first start."""
        return self._log.read_text(errors="replace")

    def start(self) -> Self:
        """Begin a life, on any port that is free, and wait until it serves."""
        said = len(self.log()) if self._log.exists() else 0
        command = [sys.executable, "-c", PROGRAM.format(constants=self._constants)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._limits(), *command, "--redis", self._store_url, "server", "--port", "0"],
                env={**os.environ, "PYTHONPATH": PATHS, **self._environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.url = eventually(lambda: self._said_url(said), START_TIMEOUT_S)
        return self

    def kill(self) -> None:
        """End it with SIGKILL; returns when it is dead."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> int:
        """End it in order; its exit status."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(STOP_TIMEOUT_S)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self.is_alive:
            self.kill()

    def _limits(self) -> list[str]:
        return [] if self._files_max is None else ["prlimit", f"--nofile={self._files_max // 2}:{self._files_max}"]

    def _said_url(self, since: int) -> str:
        assert self.is_alive, self.log()
        lines = [line.split() for line in self.log()[since:].splitlines() if line.startswith("Serving ")]
        assert lines
        return lines[0][1]

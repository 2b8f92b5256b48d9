"""Decider processes of one's own: started, signalled and gone when the test ends. Nothing else is ever signalled."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from orchestrator.plan import Command
from tests.engine.stage import Stage

ROOT = Path(__file__).resolve().parents[2]
STOP_TIMEOUT_S = 20.0

_PROGRAM = """
import sys
from orchestrator.engine.process import run_decider
from orchestrator.settings import load_settings
run_decider(load_settings(), name=sys.argv[1], on_ready=lambda: print("ready", flush=True))
"""


class DeciderRole:
    """One decider process on the installation of a stage.

    Example: ``with DeciderRole(stage, "d1") as decider: decider.kill()``
    """

    def __init__(self, stage: Stage, name: str) -> None:
        self.name = name
        settings = stage.settings
        self._environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "ORCHESTRATOR_REDIS_URL": settings.redis_url,
            "ORCHESTRATOR_PARTITIONS": str(settings.partitions),
            "ORCHESTRATOR_OWNERSHIP_MS": str(settings.ownership_ms),
        }
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, self.name],
            env=self._environment,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        process = self._running
        if process.poll() is None:
            process.kill()
        process.wait(STOP_TIMEOUT_S)
        assert process.stdout is not None
        process.stdout.close()

    def ask_to_stop(self) -> None:
        """SIGTERM."""
        self._running.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL; returns when it is dead."""
        self._running.kill()
        self._running.wait(STOP_TIMEOUT_S)

    @property
    def exit_code(self) -> int | None:
        """The code it ended with, None while it runs."""
        return self._running.poll()

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process


def owners(stage: Stage) -> list[str]:
    """Who owns each partition, by the leases; '' = nobody."""
    names = stage.do([Command(("HGET", stage.keys.ownership(n), "o")) for n in range(stage.settings.partitions)])
    return [(name or b"").decode() for name in names]

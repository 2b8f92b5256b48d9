"""Processes under test: started in groups of their own, ended with the harness, never anybody else's."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).resolve().parent.parent
STOP_TIMEOUT_S = 10.0
_PR_SET_PDEATHSIG = 1


class Processes:
    """A set of child processes; leaving the context ends them."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        paths = os.pathsep.join(str(ROOT / part) for part in ("", "workers", "cli"))
        self._environment = {**os.environ, "PYTHONPATH": paths, **environment}
        self._children: list[subprocess.Popen[str]] = []

    def spawn(self, words: Sequence[str], *, talks: bool = False, cwd: Path = ROOT) -> subprocess.Popen[str]:
        """Start one; ``talks``: the harness writes to its stdin and reads its stdout."""
        pipe = subprocess.PIPE if talks else subprocess.DEVNULL
        child = subprocess.Popen(
            words,
            stdin=pipe,
            stdout=pipe,
            stderr=sys.stderr,
            text=True,
            env=self._environment,
            cwd=cwd,
            start_new_session=True,
            preexec_fn=_die_with_parent,
        )
        self._children.append(child)
        return child

    def cpu_s(self, child: subprocess.Popen[str]) -> float:
        """CPU seconds a child has used so far (Linux)."""
        return cpu_seconds(child.pid)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for child in self._children:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGTERM)
        for child in self._children:
            try:
                child.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
            for stream in (child.stdin, child.stdout):
                if stream is not None:
                    stream.close()


def cpu_seconds(pid: int) -> float:
    """User and system seconds of a running process."""
    fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _die_with_parent() -> None:
    with contextlib.suppress(OSError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

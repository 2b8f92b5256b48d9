"""Other processes by id: is it still the same one, and end it.

A process id alone says little, since ids are used again; together with the time the process began it names one process
for ever. Needs nothing but the standard library and a POSIX system. Called by the guardian and by ``dev``.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

_LOOK_S = 0.02


class Process(NamedTuple):
    """One process: its id, and when it began in the words of the system (``""`` when it had ended already)."""

    pid: int
    began: str

    @property
    def is_alive(self) -> bool:
        """Whether it still runs; a zombie does not, and neither does another process with its id."""
        return bool(self.began) and began(self.pid) == self.began


def process(pid: int) -> Process:
    """The process that has this id now. Example: ``process(os.getpid()).is_alive``"""
    return Process(pid, began(pid))


def began(pid: int) -> str:
    """When the process with this id began, ``""`` when none runs."""
    if Path("/proc/self/stat").exists():
        return _began_by_proc(pid)
    listed = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True)
    state, _, moment = listed.stdout.strip().partition(" ")
    return "" if state.startswith("Z") else moment.strip()


def _began_by_proc(pid: int) -> str:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    # The name stands in parentheses and may hold anything, so count from the last one: state is field 3, begin 22.
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] in "ZX" else fields[19]


def end(processes: Sequence[Process], grace_s: float) -> None:
    """End processes: ask with SIGTERM, wait up to ``grace_s``, then SIGKILL; returns when all are gone.

    Example: ``end([process(pid)], grace_s=5)``
    """
    for how, patience_s in ((signal.SIGTERM, grace_s), (signal.SIGKILL, 5.0)):
        for one in processes:
            if one.is_alive:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(one.pid, how)
        deadline = time.monotonic() + patience_s
        while any(one.is_alive for one in processes) and time.monotonic() < deadline:
            time.sleep(_LOOK_S)

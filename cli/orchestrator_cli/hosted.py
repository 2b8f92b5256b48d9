"""A role that another role's process hosts: a child that is started again when it ends, and never outlives its host.

The child holds one end of a pipe and ends when the other is closed, so that also a killed host takes it along. Only its
host is told of Ctrl-C, and then ends it in order. Called by ``orchestrator decider`` for the system tasks.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

log = logging.getLogger(__name__)

PAUSE_S_MIN, PAUSE_S_MAX = 0.2, 5.0
STEADY_S = 10.0


class HostedRole:
    """Keeps one child running from ``start`` to the end of the context. ``grace_s``: how long its end may take.

    The child is told the descriptor of its end of the pipe with ``--host-fd``.
    Example: ``with HostedRole(["orchestrator", "system"], os.environ, grace_s=25) as hosted: hosted.start()``
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], grace_s: float) -> None:
        self._command = [*command]
        self._environment = {**environment}
        self._grace_s = grace_s
        self._ending = threading.Event()
        self._child: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()  # between the thread that starts children and the one that ends them
        self._theirs, self._ours = os.pipe()
        self._keeper = threading.Thread(target=self._keep, name="orchestrator-hosted", daemon=True)

    def start(self) -> None:
        """Start the child, once."""
        self._keeper.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        with self._lock:
            self._ending.set()
            child = self._child
            if child is not None and child.poll() is None:
                child.terminate()
        if child is not None:
            try:
                child.wait(self._grace_s)
            except subprocess.TimeoutExpired:
                child.kill()
        if self._keeper.ident is not None:
            self._keeper.join()
        os.close(self._ours)
        os.close(self._theirs)

    def _keep(self) -> None:
        # What is blocked here stays blocked in the children: the terminal's Ctrl-C is the host's to answer.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        pause_s = PAUSE_S_MIN
        while True:
            with self._lock:
                if self._ending.is_set():
                    return
                self._child = child = subprocess.Popen(
                    [*self._command, "--host-fd", str(self._theirs)],
                    env=self._environment,
                    stdin=subprocess.DEVNULL,
                    pass_fds=(self._theirs,),
                )
            try:
                child.wait(STEADY_S)
            except subprocess.TimeoutExpired:
                pause_s = PAUSE_S_MIN
                child.wait()
            if not self._ending.is_set():
                log.warning("hosted_role_ended", extra={"status": child.returncode, "again_in_s": pause_s})
            self._ending.wait(pause_s)
            pause_s = min(2 * pause_s, PAUSE_S_MAX)

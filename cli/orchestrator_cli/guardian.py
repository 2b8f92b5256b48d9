"""Ends the children of a ``dev`` that was killed: a tiny process of its own, since a killed one cannot clean up.

It reads a pipe whose other end only the supervisor holds: a line ``+PID`` for a child that began, ``-PID`` for one that
has ended. When the pipe closes, the supervisor is gone, and whoever is left is ended: first asked, then killed. Signals
that are meant for the whole group do not end it. Started by ``dev``; in an orderly end its list is empty.
"""

from __future__ import annotations

import signal
import sys
from typing import BinaryIO

from orchestrator_cli.processes import Process, end, process

GRACE_S = 5.0


def watch(pipe: BinaryIO) -> None:
    """Keep the list until the pipe closes, then end who is on it."""
    children: dict[int, Process] = {}
    for line in pipe:
        pid = int(line[1:])
        if line.startswith(b"+"):
            children[pid] = process(pid)
        else:
            children.pop(pid, None)
    end(list(children.values()), GRACE_S)


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    watch(sys.stdin.buffer)

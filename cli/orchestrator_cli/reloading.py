"""``orchestrator worker --reload``: the same worker in a child process, which starts anew when the code changes.

For development against an installation that is there; ``dev`` runs one of its own. Code that does not import is told of, and
the next change awaited.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence

from orchestrator.errors import MissingExtra
from orchestrator_cli.changes import can_watch, changes_of
from orchestrator_cli.child import Role
from orchestrator_cli.supervisor import Supervisor

OPTION = "--reload"


def run_reloading(modules: Sequence[str], drain_s: float) -> int:
    """Run this process' own command line, without the option, until a signal; the exit status.

    A worker that is to start anew has ``drain_s`` for the tasks it runs. Raises ``MissingExtra``.
    """
    if not can_watch():
        raise MissingExtra(OPTION, "dev")
    command = [sys.executable, "-P", "-m", "orchestrator_cli.main", *(one for one in sys.argv[1:] if one != OPTION)]
    worker = Role("worker", lambda: command, reloads=True, grace_s=drain_s + 5)
    supervisor = Supervisor(
        [worker],
        os.environ,
        publish=lambda children: None,
        announce=lambda told: None,
        changes=changes_of(modules),
    )
    return asyncio.run(supervisor.run())

"""Chores of the decider role: work on the whole installation that is done beside deciding, in a thread of its own.

A chore is a plan that does what there is to do and says how long it may rest. It never holds up a decision, and what goes
wrong with it ends nothing: a store that is away is waited for with growing pauses. Several deciders run the same chores,
so a chore's plan must bear that. Called by the decider role.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from orchestrator.errors import OrchestratorError
from orchestrator.plan import Plan
from orchestrator.settings import Settings
from orchestrator.store.connection import connect
from orchestrator.store.context import StoreContext

log = logging.getLogger(__name__)

PAUSE_S_MIN, PAUSE_S_MAX = 0.1, 5.0

Turn = Callable[[StoreContext], Plan[int]]
"""One turn of a chore; its plan gives the milliseconds until the next."""


class Chore:
    """Does one chore again and again, from ``start`` to the end of the context.

    Example: ``with Chore(settings, "schedules", fire) as chore: chore.start(); run_decider(settings)``
    """

    def __init__(self, settings: Settings, name: str, turn: Turn) -> None:
        self.name = name
        self._turn = turn
        self._connection = connect(settings.redis_url, settings)
        self._store = StoreContext(settings, is_ordered=not self._connection.is_cluster)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"orchestrator-{name}", daemon=True)

    def start(self) -> None:
        """Begin, once."""
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._ending.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._connection.close()

    def _run(self) -> None:
        pause_s = PAUSE_S_MIN
        while not self._ending.is_set():
            try:
                rest_s = self._connection.sync().run(self._turn(self._store)) / 1000
                pause_s = PAUSE_S_MIN
            except Exception as error:
                # Also a bug, or a reply nobody foresaw: nothing is lost, what was not done is still there to do.
                is_known = isinstance(error, OrchestratorError)
                extra = {"chore": self.name, "reason": str(error), "pause_s": pause_s}
                log.warning("chore_paused", extra=extra, exc_info=not is_known)
                rest_s, pause_s = pause_s, min(2 * pause_s, PAUSE_S_MAX)
            self._ending.wait(rest_s)

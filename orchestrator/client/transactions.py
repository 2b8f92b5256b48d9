"""``QueuedStart``: a start inside the caller's own MULTI/EXEC, between its queueing and the replies of the EXEC.

Made by ``start_workflow_in`` and ``enqueue_in`` of the clients. What a start is checked for is ``service.joining``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from orchestrator.service.joining import JoiningStart
from orchestrator.service.starting import StartedWorkflow
from orchestrator.store.exchange import Profile
from orchestrator.store.transactions import Transaction

H = TypeVar("H")


class QueuedStart(Generic[H]):
    """A start that happens when the caller's transaction does, and not at all otherwise.

    ``workflow_id`` is the id it will have, for the caller's own writes; only an idempotency key or unique key that somebody
    else takes meanwhile may lead to another. Example: ``handle = queued.started(pipeline.execute())``
    """

    def __init__(
        self, transaction: Transaction, profile: Profile, start: JoiningStart, handle: Callable[[StartedWorkflow], H]
    ) -> None:
        self._transaction = transaction
        self._start = start
        self._handle = handle
        self._place = transaction.queue(profile, start.call)
        self.workflow_id = start.workflow_id

    def started(self, replies: list[Any]) -> H:
        """The handle of what was started, from all that ``execute()`` of the pipeline returned.

        Raises ``Conflict`` when id or key were taken between queueing and EXEC: the caller's writes stand, and nothing was
        started. Raises ``InvalidRequest`` for replies of something else.
        """
        reply = self._transaction.reply(self._place, replies, self._start.call)
        return self._handle(self._start.started(reply))

    def __repr__(self) -> str:
        return f"<QueuedStart {self.workflow_id}>"

"""What a handler that is a coroutine gets to see: the store, a way to run plans, the request itself.

Most handlers are plans and need none of it; those that wait for something other than the store do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

from starlette.requests import Request

from orchestrator.api.polling import Polls
from orchestrator.api.routes import Route
from orchestrator.client.sessions import AsyncSession
from orchestrator.metrics import ServerMetrics
from orchestrator.model.execution import Task
from orchestrator.plan import Plan
from orchestrator.store.context import StoreContext

T = TypeVar("T")


class Visit(NamedTuple):
    """One request; ``routes`` are all that the app has. Example: ``await visit.run(workflows.get(visit.store, id))``"""

    session: AsyncSession
    routes: Sequence[Route]
    polls: Polls
    http: Request
    metrics: ServerMetrics

    @property
    def store(self) -> StoreContext:
        """The names of the store."""
        return self.session.store

    async def poll(self, task_type: str, domain: str | None, worker: str, *, count: int, timeout_ms: int) -> list[Task]:
        """Tasks for a worker; see ``Polls.wait``. None is given to a caller that has gone."""
        return await self.polls.wait(task_type, domain, worker, count=count, timeout_ms=timeout_ms, gone=self._gone)

    async def _gone(self) -> None:
        while (await self.http.receive())["type"] != "http.disconnect":
            continue

    async def run(self, plan: Plan[T]) -> T:
        """Carry out a plan. Raises what it raises."""
        return await self.session.run(plan)

"""What a handler that is a coroutine gets to see: the store, a way to run plans, the request itself.

Most handlers are plans and need none of it; those that wait for something other than the store do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

from starlette.requests import Request

from orchestrator.api.routes import Route
from orchestrator.client.sessions import AsyncSession
from orchestrator.plan import Plan
from orchestrator.store.context import StoreContext

T = TypeVar("T")


class Visit(NamedTuple):
    """One request; ``routes`` are all that the app has. Example: ``await visit.run(workflows.get(visit.store, id))``"""

    session: AsyncSession
    routes: Sequence[Route]
    http: Request

    @property
    def store(self) -> StoreContext:
        """The names of the store."""
        return self.session.store

    async def run(self, plan: Plan[T]) -> T:
        """Carry out a plan. Raises what it raises."""
        return await self.session.run(plan)

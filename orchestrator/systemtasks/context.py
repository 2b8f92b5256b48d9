"""What a system task may use beside its input: who it is, the settings, the store, and what its process keeps open.

``Resources`` are made once per process (per call in a test) and closed at its end: clients with their pools of
connections live there. Knows no worker: whoever runs system tasks hands in how a plan is carried out.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from orchestrator.context import TaskContext
from orchestrator.model.records import Meta, decode_meta
from orchestrator.plan import Command, Plan
from orchestrator.settings import Settings
from orchestrator.store.context import StoreContext

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

T = TypeVar("T")


class CarriesOut(Protocol):
    """How a plan of the service reaches the store."""

    def __call__(self, plan: Plan[T]) -> Awaitable[T]: ...


class Resources:
    """What the system tasks of one process share; ``concurrency``: how many talk to the world outside at a time.

    Example: ``async with Resources(store, executor.run) as shared: ...``
    """

    def __init__(self, store: StoreContext, run: CarriesOut, concurrency: int = 100) -> None:
        self.store = store
        self.run = run
        self.concurrency = concurrency
        self._kept: dict[str, Any] = {}
        self._closing = contextlib.AsyncExitStack()

    @property
    def settings(self) -> Settings:
        """The settings of this process."""
        return self.store.settings

    def keep(self, name: str, make: Callable[[], T], close: Callable[[T], Awaitable[object]]) -> T:
        """The thing of that name, made when it is first asked for and closed with the process.

        Example: ``shared.keep("http", lambda: HttpClient(settings), HttpClient.close)``
        """
        if name not in self._kept:
            made = self._kept[name] = make()
            self._closing.push_async_callback(close, made)
        found: T = self._kept[name]
        return found

    async def close(self) -> None:
        """Close all that was kept, the last first."""
        self._kept.clear()
        await self._closing.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.close()


class SystemContext:
    """One delivery of a system task: ``task`` says who it is, ``shared`` is what its process has."""

    __slots__ = ("shared", "task")

    def __init__(self, task: TaskContext, shared: Resources) -> None:
        self.task = task
        self.shared = shared

    @property
    def settings(self) -> Settings:
        """The settings of this process."""
        return self.shared.settings

    async def run(self, plan: Plan[T]) -> T:
        """Carry out a verb of the service. Example: ``await context.run(start(context.shared.store, launch))``"""
        return await self.shared.run(plan)

    async def meta(self) -> Meta | None:
        """What the start of the task's workflow fixed; None when the workflow is gone."""
        return await self.run(_meta(self.shared.store, self.task.workflow_id))


def _meta(store: StoreContext, workflow_id: str) -> Plan[Meta | None]:
    key = store.keys.workflow(store.keys.partition_of(workflow_id), workflow_id)
    found: bytes | None = yield Command(("HGET", key, "m"))
    return decode_meta(found) if found is not None else None

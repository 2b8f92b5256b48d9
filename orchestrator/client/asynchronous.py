"""``AsyncClient`` and its handles: the face of ``blocking`` for asyncio, method by method, over the same plans.

What a method does, raises and takes is said there; only ``with_options`` and ``workflow`` are not awaited.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack

from orchestrator.client import trials
from orchestrator.client.calls import Calls, Enqueueable, Registrable, Startable
from orchestrator.client.options import GivenOptions
from orchestrator.client.sessions import AsyncSession, client_settings
from orchestrator.model.event_handlers import EventExecution, EventHandler
from orchestrator.model.execution import Workflow
from orchestrator.model.status import WorkflowStatus
from orchestrator.plan import Plan
from orchestrator.service import events, listing, workflows
from orchestrator.service.listing import WorkflowList
from orchestrator.service.metadata import Applied
from orchestrator.service.starting import StartedWorkflow
from orchestrator.settings import Settings
from orchestrator.store.connection import Connection
from orchestrator.store.context import StoreContext

if TYPE_CHECKING:
    from orchestrator.testing.results import WorkflowResult

T = TypeVar("T")


class AsyncClient:
    """``Client`` for asyncio: same methods, same arguments, awaited. Belongs to the event loop it is first used in.

    Example: ``async with AsyncClient() as client: await client.execute_workflow(hello, name="Ada")``
    """

    def __init__(
        self, url: str | None = None, *, settings: Settings | None = None, namespace: str | None = None
    ) -> None:
        self._use(AsyncSession(client_settings(url, settings, namespace)))

    @classmethod
    def over(cls, session: AsyncSession) -> Self:
        """A client on a session that is at hand; the test environment makes its client this way."""
        client = cls.__new__(cls)
        client._use(session)
        return client

    def _use(self, session: AsyncSession, calls: Calls | None = None) -> None:
        self._session = session
        self._calls = calls or Calls(session.store)

    # --- the store ----------------------------------------------------------------------------------------------------

    @property
    def connection(self) -> Connection:
        """The store this client speaks to; a worker that is given a client opens its own connections there."""
        return self._session.connection

    @property
    def settings(self) -> Settings:
        """What this client goes by."""
        return self._session.store.settings

    @property
    def store(self) -> StoreContext:
        """The names of the store, for plans of ``orchestrator.service`` that have no method here; see ``run``."""
        return self._session.store

    async def run(self, plan: Plan[T]) -> T:
        """Drive any plan. Example: ``await client.run(operations.queues(client.store))``"""
        return await self._session.run(plan)

    async def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        await self._session.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.close()

    # --- definitions --------------------------------------------------------------------------------------------------

    async def register(self, *things: Registrable) -> list[Applied]:
        """Store workflows and tasks (objects or definitions), replacing what stands under their names and versions.

        A workflow brings the TaskDefs of its tasks. Nothing is stored unless all are valid: raises
        ``DefinitionInvalid`` with every problem. Example: ``await client.register(hello, greet)``
        """
        return await self.run(self._calls.register(things))

    # --- workflows ----------------------------------------------------------------------------------------------------

    def with_options(self, **options: Unpack[GivenOptions]) -> Self:
        """This client with options for the calls made through the answer; see ``Options``.

        Example: ``await client.with_options(priority=5, idempotency_key=k).start_workflow(order, sku="x")``
        """
        copy = type(self).__new__(type(self))
        copy._use(self._session, self._calls.with_options(options))
        return copy

    async def start_workflow(
        self, workflow: Startable, input: Mapping[str, Any] | None = None, /, **inputs: Any
    ) -> AsyncWorkflowHandle:
        """Start an execution and return at once with its handle.

        A ``Workflow`` object runs as it stands in your program, registered or not (its definition travels with the
        start, TaskDefs of its tasks are registered where there are none); a name is looked up. Raises
        ``DefinitionNotFound``, ``DefinitionInvalid``, ``InvalidPayload``, ``InvalidRequest``, ``Conflict``.
        Example: ``(await client.start_workflow("order", {"sku": "x"}, amount=3)).id``
        """
        return self._handle(await self.run(self._calls.start_workflow(workflow, input, inputs, wait_commit=True)))

    async def execute_workflow(
        self, workflow: Startable, input: Mapping[str, Any] | None = None, /, **inputs: Any
    ) -> dict[str, Any]:
        """Start an execution, wait for its end (option ``timeout_s``) and return its output.

        Raises like ``start_workflow`` and ``WorkflowHandle.result``.
        Example: ``await client.execute_workflow(hello, name="Ada")``
        """
        started = self._handle(await self.run(self._calls.start_workflow(workflow, input, inputs, wait_commit=False)))
        return await started.result(timeout_s=self._calls.options.timeout_s)

    async def test_workflow(
        self, workflow: Startable, input: Mapping[str, Any] | None = None, /, *, mocks: Mapping[str, Any]
    ) -> WorkflowResult:
        """Run a registered workflow in this process with mocked outcomes, as ``orchestrator.testing.run`` does.

        The definitions it needs are read from the installation; nothing is started there, no task's code runs, and time
        jumps. Raises ``DefinitionNotFound``, ``InvalidRequest`` and, without the extra ``test``, ``MissingExtra``.
        Example: ``await client.test_workflow("order", {"id": 7}, mocks={"charge": [{"paid": True}]})``
        """
        found = await self.run(trials.fetch(self.store, workflow, self._calls.options.version))
        return await asyncio.to_thread(trials.play, found, input, mocks)

    def workflow(self, workflow_id: str) -> AsyncWorkflowHandle:
        """The handle of an execution by its id; nothing is read yet. Example: ``await client.workflow(id).status()``"""
        return AsyncWorkflowHandle(self._session, workflow_id)

    async def list_workflows(
        self,
        *,
        status: str | None = None,
        name: str | None = None,
        correlation_id: str | None = None,
        start: int = 0,
        size: int = 100,
    ) -> WorkflowList:
        """Executions that meet every condition given, the latest start first. Raises ``InvalidRequest``.

        Example: ``(await client.list_workflows(status="RUNNING")).total``
        """
        conditions: dict[str, Any] = {"status": status, "name": name, "correlation_id": correlation_id}
        return await self.run(listing.list_workflows(self.store, **conditions, start=start, size=size))

    # --- events -------------------------------------------------------------------------------------------------------

    async def apply_event_handlers(self, *handlers: EventHandler) -> None:
        """Store event handlers, replacing those of the same names; nothing is stored unless all are valid.

        Raises ``DefinitionInvalid``. Example: ``await client.apply_event_handlers(event_handler_from_dict(document))``
        """
        await self.run(events.apply_handlers(self.store, handlers))

    async def event_handler(self, name: str) -> EventHandler:
        """One event handler by name. Raises ``NotFound``."""
        return await self.run(events.get_handler(self.store, name))

    async def event_handlers(self, event: str | None = None) -> list[EventHandler]:
        """All event handlers by name, or those of one event."""
        return await self.run(events.list_handlers(self.store, event))

    async def delete_event_handler(self, name: str) -> None:
        """Forget an event handler. Raises ``NotFound``."""
        await self.run(events.remove_handler(self.store, name))

    async def publish_event(self, event: str, payload: Any, *, message_id: str | None = None) -> str:
        """Give the handlers of ``event`` a message; returns its id. Repeated under the same id it is handled once.

        Raises ``InvalidRequest``, ``InvalidPayload`` and, when the queue is full, ``StoreUnavailable``.
        Example: ``await client.publish_event("conductor:order:paid", {"orderId": "7"})``
        """
        return await self.run(events.publish(self.store, event, payload, message_id=message_id))

    async def event_executions(
        self, handler: str | None = None, *, event: str | None = None, size: int = 100
    ) -> list[EventExecution]:
        """What was done for messages, the latest first: of one handler, of one event, or of all handlers.

        Example: ``(await client.event_executions("ship"))[0].status``
        """
        return await self.run(events.executions(self.store, handler, event=event, size=size))

    # --- single tasks -------------------------------------------------------------------------------------------------

    async def enqueue(
        self, task: Enqueueable, input: Mapping[str, Any] | None = None, /, **inputs: Any
    ) -> AsyncTaskHandle:
        """Have a worker run one task, by object or name, and return at once with its handle.

        Options: ``delay_s`` or ``at``, ``priority``, ``unique_key`` and those of a start. Raises like
        ``start_workflow``. Example: ``handle = await client.with_options(delay_s=5).enqueue(greet, name="Ada")``
        """
        started = await self.run(self._calls.enqueue(task, input, inputs))
        return AsyncTaskHandle(self._session, started.workflow_id, existed=started.existed)

    async def enqueue_many(self, items: Sequence[tuple[Enqueueable, Mapping[str, Any]]]) -> list[AsyncTaskHandle]:
        """Enqueue many tasks in few round trips; handles in order.

        When some are refused, the first error is raised after the others have been enqueued.
        Example: ``await client.enqueue_many([(greet, {"name": name}) for name in names])``
        """
        answers = await self.run(self._calls.enqueue_many(items))
        return [AsyncTaskHandle(self._session, started.workflow_id, existed=started.existed) for started in answers]

    def _handle(self, started: StartedWorkflow) -> AsyncWorkflowHandle:
        return AsyncWorkflowHandle(self._session, started.workflow_id, existed=started.existed)


class AsyncWorkflowHandle:
    """One execution, by its id. Making a handle reads nothing; every method may raise ``WorkflowNotFound``.

    ``existed``: the start found an earlier execution under its idempotency key.
    Example: ``await handle.result(timeout_s=30)``
    """

    def __init__(self, session: AsyncSession, workflow_id: str, *, existed: bool = False) -> None:
        self._session = session
        self.id = workflow_id
        self.existed = existed

    async def status(self) -> WorkflowStatus:
        """Where it stands now."""
        return (await self._session.run(workflows.standing(self._session.store, self.id))).status

    async def result(self, timeout_s: float | None = None) -> dict[str, Any]:
        """Wait for its end and return its output; ``None`` waits as long as it takes.

        Raises ``WorkflowFailed``, ``WorkflowTerminated`` or ``WorkflowTimedOut`` for any end but COMPLETED, and
        ``WaitTimeout`` when it is still under way; the execution goes on then.
        """
        return await self._session.run(workflows.result(self._session.store, self.id, timeout_s))

    async def output(self) -> dict[str, Any]:
        """Its output as it is now, without waiting: ``{}`` before the end."""
        return (await self._session.run(workflows.standing(self._session.store, self.id))).output

    async def describe(self) -> Workflow:
        """Everything about it, with its tasks. Example: ``(await handle.describe()).task("charge").status``"""
        return await self._session.run(workflows.get(self._session.store, self.id))

    async def pause(self, *, request_id: str | None = None, timeout_s: float = workflows.ANSWER_WAIT_S) -> None:
        """Schedule nothing more until ``resume``; tasks that are out go on. Raises ``Conflict`` when it has ended.

        This and the other actions raise ``OutcomeUnknown`` when no decider answers within ``timeout_s``; repeated under
        the same ``request_id`` an action happens once.
        """
        await self._act("pause", {}, request_id, timeout_s)

    async def resume(self, *, request_id: str | None = None, timeout_s: float = workflows.ANSWER_WAIT_S) -> None:
        """Go on after ``pause``. Raises ``Conflict`` when it is not paused."""
        await self._act("resume", {}, request_id, timeout_s)

    async def terminate(
        self,
        reason: str | None = None,
        *,
        request_id: str | None = None,
        timeout_s: float = workflows.ANSWER_WAIT_S,
    ) -> None:
        """End it now as TERMINATED; open tasks are cancelled. Raises ``Conflict`` when it has COMPLETED."""
        await self._act("terminate", {"reason": reason}, request_id, timeout_s)

    async def signal(
        self,
        name: str | None = None,
        payload: Mapping[str, Any] | None = None,
        *,
        request_id: str | None = None,
        timeout_s: float = workflows.ANSWER_WAIT_S,
    ) -> None:
        """End the step that waits for this signal (``None``: the first one that waits); ``payload`` is its output.

        Raises ``TaskNotFound`` when nothing waits for it, ``Conflict`` when the execution has ended.
        Example: ``await handle.signal("approved", {"by": "Ada"})``
        """
        await self._act("signal", {"name": name, "payload": dict(payload or {})}, request_id, timeout_s)

    async def _act(self, action: str, arguments: dict[str, Any], request_id: str | None, timeout_s: float) -> None:
        store = self._session.store
        await self._session.run(
            workflows.act(store, self.id, action, arguments, request_id=request_id, timeout_s=timeout_s)
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id}>"


class AsyncTaskHandle:
    """One enqueued task; its ``id`` is that of the one-step workflow that carries it.

    ``existed``: an earlier enqueue with the same ``unique_key`` was found.
    """

    def __init__(self, session: AsyncSession, workflow_id: str, *, existed: bool = False) -> None:
        self._workflow = AsyncWorkflowHandle(session, workflow_id)
        self.id = workflow_id
        self.existed = existed

    async def status(self) -> WorkflowStatus:
        """Where it stands now: RUNNING until it has ended, retries and delays included."""
        return await self._workflow.status()

    async def result(self, timeout_s: float | None = None) -> dict[str, Any]:
        """Wait for the end and return the task's output; a value that is no object stands under ``result``.

        Raises like ``WorkflowHandle.result``.
        """
        return await self._workflow.result(timeout_s)

    async def cancel(self, reason: str = "cancelled") -> None:
        """Do not run it, or stop wanting it when it runs already. Raises ``Conflict`` when it has COMPLETED."""
        await self._workflow.terminate(reason)

    def workflow(self) -> AsyncWorkflowHandle:
        """The execution that carries the task, for everything else there is to ask."""
        return self._workflow

    def __repr__(self) -> str:
        return f"<AsyncTaskHandle {self.id}>"

"""``Client`` and its handles for programs that wait by blocking. Every verb is a plan made elsewhere and driven here.

``asynchronous`` is the same face for asyncio, method by method.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack

from orchestrator.client import trials
from orchestrator.client.calls import Calls, Enqueueable, Registrable, Startable
from orchestrator.client.options import GivenOptions
from orchestrator.client.sessions import BlockingSession, Session, client_settings
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


class Client:
    """The way into an installation from Python, straight on its Redis. Safe to share between threads and after a fork.

    Without ``url`` (or ``settings``) it is the Redis of ``ORCHESTRATOR_REDIS_URL``, else of the ``orchestrator dev``
    that runs in the current folder, else ``redis://localhost:6379/0``. The first call connects and checks the store;
    every call may raise ``StoreUnavailable`` or ``StoreRefused``.
    Example: ``Client().execute_workflow(hello, name="Ada")``
    """

    def __init__(
        self, url: str | None = None, *, settings: Settings | None = None, namespace: str | None = None
    ) -> None:
        self._use(BlockingSession(client_settings(url, settings, namespace)))

    @classmethod
    def over(cls, session: Session) -> Self:
        """A client on a session that is at hand; the test environment makes its client this way."""
        client = cls.__new__(cls)
        client._use(session)
        return client

    def _use(self, session: Session, calls: Calls | None = None) -> None:
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

    def run(self, plan: Plan[T]) -> T:
        """Drive any plan. Example: ``client.run(operations.queues(client.store))``"""
        return self._session.run(plan)

    def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    # --- definitions --------------------------------------------------------------------------------------------------

    def register(self, *things: Registrable) -> list[Applied]:
        """Store workflows and tasks (objects or definitions), replacing what stands under their names and versions.

        A workflow brings the TaskDefs of its tasks. Nothing is stored unless all are valid: raises
        ``DefinitionInvalid`` with every problem. Example: ``client.register(hello, greet)``
        """
        return self.run(self._calls.register(things))

    # --- workflows ----------------------------------------------------------------------------------------------------

    def with_options(self, **options: Unpack[GivenOptions]) -> Self:
        """This client with options for the calls made through the answer; see ``Options``.

        Example: ``client.with_options(priority=5, idempotency_key=k).start_workflow(order, sku="x")``
        """
        copy = type(self).__new__(type(self))
        copy._use(self._session, self._calls.with_options(options))
        return copy

    def start_workflow(
        self, workflow: Startable, input: Mapping[str, Any] | None = None, /, **inputs: Any
    ) -> WorkflowHandle:
        """Start an execution and return at once with its handle.

        A ``Workflow`` object runs as it stands in your program, registered or not (its definition travels with the
        start, TaskDefs of its tasks are registered where there are none); a name is looked up. Raises
        ``DefinitionNotFound``, ``DefinitionInvalid``, ``InvalidPayload``, ``InvalidRequest``, ``Conflict``.
        Example: ``client.start_workflow("order", {"sku": "x"}, amount=3).id``
        """
        return self._handle(self.run(self._calls.start_workflow(workflow, input, inputs, wait_commit=True)))

    def execute_workflow(
        self, workflow: Startable, input: Mapping[str, Any] | None = None, /, **inputs: Any
    ) -> dict[str, Any]:
        """Start an execution, wait for its end (option ``timeout_s``) and return its output.

        Raises like ``start_workflow`` and ``WorkflowHandle.result``.
        Example: ``client.execute_workflow(hello, name="Ada")``
        """
        started = self._handle(self.run(self._calls.start_workflow(workflow, input, inputs, wait_commit=False)))
        return started.result(timeout_s=self._calls.options.timeout_s)

    def test_workflow(
        self, workflow: Startable, input: Mapping[str, Any] | None = None, /, *, mocks: Mapping[str, Any]
    ) -> WorkflowResult:
        """Run a registered workflow in this process with mocked outcomes, as ``orchestrator.testing.run`` does.

        The definitions it needs are read from the installation; nothing is started there, no task's code runs, and time
        jumps. Raises ``DefinitionNotFound``, ``InvalidRequest`` and, without the extra ``test``, ``MissingExtra``.
        Example: ``client.test_workflow("order", {"id": 7}, mocks={"charge": [{"paid": True}]})``
        """
        return trials.play(self.run(trials.fetch(self.store, workflow, self._calls.options.version)), input, mocks)

    def workflow(self, workflow_id: str) -> WorkflowHandle:
        """The handle of an execution by its id; nothing is read yet. Example: ``client.workflow(id).status()``"""
        return WorkflowHandle(self._session, workflow_id)

    def list_workflows(
        self,
        *,
        status: str | None = None,
        name: str | None = None,
        correlation_id: str | None = None,
        start: int = 0,
        size: int = 100,
    ) -> WorkflowList:
        """Executions that meet every condition given, the latest start first. Raises ``InvalidRequest``.

        Example: ``[item.workflow_id for item in client.list_workflows(status="RUNNING").items]``
        """
        conditions: dict[str, Any] = {"status": status, "name": name, "correlation_id": correlation_id}
        return self.run(listing.list_workflows(self.store, **conditions, start=start, size=size))

    # --- events -------------------------------------------------------------------------------------------------------

    def apply_event_handlers(self, *handlers: EventHandler) -> None:
        """Store event handlers, replacing those of the same names; nothing is stored unless all are valid.

        Raises ``DefinitionInvalid``. Example: ``client.apply_event_handlers(event_handler_from_dict(document))``
        """
        self.run(events.apply_handlers(self.store, handlers))

    def event_handler(self, name: str) -> EventHandler:
        """One event handler by name. Raises ``NotFound``."""
        return self.run(events.get_handler(self.store, name))

    def event_handlers(self, event: str | None = None) -> list[EventHandler]:
        """All event handlers by name, or those of one event."""
        return self.run(events.list_handlers(self.store, event))

    def delete_event_handler(self, name: str) -> None:
        """Forget an event handler. Raises ``NotFound``."""
        self.run(events.remove_handler(self.store, name))

    def publish_event(self, event: str, payload: Any, *, message_id: str | None = None) -> str:
        """Give the handlers of ``event`` a message; returns its id. Repeated under the same id it is handled once.

        Raises ``InvalidRequest``, ``InvalidPayload`` and, when the queue is full, ``StoreUnavailable``.
        Example: ``client.publish_event("conductor:order:paid", {"orderId": "7"})``
        """
        return self.run(events.publish(self.store, event, payload, message_id=message_id))

    def event_executions(
        self, handler: str | None = None, *, event: str | None = None, size: int = 100
    ) -> list[EventExecution]:
        """What was done for messages, the latest first: of one handler, of one event, or of all handlers.

        Example: ``(client.event_executions("ship"))[0].status``
        """
        return self.run(events.executions(self.store, handler, event=event, size=size))

    # --- single tasks -------------------------------------------------------------------------------------------------

    def enqueue(self, task: Enqueueable, input: Mapping[str, Any] | None = None, /, **inputs: Any) -> TaskHandle:
        """Have a worker run one task, by object or name, and return at once with its handle.

        Options: ``delay_s`` or ``at``, ``priority``, ``unique_key`` and those of a start. Raises like
        ``start_workflow``. Example: ``client.with_options(delay_s=5).enqueue(greet, name="Ada").result(timeout_s=30)``
        """
        started = self.run(self._calls.enqueue(task, input, inputs))
        return TaskHandle(self._session, started.workflow_id, existed=started.existed)

    def enqueue_many(self, items: Sequence[tuple[Enqueueable, Mapping[str, Any]]]) -> list[TaskHandle]:
        """Enqueue many tasks in few round trips; handles in order.

        When some are refused, the first error is raised after the others have been enqueued.
        Example: ``client.enqueue_many([(greet, {"name": name}) for name in names])``
        """
        answers = self.run(self._calls.enqueue_many(items))
        return [TaskHandle(self._session, started.workflow_id, existed=started.existed) for started in answers]

    def _handle(self, started: StartedWorkflow) -> WorkflowHandle:
        return WorkflowHandle(self._session, started.workflow_id, existed=started.existed)


class WorkflowHandle:
    """One execution, by its id. Making a handle reads nothing; every method may raise ``WorkflowNotFound``.

    ``existed``: the start found an earlier execution under its idempotency key.
    Example: ``handle.result(timeout_s=30)``
    """

    def __init__(self, session: Session, workflow_id: str, *, existed: bool = False) -> None:
        self._session = session
        self.id = workflow_id
        self.existed = existed

    def status(self) -> WorkflowStatus:
        """Where it stands now."""
        return self._session.run(workflows.standing(self._session.store, self.id)).status

    def result(self, timeout_s: float | None = None) -> dict[str, Any]:
        """Wait for its end and return its output; ``None`` waits as long as it takes.

        Raises ``WorkflowFailed``, ``WorkflowTerminated`` or ``WorkflowTimedOut`` for any end but COMPLETED, and
        ``WaitTimeout`` when it is still under way; the execution goes on then.
        """
        return self._session.run(workflows.result(self._session.store, self.id, timeout_s))

    def output(self) -> dict[str, Any]:
        """Its output as it is now, without waiting: ``{}`` before the end."""
        return self._session.run(workflows.standing(self._session.store, self.id)).output

    def describe(self) -> Workflow:
        """Everything about it, with its tasks. Example: ``handle.describe().task("charge").output_data``"""
        return self._session.run(workflows.get(self._session.store, self.id))

    def pause(self, *, request_id: str | None = None, timeout_s: float = workflows.ANSWER_WAIT_S) -> None:
        """Schedule nothing more until ``resume``; tasks that are out go on. Raises ``Conflict`` when it has ended.

        This and the other actions raise ``OutcomeUnknown`` when no decider answers within ``timeout_s``; repeated under
        the same ``request_id`` an action happens once.
        """
        self._act("pause", {}, request_id, timeout_s)

    def resume(self, *, request_id: str | None = None, timeout_s: float = workflows.ANSWER_WAIT_S) -> None:
        """Go on after ``pause``. Raises ``Conflict`` when it is not paused."""
        self._act("resume", {}, request_id, timeout_s)

    def terminate(
        self,
        reason: str | None = None,
        *,
        request_id: str | None = None,
        timeout_s: float = workflows.ANSWER_WAIT_S,
    ) -> None:
        """End it now as TERMINATED; open tasks are cancelled. Raises ``Conflict`` when it has COMPLETED."""
        self._act("terminate", {"reason": reason}, request_id, timeout_s)

    def signal(
        self,
        name: str | None = None,
        payload: Mapping[str, Any] | None = None,
        *,
        request_id: str | None = None,
        timeout_s: float = workflows.ANSWER_WAIT_S,
    ) -> None:
        """End the step that waits for this signal (``None``: the first one that waits); ``payload`` is its output.

        Raises ``TaskNotFound`` when nothing waits for it, ``Conflict`` when the execution has ended.
        Example: ``handle.signal("approved", {"by": "Ada"})``
        """
        self._act("signal", {"name": name, "payload": dict(payload or {})}, request_id, timeout_s)

    def _act(self, action: str, arguments: dict[str, Any], request_id: str | None, timeout_s: float) -> None:
        store = self._session.store
        self._session.run(workflows.act(store, self.id, action, arguments, request_id=request_id, timeout_s=timeout_s))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id}>"


class TaskHandle:
    """One enqueued task; its ``id`` is that of the one-step workflow that carries it.

    ``existed``: an earlier enqueue with the same ``unique_key`` was found. Example: ``handle.result(timeout_s=10)``
    """

    def __init__(self, session: Session, workflow_id: str, *, existed: bool = False) -> None:
        self._workflow = WorkflowHandle(session, workflow_id)
        self.id = workflow_id
        self.existed = existed

    def status(self) -> WorkflowStatus:
        """Where it stands now: RUNNING until it has ended, retries and delays included."""
        return self._workflow.status()

    def result(self, timeout_s: float | None = None) -> dict[str, Any]:
        """Wait for the end and return the task's output; a value that is no object stands under ``result``.

        Raises like ``WorkflowHandle.result``.
        """
        return self._workflow.result(timeout_s)

    def cancel(self, reason: str = "cancelled") -> None:
        """Do not run it, or stop wanting it when it runs already. Raises ``Conflict`` when it has COMPLETED."""
        self._workflow.terminate(reason)

    def workflow(self) -> WorkflowHandle:
        """The execution that carries the task, for everything else there is to ask."""
        return self._workflow

    def __repr__(self) -> str:
        return f"<TaskHandle {self.id}>"

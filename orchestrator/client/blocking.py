"""``Client`` for programs that wait by blocking. Every verb is a plan made elsewhere and driven here.

``asynchronous`` is made of this file by ``make faces``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, TypeVar, Unpack

from orchestrator.client.calls import Calls, Enqueueable, Registrable, Startable
from orchestrator.client.handles import TaskHandle, WorkflowHandle
from orchestrator.client.options import GivenOptions
from orchestrator.client.sessions import Session, blocking_session, client_settings
from orchestrator.client.transactions import QueuedStart
from orchestrator.model.definitions import TaskDef
from orchestrator.model.event_handlers import EventExecution, EventHandler
from orchestrator.model.schedules import CronSchedule, OverlapPolicy, Schedule, ScheduleExecution
from orchestrator.model.summaries import TaskSummary, WorkflowSummary
from orchestrator.model.webhooks import Delivery, Webhook
from orchestrator.model.workers import WorkerInfo
from orchestrator.plan import Plan
from orchestrator.service import (
    backfill,
    bulk,
    events,
    joining,
    listing,
    metadata,
    queue_care,
    schedules,
    search,
    transfer,
    webhooks,
    workers,
)
from orchestrator.service.bulk import BulkResult
from orchestrator.service.halts import Halt
from orchestrator.service.joining import JoiningStart
from orchestrator.service.metadata import Applied
from orchestrator.service.queue_care import QueuedTask
from orchestrator.service.search import SearchResult
from orchestrator.service.starting import StartedWorkflow
from orchestrator.settings import Settings
from orchestrator.store.connection import Connection
from orchestrator.store.context import StoreContext
from orchestrator.store.transactions import Transaction

if TYPE_CHECKING:
    from orchestrator.store.queue_values import QueueStats
    from orchestrator.store.transactions import Pipeline
    from orchestrator.testing.results import WorkflowResult

P = ParamSpec("P")
T = TypeVar("T")
H = TypeVar("H")


class Client:
    """The way into an installation from Python. Safe to share between threads and after a fork.

    ``url`` is that of the Redis, or ``http://`` or ``https://`` that of a server, with ``key_id`` and ``key_secret`` if it
    has keys. Without one (or ``settings``) it is ``ORCHESTRATOR_REDIS_URL``, else ``ORCHESTRATOR_SERVER_URL``, else the
    Redis of the ``orchestrator dev`` in the current folder, else ``redis://localhost:6379/0``. The first call connects;
    every call may raise ``Unavailable``, over HTTP also ``Unauthorized`` and ``Forbidden``. Where an event loop runs, a call
    blocks it, and says so with a ``RuntimeWarning``; ``AsyncClient`` has the same methods.
    Example: ``Client().execute_workflow(hello, name="Ada")``
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        settings: Settings | None = None,
        namespace: str | None = None,
        key_id: str | None = None,
        key_secret: str | None = None,
    ) -> None:
        self._use(blocking_session(client_settings(url, settings, namespace, key_id=key_id, key_secret=key_secret)))

    @classmethod
    def over(cls, session: Session) -> Self:
        """A client on a session that is at hand; the test environment makes its client this way."""
        client = cls.__new__(cls)
        client._use(session)
        return client

    def _use(self, session: Session, calls: Calls | None = None) -> None:
        self._session = session
        self._calls = calls or Calls(session.plan)

    # --- the store ----------------------------------------------------------------------------------------------------

    @property
    def connection(self) -> Connection:
        """The store this client speaks to; a worker that is given a client opens its own connections there."""
        return self._session.connection

    @property
    def settings(self) -> Settings:
        """What this client goes by."""
        return self._session.settings

    @property
    def store(self) -> StoreContext:
        """The names of the store, for plans of ``orchestrator.service`` that have no method here; see ``run``."""
        return self._session.store

    def run(self, plan: Plan[T]) -> T:
        """Drive any plan. Example: ``client.run(operations.queues(client.store))``"""
        return self._session.run(plan)

    def _do(self, verb: Callable[Concatenate[StoreContext, P], Plan[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._session.run(self._session.plan(verb, *args, **kwargs))

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
        return self.run(self._calls.test_workflow(workflow, input, mocks))

    def execute_until_halt(self, workflow: Startable, input: Mapping[str, Any] | None = None, /, **inputs: Any) -> Halt:
        """Start an execution and wait until it halts: it has ended, or it waits for a signal.

        Options: ``wait_until_refs`` (tasks whose end is a halt too), ``return_strategy`` (what of the halt is wanted) and
        ``timeout_s`` (10): after that the state of that moment is given. Raises like ``start_workflow``.
        Example: ``client.with_options(return_strategy="BLOCKING_TASK_INPUT").execute_until_halt(order, sku="x")``
        """
        return self.run(self._calls.execute_until_halt(workflow, input, inputs))

    def workflow(self, workflow_id: str) -> WorkflowHandle:
        """The handle of an execution by its id; nothing is read yet. Example: ``client.workflow(id).status()``"""
        return WorkflowHandle(self._session, workflow_id)

    def act_on_workflows(
        self, action: str, workflow_ids: Sequence[str], arguments: Mapping[str, Any] | None = None
    ) -> BulkResult:
        """Do one action to at most a thousand executions; errors are given by id, not raised.

        ``action``: pause, resume, restart, retry, rerun, terminate, skip, jump, upgrade, signal, update_variables,
        update_state, reset_callbacks, remove or terminate_remove. Raises ``InvalidRequest`` for no ids or too many.
        Example: ``client.act_on_workflows("terminate", ids, {"reason": "wrong price"}).failed``
        """
        return self._do(bulk.act_on_all, action, workflow_ids, arguments)

    def delete_workflow_version(self, name: str, version: int) -> None:
        """Forget one version of a registered workflow; executions keep their own. Raises ``DefinitionNotFound``."""
        self._do(metadata.delete_workflow, name, version)

    def running_workflows(self, name: str) -> list[str]:
        """The ids of the executions of this workflow that are RUNNING, the latest start first, at most ten thousand."""
        return self._do(listing.running_ids, name)

    def correlated_workflows(
        self, name: str, correlation_ids: Sequence[str], *, include_closed: bool = False
    ) -> dict[str, list[str]]:
        """The ids of the executions of this workflow under each correlation id, the latest start first.

        Without ``include_closed`` only those that have not ended.
        """
        return self._do(listing.correlated, name, correlation_ids, include_closed=include_closed)

    def import_execution(
        self, document: Mapping[str, Any], *, workflow_id: str | None = None, is_new: bool = False
    ) -> WorkflowHandle:
        """Store an exported execution that has ended: under its own id, ``workflow_id``, or a fresh one (``is_new``).

        Raises ``InvalidRequest`` for a document that is none or has not ended, ``Conflict`` for an id that is taken.
        Example: ``client.import_execution(json.load(file), is_new=True)``
        """
        imported = self._do(transfer.import_execution, document, workflow_id=workflow_id, is_new=is_new)
        return WorkflowHandle(self._session, imported)

    def list_workflows(
        self,
        *,
        status: str | None = None,
        name: str | None = None,
        correlation_id: str | None = None,
        start: int = 0,
        size: int = 100,
    ) -> SearchResult[WorkflowSummary]:
        """Executions that meet every condition given, the latest start first. Raises ``InvalidRequest``.

        Example: ``[item.workflow_id for item in client.list_workflows(status="RUNNING").items]``
        """
        conditions: dict[str, Any] = {"status": status, "name": name, "correlation_id": correlation_id}
        return self._do(listing.list_workflows, **conditions, start=start, size=size)

    def search(
        self,
        query: str | None = None,
        *,
        free_text: str | None = None,
        sort: str | None = None,
        start: int = 0,
        size: int = 100,
        top_level_only: bool = False,
    ) -> SearchResult[WorkflowSummary]:
        """Executions that match a query and free text (docs/search.md), by default the latest start first.

        Raises ``InvalidRequest``. Example: ``client.search("status=FAILED", free_text="timeout*").total``
        """
        return self._do(
            search.search_workflows,
            query,
            free_text=free_text,
            sort=sort,
            start=start,
            size=size,
            top_level_only=top_level_only,
        )

    def search_tasks(
        self,
        query: str | None = None,
        *,
        free_text: str | None = None,
        sort: str | None = None,
        start: int = 0,
        size: int = 100,
    ) -> SearchResult[TaskSummary]:
        """Attempts of tasks that match, by default those scheduled last first. Raises ``InvalidRequest``.

        Example: ``client.search_tasks("taskDefName=charge AND status=FAILED").items``
        """
        return self._do(search.search_tasks, query, free_text=free_text, sort=sort, start=start, size=size)

    # --- events -------------------------------------------------------------------------------------------------------

    def apply_event_handlers(self, *handlers: EventHandler) -> None:
        """Store event handlers, replacing those of the same names; nothing is stored unless all are valid.

        Raises ``DefinitionInvalid``. Example: ``client.apply_event_handlers(event_handler_from_dict(document))``
        """
        self._do(events.apply_handlers, handlers)

    def event_handler(self, name: str) -> EventHandler:
        """One event handler by name. Raises ``NotFound``."""
        return self._do(events.get_handler, name)

    def event_handlers(self, event: str | None = None) -> list[EventHandler]:
        """All event handlers by name, or those of one event."""
        return self._do(events.list_handlers, event)

    def delete_event_handler(self, name: str) -> None:
        """Forget an event handler. Raises ``NotFound``."""
        self._do(events.remove_handler, name)

    def publish_event(self, event: str, payload: Any, *, message_id: str | None = None) -> str:
        """Give the handlers of ``event`` a message; returns its id. Repeated under the same id it is handled once.

        Raises ``InvalidRequest``, ``InvalidPayload`` and, when the queue is full, ``StoreUnavailable``.
        Example: ``client.publish_event("conductor:order:paid", {"orderId": "7"})``
        """
        return self._do(events.publish, event, payload, message_id=message_id)

    def event_executions(
        self, handler: str | None = None, *, event: str | None = None, size: int = 100
    ) -> list[EventExecution]:
        """What was done for messages, the latest first: of one handler, of one event, or of all handlers.

        Example: ``client.event_executions("ship")[0].status``
        """
        return self._do(events.executions, handler, event=event, size=size)

    # --- webhooks -----------------------------------------------------------------------------------------------------

    def save_webhook(self, webhook: Webhook) -> Webhook:
        """Store a webhook, replacing one of the same id, and give it as it is kept: with an id, secrets as references.

        Deliveries come to ``/api/webhook/<id>`` of a server. Raises ``DefinitionInvalid`` and, for a secret in clear
        that cannot be encrypted, ``InvalidRequest``.
        Example: ``client.save_webhook(Webhook(name="bank", verifier=Verifier.STRIPE, secret_value="whsec_...")).id``
        """
        return self._do(webhooks.put, webhook, is_new=True)

    def webhook(self, webhook_id: str) -> Webhook:
        """One webhook by id; its secrets are references. Raises ``NotFound``."""
        return self._do(webhooks.get, webhook_id)

    def webhooks(self) -> list[Webhook]:
        """All webhooks by id."""
        return self._do(webhooks.list_all)

    def delete_webhook(self, webhook_id: str) -> None:
        """Forget a webhook; its address is unknown from now on. Raises ``NotFound``."""
        self._do(webhooks.delete, webhook_id)

    def webhook_deliveries(self, webhook_id: str, *, size: int = 100) -> list[Delivery]:
        """What became of deliveries, the latest first, those that were rejected among them. Raises ``NotFound``.

        Example: ``client.webhook_deliveries("bank")[0].status``
        """
        return self._do(webhooks.deliveries, webhook_id, size)

    # --- schedules ----------------------------------------------------------------------------------------------------

    def schedule_workflow(
        self,
        name: str,
        workflow: Startable,
        cron: str | None = None,
        *,
        every_s: int | None = None,
        at: datetime | None = None,
        zone: str = "UTC",
        input: Mapping[str, Any] | None = None,
        catch_up: bool = False,
        overlap: OverlapPolicy = OverlapPolicy.ALLOW,
        jitter_s: int = 0,
    ) -> Schedule:
        """Start a workflow whenever ``cron`` (second minute hour day month weekday) says so in that zone.

        Instead of ``cron`` give ``every_s``, or ``at`` for once. The schedule called ``name`` is replaced. What came due
        while nothing ran is started once, with ``catch_up`` as often as it came due. ``overlap`` says what happens while
        the last one still runs; each start is late by up to ``jitter_s``. Options of a start are those of
        ``with_options``. Raises ``DefinitionInvalid``, ``InvalidRequest`` (``at`` is past or names no zone) and, without
        croniter, ``MissingExtra``. Example: ``client.schedule_workflow("nightly", report, "0 0 2 * * ?")``
        """
        return self.run(
            self._calls.schedule(
                name,
                workflow,
                cron,
                input,
                at=at,
                zone_id=zone,
                interval_seconds=every_s,
                run_catchup_schedule_instances=catch_up,
                overlap_policy=overlap,
                jitter_seconds=jitter_s,
            )
        )

    def save_schedule(self, schedule: Schedule) -> Schedule:
        """Store a schedule, replacing one of the same name, and give it as it is now.

        Raises ``DefinitionInvalid``. Example: ``client.save_schedule(schedule_from_dict(document))``
        """
        return self._do(schedules.save, schedule)

    def schedule(self, name: str) -> Schedule:
        """One schedule by name, with its next due time. Raises ``NotFound``."""
        return self._do(schedules.get, name)

    def schedules(self, workflow_name: str | None = None) -> list[Schedule]:
        """All schedules by name, or those that start this workflow."""
        return self._do(schedules.list_schedules, workflow_name)

    def pause_schedule(self, name: str, reason: str | None = None) -> None:
        """Start nothing more by a schedule until it is resumed. Raises ``NotFound``."""
        self._do(schedules.pause, name, reason)

    def resume_schedule(self, name: str) -> None:
        """Go on from now; what came due during the pause is left out. Raises ``NotFound``."""
        self._do(schedules.resume, name)

    def delete_schedule(self, name: str) -> None:
        """Forget a schedule; what it has started goes on. Raises ``NotFound``."""
        self._do(schedules.remove, name)

    def set_limits(
        self,
        task_type: str,
        *,
        concurrency: int | None = None,
        rate: int | None = None,
        per_s: int | None = None,
        limit_key: str | None = None,
        fairness_key: str | None = None,
    ) -> TaskDef:
        """Change the limits of a task type from now on; what is not named stays, 0 and "" take a limit or a key away.

        Raises ``InvalidRequest`` and ``DefinitionInvalid``. Example: ``client.set_limits("charge", concurrency=5)``
        """
        return self._do(
            queue_care.set_limits,
            task_type,
            concurrency=concurrency,
            rate=rate,
            per_s=per_s,
            limit_key=limit_key,
            fairness_key=fairness_key,
        )

    def queue(self, task_type: str) -> QueueStats:
        """What is in the queue of a task type, and which limits hold. Example: ``client.queue("charge").ready``"""
        return self._do(queue_care.show, task_type)

    def queue_holders(self, task_type: str, count: int = 100) -> list[QueuedTask]:
        """Tasks of a type that have a slot, and who has them."""
        return self._do(queue_care.holders, task_type, count)

    def queue_waiters(self, task_type: str, count: int = 100) -> list[QueuedTask]:
        """Tasks of a type that wait, as the next ones to go: in line, for the limit of their key, or for their time."""
        return self._do(queue_care.waiters, task_type, count)

    def pause_queue(self, task_type: str) -> None:
        """Hand out no more tasks of a type until it is resumed; what is out goes on."""
        self._do(queue_care.pause, task_type)

    def resume_queue(self, task_type: str) -> None:
        """Hand out tasks of a type again."""
        self._do(queue_care.resume, task_type)

    def drain_queue(self, task_type: str) -> int:
        """Pause a type; how many of its tasks still are with workers. Ask again until none is."""
        return self._do(queue_care.drain, task_type)

    def purge_queue(self, task_type: str, reason: str | None = None, count: int = 1_000) -> int:
        """End up to ``count`` tasks that wait, each in its workflow and for good; how many. None that a worker has."""
        return self._do(queue_care.purge, task_type, reason, count)

    def schedule_times(self, cron: str, *, zone: str = "UTC", limit: int = 5) -> list[int]:
        """When a schedule with this expression would be due next, epoch milliseconds, five times at most.

        Raises ``InvalidRequest``. Example: ``client.schedule_times("0 0 9 ? * MON-FRI", zone="Europe/Berlin")``
        """
        crons = [CronSchedule(cron_expression=cron, zone_id=zone)]
        return self._do(schedules.next_times, crons, limit=limit)

    def run_schedule(self, name: str, *, request_id: str | None = None) -> ScheduleExecution:
        """Start the workflow of a schedule at once, paused or not; its times stay as they are.

        A repetition with the same ``request_id`` starts nothing more. Raises ``NotFound``, and ``InvalidRequest`` when it
        cannot be started.
        Example: ``client.run_schedule("nightly").workflow_id``
        """
        return self._do(backfill.run_now, name, request_id=request_id)

    def backfill_schedule(self, name: str, start: datetime, end: datetime) -> list[ScheduleExecution]:
        """Start the workflow of a schedule for every due time from ``start`` to ``end``, the earliest first.

        A due time that had been fired gives what it started then. Raises ``NotFound``, and ``InvalidRequest`` for times to
        come or more than a thousand of them. Example: ``client.backfill_schedule("nightly", monday, friday)``
        """
        return self.run(self._calls.backfill(name, start, end))

    def schedule_executions(self, name: str | None = None, *, size: int = 100) -> list[ScheduleExecution]:
        """What became of due times, the latest first: of one schedule or of all.

        Example: ``client.schedule_executions("nightly")[0].workflow_id``
        """
        return self._do(schedules.executions, name, size=size)

    # --- workers ------------------------------------------------------------------------------------------------------

    def workers(self, task_type: str | None = None) -> list[WorkerInfo]:
        """The workers that live and those that fell silent lately, by name: all, or those that run a task type.

        Example: ``client.workers("charge")[0].held``
        """
        return self._do(workers.list_workers, task_type)

    def worker(self, name: str) -> WorkerInfo:
        """One worker with the tasks it holds. Raises ``NotFound``."""
        return self._do(workers.get, name)

    def pause_workers(self, *names: str, task_type: str | None = None) -> list[str]:
        """Have workers, named or all that run ``task_type``, claim nothing more until they are resumed; the names of all told.

        They hear it within a few seconds. Raises ``NotFound`` for one that does not live, or a type that none runs.
        """
        return self._do(workers.pause, names, task_type)

    def resume_workers(self, *names: str, task_type: str | None = None) -> list[str]:
        """Have paused workers claim again. As ``pause_workers``."""
        return self._do(workers.resume, names, task_type)

    def drain_workers(self, *names: str, task_type: str | None = None) -> list[str]:
        """Have workers end after the tasks they have, with exit status 0. As ``pause_workers``."""
        return self._do(workers.drain, names, task_type)

    # --- single tasks -------------------------------------------------------------------------------------------------

    def enqueue(self, task: Enqueueable, input: Mapping[str, Any] | None = None, /, **inputs: Any) -> TaskHandle:
        """Have a worker run one task, by object or name, and return at once with its handle.

        Options: ``delay_s`` or ``at``, ``priority``, ``unique_key`` and those of a start. Raises like
        ``start_workflow``. Example: ``client.with_options(delay_s=5).enqueue(greet, name="Ada").result()``
        """
        started = self.run(self._calls.enqueue(task, input, inputs))
        return self._task_handle(started)

    def enqueue_many(self, items: Sequence[tuple[Enqueueable, Mapping[str, Any]]]) -> list[TaskHandle]:
        """Enqueue many tasks in few round trips; handles in order.

        When some are refused, the first error is raised after the others have been enqueued.
        Example: ``client.enqueue_many([(greet, {"name": name}) for name in names])``
        """
        answers = self.run(self._calls.enqueue_many(items))
        return [self._task_handle(started) for started in answers]

    # --- inside a transaction of the caller's ----------------------------------------------------------------------------

    def start_workflow_in(
        self, pipeline: Pipeline, workflow: Startable, input: Mapping[str, Any] | None = None, /, **inputs: Any
    ) -> QueuedStart[WorkflowHandle]:
        """Queue a start in a MULTI/EXEC of yours, a pipeline of redis-py: it happens with your writes, or neither does.

        Everything is checked now; raises like ``start_workflow``, and ``InvalidRequest`` for a pipeline that is no transaction
        or leads to another database. On a cluster give the option ``partition_tag`` (docs/applications.md).
        Example: ``queued = client.start_workflow_in(pipe, order, sku="x"); queued.started(pipe.execute())``
        """
        plan = self._calls.start_workflow_in(workflow, input, inputs)
        return self._queued(pipeline, plan, self._handle)

    def enqueue_in(
        self, pipeline: Pipeline, task: Enqueueable, input: Mapping[str, Any] | None = None, /, **inputs: Any
    ) -> QueuedStart[TaskHandle]:
        """Queue an enqueue in a MULTI/EXEC of yours, like ``start_workflow_in``.

        Example: ``client.enqueue_in(pipe, greet, name="Ada")``
        """
        return self._queued(pipeline, self._calls.enqueue_in(task, input, inputs), self._task_handle)

    def partition_tag(self, workflow_id: str) -> str:
        """The hash tag of the slot in which an execution of this id lives, for the names of your keys on a cluster.

        Example: ``tag = client.partition_tag("order-7"); pipe.set(f"stock:{tag}:7", 1)``
        """
        return joining.tag_of(self.store, workflow_id)

    def _queued(
        self, pipeline: Pipeline, plan: Plan[JoiningStart], handle: Callable[[StartedWorkflow], H]
    ) -> QueuedStart[H]:
        keys, transaction = self.store.keys, Transaction(pipeline, is_async=False)
        if not transaction.is_known(keys):
            self._do(joining.known)
            transaction.note(keys, transaction.look(keys))
        return QueuedStart(transaction, self.connection.profile, self.run(plan), handle)

    def _task_handle(self, started: StartedWorkflow) -> TaskHandle:
        return TaskHandle(self._session, started.workflow_id, existed=started.existed)

    def _handle(self, started: StartedWorkflow) -> WorkflowHandle:
        return WorkflowHandle(self._session, started.workflow_id, existed=started.existed)

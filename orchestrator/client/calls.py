"""What clients ask for, as plans: Python objects in, service verbs out. The two clients only drive these.

A ``Workflow`` object is started as it stands in the program: its definition travels with the start and need not be
registered, and what the catalog holds under its name does not matter; a workflow given by name is looked up. The tasks
that the program knows get their TaskDefs registered, unless somebody has registered others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from orchestrator.binding import encode_output
from orchestrator.client import trials
from orchestrator.client.enqueueing import check_inputs, delay_input, epoch_ms, one_task_workflow
from orchestrator.client.options import Options
from orchestrator.client.sessions import Planner
from orchestrator.client.tracing import current_trace
from orchestrator.engine.starts import Resolved
from orchestrator.errors import InvalidRequest, OrchestratorError
from orchestrator.model.definitions import IdempotencyStrategy, SchemaDef, TaskDef, WorkflowDef
from orchestrator.model.execution import StartWorkflowRequest
from orchestrator.model.schedules import Schedule, ScheduleExecution
from orchestrator.model.wire import workflow_def_to_dict
from orchestrator.plan import Outside, Plan
from orchestrator.service import backfill, halts, joining, metadata, schedules, starting
from orchestrator.service.companions import company, company_of
from orchestrator.service.halts import Halt
from orchestrator.service.joining import JoiningStart
from orchestrator.service.metadata import Applied
from orchestrator.service.starting import Launch, StartedWorkflow
from orchestrator.task import BoundTask, Task
from orchestrator.workflow import Workflow

if TYPE_CHECKING:
    from orchestrator.testing.results import WorkflowResult

Registrable = Workflow | WorkflowDef | Task[..., Any] | TaskDef | SchemaDef
Startable = Workflow | WorkflowDef | str
Enqueueable = Task[..., Any] | BoundTask | str

_RESOLVED_MAX = 500


class Calls:
    """The calls of one client, under the options of the moment; ``plan`` is that of its session."""

    def __init__(self, plan: Planner, options: Options | None = None) -> None:
        self._plan = plan
        self.options = options or Options()
        # Shared by all copies, so that options cost nothing.
        self._introduced: set[str] = set()
        self._resolved: dict[bytes, Resolved] = {}

    def with_options(self, given: Mapping[str, Any]) -> Calls:
        """A copy under other options. Raises ``InvalidRequest`` for a name that is no option."""
        unknown = set(given) - set(Options.__dataclass_fields__)
        if unknown:
            names = ", ".join(Options.__dataclass_fields__)
            raise InvalidRequest(f"{min(unknown)!r} is not an option; there are: {names}")
        copy = Calls(self._plan, replace(self.options, **given))
        copy._introduced, copy._resolved = self._introduced, self._resolved
        return copy

    # --- definitions --------------------------------------------------------------------------------------------------

    def register(self, things: Iterable[Registrable]) -> Plan[list[Applied]]:
        """Store definitions, replacing those there are; a workflow brings the TaskDefs of its own tasks."""
        definitions: dict[tuple[type[Any], str, int], WorkflowDef | TaskDef | SchemaDef] = {}
        for thing in things:
            for definition in _definitions(thing):
                version = 0 if isinstance(definition, TaskDef) else definition.version
                definitions[type(definition), definition.name, version] = definition
        return self._plan(metadata.apply, list(definitions.values()))

    # --- starting -----------------------------------------------------------------------------------------------------

    def start_workflow(
        self, workflow: Startable, input: Mapping[str, Any] | None, inputs: Mapping[str, Any], *, wait_commit: bool
    ) -> Plan[StartedWorkflow]:
        """Start a workflow object, definition or name with the merged inputs."""
        launch = yield from self._launch_workflow(workflow, _merged(input, inputs))
        return (yield from self._plan(starting.start, launch, wait_commit=wait_commit and self.options.wait_commit))

    def start_workflow_in(
        self, workflow: Startable, input: Mapping[str, Any] | None, inputs: Mapping[str, Any]
    ) -> Plan[JoiningStart]:
        """Check a start likewise, for a transaction of the caller's."""
        launch = yield from self._untagged()._launch_workflow(workflow, _merged(input, inputs))
        return (yield from self._plan(joining.prepare, launch, self.options.partition_tag))

    def execute_until_halt(
        self, workflow: Startable, input: Mapping[str, Any] | None, inputs: Mapping[str, Any]
    ) -> Plan[Halt]:
        """Start a workflow likewise and wait until it halts."""
        options = self.options
        launch = yield from self._launch_workflow(workflow, _merged(input, inputs))
        return (
            yield from self._plan(
                halts.execute,
                launch,
                wait_until_refs=options.wait_until_refs,
                return_strategy=options.return_strategy,
                timeout_s=halts.EXECUTE_WAIT_S if options.timeout_s is None else options.timeout_s,
            )
        )

    def test_workflow(
        self, workflow: Startable, input: Mapping[str, Any] | None, mocks: Mapping[str, Any]
    ) -> Plan[WorkflowResult]:
        """Fetch a workflow with all it may start, and run it here with mocked outcomes."""
        found = yield from (
            self._plan(company_of, workflow, self.options.version)
            if isinstance(workflow, str)
            else self._plan(company, workflow.definition() if isinstance(workflow, Workflow) else workflow)
        )
        result: WorkflowResult = yield Outside(partial(trials.play, found, input, mocks))
        return result

    def _launch_workflow(self, workflow: Startable, given: dict[str, Any]) -> Plan[Launch]:
        options = self.options
        if options.delay_s is not None or options.at is not None or options.unique_key is not None:
            raise InvalidRequest(
                "delay_s, at and unique_key are options of enqueue; a workflow is delayed by .wait(...) and kept "
                "unique by idempotency_key"
            )
        tasks = workflow.tasks if isinstance(workflow, Workflow) else []
        yield from self._introduce(tasks)
        resolved = None if isinstance(workflow, str) else (yield from self._resolve(workflow))
        name = workflow if isinstance(workflow, str) else workflow.name
        request = self._request(name, given, tasks)
        return Launch(request, options.workflow_id, options.request_id, resolved, trace=current_trace())

    def schedule(
        self,
        name: str,
        workflow: Startable,
        cron: str | None,
        given: Mapping[str, Any] | None,
        *,
        at: datetime | None,
        **fields: Any,
    ) -> Plan[Schedule]:
        """Store a schedule that starts a workflow object, definition or name under the options of the moment."""
        given = given or {}
        launch = yield from self._launch_workflow(workflow, encode_output(dict(given)))
        if launch.workflow_id is not None or launch.request_id is not None:
            raise InvalidRequest(
                f"schedule {name}: each due time has an id of its own; give no workflow_id or request_id"
            )
        request = launch.request
        if not isinstance(workflow, str):
            request.workflow_def = workflow.definition() if isinstance(workflow, Workflow) else workflow
        schedule = Schedule(
            name=name,
            start_workflow_request=request,
            cron_expression=cron,
            run_at=None if at is None else epoch_ms(at, f"schedule {name}: at"),
            **fields,
        )
        return (yield from self._plan(schedules.save, schedule))

    def backfill(self, name: str, start: datetime, end: datetime) -> Plan[list[ScheduleExecution]]:
        """Start a schedule's workflow for the due times of a past while."""
        begin_ms = epoch_ms(start, f"backfill of {name}: start")
        return self._plan(backfill.backfill, name, begin_ms, epoch_ms(end, f"backfill of {name}: end"))

    def enqueue(
        self, task: Enqueueable, input: Mapping[str, Any] | None, inputs: Mapping[str, Any]
    ) -> Plan[StartedWorkflow]:
        """Enqueue one task; answered when it is stored, without waiting for its first step."""
        yield from self._introduce(_tasks([task]))
        launch = self._launch_task(task, _merged(input, inputs))
        return (yield from self._plan(starting.start, launch, wait_commit=False))

    def enqueue_in(
        self, task: Enqueueable, input: Mapping[str, Any] | None, inputs: Mapping[str, Any]
    ) -> Plan[JoiningStart]:
        """Check an enqueue likewise, for a transaction of the caller's."""
        yield from self._introduce(_tasks([task]))
        launch = self._untagged()._launch_task(task, _merged(input, inputs))
        return (yield from self._plan(joining.prepare, launch, self.options.partition_tag))

    def enqueue_many(self, items: Sequence[tuple[Enqueueable, Mapping[str, Any]]]) -> Plan[list[StartedWorkflow]]:
        """Enqueue tasks with their inputs in few round trips; raises the first error after all have been sent."""
        if self.options.workflow_id or self.options.request_id:
            raise InvalidRequest("enqueue_many makes many executions: workflow_id and request_id name only one")
        yield from self._introduce(_tasks([task for task, _ in items]))
        launches = [self._launch_task(task, _merged(inputs, {})) for task, inputs in items]
        answers = yield from self._plan(starting.start_many, launches)
        errors = [answer for answer in answers if isinstance(answer, OrchestratorError)]
        if errors:
            errors[0].add_note(f"{len(errors)} of {len(items)} tasks were not enqueued, the others were")
            raise errors[0]
        return [answer for answer in answers if isinstance(answer, StartedWorkflow)]

    def _launch_task(self, task: Enqueueable, given: dict[str, Any]) -> Launch:
        options = self.options
        if isinstance(task, BoundTask):
            options = replace(options, **task.options())
            task = task.task
        name = task if isinstance(task, str) else task.name
        check_inputs(name, list(given))
        delay = delay_input(name, options.delay_s, options.at)
        resolved = one_task_workflow(name, tuple(sorted(given)), next(iter(delay), None))
        request = self._request(name, {**given, **delay}, _tasks([task]), options)
        if options.unique_key is not None:
            if options.idempotency_key is not None:
                raise InvalidRequest(f"task {name}: unique_key is an idempotency_key; give one of them")
            request.idempotency_key = options.unique_key
            request.idempotency_strategy = IdempotencyStrategy.RETURN_EXISTING
        return Launch(request, options.workflow_id, options.request_id, resolved, trace=current_trace())

    def _untagged(self) -> Calls:
        return self.with_options({"partition_tag": None})

    def _request(
        self, name: str, given: dict[str, Any], tasks: Sequence[Task[..., Any]], options: Options | None = None
    ) -> StartWorkflowRequest:
        options = options or self.options
        if options.partition_tag is not None:
            raise InvalidRequest("partition_tag is an option of start_workflow_in and enqueue_in")
        strategy = options.idempotency_strategy
        if strategy is not None and strategy not in set(IdempotencyStrategy):
            names = ", ".join(IdempotencyStrategy)
            raise InvalidRequest(f"idempotency_strategy {strategy!r} is unknown: use one of {names}")
        return StartWorkflowRequest(
            name=name,
            version=options.version,
            correlation_id=options.correlation_id,
            input=given,
            # Where a task says that it is served in a domain, its callers need not know.
            task_to_domain={**{t.name: t.domain for t in tasks if t.domain}, **(options.domains or {})},
            priority=options.priority,
            created_by=options.created_by,
            idempotency_key=options.idempotency_key,
            idempotency_strategy=IdempotencyStrategy(strategy) if strategy is not None else None,
        )

    def _resolve(self, workflow: Workflow | WorkflowDef) -> Plan[Resolved]:
        """The startable form of a definition at hand; judged once for every text it ever has."""
        definition = workflow.definition() if isinstance(workflow, Workflow) else workflow
        if self.options.version not in (None, definition.version):
            raise InvalidRequest(
                f"workflow {definition.name}: version={self.options.version} was asked for, but the object is version "
                f"{definition.version}; start it by name to choose among registered versions"
            )
        body = msgspec.json.encode(workflow_def_to_dict(definition))
        found = self._resolved.get(body)
        if found is None:
            if len(self._resolved) >= _RESOLVED_MAX:
                self._resolved.clear()
            found = self._resolved[body] = yield from self._plan(starting.resolve_given, definition)
        return found

    def _introduce(self, tasks: Sequence[Task[..., Any]]) -> Plan[None]:
        """Register the TaskDefs of tasks this client has not met before, where there are none."""
        new = {task.name: task for task in tasks if task.name not in self._introduced}
        if new:
            yield from self._plan(metadata.introduce, [task.definition() for task in new.values()])
            self._introduced.update(new)


def _definitions(thing: Registrable) -> list[WorkflowDef | TaskDef | SchemaDef]:
    if isinstance(thing, Workflow):
        return [*(task.definition() for task in thing.tasks), thing.definition()]
    if isinstance(thing, Task):
        return [thing.definition()]
    if isinstance(thing, WorkflowDef | TaskDef | SchemaDef):
        return [thing]
    raise InvalidRequest(f"{thing!r} cannot be registered: give workflows, tasks or their definitions")


def _tasks(items: Iterable[Enqueueable]) -> list[Task[..., Any]]:
    unbound = [item.task if isinstance(item, BoundTask) else item for item in items]
    return [item for item in unbound if isinstance(item, Task)]


def _merged(input: Mapping[str, Any] | None, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """One input of both forms, with dates, enums, dataclasses and the like as JSON has them."""
    return encode_output({**(input or {}), **inputs})

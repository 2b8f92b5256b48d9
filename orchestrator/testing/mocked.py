"""A test worker that plays mocked outcomes: by reference name, in order, taking as long as the test says.

It claims whatever there is, looks up which step each task belongs to, and starts and reports it when its time on the
test's clock has come. Waits and people are ended from outside, as in production. What has no mock left and no function
stays open: nobody serves it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from orchestrator import codec
from orchestrator.clock import Clock
from orchestrator.context import TaskContext
from orchestrator.core.kinds import WAITING, dispatch_state
from orchestrator.ids import suffix_of, workflow_id_of
from orchestrator.model.execution import Task as Attempt
from orchestrator.model.execution import TaskResult
from orchestrator.model.records import Outcome
from orchestrator.model.status import TaskStatus, WorkflowStatus
from orchestrator.plan import Command, Plan
from orchestrator.service import dispatch, listing, tasks, workflows
from orchestrator.service.dispatch import Claimed, Refused, Report, TaskToRun, Want
from orchestrator.service.search import SIZE_MAX
from orchestrator.store.context import StoreContext
from orchestrator.store.dispatch import Dispatch, parse_dispatch
from orchestrator.testing.fakes import fake_task
from orchestrator.testing.mocks import NOTHING, MockOutput, Mocks, is_stub, paths_of
from orchestrator.testing.running import run_task
from orchestrator.testing.worker import NAME, TASKS_PER_CLAIM, InlineWorker


@dataclass
class _Held:
    """A claimed task until its outcome has been reported; ``run`` once it has started."""

    claimed: Claimed
    mock: Any
    begin_ms: int
    end_ms: int
    run: TaskToRun | None = None


class MockedWorker(InlineWorker):
    """Serves every task that has a mock left, and as an ``InlineWorker`` those it was given functions for."""

    def __init__(self, store: StoreContext, clock: Clock, mocks: Mocks) -> None:
        super().__init__(store, clock)
        self._mocks = mocks
        self._held: list[_Held] = []
        self._unserved: dict[str, str] = {}
        self._told: dict[str, tuple[int, Any]] = {}
        self._prefixes: dict[str, str] = {}
        self._stubs: set[str] = set()

    def run_once(self) -> Plan[int]:
        """Take up, begin and end what is due now; gives how many tasks moved."""
        moved = yield from self._claim()
        moved += yield from self._begin()
        moved += yield from self._end()
        moved += yield from self._end_waits()
        return moved

    def next_due_ms(self) -> Plan[int | None]:
        """Also when a mocked task begins or ends."""
        due_ms = yield from super().next_due_ms()
        own = [held.begin_ms if held.run is None else held.end_ms for held in self._held]
        own += [told_ms for told_ms, mock in self._told.values() if mock is not NOTHING]
        return min([*own, *([] if due_ms is None else [due_ms])], default=None)

    def served(self, names: Iterable[str]) -> list[str]:
        """Every type: which task has a mock shows only when it has been claimed."""
        return list(names)

    def unserved(self) -> Plan[list[str]]:
        """The steps that wait and have neither a mock left nor a function."""
        yield from ()
        return sorted(set(self._unserved.values()))

    def keep_alive(self) -> Plan[None]:
        """What is being worked on gives signs of life, as it would in production."""
        yield from dispatch.extend_leases(self._store, [held.claimed for held in self._held])
        yield from dispatch.touch_tasks(self._store, [held.claimed for held in self._held if held.run], NAME)

    # --- tasks of queues --------------------------------------------------------------------------------------------

    def _claim(self) -> Plan[int]:
        stats = yield from self._stats()
        wants = [
            Want(name, domain, TASKS_PER_CLAIM)
            for name, found in stats.items()
            if found.ready + found.delayed
            for domain in found.domains
        ]
        if not wants:
            return 0
        claim = yield from dispatch.claim_tasks(self._store, wants, NAME)
        self._hints_ms = {name: news.hint_ms for name, news in claim.queues.items()}
        for failure in claim.failures.values():
            raise failure
        taken = 0
        for claimed in claim.claimed:
            taken += yield from self._take(claimed)
        return taken

    def _take(self, claimed: Claimed) -> Plan[int]:
        paths = yield from self._paths_of_task(claimed.task_id)
        mock = self._mocks.take(paths)
        if mock is NOTHING and (self._mocks.knows(paths) or claimed.type not in self.tasks):
            self._unserved[claimed.task_id] = paths[-1] if paths else claimed.type
            return 0
        now_ms = self._clock.now_ms()
        begin_ms = now_ms + _ms(mock, "queued_s")
        self._held.append(_Held(claimed, mock, begin_ms, begin_ms + _ms(mock, "takes_s")))
        return 1

    def _begin(self) -> Plan[int]:
        due = [held for held in self._held if held.run is None and held.begin_ms <= self._clock.now_ms()]
        if not due:
            return 0
        answers = yield from dispatch.start_tasks(self._store, [held.claimed for held in due], NAME)
        releases = [answer.release for answer in answers if isinstance(answer, Refused) and answer.release is not None]
        for held, answer in zip(due, answers, strict=True):
            if isinstance(answer, TaskToRun):
                held.run = answer
            else:
                self._held.remove(held)
        yield from dispatch.claim_tasks(self._store, [], NAME, settle=releases)
        return len(due)

    def _end(self) -> Plan[int]:
        due = [held for held in self._held if held.run is not None and held.end_ms <= self._clock.now_ms()]
        if not due:
            return 0
        self._held = [held for held in self._held if held not in due]
        reports = [Report(held.claimed, self._outcome(held.run, held.mock)) for held in due if held.run is not None]
        judged = yield from dispatch.report_tasks(self._store, reports, NAME)
        releases = [word.release for word in judged if word.release is not None]
        yield from dispatch.claim_tasks(self._store, [], NAME, settle=releases)
        return len(due)

    def _outcome(self, run: TaskToRun, mock: Any) -> Outcome:
        if mock is NOTHING:
            outcome: Outcome = self._run(run)
            return outcome
        context = TaskContext(
            run.claimed.task_id,
            workflow_id_of(run.claimed.task_id),
            run.meta.name,
            run.scheduled.ref,
            run.claimed.type,
            attempt=run.scheduled.attempt,
            iteration=run.scheduled.iteration,
            generation=run.scheduled.generation,
            now_ms=self._clock.now_ms,
        )
        return _played(mock, run.scheduled.ref, codec.unpack(bytes(run.scheduled.input)), context)

    # --- waits and people -------------------------------------------------------------------------------------------

    def _end_waits(self) -> Plan[int]:
        """End the open tasks that no queue holds and that have a mock; gives how many."""
        now_ms = self._clock.now_ms()
        running = yield from listing.list_workflows(self._store, status=WorkflowStatus.RUNNING, size=SIZE_MAX)
        ended, still_open = 0, dict[str, tuple[int, Any]]()
        for item in running.items:
            for task in (yield from self._waiting(item.workflow_id)):
                if task.task_id not in self._told:
                    mock = self._mocks.take(
                        (yield from self._paths(task.workflow_instance_id, task.reference_task_name))
                    )
                    due_ms = task.scheduled_time + _ms(mock, "queued_s") + _ms(mock, "takes_s")
                    self._told[task.task_id] = (due_ms, mock)
                due_ms, mock = self._told[task.task_id]
                if mock is not NOTHING and due_ms <= now_ms:
                    yield from tasks.update_task(self._store, self._word(task, mock), wait_commit=False)
                    ended, mock = ended + 1, NOTHING
                still_open[task.task_id] = (due_ms, mock)
        self._told = still_open
        return ended

    def _waiting(self, workflow_id: str) -> Plan[list[Attempt]]:
        """Its open waits and people that are mocked, or were when they began."""
        open_now = yield from self._dispatch(workflow_id)
        concerned = False
        for suffix, entry in open_now.items():
            if entry.state == WAITING:
                paths = yield from self._paths(workflow_id, entry.ref)
                concerned |= f"{workflow_id}-{suffix}" in self._told or self._mocks.has(paths)
        if not concerned:
            return []
        workflow = yield from workflows.get(self._store, workflow_id)
        return [
            task
            for task in workflow.tasks
            if not task.is_terminal and task.task_type != "SUB_WORKFLOW" and dispatch_state(task.task_type) == WAITING
        ]

    def _word(self, task: Attempt, mock: Any) -> TaskResult:
        context = TaskContext(
            task.task_id, task.workflow_instance_id, task.workflow_type, task.reference_task_name, task.task_type
        )
        outcome = _played(mock, task.reference_task_name, task.input_data, context)
        return TaskResult(
            workflow_instance_id=task.workflow_instance_id,
            task_id=task.task_id,
            status=TaskStatus(outcome.status),
            reason_for_incompletion=outcome.reason,
            output_data=codec.unpack(bytes(outcome.output)) or {},
        )

    # --- where a task stands ----------------------------------------------------------------------------------------

    def _dispatch(self, workflow_id: str) -> Plan[dict[str, Dispatch]]:
        """The open attempts of a workflow, by the end of their ids."""
        key = self._store.keys.dispatch(self._store.keys.partition_of(workflow_id), workflow_id)
        entries: list[bytes] = yield Command(("HGETALL", key))
        return {suffix.decode(): parse_dispatch(text) for suffix, text in zip(entries[::2], entries[1::2], strict=True)}

    def _paths_of_task(self, task_id: str) -> Plan[list[str]]:
        workflow_id = workflow_id_of(task_id)
        key = self._store.keys.dispatch(self._store.keys.partition_of(workflow_id), workflow_id)
        text: bytes | None = yield Command(("HGET", key, suffix_of(task_id)))
        return [] if text is None else (yield from self._paths(workflow_id, parse_dispatch(text).ref))

    def _paths(self, workflow_id: str, ref: str) -> Plan[list[str]]:
        prefix = yield from self._prefix(workflow_id)
        # A stub has one step, which is its parent's.
        return paths_of("", prefix[:-1]) if workflow_id in self._stubs else paths_of(prefix, ref)

    def _prefix(self, workflow_id: str) -> Plan[str]:
        """What stands before the references of this execution: the way down to it from the one under test."""
        if workflow_id not in self._prefixes:
            workflow = yield from workflows.get(self._store, workflow_id)
            if is_stub(workflow):
                self._stubs.add(workflow_id)
            if workflow.parent_workflow_id:
                parent = yield from workflows.get(self._store, workflow.parent_workflow_id)
                held_by = workflow.parent_workflow_task_id
                ref = next(task.reference_task_name for task in parent.tasks if task.task_id == held_by)
                shown = ref if is_stub(workflow) else paths_of("", ref)[-1]
                prefix = f"{(yield from self._prefix(workflow.parent_workflow_id))}{shown}/"
            else:
                prefix = "" if workflow.workflow_name == self._mocks.root else f"{workflow.workflow_name}/"
            self._prefixes[workflow_id] = prefix
        return self._prefixes[workflow_id]


def _ms(mock: Any, what: str) -> int:
    return round(getattr(mock, what) * 1000) if isinstance(mock, MockOutput) else 0


def _played(mock: Any, ref: str, data: dict[str, Any], context: TaskContext) -> Outcome:
    """What a mock says: a ``MockOutput``, or anything that a fake may do."""
    if isinstance(mock, MockOutput):
        return mock.outcome()
    return run_task(fake_task(ref, [mock]), data, context).outcome

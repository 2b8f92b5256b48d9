"""Start or signal a workflow and wait until it has come to a halt: its end, or a task that only the caller can end.

A halt is also a task that the caller named and that has ended, and it may lie in a sub-workflow. Whatever is under way
is asked to tell of every change while somebody waits (``watch_ms``), sub-workflows that it starts then are born with
that, and all are listened to: a halt is noticed when it is committed. Beyond ``LISTENED_MAX`` of them the others are
looked at twice a second.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple, Unpack

from orchestrator.clock import SystemClock
from orchestrator.errors import InvalidRequest, TaskNotFound, WaitTimeout, WorkflowNotFound
from orchestrator.model.execution import Task, TaskResult, Workflow
from orchestrator.model.status import is_terminal
from orchestrator.plan import Command, Plan, Wait
from orchestrator.service import actions, starting
from orchestrator.service.actions import ActOptions, Answer, bounded
from orchestrator.service.starting import Launch, new_request_id
from orchestrator.service.workflows import get
from orchestrator.store import partition
from orchestrator.store.context import StoreContext

EXECUTE_WAIT_S = 10.0
SIGNAL_WAIT_S = 5.0
RELOOK_S = 0.5
LISTENED_MAX = 100
DEPTH_MAX = 50

_clock = SystemClock()


class ReturnStrategy(StrEnum):
    """What of a halt the caller wants to have: the workflow it asked for, or the one or the task that blocks it."""

    TARGET_WORKFLOW = "TARGET_WORKFLOW"
    BLOCKING_WORKFLOW = "BLOCKING_WORKFLOW"
    BLOCKING_TASK = "BLOCKING_TASK"
    BLOCKING_TASK_INPUT = "BLOCKING_TASK_INPUT"


class Halt(NamedTuple):
    """Where a workflow stood when waiting for it was over.

    ``target`` is the workflow that was asked for; ``workflow`` and ``task`` are what the strategy names, ``task`` None
    when nothing blocks. ``timed_out``: it was still under way.
    """

    strategy: ReturnStrategy
    request_id: str
    target: Workflow
    workflow: Workflow
    task: Task | None
    timed_out: bool

    @property
    def output(self) -> dict[str, Any]:
        """What a caller goes on with: the output of the workflow or task, or the input of the task that blocks."""
        if self.strategy in (ReturnStrategy.TARGET_WORKFLOW, ReturnStrategy.BLOCKING_WORKFLOW):
            return self.workflow.output
        if self.task is None:
            return {}
        return self.task.input_data if self.strategy is ReturnStrategy.BLOCKING_TASK_INPUT else self.task.output_data


class _Active(NamedTuple):
    workflow_id: str
    version: bytes | None


class _Block(NamedTuple):
    workflow: Workflow
    task: Task


class _Awaited(NamedTuple):
    """What is waited for. ``is_new``: the workflow was started for it, with everything below it."""

    workflow_id: str
    strategy: ReturnStrategy
    request_id: str
    wanted: frozenset[str]
    is_new: bool = False


def execute(
    store: StoreContext,
    launch: Launch,
    *,
    wait_until_refs: Sequence[str] = (),
    return_strategy: str = ReturnStrategy.TARGET_WORKFLOW,
    timeout_s: float = EXECUTE_WAIT_S,
) -> Plan[Halt]:
    """Start a workflow and wait until it halts: it has ended, waits for a signal, or a task of ``wait_until_refs`` ended.

    After ``timeout_s`` (at most 600) the state of that moment is given; that is no error. Raises like ``starting.start``
    and ``InvalidRequest``. Example: ``executor.run(execute(store, launch, wait_until_refs=["charge"])).output``
    """
    strategy, left_s = _strategy(return_strategy), bounded(timeout_s)
    request_id = launch.request_id or new_request_id()
    launch = launch._replace(request_id=request_id, watch_ms=max(launch.watch_ms, watch_ms(left_s)))
    started = yield from starting.start(store, launch, wait_commit=False)
    awaited = _Awaited(
        started.workflow_id, strategy, request_id, frozenset(wait_until_refs), is_new=not started.existed
    )
    return (yield from _await(store, awaited, left_s))


def await_halt(
    store: StoreContext,
    workflow_id: str,
    *,
    wait_until_refs: Sequence[str] = (),
    return_strategy: str = ReturnStrategy.TARGET_WORKFLOW,
    timeout_s: float = EXECUTE_WAIT_S,
) -> Plan[Halt]:
    """Wait until a workflow that is under way halts, as ``execute`` does. Raises ``WorkflowNotFound``, ``InvalidRequest``."""
    strategy, left_s = _strategy(return_strategy), bounded(timeout_s)
    return (yield from _await(store, _Awaited(workflow_id, strategy, "", frozenset(wait_until_refs)), left_s))


def signal(
    store: StoreContext,
    workflow_id: str,
    name: str | None = None,
    payload: Mapping[str, Any] | None = None,
    *,
    status: str = "COMPLETED",
    watch_ms: int = 0,
    **options: Unpack[ActOptions],
) -> Plan[Answer]:
    """End the WAIT task that waits for ``name``, in the workflow or, if none does, in a sub-workflow: the first in depth.

    The answer names the ``workflow_id``, ``task_id`` and ``ref``. Raises ``TaskNotFound`` when nothing waits for it.
    Options as for ``actions.act``; sub-workflows are asked under request ids made from the given one.
    """
    arguments = {"name": name, "payload": dict(payload or {}), "status": status, "watch_ms": watch_ms}
    request_id = options.get("request_id") or new_request_id()
    wait_s = options.get("timeout_s", actions.ANSWER_WAIT_S)
    refusal: Answer | None = None
    ids = [workflow_id]
    for _ in range(1000):
        asked = ids.pop(0)
        own = request_id if asked == workflow_id else f"{request_id}:{asked}"
        try:
            answer = yield from actions.ask(store, asked, "signal", arguments, own, wait_s)
        except WorkflowNotFound:
            if asked == workflow_id:
                raise
            answer = {"children": []}  # a child that is on its way, or has been removed
        if answer.get("ok"):
            return {**answer, "workflow_id": asked}
        if refusal is None:
            refusal = answer
        if asked == workflow_id and answer.get("error") != TaskNotFound.code:
            break
        ids = [*answer.get("children", []), *ids]
        if not ids:
            break
    assert refusal is not None
    return actions.outcome("signal", refusal)


def signal_and_wait(
    store: StoreContext,
    workflow_id: str,
    name: str | None = None,
    payload: Mapping[str, Any] | None = None,
    *,
    status: str = "COMPLETED",
    wait_until_refs: Sequence[str] = (),
    return_strategy: str = ReturnStrategy.TARGET_WORKFLOW,
    timeout_s: float = SIGNAL_WAIT_S,
    request_id: str | None = None,
) -> Plan[Halt]:
    """Signal like ``signal``, then wait until the workflow that was asked for halts again, like ``execute``."""
    strategy, left_s = _strategy(return_strategy), bounded(timeout_s)
    request_id = request_id or new_request_id()
    began_s = _clock.monotonic_s()
    yield from signal(
        store, workflow_id, name, payload, status=status, watch_ms=watch_ms(left_s), request_id=request_id
    )
    left_s = max(0.0, left_s - (_clock.monotonic_s() - began_s))
    return (yield from _await(store, _Awaited(workflow_id, strategy, request_id, frozenset(wait_until_refs)), left_s))


def update_state_and_wait(
    store: StoreContext,
    workflow_id: str,
    *,
    variables: Mapping[str, Any] | None = None,
    ref: str | None = None,
    result: TaskResult | None = None,
    wait_until_refs: Sequence[str] = (),
    return_strategy: str = ReturnStrategy.TARGET_WORKFLOW,
    timeout_s: float = EXECUTE_WAIT_S,
    request_id: str | None = None,
) -> Plan[Halt]:
    """Like ``actions.update_state``, then wait until the workflow halts, like ``execute``; ``result`` is what ``ref`` gave.

    Raises like both, and ``InvalidRequest`` for a result without the name of its task.
    """
    strategy, left_s = _strategy(return_strategy), bounded(timeout_s)
    if result is not None and ref is None:
        raise InvalidRequest("taskReferenceName must name the task that the result is of")
    request_id = request_id or new_request_id()
    began_s = _clock.monotonic_s()
    yield from actions.update_state(
        store,
        workflow_id,
        variables=variables,
        ref=ref,
        status=str(result.status) if result is not None else "COMPLETED",
        output=result.output_data if result is not None else None,
        reason=result.reason_for_incompletion if result is not None else None,
        request_id=request_id,
    )
    left_s = max(0.0, left_s - (_clock.monotonic_s() - began_s))
    return (yield from _await(store, _Awaited(workflow_id, strategy, request_id, frozenset(wait_until_refs)), left_s))


def _await(store: StoreContext, awaited: _Awaited, left_s: float) -> Plan[Halt]:
    told = set[str]()
    while True:
        active: list[_Active] = []
        target = yield from _look(store, awaited.workflow_id, active)
        block = yield from _find_block(store, target, awaited.wanted, active)
        is_over = block is not None or is_terminal(target.status)
        if is_over or left_s <= 0:
            return _halt(awaited.strategy, awaited.request_id, target, block, timed_out=not is_over)
        if not awaited.is_new:
            there = [one.workflow_id for one in active if one.version is not None]
            yield from _ask_to_tell(store, there, told, left_s)
        left_s -= yield from _await_change(store, active, left_s)


def _ask_to_tell(store: StoreContext, active: list[str], told: set[str], left_s: float) -> Plan[None]:
    """Have those that were not asked before tell of every change from now on; their answers are not waited for."""
    keys, asked = store.keys, [one for one in active if one not in told]
    told.update(asked)
    arguments = {"watch_ms": watch_ms(left_s)}
    if asked:
        yield [
            partition.request(keys, keys.partition_of(one), one, new_request_id(), "watch", arguments) for one in asked
        ]


def _look(store: StoreContext, workflow_id: str, active: list[_Active]) -> Plan[Workflow]:
    """The workflow as it is, noted among the active ones if it is under way. Raises ``WorkflowNotFound``."""
    key = store.keys.workflow(store.keys.partition_of(workflow_id), workflow_id)
    version = yield Command(("HGET", key, "v"))
    found = yield from get(store, workflow_id)
    if not is_terminal(found.status):
        active.append(_Active(workflow_id, version))
    return found


def _await_change(store: StoreContext, active: list[_Active], left_s: float) -> Plan[float]:
    """Until one of the workflows is committed once more than when it was seen; gives how long that took."""
    keys = store.keys
    places = [(keys.partition_of(one.workflow_id), one.workflow_id) for one in active[:LISTENED_MAX]]
    seen = [one.version for one in active[:LISTENED_MAX]]
    channels = [keys.done_channel(*place) for place in places]
    check = [Command(("HGET", keys.workflow(*place), "v")) for place in places]
    timeout_s = left_s if len(active) <= LISTENED_MAX else min(left_s, RELOOK_S)
    began_s = _clock.monotonic_s()
    try:
        versions = yield Wait(channels, check, lambda versions: versions != seen, timeout_s)
    except WaitTimeout:
        return timeout_s
    return timeout_s if versions == seen else _clock.monotonic_s() - began_s


def _find_block(
    store: StoreContext, workflow: Workflow, wanted: frozenset[str], active: list[_Active], depth: int = 0
) -> Plan[_Block | None]:
    """The first task that blocks, in the order of the tasks, sub-workflows in depth; notes what is under way."""
    for task in workflow.tasks:
        if _blocks(task, wanted):
            return _Block(workflow, task)
    for task in workflow.tasks:
        if task.sub_workflow_id and not task.is_terminal and depth < DEPTH_MAX:
            try:
                child = yield from _look(store, task.sub_workflow_id, active)
            except WorkflowNotFound:
                active.append(_Active(task.sub_workflow_id, None))  # it is on its way
                continue
            block = yield from _find_block(store, child, wanted, active, depth + 1)
            if block is not None:
                return block
    return None


def _blocks(task: Task, wanted: frozenset[str]) -> bool:
    if task.is_terminal:
        return task.reference_task_name in wanted and not task.retried
    timed = task.input_data.get("duration") or task.input_data.get("until")
    return task.task_type == "WAIT" and not timed


def _halt(
    strategy: ReturnStrategy, request_id: str, target: Workflow, block: _Block | None, *, timed_out: bool
) -> Halt:
    workflow, task = target, None
    if block is not None and strategy is not ReturnStrategy.TARGET_WORKFLOW:
        workflow = block.workflow
    if block is not None and strategy in (ReturnStrategy.BLOCKING_TASK, ReturnStrategy.BLOCKING_TASK_INPUT):
        task = block.task
    return Halt(strategy, request_id, target, workflow, task, timed_out)


def _strategy(given: str) -> ReturnStrategy:
    if given not in set(ReturnStrategy):
        raise InvalidRequest(f"return strategy {given!r} is unknown: use one of {', '.join(ReturnStrategy)}")
    return ReturnStrategy(given)


def watch_ms(timeout_s: float) -> int:
    """For how long a workflow is to tell of every change when somebody waits for so long."""
    return round(timeout_s * 1000) + 1000

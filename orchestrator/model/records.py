"""The records as they are stored: arrays with a format number first and the payload last, still packed.

They are written by the scripts of ``store`` and read by the pure core. A record is written once where possible: what a
task was scheduled with (``Scheduled``) and how its attempt ended (``Result``) are two records, so that finishing a task
never rewrites its input. ``Core`` is the small part of a workflow that every decision reads and writes: its size follows
the open forks and loops, never the number of tasks that have run.
Records hold no references that could form a cycle, so the collector need not look at them (``gc=False``): a decider keeps
hundreds of thousands. Fields are only ever appended, with a default, so that an older record still decodes.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw, Struct

from orchestrator.codec import EMPTY_MAP, NULL

FORMAT = 1

PARKED_MS = -1
"""As the ``callback_after_ms`` of an unfinished outcome: no worker is to see the task again, somebody outside ends it."""


class Meta(Struct, array_like=True, frozen=True, gc=False):
    """What a start fixed for good: which definition, for whom, under which options."""

    format: int
    name: str
    version: int
    definition_hash: str
    priority: int = 0
    correlation_id: str | None = None
    idempotency_key: str | None = None
    task_to_domain: dict[str, str] = {}
    parent_workflow_id: str | None = None
    parent_task_id: str | None = None
    event: str | None = None
    created_by: str | None = None
    failure_of: str | None = None  # the workflow whose end started this one
    parent_ref: str | None = None  # the parent's SUB_WORKFLOW task by its execution reference
    depth: int = 0  # how many workflows are above this one
    child_versions: dict[str, int] = {}  # the versions that sub-workflows named without one had when this one started
    secrets: list[str] = []  # names that the parent passed on by reference in the input
    watch_ms: int = 0  # for so long after the start somebody wants to be told of every change
    trace: dict[str, str] = {}  # traceparent and tracestate of whoever started it, or its parent


class Step(Struct, array_like=True, frozen=True, gc=False):
    """A step that the definition does not have: a branch of a dynamic fork, or what a DYNAMIC step turned out to be.

    It is kept with the task, so that any decider can go on from there. ``task`` is its definition in the JSON form,
    ``given`` the input that lies over its parameters as it is. ``fork`` and ``join`` are the steps that made the branch
    and that wait for its end, both empty for a DYNAMIC; ``loop`` is the DO_WHILE around the fork.
    """

    task: Raw
    given: Raw = Raw(EMPTY_MAP)
    fork: str = ""
    join: str = ""
    loop: str | None = None


class Scheduled(Struct, array_like=True, frozen=True, gc=False):
    """One attempt of one task, as it was created. ``ref`` is the execution reference (``name__2`` in a loop)."""

    format: int
    ref: str
    type: str  # SIMPLE tasks: the queue, which is the task's name; operators: the operator's type
    name: str  # task definition name
    sequence: int
    attempt: int
    generation: int
    iteration: int
    scheduled_ms: int
    first_scheduled_ms: int
    delay_ms: int = 0
    domain: str | None = None
    retried_task_id: str | None = None
    status: str = "SCHEDULED"  # SCHEDULED or IN_PROGRESS: what an open task of this kind starts as
    deadline_ms: int = 0  # WAIT: due time on the store's clock; 0 = none
    reason: str | None = None  # why the previous attempt failed
    input: Raw = Raw(EMPTY_MAP)
    branch: str = ""  # the first task of the dynamically forked branch that the step lies inside of
    step: Step | None = None  # the step itself, where no definition has it
    secrets: list[str] = []  # names that references in the input may be resolved to when a worker gets it
    runtime: list[str] = []  # names of secrets or environment values that the worker gets beside the input
    rounds_before: int = 0  # DO_WHILE: the rounds of its earlier runs, in earlier rounds of a loop around it
    cache_key: str = ""  # where its output is left to later runs
    awaits: str = ""  # WAIT_FOR_WEBHOOK: under what it is found by an event (``core.webhooks``)
    keys: str = ""  # what it shares the workers of its queue by (``core.sharing``)


class Result(Struct, array_like=True, frozen=True, gc=False):
    """How an attempt ended, or (with an open status) what its worker last reported."""

    format: int
    status: str
    ended_ms: int
    started_ms: int = 0
    poll_count: int = 0
    delivery: int = 0
    worker_id: str | None = None
    reason: str | None = None
    retried: bool = False
    callback_after_ms: int = 0
    logs: list[tuple[int, str]] = []
    child_workflow_id: str | None = None
    output: Raw = Raw(EMPTY_MAP)
    child_run: int = 0  # the run of the child that this task is about: an operator made the child go on so often


class Outcome(Struct, array_like=True, frozen=True, gc=False):
    """What a worker or an outside caller says of a task: the body of a task event."""

    format: int
    status: str  # COMPLETED, FAILED, FAILED_WITH_TERMINAL_ERROR, CANCELED, TIMED_OUT, IN_PROGRESS
    reason: str | None = None
    callback_after_ms: int = 0
    retry_after_ms: int | None = None  # a failed attempt's own wish for the delay of the next
    worker_id: str | None = None
    logs: list[tuple[int, str]] = []
    merge: bool = False  # keys of output are laid over what is there (update by reference, signal)
    output: Raw = Raw(NULL)
    child_workflow_id: str | None = None  # the child whose end this is
    child_run: int = 0  # which of its runs ended: its generation


class Join(Struct, array_like=True, gc=False):
    """An open JOIN: how many members it still waits for and what went wrong among those that ended."""

    remaining: int
    members: int
    failed: int = 0  # ended without success, neither optional
    hard: int = 0  # of those, how many ended otherwise than CANCELED
    errors: int = 0  # optional members that ended COMPLETED_WITH_ERRORS
    reasons: list[str] = []
    on: list[str] = []  # members of a dynamic join; a static join's are in the definition
    is_judged: bool = False  # not the counter ends it: its operator looks at it whenever a member has ended
    accepts: list[str] = []  # the statuses that count as success (``joinStatus``); none = those that always do


class Loop(Struct, array_like=True, gc=False):
    """A DO_WHILE that has begun. Rounds are counted over all its runs, so that each names its tasks in its own way."""

    ref: str  # its task while that is open, else empty
    iteration: int  # the round it is in, or was in last
    open: int = 0  # tasks of its body that are open
    failed: list[str] = []  # reasons of the permissive tasks that failed in this round
    branch: str = ""  # see ``Scheduled.branch``


class Pending(Struct, array_like=True, frozen=True, gc=False):
    """Work a decision left for its next round: enter step ``ref``, or go on fanning out a fork from branch ``index``."""

    ref: str
    iteration: int = 0
    index: int = 0
    branch: str = ""  # see ``Scheduled.branch``


class Deferred(Struct, array_like=True, frozen=True, gc=False):
    """An operation that cannot be carried out yet."""

    request_id: str
    action: str
    arguments: dict[str, Any] = {}


class Message(Struct, array_like=True, frozen=True, gc=False):
    """A message that was pushed to a workflow and has not been pulled yet."""

    format: int
    id: str
    at_ms: int
    payload: Raw


class MessageQueue(Struct, array_like=True, frozen=True, gc=False):
    """Which messages wait in a workflow: numbers ``first`` to ``next - 1``; ``pulls`` are the open tasks that want one."""

    first: int = 0
    next: int = 0
    bytes: int = 0
    pulls: list[str] = []


class Gate(Struct, array_like=True, frozen=True, gc=False):
    """The gate that an execution has to pass, or has passed: see ``core.admission``."""

    name: str
    key: str  # the rendered rate-limit key
    is_waiting: bool = True


class Core(Struct, array_like=True, gc=False):
    """The state of a workflow that every decision needs. Mutable only inside one decision's own copy."""

    format: int
    status: str
    created_ms: int
    generation: int = 0
    sequence: int = 0  # the last sequence number given to a task
    open: int = 0  # tasks that are not terminal yet
    updated_ms: int = 0
    ended_ms: int = 0
    last_retried_ms: int = 0
    reason: str | None = None
    last_ref: str | None = None  # the task scheduled last: its output is the workflow's when no mapping is given
    failed_task_id: str | None = None
    failed_refs: list[str] = []
    failed_names: list[str] = []
    permissive: list[str] = []  # reasons of permissive tasks that failed for good
    joins: dict[str, Join] = {}
    agenda: list[Pending] = []  # left over when a decision reached its size limit
    held: list[Pending] = []  # successors that became due while the workflow was paused
    terminate_ref: str | None = None
    failure_workflow_id: str | None = None
    loops: dict[str, Loop] = {}
    evaluating: list[str] = []  # tasks of operators that wait for a script task
    first_fan: str | None = None  # the first dynamic fork: the names its branches get are shorter than those of others
    skips: list[str] = []  # tasks to be passed over that the flow has not reached yet
    deferred: list[Deferred] = []  # operations that wait until nothing of the ended workflow is open any more
    is_revived: bool = False  # it ended and went on: a step that is reached may have run before
    messages: MessageQueue | None = None
    watched_until_ms: int = 0  # until then somebody wants to be told of every change
    gate: Gate | None = None  # while its workflow's rate limit concerns it
    followers: list[str] = []  # tasks of others that share it as their child, by its idempotency key


def superseded_name(ref: str, attempt: int, generation: int) -> str:
    """Under which name an attempt is kept that another one has followed. Example: ``superseded_name("a", 0, 0)``."""
    return f"{ref}\n{attempt}.{generation}"


def array_decoder(kind: type[Any]) -> msgspec.msgpack.Decoder[Any]:
    """A reusable decoder of one record type; fields that a newer writer appended are ignored."""
    return msgspec.msgpack.Decoder(kind)


decode_cached = msgspec.msgpack.Decoder(tuple[int, bytes]).decode
"""An entry of the cache of outputs: when it is stale, and the packed output."""

decode_meta = array_decoder(Meta).decode
decode_scheduled = array_decoder(Scheduled).decode
decode_result = array_decoder(Result).decode
decode_outcome = array_decoder(Outcome).decode
decode_core = array_decoder(Core).decode
decode_message = array_decoder(Message).decode
encode = msgspec.msgpack.Encoder().encode

"""Options of a start or an enqueue: said before the call, so that they can never collide with its inputs.

``client.with_options(priority=5).start_workflow(order, priority="the customer's")`` has one of each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypedDict

from orchestrator.model.definitions import IdempotencyStrategy


class GivenOptions(TypedDict, total=False):
    """The options by name, as ``with_options`` takes them; their meaning stands under ``Options``."""

    version: int | None
    workflow_id: str | None
    correlation_id: str | None
    idempotency_key: str | None
    idempotency_strategy: IdempotencyStrategy | Literal["FAIL", "RETURN_EXISTING", "FAIL_ON_RUNNING"] | None
    priority: int
    domains: dict[str, str] | None
    created_by: str | None
    request_id: str | None
    wait_commit: bool
    timeout_s: float | None
    wait_until_refs: Sequence[str]
    return_strategy: str
    delay_s: float | None
    at: datetime | None
    unique_key: str | None
    partition_tag: str | None


@dataclass(frozen=True, slots=True)
class Options:
    """How the next start or enqueue is to be done.

    ``version`` of a workflow given by name (``None``: the latest). ``workflow_id``: your own id instead of a generated
    one. ``correlation_id``: yours to find related executions by. ``idempotency_key`` with ``idempotency_strategy``: at
    most one execution per workflow name and key (default FAIL: a second start is a ``Conflict``). ``priority`` 0 to 99,
    larger is more urgent. ``domains``: task type to domain, ``"*"`` for all others. ``created_by``: a name to keep.
    ``request_id``: repeat a start under the same one and it happens once. ``wait_commit``: answer a start when its
    first step is decided (default; at most a second). ``timeout_s``: how long ``execute_workflow`` and
    ``execute_until_halt`` wait; for the latter also ``wait_until_refs``, tasks whose end is a halt, and
    ``return_strategy``, one of TARGET_WORKFLOW, BLOCKING_WORKFLOW, BLOCKING_TASK, BLOCKING_TASK_INPUT.

    For ``enqueue`` only: ``delay_s`` seconds from now or ``at`` a moment, to the millisecond, and ``unique_key``: while
    the task of an earlier enqueue with this key is there, its handle is returned instead.

    For ``start_workflow_in`` and ``enqueue_in`` only: ``partition_tag``, where the execution is to live, so that it shares a
    slot of a cluster with the caller's keys.
    """

    version: int | None = None
    workflow_id: str | None = None
    correlation_id: str | None = None
    idempotency_key: str | None = None
    idempotency_strategy: str | None = None
    priority: int = 0
    domains: dict[str, str] | None = None
    created_by: str | None = None
    request_id: str | None = None
    wait_commit: bool = True
    timeout_s: float | None = None
    wait_until_refs: Sequence[str] = ()
    return_strategy: str = "TARGET_WORKFLOW"
    delay_s: float | None = None
    at: datetime | None = None
    unique_key: str | None = None
    partition_tag: str | None = None

"""What to do: the outputs of a decision that reach beyond the workflow's own records.

Every ``Handoff`` is meant for another slot: the commit writes them to the outbox in this encoding and the relay delivers
them, at least once, to receivers that recognise a repetition.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw, Struct

from orchestrator.model.records import Meta


class Enqueue(Struct, array_like=True, frozen=True, gc=False, tag_field="handoff", tag="q"):
    """Offer one task attempt to the queue of its type."""

    type: str
    task_id: str
    priority: int = 0
    delay_ms: int = 0
    domain: str | None = None
    keys: str = ""  # what it shares the workers by (``core.sharing``)


class Remove(Struct, array_like=True, frozen=True, gc=False, tag_field="handoff", tag="r"):
    """Take a cancelled task attempt out of its queue; a running one is told to stop."""

    type: str
    task_id: str
    domain: str | None = None


class Expedite(Struct, array_like=True, frozen=True, gc=False, tag_field="handoff", tag="x"):
    """Let a task that waits in its queue for its time be claimed at once."""

    type: str
    task_id: str


class StartWorkflow(Struct, array_like=True, frozen=True, gc=False, tag_field="handoff", tag="s"):
    """Start another workflow (a child, a failure workflow) by its derived id; ``latest`` = resolve the version now.

    ``definition`` is the JSON of an inline one, ``strategy`` what to do when its idempotency key is taken.
    """

    workflow_id: str
    meta: Meta
    input: Raw
    latest: bool = False
    definition: bytes | None = None
    strategy: str | None = None


class NotifyParent(Struct, array_like=True, frozen=True, gc=False, tag_field="handoff", tag="p"):
    """Tell the parent's SUB_WORKFLOW task how its child ended; ``outcome`` is a packed ``Outcome``.

    ``run`` is the child's generation: above 0 the parent may not have heard yet that its child goes on. ``source``: the
    ended workflow whose stored output is still to be added.
    """

    parent_workflow_id: str
    parent_task_id: str
    outcome: bytes
    parent_ref: str = ""
    run: int = 0
    source: str = ""


class CancelChild(Struct, array_like=True, frozen=True, gc=False, tag_field="handoff", tag="c"):
    """End the child of a SUB_WORKFLOW task that is over; one that has not arrived yet must not start any more."""

    child_workflow_id: str
    parent_task_id: str
    reason: str | None = None


class SeekAdmission(Struct, array_like=True, frozen=True, gc=False, tag_field="handoff", tag="g"):
    """Ask the gate of a rate-limit key to let the execution in, in its ``run``-th run after the first."""

    gate: str
    workflow_id: str
    run: int
    limit: int
    rejects: bool = False


class LeaveGate(Struct, array_like=True, frozen=True, gc=False, tag_field="handoff", tag="l"):
    """Give back to the gate what it gave to this run of the execution; it may wait no longer either."""

    gate: str
    workflow_id: str
    run: int


class Remember(Struct, array_like=True, frozen=True, gc=False, tag_field="handoff", tag="m"):
    """Leave a packed output to later runs with the same cache key."""

    key: str
    ttl_ms: int
    expires_ms: int
    output: bytes


class ReviveParent(Struct, array_like=True, frozen=True, gc=False, tag_field="handoff", tag="v"):
    """An ended child goes on, by an operator's doing: the parent's task is in progress again, and so is the parent."""

    parent_workflow_id: str
    parent_task_id: str
    child_workflow_id: str
    parent_ref: str
    run: int


class Notify(Struct, array_like=True, frozen=True, gc=False, tag_field="handoff", tag="n"):
    """Tell somebody who listens; ``place`` is a web address or an event, ``news`` a packed payload."""

    place: str
    news_id: str
    news: bytes


Handoff = (
    Enqueue
    | Remove
    | Expedite
    | StartWorkflow
    | NotifyParent
    | CancelChild
    | ReviveParent
    | Remember
    | SeekAdmission
    | LeaveGate
    | Notify
)


encode_handoffs = msgspec.msgpack.Encoder().encode
decode_handoffs = msgspec.msgpack.Decoder(list[Handoff]).decode

"""Starts that happen inside a transaction of the caller's: checked here, sent and answered along with the caller's writes.

Whatever can be known beforehand is known when this ends, because a refusal in the EXEC comes too late for the caller's own
writes. What can change until then is answered in the EXEC as a value: an id or a key that somebody else took meanwhile.
Called by the clients; the transaction itself is ``store.transactions``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from orchestrator import ids
from orchestrator.engine.starts import Start
from orchestrator.errors import Conflict, InvalidRequest
from orchestrator.model.definitions import IdempotencyStrategy
from orchestrator.plan import Call, Plan
from orchestrator.service import admission, starting
from orchestrator.service.starting import Launch, StartedWorkflow, outcome
from orchestrator.store import installation, partition
from orchestrator.store.context import StoreContext
from orchestrator.store.partition import ENDED, StartReply, StartVerdict


class JoiningStart(NamedTuple):
    """A start that is ready to be queued: ``call`` goes into the transaction, ``started`` judges its decoded reply."""

    call: Call
    launch: Launch
    made: Start

    @property
    def workflow_id(self) -> str:
        """The id it will have, unless its idempotency key leads to another."""
        return self.made.workflow_id

    def started(self, replies: Sequence[StartReply | Exception]) -> StartedWorkflow:
        """What became of it. Raises ``Conflict`` when id or key were taken in the meantime."""
        return outcome(self.launch, self.made, replies[0])


def prepare(store: StoreContext, launch: Launch, partition_tag: str | None) -> Plan[JoiningStart]:
    """Everything that a start is checked for, and the one call that is left to do.

    ``partition_tag`` says where it is to live; on a cluster it must be given, since a transaction has one slot only. Raises
    like ``starting.start``, and ``InvalidRequest`` for a tag that does not fit.
    Example: ``ready = yield from prepare(store, Launch(request), "{orc.p3}")``
    """
    launch = _placed(store, launch, partition_tag)
    made = yield from starting.checked(store, launch)
    if isinstance(made, StartedWorkflow):
        raise Conflict(f"workflow {made.workflow_id} was started by this request before, and has ended since")
    other = yield from _met(store, launch, made)
    yield from admission.reserve(store, made)
    # With its definition: a partition that turned out to lack it could not be given it any more.
    asked = made.asked(with_body=True, expected_other=other)
    call = partition.start(store.keys, store.keys.partition_of(made.workflow_id), [asked])
    return JoiningStart(call, launch, made)


def known(store: StoreContext) -> Plan[None]:
    """Make sure that the installation is on record, which tells a transaction elsewhere from one here."""
    yield installation.check_installation(store.keys)


def tag_of(store: StoreContext, workflow_id: str) -> str:
    """The hash tag of the partition in which the execution of this id lives."""
    return store.keys.partition_tag(store.keys.partition_of(workflow_id))


def _placed(store: StoreContext, launch: Launch, tag: str | None) -> Launch:
    keys, request = store.keys, launch.request
    if tag is None:
        if not store.is_ordered:
            raise InvalidRequest(
                f"workflow {request.name}: a transaction on a cluster has one slot; choose a tag with "
                "client.partition_tag(...), put it into the names of your keys, and give it as the option partition_tag"
            )
        return launch
    chosen = keys.partition_of_tag(tag)
    if chosen is None:
        raise InvalidRequest(
            f"partition_tag {tag!r} is not one of this installation; get one from client.partition_tag"
        )
    if launch.workflow_id is not None:
        there, what = keys.partition_of(launch.workflow_id), f"workflow id {launch.workflow_id!r}"
    elif request.idempotency_key:
        there = ids.partition_of_key(request.name, request.idempotency_key, keys.partitions)
        what = f"workflow {request.name} with idempotency key {request.idempotency_key!r}"
    else:
        return launch._replace(partition=chosen)
    if there != chosen:
        raise InvalidRequest(f"{what} lives at the partition_tag {keys.partition_tag(there)!r}, not at {tag!r}")
    return launch


def _met(store: StoreContext, launch: Launch, made: Start) -> Plan[str]:
    """Refuse now what would be refused in the EXEC; gives the execution that has ended and gives up its key, '' if none."""
    keys, number = store.keys, store.keys.partition_of(made.workflow_id)
    replies: list[Any] = yield [
        *partition.has_room(keys, number),
        partition.request_of(keys, number, made.workflow_id),
        partition.holder_of(keys, number, made.idempotency_field),
    ]
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    *_, request_id, other = replies
    if request_id not in (None, made.request_id):
        outcome(launch, made, StartReply(StartVerdict.TAKEN, ""))
    if other in (None, made.workflow_id):
        return ""
    if launch.request.idempotency_strategy is IdempotencyStrategy.FAIL_ON_RUNNING:
        status = yield partition.status_of(keys, number, other)
        if status is None or status in ENDED:
            return str(other)
    outcome(launch, made, StartReply(StartVerdict.EXISTS, other))
    return ""

"""Gates and executions, brought together: an execution asks or leaves, whoever is let in is told.

Every step may be repeated. Who was let in is told before that is noted; an execution that is not there any more gives
its place back, and whenever somebody has to wait, a few of those inside are looked for, so that a place that was lost
with its execution does not stay lost. Called by the relay and by the service.
"""

from __future__ import annotations

import logging
from typing import Any

from orchestrator.model.effects import LeaveGate, SeekAdmission
from orchestrator.plan import Command, Plan
from orchestrator.store import gates, partition
from orchestrator.store.context import StoreContext
from orchestrator.store.gates import GateReply

log = logging.getLogger(__name__)

ROUNDS_MAX = 100
"""So many rounds of telling follow one word to a gate; the next word to it goes on."""


def deliver(store: StoreContext, handoff: SeekAdmission | LeaveGate) -> Plan[bool]:
    """Bring an execution's word to its gate; gives whether all that follows is done."""
    keys = store.keys
    if isinstance(handoff, LeaveGate):
        return (yield from leave(store, handoff.gate, handoff.workflow_id, handoff.run))
    call = gates.ask(keys, handoff.gate, handoff.workflow_id, handoff.run, handoff.limit, rejects=handoff.rejects)
    (reply,) = yield [call]
    if not isinstance(reply, GateReply):
        return _failed(handoff.gate, reply)
    if reply.word == "REJECTED":
        reason = f"{reply.inside} executions run under its rate limit of {handoff.limit} already"
        (told,) = yield [_word(store, handoff.workflow_id, "rejected", handoff.gate, handoff.run, reason)]
        if isinstance(told, Exception):
            return _failed(handoff.gate, told)
    return (yield from settle(store, handoff.gate, reply))


def leave(store: StoreContext, gate: str, workflow_id: str, run: int | None = None) -> Plan[bool]:
    """Give a place back and tell who gets it; gives whether that is done."""
    (reply,) = yield [gates.leave(store.keys, gate, workflow_id, run)]
    if not isinstance(reply, GateReply):
        return _failed(gate, reply)
    return (yield from settle(store, gate, reply))


def settle(store: StoreContext, gate: str, reply: GateReply) -> Plan[bool]:
    """Tell those that were let in, and look for some of those inside when somebody waits."""
    keys = store.keys
    lost = yield from _lost(store, reply.suspects)
    untold = reply.untold
    for _ in range(ROUNDS_MAX):
        calls: list[Any] = [_word(store, wid, "admitted", gate, run, None) for wid, run in untold]
        answers: list[Any] = (yield calls) if calls else []
        failed = next((answer for answer in answers if isinstance(answer, Exception)), None)
        if failed is not None:
            return _failed(gate, failed)
        done = [
            gates.told(keys, gate, wid, run) if is_there else gates.leave(keys, gate, wid, run)
            for (wid, run), is_there in zip(untold, answers, strict=True)
        ]
        done += [gates.leave(keys, gate, wid, None) for wid in lost]
        lost = []
        if not done:
            return True
        noted = yield done
        failed = next((answer for answer in noted if isinstance(answer, Exception)), None)
        if failed is not None:
            return _failed(gate, failed)
        untold = noted[-1].untold
    return True


def _lost(store: StoreContext, suspects: list[str]) -> Plan[list[str]]:
    """Those of the executions that do not exist."""
    keys = store.keys
    if not suspects:
        return []
    found = yield [Command(("HEXISTS", keys.workflow(keys.partition_of(wid), wid), "v")) for wid in suspects]
    return [wid for wid, is_there in zip(suspects, found, strict=True) if is_there == 0]


def _word(store: StoreContext, workflow_id: str, action: str, gate: str, run: int, reason: str | None) -> Any:
    number = store.keys.partition_of(workflow_id)
    return partition.tell(store.keys, number, workflow_id, (action, gate, reason, "", run))


def _failed(gate: str, error: Any) -> bool:
    log.error("handoff_refused", extra={"gate": gate, "reason": str(error)})
    return False

"""From the outbox to where it is meant for: queues, other workflows, parents.

A hand-off is delivered at least once. Every receiver recognises a repetition (a queue by the task id, a start by the
derived workflow id, a parent by its task's state), and the entry leaves the outbox only when the receiver has it. Many
workflows' hand-offs travel together: one script per task type and batch.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from orchestrator.engine import admission, family
from orchestrator.engine.family import FamilyHandoff
from orchestrator.engine.notices import Notices
from orchestrator.model.definitions import TaskDef
from orchestrator.model.effects import Enqueue, Expedite, Handoff, LeaveGate, Notify, Remember, Remove, SeekAdmission
from orchestrator.plan import Call, Plan
from orchestrator.store import installation, output_cache, queue
from orchestrator.store.context import StoreContext
from orchestrator.store.queue_calls import BATCH_MAX
from orchestrator.store.queue_values import Limits, Offer

log = logging.getLogger(__name__)


class Letter(NamedTuple):
    """One outbox entry to deliver: where it stands and what it says."""

    partition: int
    outbox_id: str
    handoffs: Sequence[Handoff]


class Relay:
    """Delivers letters. Keeps nothing but what it learned of queues and limits."""

    def __init__(self, store: StoreContext) -> None:
        self._store = store
        self._known_queues: set[str] = set()
        self._notices = Notices(store)

    def deliver(self, letters: Sequence[Letter], limits: Mapping[str, Limits]) -> Plan[list[Letter]]:
        """Deliver and return the letters of which every hand-off has arrived.

        A lost connection raises; what was under way is delivered again from the outbox.
        """
        offers: dict[str, list[Offer]] = {}
        removals: dict[str, list[str]] = {}
        hastened: dict[str, list[str]] = {}
        outputs: list[Remember] = []
        relatives: list[tuple[int, FamilyHandoff]] = []
        others: list[tuple[int, SeekAdmission | LeaveGate]] = []
        news: list[tuple[int, Notify]] = []
        for index, letter in enumerate(letters):
            for handoff in letter.handoffs:
                if isinstance(handoff, Enqueue):
                    offer = _offer(handoff)
                    offers.setdefault(handoff.type, []).append(offer)
                elif isinstance(handoff, Remove):
                    removals.setdefault(handoff.type, []).append(handoff.task_id)
                elif isinstance(handoff, Expedite):
                    hastened.setdefault(handoff.type, []).append(handoff.task_id)
                elif isinstance(handoff, Remember):
                    outputs.append(handoff)
                elif isinstance(handoff, Notify):
                    news.append((index, handoff))
                elif isinstance(handoff, SeekAdmission | LeaveGate):
                    others.append((index, handoff))
                else:
                    relatives.append((index, handoff))
        failed: set[str | int] = set()  # task types that refused, and letters by their place
        if offers:
            answers = yield from queue.enqueue(self._store.queues, offers, limits)
            failed |= _refused(answers, "enqueue")
            yield from self._note_queues(offers)
        if removals:
            failed |= _refused((yield from queue.remove(self._store.queues, removals)), "remove")
        if hastened:
            failed |= _refused((yield from queue.expedite(self._store.queues, hastened)), "expedite")
        if outputs:
            yield from self._remember(outputs)
        for index, handoff in others:
            if not (yield from admission.deliver(self._store, handoff)):
                failed.add(index)
        if relatives:
            settled = yield from family.deliver(self._store, [one for _, one in relatives])
            failed |= {index for (index, _), is_settled in zip(relatives, settled, strict=True) if not is_settled}
        if news:
            settled = yield from self._notices.deliver([one for _, one in news])
            failed |= {index for (index, _), is_settled in zip(news, settled, strict=True) if not is_settled}
        if not failed:
            return list(letters)
        return [
            letter
            for index, letter in enumerate(letters)
            if index not in failed and not any(getattr(handoff, "type", None) in failed for handoff in letter.handoffs)
        ]

    def _remember(self, outputs: Sequence[Remember]) -> Plan[None]:
        """Leave outputs to later runs; one that the store does not take is only a run that nobody is spared."""
        keys = self._store.keys
        replies = yield [
            output_cache.write(keys, one.key, one.output, ttl_ms=one.ttl_ms, expires_ms=one.expires_ms)
            for one in outputs
        ]
        for one, reply in zip(outputs, replies, strict=True):
            if isinstance(reply, Exception):
                log.warning("output_not_cached", extra={"key": one.key, "reason": str(reply)})

    def enqueue_ahead(self, handoffs: Iterable[Sequence[Handoff]], limits: Mapping[str, Limits]) -> dict[str, Call]:
        """The offers of decisions whose commit is about to be sent, to go right behind it in the same pipeline.

        That saves a round trip per step of a workflow. If the commit is refused, the queue holds tasks that their
        partition does not know, and ``start_task`` turns them away; so this is only for a store that keeps the order of a
        pipeline, for queues that are known, and for decisions that put the same tasks there when they are made again. What
        does not arrive this way is delivered from the outbox.
        """
        if not self._store.is_ordered:
            return {}
        offers: dict[str, list[Offer]] = {}
        for group in handoffs:
            for handoff in group:
                if isinstance(handoff, Enqueue) and handoff.type in self._known_queues:
                    offer = _offer(handoff)
                    offers.setdefault(handoff.type, []).append(offer)
        queues = self._store.queues
        return {
            task_type: queues.enqueue_call(task_type, batch, limits.get(task_type))._replace(ordered=True)
            for task_type, batch in offers.items()
            if len(batch) <= BATCH_MAX
        }

    def _note_queues(self, task_types: Mapping[str, Any]) -> Plan[None]:
        new = [task_type for task_type in task_types if task_type not in self._known_queues]
        if new:
            (reply,) = yield [installation.add_queues(self._store.keys, new)]
            if isinstance(reply, Exception):
                log.error("queues_not_listed", extra={"task_types": new, "reason": str(reply)})
            else:
                self._known_queues.update(new)


def _offer(handoff: Enqueue) -> Offer:
    return Offer(handoff.task_id, handoff.domain, handoff.priority, handoff.delay_ms, handoff.keys)


def limits_of(task_defs: Mapping[str, TaskDef], revisions: Mapping[str, int], guard_ms: int) -> dict[str, Limits]:
    """The limits of every task type that has, or had, a registered definition; a deleted one limits nothing."""
    limits = {}
    for name, revision in revisions.items():
        task_def = task_defs.get(name)
        if task_def is None:
            limits[name] = Limits(revision)
            continue
        limits[name] = Limits(
            revision=revision,
            concurrency=max(task_def.concurrent_exec_limit or 0, 0),
            rate=max(task_def.rate_limit_per_frequency, 0),
            window_ms=max(task_def.rate_limit_frequency_in_seconds, 1) * 1000,
            guard_ms=guard_ms,
            per_key=bool(task_def.limit_key),
        )
    return limits


def _refused(answers: Mapping[str, Any], what: str) -> set[str | int]:
    failed: set[str | int] = set()
    for task_type, answer in answers.items():
        if isinstance(answer, Exception):
            log.error("handoff_refused", extra={"task_type": task_type, "what": what, "reason": str(answer)})
            failed.add(task_type)
    return failed

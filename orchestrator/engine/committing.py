"""Decisions to commits: one script per partition, more only when it would grow past the limits of a commit.

What the store accepted becomes the state in memory; what it refused is loaded anew and tried again, a bounded number of
times. Decisions whose commit failed as a whole are written one by one the next time, so that the one at fault is found.
Called by ``batch`` only.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from orchestrator.engine.case import Case
from orchestrator.engine.estate import Estate
from orchestrator.engine.relay import Letter
from orchestrator.engine.writing import write
from orchestrator.errors import PayloadUnavailable
from orchestrator.model.effects import Enqueue, Handoff
from orchestrator.plan import Plan, Receive, Send
from orchestrator.store.commit import CommitBatch, CommitReply
from orchestrator.store.failures import is_passing
from orchestrator.store.verdicts import Verdict

if TYPE_CHECKING:
    from orchestrator.engine.decider import Decider

log = logging.getLogger(__name__)

EVENTS_PER_COMMIT = 100
TASKS_PER_COMMIT = 250
BYTES_PER_COMMIT = 1024 * 1024

REFUSALS_MAX = {Verdict.CORRUPT: 2, Verdict.CONFLICT: 20}
"""How often a commit is tried again from freshly loaded state before the workflow is quarantined."""


class _Parcel(NamedTuple):
    """One commit and the cases in it, in the order of its sections."""

    estate: Estate
    batch: CommitBatch
    cases: list[Case]


class _Sent(NamedTuple):
    """Commits under way, the task types whose offers went right behind them, and the token for the replies."""

    parcels: list[_Parcel]
    ahead: list[str]
    token: Any


class Committing:
    """The commits of one turn. ``letters`` are what they handed off, ``gone`` partitions where events had vanished."""

    def __init__(self, decider: Decider) -> None:
        self._decider = decider
        self._keys = decider.store.keys
        self.letters: list[Letter] = []
        self.gone: set[Estate] = set()
        self._sent: list[_Sent] = []

    def send(self, cases: list[Case]) -> Plan[None]:
        """Send the decisions of some partitions off; a case that cannot be written gets its ``reason``."""
        by_estate: dict[Estate, list[Case]] = {}
        for case in cases:
            by_estate.setdefault(case.estate, []).append(case)
        parcels = [parcel for chosen in by_estate.values() for parcel in self._parcels(chosen)]
        if not parcels:
            return
        ahead = self._decider.relay.enqueue_ahead(
            [
                case.draft.handoffs
                for parcel in parcels
                for case in parcel.cases
                if case.draft is not None and not case.draft.minds_polls
            ],
            self._decider.definitions.limits,
        )
        token = yield Send([*(parcel.batch.call() for parcel in parcels), *ahead.values()])
        self._sent.append(_Sent(parcels, list(ahead), token))

    def receive(self) -> Plan[None]:
        """Take what became of everything that was sent.

        Raises the error of a server that cannot write at all, after the other partitions' replies were taken.
        """
        outage: Exception | None = None
        for parcels, ahead, token in self._sent:
            replies = yield Receive(token)
            arrived = {
                name for name, reply in zip(ahead, replies[len(parcels) :], strict=True) if isinstance(reply, int)
            }
            for parcel, reply in zip(parcels, replies, strict=False):
                if not isinstance(reply, Exception):
                    self._take(parcel, reply, arrived)
                elif is_passing(reply):
                    outage = reply
                else:
                    self._failed(parcel, reply)
        if outage is not None:
            raise outage

    def _parcels(self, cases: list[Case]) -> Iterable[_Parcel]:
        estate = cases[0].estate
        delivered, estate.delivered = estate.delivered, []
        parcel = _Parcel(estate, self._new_batch(estate, delivered), [])
        events = tasks = size = 0
        for case in cases:
            assert case.draft is not None
            more = len(case.draft.scheduled)
            if parcel.cases and (
                events + len(case.entries) > EVENTS_PER_COMMIT
                or tasks + more > TASKS_PER_COMMIT
                or size > BYTES_PER_COMMIT
                or estate.is_apart(case.workflow_id)
                or estate.is_apart(parcel.cases[-1].workflow_id)
            ):
                yield parcel
                parcel = _Parcel(estate, self._new_batch(estate, []), [])
                events = tasks = size = 0
            if not self._write(parcel, case):
                continue
            size += case.size
            events += len(case.entries)
            tasks += more
            parcel.cases.append(case)
        if events == estate.fresh and not any(case.is_freed for case in parcel.cases):
            parcel.batch.cut_inbox(estate.cursor)  # it holds all there was, so it is the only parcel
        if parcel.cases:
            yield parcel
        else:
            estate.delivered += delivered

    def _new_batch(self, estate: Estate, delivered: list[str]) -> CommitBatch:
        return CommitBatch(
            self._keys,
            estate.number,
            estate.epoch,
            self._decider.name,
            relayed=delivered,
            clears_suspects=estate.careful,
        )

    def _write(self, parcel: _Parcel, case: Case) -> bool:
        draft, number = case.draft, parcel.estate.number
        assert draft is not None
        section = parcel.batch.section(case.workflow_id, draft.state.version, [entry.id for entry in case.entries])
        try:
            case.size = write(section, self._keys, number, draft, self._decider.store.payloads)
        except PayloadUnavailable:
            raise  # nobody is to blame for it, and it passes
        except Exception as error:
            log.exception("decision_unwritable", extra={"workflow_id": case.workflow_id, "event": case.entries[0].id})
            parcel.batch.discard(section)
            case.reason = f"{type(error).__name__}: {error}"
            return False
        if case.is_freed:
            section.lift_quarantine()
        return True

    def _take(self, parcel: _Parcel, reply: CommitReply, arrived: set[str]) -> None:
        decider, estate = self._decider, parcel.estate
        if reply.fenced:
            decider.lose(estate)
            return
        decider.clock_ms = max(decider.clock_ms, reply.now_ms)
        estate.next_timer_ms = reply.next_due_ms
        if decider.witness is not None:
            decider.witness.batched(sum(len(case.entries) for case in parcel.cases))
        for case, (verdict, outbox_id) in zip(parcel.cases, reply.verdicts, strict=True):
            draft = case.draft
            assert draft is not None
            if verdict is Verdict.OK:
                if decider.witness is not None:
                    decider.witness.committed(draft)
                estate.apply(draft, case.size)
                estate.absolve(case.workflow_id)
                if outbox_id and not draft.minds_polls and all(_went_ahead(one, arrived) for one in draft.handoffs):
                    estate.delivered.append(outbox_id)
                elif outbox_id:
                    self.letters.append(Letter(estate.number, outbox_id, draft.handoffs))
            elif verdict is Verdict.GONE:
                self.gone.add(estate)
            else:
                self._refused(case, verdict)

    def _refused(self, case: Case, verdict: Verdict) -> None:
        """CONFLICT or CORRUPT: load anew and try again, a bounded number of times."""
        estate = case.estate
        estate.forget(case.workflow_id)
        count = estate.refusals[case.workflow_id] = estate.refusals.get(case.workflow_id, 0) + 1
        if count >= REFUSALS_MAX[verdict]:
            case.reason = f"commit refused {count} times: {verdict.value}"
        else:
            estate.retry += case.entries

    def _failed(self, parcel: _Parcel, error: Exception) -> None:
        """The script itself failed and wrote nothing: write its cases apart, or blame the only one."""
        log.error("commit_failed", extra={"partition": parcel.estate.number, "reason": str(error)})
        if len(parcel.cases) == 1:
            parcel.cases[0].reason = f"the commit failed: {error}"
            return
        for case in parcel.cases:
            parcel.estate.forget(case.workflow_id)
            parcel.estate.apart.add(case.workflow_id)
            parcel.estate.retry += case.entries


def _went_ahead(handoff: Handoff, arrived: set[str]) -> bool:
    """Whether a hand-off went along with its commit; its outbox entry is then only to be deleted."""
    return isinstance(handoff, Enqueue) and handoff.type in arrived

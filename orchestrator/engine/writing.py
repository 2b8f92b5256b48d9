"""A decision as a section of a commit: which field of which key changes, and nothing that did not change."""

from __future__ import annotations

from msgspec import Raw
from msgspec.structs import replace

from orchestrator.core.draft import Draft
from orchestrator.model.effects import encode_handoffs
from orchestrator.model.records import Result, Scheduled, encode, superseded_name
from orchestrator.model.status import is_terminal
from orchestrator.payloads import PayloadStorage
from orchestrator.plan import Argument
from orchestrator.store import awaiting
from orchestrator.store.commit import Section
from orchestrator.store.dispatch import open_task
from orchestrator.store.keys import Keys
from orchestrator.store.partition import message_field
from orchestrator.store.timers import timer_member


def write(section: Section, keys: Keys, number: int, draft: Draft, payloads: PayloadStorage) -> int:
    """Put the decision into its section of a commit; returns about how many bytes that will be.

    Payloads that are too large to stay go to their storage first. Raises ``PayloadUnavailable``.
    """
    core = encode(draft.core)
    size = len(core)
    section.put_workflow("c", core)
    if draft.variables_packed is not None:
        section.put_workflow("x", draft.variables_packed)
        size += len(draft.variables_packed)
    kept = [
        None if one is None else payloads.moved_out(draft.workflow_id, one)
        for one in (draft.output, draft.input_packed)
    ]
    for field, value in (("o", kept[0]), ("m", draft.meta_packed), ("i", kept[1])):
        if value is not None:
            section.put_workflow(field, value)
            size += len(value)
    if draft.is_wiped:
        section.drop_all_records()
    size += _write_records(section, draft, payloads)
    _write_dispatch(section, draft)
    _write_timers(section, draft)
    if draft.awaiting:
        _write_awaiting(section, keys, number, draft)
    _write_status(section, keys, number, draft)
    _publish(section, draft)
    if draft.handoffs:
        body = encode_handoffs(draft.handoffs)
        size += len(body)
        section.outbox(body)
    if draft.again:
        section.again()
    for request_id, answer in draft.answers:
        section.answer(request_id, answer)
    return size


def _write_records(section: Section, draft: Draft, payloads: PayloadStorage) -> int:
    pairs: list[Argument] = []
    size = 0
    for ref, scheduled in draft.scheduled.items():
        record = encode(_scheduled(draft, scheduled, payloads))
        size += len(record)
        pairs += ("S" + ref, record)
    for ref, result in draft.results.items():
        record = encode(_result(draft, result, payloads))
        size += len(record)
        pairs += ("R" + ref, record)
    gone = [letter + name for name in draft.dropped for letter in "SR"]
    if gone:
        section.drop_records(gone)
    # A step that is made anew in a later generation may take the place of one that had ended.
    stale = ["R" + ref for ref, made in draft.scheduled.items() if made.generation and ref not in draft.results]
    for number, message in draft.pushed.items():
        size += len(message)
        pairs += (message_field(number), message)
    for scheduled, result in draft.superseded:
        name = superseded_name(scheduled.ref, scheduled.attempt, scheduled.generation)
        old, ended = encode(_scheduled(draft, scheduled, payloads)), encode(_result(draft, result, payloads))
        size += len(old) + len(ended)
        pairs += ("S" + name, old, "R" + name, ended)
        if scheduled.ref not in draft.results:
            stale.append("R" + scheduled.ref)
    if pairs:
        section.put_workflow(*pairs)
    stale += [message_field(number) for number in draft.pulled]
    if stale:
        section.drop_records(stale)
    return size


def _scheduled(draft: Draft, scheduled: Scheduled, payloads: PayloadStorage) -> Scheduled:
    if not payloads.is_used:
        return scheduled
    given = bytes(scheduled.input)
    stays = payloads.moved_out(draft.workflow_id, given)
    return scheduled if stays is given else replace(scheduled, input=Raw(stays))


def _result(draft: Draft, result: Result, payloads: PayloadStorage) -> Result:
    if not payloads.is_used:
        return result
    output = bytes(result.output)
    stays = payloads.moved_out(draft.workflow_id, output)
    return result if stays is output else replace(result, output=Raw(stays))


def _write_dispatch(section: Section, draft: Draft) -> None:
    if draft.guarded:
        section.expect_open(list(draft.guarded))
    if draft.closed:
        section.drop_dispatch(list(draft.closed))
    if draft.opened:
        pairs: list[Argument] = []
        for suffix, entry in draft.opened.items():
            pairs += (
                suffix,
                open_task(
                    entry.ref,
                    state=entry.state,
                    timeout_ms=entry.timeout_ms,
                    response_ms=entry.response_ms,
                    tells_start=entry.tells_start,
                ),
            )
        section.put_dispatch(pairs)


def _write_timers(section: Section, draft: Draft) -> None:
    armed: list[Argument] = []
    disarmed: list[str] = []
    workflow_id = draft.workflow_id
    for (suffix, ref), due_ms in draft.timers.items():
        member = timer_member(workflow_id, suffix, ref)
        if due_ms:
            armed += (due_ms, member)
        else:
            disarmed.append(member)
    if disarmed:
        section.disarm(disarmed)
    if armed:
        section.arm(armed)


def _write_awaiting(section: Section, keys: Keys, number: int, draft: Draft) -> None:
    """Where an event finds the tasks that await it: the entry is there exactly as long as the task is open."""
    key = keys.awaiting_webhook(number, draft.state.meta.name)
    for (suffix, mark), is_open in draft.awaiting.items():
        member = awaiting.member(mark, f"{draft.workflow_id}-{suffix}")
        if is_open:
            section.index(key, 0, member)
        else:
            section.unindex(key, member)


def _write_status(section: Section, keys: Keys, number: int, draft: Draft) -> None:
    """The status and the indexes that follow it; an index is never behind the state, because one script writes both."""
    core, before = draft.core, draft.state.core
    old = before.status if before is not None else None
    status = str(core.status)
    is_moved = before is None or before.created_ms != core.created_ms
    old_mark, mark = draft.before.meta.correlation_id, draft.state.meta.correlation_id
    if mark != old_mark:
        if old_mark:
            section.unindex(keys.by_correlation(number, old_mark))
        if mark:
            section.index(keys.by_correlation(number, mark), core.created_ms)
    if status == old and not is_moved:
        return
    section.put_workflow("s", status)
    if old is not None and old != status:
        section.unindex(keys.by_status(number, old))
    if is_moved:
        meta = draft.state.meta
        section.index(keys.by_name(number, meta.name), core.created_ms)
        if meta.correlation_id:
            section.index(keys.by_correlation(number, meta.correlation_id), core.created_ms)
    section.index(keys.by_status(number, status), core.created_ms)


def _publish(section: Section, draft: Draft) -> None:
    """A start may be waited for, an end, and what a caller reports; other changes only where somebody said so."""
    core, before = draft.core, draft.before.core
    is_new_end = is_terminal(core.status) and (before is None or before.status != core.status)
    if before is None or is_new_end or draft.is_awaited or core.watched_until_ms > draft.now:
        section.publish_done(str(core.status))

"""JOIN scripts: a script of the definition decides when a JOIN is over, and how.

Its input is the JOIN's inputs, ``joinOn`` (the members by reference name) and under its name each member that has begun
or may still: the keys of its output, and over them ``status`` (SCHEDULED for one that has not begun), ``outputData``,
``referenceTaskName``, ``taskId`` and ``reasonForIncompletion``. It answers true (over), a map with ``status``
(IN_PROGRESS, or how the JOIN ends), ``reasonForIncompletion`` and ``outputData``, which is laid over the JOIN's output,
or anything else, which means: not yet. That is the contract Orkes documents. A JOIN whose script still waits when all
members have ended fails: nobody would ask it again. Members that are open when it ends go on beside what follows it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from msgspec import Raw
from msgspec.structs import replace

from orchestrator.core import advance, scripting
from orchestrator.core.program import execution_ref
from orchestrator.core.scope import DraftScope
from orchestrator.core.script_reads import reads_of
from orchestrator.errors import InvalidPayload
from orchestrator.model.evaluation import Evaluation
from orchestrator.model.records import FORMAT, Result
from orchestrator.model.scripts import LANGUAGES
from orchestrator.model.status import TaskStatus, is_terminal

if TYPE_CHECKING:
    from orchestrator.core.draft import Draft
    from orchestrator.core.program import Node
    from orchestrator.core.state import TaskRecord


def ask(d: Draft, node: Node, record: TaskRecord, may_begin: Callable[[str], bool]) -> Evaluation | None:
    """The script's answer on how the members stand; None when it comes later. ``may_begin``: of one that has not."""
    language, script = LANGUAGES.get(node.task.evaluator_type or "", "javascript"), node.task.expression or ""
    reads = reads_of(language, script)
    members = [ref for ref in record.input["joinOn"] if reads is None or ref in reads]
    names = {ref: _called(d, node, record, ref) for ref in members}
    d.require_tasks(names.values())
    given: dict[str, Any] = dict(record.input)
    for ref, name in names.items():
        member = d.record(name)
        if member is not None:
            given[ref] = _shown(d, ref, member)
        elif may_begin(ref):
            given[ref] = {"status": str(TaskStatus.SCHEDULED), "outputData": {}, "referenceTaskName": name}
    return scripting.evaluate(d, node, record.scheduled.iteration, purpose(d, record), language, script, given)


def take(d: Draft, node: Node, record: TaskRecord, evaluation: Evaluation) -> None:
    """Do what the script says."""
    if evaluation.error is not None:
        _end(
            d, record, "FAILED_WITH_TERMINAL_ERROR", f"Unable to evaluate the join script, exception {evaluation.error}"
        )
        return
    told = evaluation.value if isinstance(evaluation.value, dict) else {}
    status = told.get("status") or ("COMPLETED" if evaluation.value is True else "IN_PROGRESS")
    if status not in (*_ENDS, "IN_PROGRESS"):
        _end(d, record, "FAILED_WITH_TERMINAL_ERROR", f"The join script answered with the status {status}")
        return
    try:
        given = told.get("outputData")
        output = d.pack_payload(given if isinstance(given, dict) else {}, "output")
    except InvalidPayload as error:
        _end(d, record, "FAILED_WITH_TERMINAL_ERROR", f"The output of the join script cannot be stored: {error}")
        return
    reason = told.get("reasonForIncompletion")
    reason = None if reason is None else str(reason)
    if status != "IN_PROGRESS":
        _end(d, record, status, reason, output)
    elif d.core.joins[record.scheduled.ref].remaining > 0:
        made = record.scheduled
        held = record.result or Result(FORMAT, made.status, 0, started_ms=made.scheduled_ms)
        d.set_result(record, replace(held, reason=reason, output=Raw(output)))
    else:
        told_so = f": {reason}" if reason else ""
        _end(d, record, "FAILED", f"All tasks have ended and the join script still waits{told_so}", output)


def purpose(d: Draft, record: TaskRecord) -> str:
    """What the script is asked for now: how many members had ended tells its questions apart."""
    join = d.core.joins[record.scheduled.ref]
    return scripting.judgement_of(join.members - join.remaining)


def is_final(evaluation: Evaluation) -> bool:
    """Whether an answer ends the JOIN, whatever else has happened since."""
    value = evaluation.value
    status = value.get("status") if isinstance(value, dict) else None
    return evaluation.error is not None or value is True or status not in (None, "IN_PROGRESS")


_ENDS = [str(status) for status in TaskStatus if is_terminal(status) and status != TaskStatus.SKIPPED]


def _called(d: Draft, node: Node, record: TaskRecord, ref: str) -> str:
    return execution_ref(ref, record.scheduled.iteration) if node.fork else d.latest(ref)


def _shown(d: Draft, ref: str, member: TaskRecord) -> dict[str, Any]:
    output = DraftScope(d, None).output_of(ref, member)
    result = member.result
    return {
        **(output if isinstance(output, dict) else {}),
        "status": str(member.status),
        "outputData": output,
        "referenceTaskName": member.scheduled.ref,
        "taskId": d.task_id(member),
        "reasonForIncompletion": result.reason if result is not None else None,
    }


def _end(d: Draft, record: TaskRecord, status: str, reason: str | None, output: bytes | None = None) -> None:
    del d.core.joins[record.scheduled.ref]
    advance.finish(d, record, status, reason=reason, output=output)

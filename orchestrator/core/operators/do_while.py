"""DO_WHILE: the body runs round after round, while a condition holds or until a list is at its end.

Its task is open until then and says which round it is in; the core record counts the open tasks of the body. A round is
over when nothing of it is open and no step is due, which ``turn`` notices after every event, one round after the other:
there is no recursion. The condition sees the inputs, rendered anew, the outputs of the body's latest tasks and the
output of the loop (Conductor: DoWhile); of these only what its text can read is loaded.

Ours on purpose: loops may stand in each other; a permissive task that failed fails the loop when its round is over;
an input ``items`` is gone through beside the condition that never holds which the Python SDK writes with it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from msgspec import Raw
from msgspec.structs import replace

from orchestrator.core import advance, scripting
from orchestrator.core.dropping import drop_round
from orchestrator.core.program import execution_ref
from orchestrator.core.rounds import kept_rounds
from orchestrator.core.scope import DraftScope
from orchestrator.core.script_reads import reads_of
from orchestrator.errors import InvalidPayload
from orchestrator.model.records import FORMAT, Loop, Result
from orchestrator.model.scripts import LANGUAGES

if TYPE_CHECKING:
    from orchestrator.core.draft import Draft
    from orchestrator.core.program import Node
    from orchestrator.core.state import TaskRecord
    from orchestrator.model.evaluation import Evaluation

ROUNDS_MAX = 100_000
"""Where a loop ends that keeps all its rounds: a condition that never becomes false must not fill the store."""

_OF_FOR_EACH = re.compile(r"if \( \$\..+\.iteration < 0 \) \{ true; \} else \{ false; \}")
"""What ``ForEachTask`` of Conductor's Python SDK has for a condition, and ``items`` among the inputs."""


def enter(d: Draft, node: Node, iteration: int, previous: TaskRecord | None) -> None:
    """Begin the first round; a list without elements has none."""
    try:
        packed = d.pack_payload(d.render_input(node, iteration, previous), "input")
    except InvalidPayload as error:
        advance.refuse(d, node, iteration, previous, "DO_WHILE", f"The task's input cannot be stored: {error}")
        return
    before = d.iteration_of(node.ref)
    record = d.create(
        node,
        iteration,
        type_="DO_WHILE",
        name=node.task.name,
        input_=packed,
        previous=previous,
        rounds_before=before,
    )
    d.core.loops[node.ref] = Loop(record.scheduled.ref, before, branch=node.branch)
    d.arm_waiting(node, record)
    items = _items(d, node, record)
    if items is not None and not items:
        _finish(d, node, record, "COMPLETED", output=d.pack_payload({"iteration": 0}, "output"))
    else:
        _begin_round(d, node, record, items)


def reopen(d: Draft, node: Node, record: TaskRecord) -> None:
    """Go on in the round that the core record names; how many of its tasks are open is counted by the caller."""
    last = record.scheduled.rounds_before + _rounds(record)
    known = d.core.loops.get(node.ref)
    number = min(known.iteration, last) if known is not None else last
    d.core.loops[node.ref] = Loop(record.scheduled.ref, number, branch=node.branch)
    done = number - record.scheduled.rounds_before
    if done != _rounds(record) and record.result is not None:
        items = _items(d, node, record)
        shown: dict[str, Any] = {"iteration": done}
        if items is not None:
            shown |= {"loopIndex": done - 1, "loopItem": items[done - 1] if done <= len(items) else None}
        d.set_result(record, replace(record.result, output=Raw(d.pack_payload(shown, "output"))))


def turn(d: Draft) -> bool:
    """End the rounds that are over; returns whether there was any, and so something may be due now."""
    core = d.core
    if not core.loops or core.status != "RUNNING" or core.agenda:
        return False
    over = [name for name, loop in core.loops.items() if loop.ref and not loop.open and loop.ref not in core.evaluating]
    for name in over:
        if core.status == "RUNNING":  # the end of one may be that of the workflow
            _end_round(d, d.node(name, core.loops[name].branch))
    return bool(over)


def evaluated(d: Draft, node: Node, iteration: int, purpose: str, evaluation: Evaluation) -> None:
    """The condition has an answer: another round, or the end."""
    record = d.record(execution_ref(node.ref, iteration))
    assert record is not None, f"{node.ref} was evaluated without having a task"
    if evaluation.error is not None:
        reason = f"Unable to evaluate condition {node.task.loop_condition}, exception {evaluation.error}"
        _finish(d, node, record, "FAILED_WITH_TERMINAL_ERROR", reason=reason)
    elif _is_true(evaluation.value):
        _begin_round(d, node, record, _items(d, node, record))
    else:
        _finish(d, node, record, "COMPLETED")


def _end_round(d: Draft, node: Node) -> None:
    loop = d.core.loops[node.ref]
    record = d.record(loop.ref)
    assert record is not None, f"loop {loop.ref} is open without a record"
    if loop.failed:
        _finish(d, node, record, "FAILED", reason=" ".join(loop.failed))
        return
    done, kept = _rounds(record), kept_rounds(node)
    if kept and done > kept:
        drop_round(d, node, record, done - kept)
    items = _items(d, node, record)
    condition = "" if _is_for_each(node) else node.task.loop_condition or ""
    if items is not None and done >= len(items):
        _finish(d, node, record, "COMPLETED")
    elif items is not None and not condition.strip():
        _begin_round(d, node, record, items)
    else:
        _ask(d, node, record, condition)


def _begin_round(d: Draft, node: Node, record: TaskRecord, items: list[Any] | None) -> None:
    done = _rounds(record)
    if done >= ROUNDS_MAX and not kept_rounds(node):
        reason = f"The loop has run {ROUNDS_MAX} rounds; one that is to run longer needs keepLastN"
        _finish(d, node, record, "FAILED_WITH_TERMINAL_ERROR", reason=reason)
        return
    shown: dict[str, Any] = {"iteration": done + 1}
    if items is not None:
        shown |= {"loopIndex": done, "loopItem": items[done]}
    try:
        output = Raw(d.pack_payload(shown, "output"))
    except InvalidPayload as error:
        _finish(d, node, record, "FAILED_WITH_TERMINAL_ERROR", reason=f"The loop's output cannot be stored: {error}")
        return
    loop = d.loop(node.ref)
    loop.iteration += 1
    loop.failed = []
    made = record.scheduled
    held = record.result or Result(FORMAT, made.status, 0, started_ms=made.scheduled_ms)
    d.set_result(record, replace(held, output=output))
    d.go(node.task.loop_over[0].task_reference_name, loop.iteration)


def _ask(d: Draft, node: Node, record: TaskRecord, condition: str) -> None:
    """Have the condition evaluated on what it can read."""
    made, language = record.scheduled, LANGUAGES.get(node.task.evaluator_type or "", "javascript")
    given: dict[str, Any] = dict(d.render_input(node, made.iteration, None))
    given |= {key: value for key, value in record.output.items() if key in ("loopIndex", "loopItem")}
    reads = reads_of(language, condition)
    names = [ref for ref in (node.ref, *node.rounds) if reads is None or ref in reads]
    d.require(names)
    for name in names:
        found = d.record(d.latest(name))
        if found is not None:
            members = reads[name] if reads is not None and name == node.ref else None
            given[name] = _scope(d, name, members).output_of(name, found)
    purpose = scripting.condition_of(_rounds(record))
    answer = scripting.evaluate(d, node, made.iteration, purpose, language, condition, given)
    if answer is not None:
        evaluated(d, node, made.iteration, purpose, answer)


def _scope(d: Draft, name: str, members: set[str] | None) -> DraftScope:
    if members is None:
        return DraftScope(d, None)
    return DraftScope(d, frozenset((name, "output", member) for member in members))


def _items(d: Draft, node: Node, record: TaskRecord) -> list[Any] | None:
    """The list that the loop goes through, evaluated now; None = it has none."""
    if node.task.items is not None:
        found = d.render(node.extra, node.extra_reads)["items"]
    elif "_items" in node.task.input_parameters:
        found = d.render_input(node, record.scheduled.iteration, None)["_items"]
    elif _is_for_each(node):
        found = d.render_input(node, record.scheduled.iteration, None)["items"]
    else:
        return None
    if found is None:
        return []
    return found if isinstance(found, list) else [found]


def _is_for_each(node: Node) -> bool:
    task = node.task
    return "items" in task.input_parameters and _OF_FOR_EACH.fullmatch(task.loop_condition or "") is not None


def _rounds(record: TaskRecord) -> int:
    """How many rounds this run of the loop has begun."""
    found: int = record.output.get("iteration", 0)
    return found


def _finish(
    d: Draft, node: Node, record: TaskRecord, status: str, *, reason: str | None = None, output: bytes | None = None
) -> None:
    if node.branch and node.loop is None:
        del d.core.loops[node.ref]  # nobody can name its rounds any more
    else:
        d.loop(node.ref).ref = ""
    advance.finish(d, record, status, reason=reason, output=output)


def _is_true(value: Any) -> bool:
    """Conductor's idea of truth: true, or a number above zero."""
    return value is True or (type(value) in (int, float) and value > 0)

"""Upgrade: a workflow under way goes on by another version of its definition, from where it stands.

What is open or due must have its place in that version: the same step, of the same type, reached through the same forks,
loops and branches. Steps that the version has before that place are passed over, with outputs that the caller gives; a
branch that a fork under way did not have begins. Refused is what would leave a task without a place, or do one twice.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from orchestrator.codec import EMPTY_MAP
from orchestrator.core import advance, operators
from orchestrator.core.beginning import arm_timeout
from orchestrator.core.draft import Draft
from orchestrator.core.operations.answers import Answer, accept, label, refuse, refuse_ended
from orchestrator.core.operators import switch
from orchestrator.core.program import JOIN_TYPES, Node, Program, execution_ref
from orchestrator.core.schemas import violation
from orchestrator.core.state import TaskRecord
from orchestrator.errors import InvalidPayload
from orchestrator.model.definitions import WorkflowTask
from orchestrator.model.records import Scheduled


def upgrade(d: Draft, arguments: dict[str, Any]) -> Answer:
    """Go on by the definition ``definition_hash``, which the partition has; ``child_versions`` goes with it.

    ``task_output`` are the outputs of steps that are passed over, by reference name; ``workflow_input`` is laid over the
    input.
    """
    if (ended := refuse_ended(d, "only one that is under way can be upgraded")) is not None:
        return ended
    former, definition_hash = d.program, arguments.get("definition_hash") or ""
    if not d.use_program(definition_hash):
        return refuse("NOT_FOUND", f"the definition that workflow {label(d)} is to use is not there")
    move = _Move(d, former, arguments.get("task_output") or {})
    given = {**d.state.input, **(arguments.get("workflow_input") or {})}
    refusal = _refuse_definition(d, given) or move.plan()
    try:
        packed = d.pack_payload(given, "workflow_input")
        outputs = move.packed_outputs()
    except InvalidPayload as error:
        refusal = refusal or refuse(error.code, str(error))
    if refusal is not None:
        d.program = former
        return refusal
    if arguments.get("workflow_input"):
        d.set_input(packed)
    versions = arguments.get("child_versions") or {}
    version = d.program.definition.version
    d.set_meta(replace(d.state.meta, definition_hash=definition_hash, version=version, child_versions=versions))
    _take_over(d, former)
    move.carry_out(outputs)
    return accept(d, version=version, skipped=[execution_ref(node.ref, number) for node, number in move.passed])


def is_between_steps(d: Draft) -> bool:
    """Whether steps are due that an earlier decision left over: the workflow stands nowhere before they are entered."""
    return bool(d.core.agenda)


def _refuse_definition(d: Draft, given: dict[str, Any]) -> Answer | None:
    definition, meta = d.program.definition, d.state.meta
    if definition.name != meta.name:
        return refuse("INVALID_REQUEST", f"workflow {label(d)} can only go on by a version of {meta.name}")
    if definition.input_schema is not None and definition.enforce_schema:
        fault = violation(definition.input_schema, given, "input")
        if fault is not None:
            return refuse("INVALID_REQUEST", f"The workflow's input does not comply with its schema: {fault}")
    return None


def _take_over(d: Draft, former: Program) -> None:
    """Variables that are new, and the time-out."""
    held = d.current_variables()
    new = {name: value for name, value in d.program.definition.variables.items() if name not in held}
    if new:
        d.variables = {**held, **new}
    if former.definition.timeout_seconds > 0:
        d.timers["-", ""] = 0
    arm_timeout(d)


class _Misplaced(Exception):
    """Something that is under way has no place in the other version."""


class _Move:
    """From one program to another: first all is found that follows from it, then it is done."""

    def __init__(self, d: Draft, former: Program, outputs: dict[str, Any]) -> None:
        self.d = d
        self.former = former
        self.nodes = d.program.nodes
        self.outputs = outputs
        self.passed: list[tuple[Node, int]] = []  # steps that the flow would have come by before
        self.entered: list[tuple[str, int]] = []  # steps that it has to be taken to
        self.has_begun = True  # otherwise it waits for its turn before its first step
        self.held: set[str] = set()
        self.homeless: set[str] = set()  # what is under way and has not been met in the other version yet

    def plan(self) -> Answer | None:
        """Find what is to be done; gives the refusal if it cannot be."""
        d = self.d
        d.branches.clear()  # they were compiled among the steps of the former version
        d.dynamic.clear()
        d.require(dict.fromkeys([*self.former.nodes, *self.nodes]))
        try:
            self.has_begun = self._check_steps()
            if self.has_begun:
                self._check_due()
            self._pass(d.program.definition.tasks, 0, is_live=True)
            if self.homeless:
                raise _Misplaced(f"{min(self.homeless)} lies elsewhere in it")
        except _Misplaced as fault:
            version = d.program.definition.version
            return refuse("CONFLICT", f"workflow {label(d)} cannot go on by version {version}: {fault}")
        passed = {node.ref for node, _ in self.passed}
        for ref, output in self.outputs.items():
            if ref not in passed:
                return refuse("INVALID_REQUEST", f"task_output names {ref}, which is not passed over")
            if not isinstance(output, dict):
                return refuse("INVALID_REQUEST", f"task_output.{ref} must be a map, not {type(output).__name__}")
        return None

    def packed_outputs(self) -> list[bytes]:
        """The outputs of the steps that are passed over. Raises ``InvalidPayload``."""
        return [self.d.pack_payload(self.outputs.get(node.ref, {}), node.ref) for node, _ in self.passed]

    def carry_out(self, outputs: list[bytes]) -> None:
        """Pass over what lies before, go on where nothing would, and have JOINs wait for what they list now."""
        d = self.d
        for (node, iteration), output in zip(self.passed, outputs, strict=True):
            ref = execution_ref(node.ref, iteration)
            if d.record(ref) is None:
                d.pass_over(node, iteration, EMPTY_MAP, output)
            d.core.skips = [other for other in d.core.skips if other != ref]
        d.core.skips = [ref for ref in d.core.skips if _step_of(ref, self.nodes) is not None]
        if d.core.last_ref is not None and _step_of(d.core.last_ref, self.nodes) is None:
            d.core.last_ref = None  # its output is no longer the workflow's
        if not self.has_begun:
            d.core.held = []
        for ref, iteration in self.entered:
            d.go(ref, iteration)
        for ref in list(d.core.joins):
            self._count_anew(ref)

    # --- what there is ------------------------------------------------------------------------------------------------

    def _check_steps(self) -> bool:
        """Whether anything has begun; what has, must be the same kind of step, in the same loop."""
        d, begun = self.d, False
        for ref, old in self.former.nodes.items():
            record = self._record(old, d.iteration_of(old.loop))
            if record is None:
                continue
            new = self.nodes.get(ref)
            begun = True
            if record.is_open:
                self.homeless.add(record.scheduled.ref)
            if new is None and record.is_open:
                raise _Misplaced(f"it has no step {ref}, which is open")
            if new is not None and _kind(new) != _kind(old):
                raise _Misplaced(f"{ref} has run as {_words(old)} and is {_words(new)} there")
        for ref in self.nodes.keys() - self.former.nodes.keys():
            node = self.nodes[ref]
            record = self._record(node, d.iteration_of(node.loop))
            if record is not None and not _is_of(record.scheduled, node.task):
                raise _Misplaced(f"{ref} is the name of a task that has run by an earlier version")
        return begun

    def _check_due(self) -> None:
        for step in self.d.core.held:
            node = self.former.nodes.get(step.ref)
            if node is None:
                continue  # a step of a dynamic branch, or a script's, whose owner is open
            new = self.nodes.get(step.ref)
            if new is None or _kind(new) != _kind(node):
                raise _Misplaced(f"{step.ref} is due and {'not there' if new is None else _words(new) + ' there'}")
            if step.index > 0:
                raise _Misplaced(f"{step.ref} is being fanned out; resume the workflow first")
            self.held.add(execution_ref(step.ref, step.iteration))
        self.homeless |= self.held

    def _record(self, node: Node, iteration: int) -> TaskRecord | None:
        """The task of a step that the flow has reached."""
        ref = execution_ref(node.ref, iteration)
        return self.d.record(ref) if ref not in self.d.core.skips else None

    # --- where it stands ----------------------------------------------------------------------------------------------

    def _pass(self, tasks: list[WorkflowTask], iteration: int, *, is_live: bool) -> None:
        """Go through a list of steps; ``is_live``: the flow is in it, up to the last step that was reached."""
        steps = [self.nodes[task.task_reference_name] for task in tasks]
        reached = [number for number, node in enumerate(steps) if self._is_reached(node, iteration)]
        last = reached[-1] if reached else -1
        for number, node in enumerate(steps[: last + 1] if is_live else steps):
            if number not in reached:
                self.passed.append((node, iteration))
                continue
            ref = execution_ref(node.ref, iteration)
            is_under_way = ref in self.homeless
            if is_under_way and not (is_live and number == last):
                raise _Misplaced(f"{ref} is under way, and what follows it there has begun")
            self.homeless.discard(ref)
            goes_on = is_live and number == last and not is_under_way
            if not self._pass_inside(node, iteration, is_live=is_live and number == last) and goes_on:
                self._enter(node.next, iteration)
        if is_live and steps and last < 0:
            self._enter(steps[0].ref, iteration)

    def _pass_inside(self, node: Node, iteration: int, *, is_live: bool) -> bool:
        """Go through the lists inside a step; gives whether the flow that is to go on behind it is in one of them."""
        d, task = self.d, node.task
        record = self._record(node, iteration)
        if record is None or record.status == "SKIPPED":
            return False
        if task.type in ("SWITCH", "DECISION") and record.status == "COMPLETED":
            taken = switch.case_taken(task, switch.label_of(record))
            branch = (task.default_case or []) if taken is None else task.decision_cases[taken]
            self._pass(branch, iteration, is_live=is_live)
            return bool(branch)
        if task.type == "FORK_JOIN":
            is_joined = execution_ref(node.next or "", iteration) in d.core.joins
            for branch in task.fork_tasks:
                self._pass(branch, iteration, is_live=is_joined)
        elif task.type == "DO_WHILE" and record.output.get("iteration"):
            loop = d.core.loops[node.ref]
            goes_round = loop.ref == record.scheduled.ref and loop.ref not in d.core.evaluating
            self._pass(task.loop_over, loop.iteration, is_live=goes_round)
        return False

    def _is_reached(self, node: Node, iteration: int) -> bool:
        return execution_ref(node.ref, iteration) in self.held or self._record(node, iteration) is not None

    def _enter(self, ref: str | None, iteration: int) -> None:
        if ref is not None:
            self.entered.append((ref, iteration))

    # --- JOINs --------------------------------------------------------------------------------------------------------

    def _count_anew(self, ref: str) -> None:
        """Have an open JOIN wait for the members that this version gives it."""
        d = self.d
        node = _step_of(ref, self.nodes)
        record = d.record(ref)
        if node is None or record is None or node.fork is not None:
            return
        if record.input.get("joinOn") != node.members:
            record = d.amend_input(record, d.pack_payload({**record.input, "joinOn": node.members}, "input"))
        again = operators.reopen(node)
        assert again is not None
        again(d, node, record)
        if ref not in d.core.evaluating:
            advance.complete_join(d, ref)


def _step_of(ref: str, nodes: dict[str, Node]) -> Node | None:
    """The step that a task of this reference belongs to."""
    return nodes.get(ref) or nodes.get(ref.rpartition("__")[0])


def _kind(node: Node) -> tuple[str, str | None, str | None]:
    """What of a step decides how its task is named and kept."""
    return node.task.type, node.loop, node.fork if node.task.type in JOIN_TYPES else None


def _is_of(made: Scheduled, task: WorkflowTask) -> bool:
    """Whether a task that an earlier version made may be that of this step."""
    if task.type == "DYNAMIC":
        return made.step is not None
    return made.type == (task.name if task.type == "SIMPLE" else task.type)


def _words(node: Node) -> str:
    place = f" in the loop {node.loop}" if node.loop is not None else ""
    return f"{node.task.type}{place}{f' of the fork {node.fork}' if node.fork is not None else ''}"

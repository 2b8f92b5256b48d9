"""One decision in the making: a private copy of the core record, and all that is to be written if it is accepted.

Operators and event handlers work on the draft through a few verbs (``create``, ``dispatch``, ``set_result``, ``go``);
the state they were given is never touched, so a decision that needs more records, or whose commit is refused, is simply
made again.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import Raw
from msgspec.structs import replace

from orchestrator.codec import EMPTY_MAP, pack, unpack
from orchestrator.core import listening
from orchestrator.core.branches import compile_branch, compile_dynamic
from orchestrator.core.expressions import Template
from orchestrator.core.facts import Facts
from orchestrator.core.kinds import QUEUED, dispatch_state
from orchestrator.core.program import SCRIPT_MARK, Node, Program, execution_ref, script_node
from orchestrator.core.scope import DraftScope
from orchestrator.core.secret_references import names_in, names_of
from orchestrator.core.state import ProgramNeeded, RecordsNeeded, TaskRecord, WorkflowState
from orchestrator.core.timeouts import waiting_timer_ms
from orchestrator.ids import task_id
from orchestrator.model.effects import Enqueue, Handoff, StartWorkflow
from orchestrator.model.records import (
    FORMAT,
    Core,
    Join,
    Loop,
    Meta,
    Pending,
    Result,
    Scheduled,
    encode,
    superseded_name,
)
from orchestrator.model.status import is_terminal

if TYPE_CHECKING:
    from orchestrator.model.definitions import TaskDef

TASKS_PER_DECISION = 200
"""After so many new tasks a decision stops and leaves the rest to a ``Continued`` event: a commit stays small."""

WATCH_MS_MAX = 600_000
"""Whoever waits longer than that asks again, or looks for himself."""

EMPTY = Raw(EMPTY_MAP)

RETRY = -1
"""The index of a ``Pending`` step that is entered again after a failed attempt."""

EVALUATED = -2
"""The index of a ``Pending`` script task that has ended: its answer is handed to the operator that asked."""


JUDGED = -3
"""The index of a ``Pending`` JOIN whose operator is to say whether it is over."""


class Dispatch(NamedTuple):
    """The dispatch entry of a new open task: state S (for a worker) or W (waits for an outside event)."""

    state: str
    timeout_ms: int
    response_ms: int
    ref: str
    tells_start: bool = False


class OpenTask(NamedTuple):
    """An open task as the dispatch records list it; the engine supplies these when tasks must be cancelled or found."""

    ref: str
    suffix: str
    state: str


class Draft:
    """The working copy of one workflow during one decision, and what the decision will write."""

    __slots__ = (
        "again",
        "agenda",
        "alerts",
        "amended",
        "answers",
        "around",
        "awaiting",
        "before",
        "branches",
        "cache_keys",
        "cached",
        "closed",
        "core",
        "dropped",
        "dynamic",
        "facts",
        "given",
        "guarded",
        "handoffs",
        "input_packed",
        "is_awaited",
        "is_new",
        "is_undone",
        "is_wiped",
        "meta_packed",
        "minds_polls",
        "news",
        "now",
        "open_tasks",
        "opened",
        "output",
        "polls_lacking",
        "program",
        "programs",
        "pulled",
        "pushed",
        "records",
        "results",
        "scheduled",
        "scheduling",
        "state",
        "superseded",
        "timers",
        "unwritten",
        "variables",
        "variables_packed",
        "workflow_id",
    )

    def __init__(
        self,
        state: WorkflowState,
        program: Program,
        facts: Facts,
        at_ms: int,
        open_tasks: list[OpenTask] | None = None,
        programs: Mapping[str, Program | None] | None = None,
        cached: Mapping[str, bytes | None] | None = None,
    ) -> None:
        self.state = state
        self.before = state  # as it was committed; ``state`` is a changed copy once records are dropped
        self.program = program
        self.programs = programs or {}
        self.cached = cached or {}
        self.cache_keys: dict[str, None] = {}  # what it would look up in the cache of outputs, and was not given
        self.polls_lacking: dict[tuple[str, str], None] = {}  # domains of queues that it was not told of
        self.minds_polls = False  # who polls decides on it: made again, it may send its tasks elsewhere
        self.facts = facts
        self.now = at_ms
        self.open_tasks = open_tasks
        self.workflow_id = state.workflow_id
        self.is_new = state.core is None
        self.core: Core = (
            copy.copy(state.core) if state.core is not None else Core(format=FORMAT, status="RUNNING", created_ms=at_ms)
        )
        self.core.joins = dict(self.core.joins)
        self.core.loops = dict(self.core.loops)
        self.variables: dict[str, Any] | None = None
        self.variables_packed: bytes | None = None
        self.output: bytes | None = None
        self.meta_packed: bytes | None = None
        self.input_packed: bytes | None = None
        self.is_wiped = False
        self.is_awaited = False  # somebody may wait for this very commit
        self.is_undone = False  # tasks were dropped that had ended, when none was open
        self.given: tuple[str, dict[str, Any]] | None = None  # a task and the input that an operator gives it
        self.records: dict[str, TaskRecord] = {}
        self.scheduled: dict[str, Scheduled] = {}
        self.results: dict[str, Result] = {}
        self.dropped: dict[str, None] = {}  # task records to be deleted, superseded attempts under their own names
        self.unwritten: set[int] = set()  # the numbers of tasks that were made and dropped in this very decision
        self.superseded: list[tuple[Scheduled, Result]] = []
        self.amended: set[str] = set()
        self.opened: dict[str, Dispatch] = {}
        self.closed: dict[str, None] = {}
        self.guarded: dict[str, None] = {}
        self.timers: dict[tuple[str, str], int] = {}
        self.awaiting: dict[
            tuple[str, str], bool
        ] = {}  # suffix and mark of tasks that begin, or cease, to await an event
        self.handoffs: list[Handoff] = []
        self.answers: list[tuple[str, bytes]] = []
        self.alerts: list[str] = []
        self.news = 0  # how often somebody was told of the workflow
        self.agenda: deque[Pending] = deque()
        self.pushed: dict[int, bytes] = {}  # messages that came with this decision
        self.pulled: list[int] = []  # messages of earlier ones that it hands out
        self.again = False
        self.scheduling: str | None = None  # the task whose input is being rendered: ${CPEWF_TASK_ID}
        self.around: str | None = None  # the loop that this task is in
        self.branches: dict[str, dict[str, Node]] = {}  # dynamic branches this decision has met, by their first task
        self.dynamic: dict[str, Node] = {}  # their steps

    # --- reading ----------------------------------------------------------------------------------------------------

    def record(self, ref: str) -> TaskRecord | None:
        """The latest attempt of a task, or None when it was never scheduled. Raises ``RecordsNeeded`` if not loaded."""
        found = self.records.get(ref)
        if found is not None:
            return found
        if ref in self.dropped:
            return None
        if ref in self.state.records:
            return self.state.records[ref]
        if self.state.complete or self.is_new:
            return None
        raise RecordsNeeded([ref])

    def require(self, refs: Iterable[str]) -> None:
        """Make sure the records of these steps are at hand, asking for all missing ones at once."""
        if not (self.state.complete or self.is_new):
            self.require_tasks([name for ref in refs for name in self.candidates(ref)])

    def require_tasks(self, refs: Iterable[str]) -> None:
        """The same for tasks by their execution references."""
        if self.state.complete or self.is_new:
            return
        missing = [ref for ref in refs if ref not in self.records and ref not in self.state.records]
        if missing:
            raise RecordsNeeded(missing)

    def latest(self, ref: str) -> str:
        """The execution reference of a step now: inside a loop, that of the newest iteration."""
        node = self.find(ref)
        if node is None or node.loop is None:
            return ref
        return execution_ref(ref, self.iteration_of(node.loop))

    def candidates(self, ref: str) -> tuple[str, ...]:
        """What the task that an expression calls ``ref`` may be called, the likelier first.

        A name that nobody knows is a dynamic branch's, of this round of the loop or from before it.
        """
        if self.around is None or self.find(ref) is not None:
            return (self.latest(ref),)
        return (execution_ref(ref, self.iteration_of(self.around)), ref)

    def iteration_of(self, loop_ref: str | None) -> int:
        """The iteration a loop is in; 0 outside."""
        loop = self.core.loops.get(loop_ref) if loop_ref is not None else None
        return loop.iteration if loop is not None else 0

    # --- steps ------------------------------------------------------------------------------------------------------

    def find(self, ref: str) -> Node | None:
        """The step of this name, of the definition or of a dynamic branch that this decision has met."""
        return self.program.nodes.get(ref) or self.dynamic.get(ref)

    def node(self, ref: str, branch: str = "") -> Node:
        """The step of this name, in that dynamic branch; also a script task's. Raises ``RecordsNeeded``."""
        found = (self.branch(branch) if branch else self.program.nodes).get(ref)
        if found is None:
            found = script_node(ref)
            if branch:
                found.branch = branch
                self.dynamic[ref] = found
        return found

    def branch(self, name: str) -> dict[str, Node]:
        """The steps of a dynamic branch, by the execution reference of its first task. Raises ``RecordsNeeded``."""
        found = self.branches.get(name)
        if found is not None:
            return found
        record = self.record(name)
        assert record is not None, f"branch {name} has no task"
        assert record.scheduled.step is not None, f"{name} does not begin a branch"
        return self.meet(name, compile_branch(record.scheduled.step, name, self.program.nodes))

    def meet(self, name: str, nodes: dict[str, Node]) -> dict[str, Node]:
        """Know the steps of a dynamic branch from now on."""
        self.branches[name] = nodes
        self.dynamic.update(nodes)
        return nodes

    def node_of(self, made: Scheduled) -> Node:
        """The step that a task instance belongs to. Raises ``RecordsNeeded`` for one inside a dynamic branch."""
        ref = made.ref if not made.iteration else made.ref[: made.ref.rindex("__")]
        step = made.step
        if step is None:
            return self.node(ref, made.branch)
        if not step.fork:
            return compile_dynamic(step, self.node(ref, made.branch), self.find)
        found = self.branches.get(made.ref)
        return (found or self.meet(made.ref, compile_branch(step, made.ref, self.program.nodes)))[ref]

    def has_step(self, made: Scheduled) -> bool:
        """Whether the definition has the step of a task that has ended: after an upgrade it may not have it any more."""
        name = made.branch or (made.ref if made.step is not None and made.step.fork else "")
        if name:
            first = self.record(name)
            step = first.scheduled.step if first is not None else None
            return step is not None and step.fork in self.program.nodes and step.join in self.program.nodes
        ref = made.ref if not made.iteration else made.ref[: made.ref.rindex("__")]
        return ref.partition(SCRIPT_MARK)[0] in self.program.nodes

    def polled_ms(self, queue: str, domain: str) -> int:
        """When somebody last asked a domain of a queue for tasks; 0 = never, or not known yet and to be found out."""
        self.minds_polls = True
        known = self.facts.polled.get((queue, domain))
        if known is None:
            self.polls_lacking[queue, domain] = None
        return known or 0

    def current_variables(self) -> dict[str, Any]:
        """The workflow's variables as of this moment of the decision; not to be mutated."""
        return self.variables if self.variables is not None else self.state.variables

    def task_def(self, node: Node) -> TaskDef:
        """The live task definition of a step."""
        return self.facts.task_def(node.task)

    def use_program(self, definition_hash: str) -> bool:
        """Go on by another definition, if it can be used. Raises ``ProgramNeeded``."""
        if definition_hash != self.state.meta.definition_hash:
            if definition_hash not in self.programs:
                raise ProgramNeeded(definition_hash)
            found = self.programs[definition_hash]
            if found is None:
                return False
            self.program = found
        return True

    def dispatch_state(self, record: TaskRecord) -> str:
        """Where an open attempt waits (see ``kinds``): by its step, since a SIMPLE task may have any name."""
        return dispatch_state(self.node_of(record.scheduled).task.type)

    def awaited(self) -> set[str]:
        """The tasks whose failed attempt is going to be followed by another that is not there yet."""
        steps = (*self.core.held, *self.core.agenda, *self.agenda)
        return {execution_ref(step.ref, step.iteration) for step in steps if step.index == RETRY}

    def secrets_in(self, packed: bytes, task_def: TaskDef | None = None) -> list[str]:
        """The secrets a payload refers to that this workflow's definition, its parent's or the task's spells out."""
        found = names_in(packed)
        if not found:
            return []
        allowed = self.program.secrets.union(
            self.state.meta.secrets, names_of(task_def) if task_def is not None else ()
        )
        return [name for name in found if name in allowed]

    @property
    def full(self) -> bool:
        """Whether this decision has made as many tasks as one commit should carry."""
        before = self.state.core.sequence if self.state.core is not None and not self.is_wiped else 0
        return self.core.sequence - before + len(self.superseded) >= TASKS_PER_DECISION

    # --- tasks --------------------------------------------------------------------------------------------------------

    def render_input(self, node: Node, iteration: int, previous: TaskRecord | None) -> Any:
        """The input parameters of a step's next attempt with every expression replaced. Raises ``RecordsNeeded``."""
        attempt = previous.scheduled.attempt + 1 if previous is not None else 0
        ref = execution_ref(node.ref, iteration)
        if self.given is not None and self.given[0] == ref and previous is None:
            return self.given[1]
        generation = previous.scheduled.generation if previous is not None else self.core.generation
        self.scheduling = task_id(self.workflow_id, ref, iteration, attempt, generation)
        self.around = node.loop
        try:
            rendered = self.render(node.inputs, node.reads)
        finally:
            self.scheduling = self.around = None
        step = node.step
        return {**rendered, **unpack(bytes(step.given))} if step is not None and step.given != EMPTY else rendered

    def render(self, template: Template, reads: tuple[str, ...]) -> Any:
        """A template's value; ``reads`` are the steps it may look into. Raises ``RecordsNeeded``."""
        self.require(reads)
        # The scope is made on demand: a draft that held it would be freed only by the cycle collector.
        return template.render(DraftScope(self, None if template.dynamic else template.reads))

    def output_of(self, record: TaskRecord) -> bytes:
        """A task's output, packed; that of a JOIN is put together from its members. Raises ``RecordsNeeded``."""
        node = self.node_of(record.scheduled)
        if node.task.type == "JOIN":
            return self.pack_payload(DraftScope(self, None).output_of(node.ref, record), "output")
        return bytes(record.result.output) if record.result is not None else EMPTY_MAP

    def create(
        self,
        node: Node,
        iteration: int,
        *,
        type_: str,
        name: str,
        input_: bytes = EMPTY_MAP,
        status: str = "IN_PROGRESS",
        previous: TaskRecord | None = None,
        delay_ms: int = 0,
        domain: str | None = None,
        deadline_ms: int = 0,
        secrets: Sequence[str] = (),
        runtime: Sequence[str] = (),
        rounds_before: int = 0,
        cache_key: str = "",
        awaits: str = "",
        keys: str = "",
        is_told: bool = True,
    ) -> TaskRecord:
        """Make the next attempt of a step (the first, or the one after ``previous``) and count it as open.

        ``is_told``: listeners hear of it.
        """
        core = self.core
        core.sequence += 1
        core.open += 1
        if node.loop in core.loops:  # otherwise it is to be passed over, and the loop has not begun
            self.loop(node.loop).open += 1
        ref = execution_ref(node.ref, iteration)
        before = previous.scheduled if previous is not None else None
        made = Scheduled(
            format=FORMAT,
            ref=ref,
            type=type_,
            name=name,
            sequence=core.sequence,
            attempt=before.attempt + 1 if before is not None else 0,
            # All attempts of one step are of one generation, and so of one idempotency key.
            generation=before.generation if before is not None else core.generation,
            iteration=iteration,
            scheduled_ms=self.now,
            first_scheduled_ms=before.first_scheduled_ms if before is not None else self.now,
            delay_ms=delay_ms,
            domain=domain,
            retried_task_id=self.task_id(previous) if previous is not None else None,
            status=status,
            deadline_ms=deadline_ms,
            reason=previous.result.reason if previous is not None and previous.result is not None else None,
            input=Raw(input_),
            branch=node.branch if node.branch != ref else "",
            step=node.step,
            secrets=list(secrets),
            runtime=list(runtime),
            rounds_before=rounds_before,
            cache_key=cache_key,
            awaits=awaits,
            keys=keys,
        )
        record = TaskRecord(made)
        self.records[ref] = record
        self.scheduled[ref] = made
        self.results.pop(ref, None)
        if not node.is_script:  # its answer is no output of the workflow
            core.last_ref = ref
        if is_told and self._is_heard(made, node):
            listening.task(self, node, record, "SCHEDULED")
            if status == "IN_PROGRESS":
                listening.task(self, node, record, "IN_PROGRESS")
        return record

    def arm_waiting(self, node: Node, record: TaskRecord) -> None:
        """Arm the timer of a task that only waits for others of the workflow from now on, if it may time out."""
        due_ms = waiting_timer_ms(record.timed_from, self.task_def(node))
        if due_ms:
            self.timers[record.suffix, record.scheduled.ref] = due_ms

    def disarm_waiting(self, node: Node, record: TaskRecord) -> None:
        """Such a task is over."""
        key = record.suffix, record.scheduled.ref
        if self.scheduled.get(record.scheduled.ref) is record.scheduled:
            self.timers.pop(key, None)  # made by this very decision
        elif waiting_timer_ms(record.scheduled, self.task_def(node)):
            self.timers[key] = 0

    def stop_waiting(self, node: Node, record: TaskRecord) -> None:
        """Such a task is to wait no longer."""
        ref = record.scheduled.ref
        self.core.joins.pop(ref, None)
        self.core.evaluating = [other for other in self.core.evaluating if other != ref]
        if node.ref in self.core.loops and self.core.loops[node.ref].ref == ref:
            self.loop(node.ref).ref = ""

    def drop(self, record: TaskRecord) -> None:
        """Forget a task that has ended, with all its attempts."""
        made = record.scheduled
        self.drop_latest(made.ref)
        for old, _ in self.superseded:
            if old.ref == made.ref:
                self.unwritten.add(old.sequence)
        self.superseded = [pair for pair in self.superseded if pair[0].ref != made.ref]
        for attempt in range(made.attempt):
            self.dropped[superseded_name(made.ref, attempt, made.generation)] = None

    def drop_latest(self, ref: str) -> None:
        """Forget the latest attempt of a task, which has ended or was never made."""
        self.records.pop(ref, None)
        self.results.pop(ref, None)
        made = self.scheduled.pop(ref, None)
        if made is not None:
            self.unwritten.add(made.sequence)
        self.dropped[ref] = None

    def amend_input(self, record: TaskRecord, input_: bytes) -> TaskRecord:
        """Give an operator's own task an input that was not known when it was made; returns it as it is now."""
        made = replace(record.scheduled, input=Raw(input_))
        self.scheduled[made.ref] = made
        self.amended.add(made.ref)
        now = self.records[made.ref] = TaskRecord(made, record.result)
        return now

    def task_id(self, record: TaskRecord) -> str:
        """The full id of an attempt."""
        made = record.scheduled
        return task_id(self.workflow_id, made.ref, made.iteration, made.attempt, made.generation)

    def dispatch(self, record: TaskRecord, state: str, task_def: TaskDef | None, timer_ms: int) -> None:
        """Open the dispatch entry of a new attempt, with its first timer when it needs one."""
        made = record.scheduled
        timeout_ms = task_def.timeout_seconds * 1000 if task_def is not None else 0
        response_ms = task_def.response_timeout_seconds * 1000 if task_def is not None else 0
        suffix = record.suffix
        tells = state == QUEUED and self._is_heard(made) and listening.hears(self, self.node_of(made), "IN_PROGRESS")
        self.opened[suffix] = Dispatch(state, timeout_ms, response_ms, made.ref, tells)
        if timer_ms:
            self.timers[suffix, made.ref] = timer_ms
        if made.awaits:
            self.awaiting[suffix, made.awaits] = True

    def undispatch(self, record: TaskRecord, *, guarded: bool = False) -> None:
        """Close the dispatch entry and the timer of an attempt that is over.

        ``guarded``: not its own report ended it. An outcome that was accepted meanwhile stands, so the commit is
        refused when there is one, and the decision made again with it.
        """
        suffix, ref = record.suffix, record.scheduled.ref
        if self.scheduled.get(ref) is record.scheduled:  # made by this very decision: nobody has heard of it yet
            if self.opened.pop(suffix, None) is not None:
                self.timers.pop((suffix, ref), None)
                self.awaiting.pop((suffix, record.scheduled.awaits), None)
                own = self.task_id(record)
                self.handoffs = [handoff for handoff in self.handoffs if _task_behind(handoff) != own]
            return
        self.timers[suffix, ref] = 0
        self.closed[suffix] = None
        if record.scheduled.awaits:
            self.awaiting[suffix, record.scheduled.awaits] = False
        if guarded:
            self.guarded[suffix] = None

    def pass_over(self, node: Node, iteration: int, given: bytes, output: bytes) -> None:
        """Record that a step is not to run when its turn comes, with what later steps are to see of it."""
        task, last_ref = node.task, self.core.last_ref
        type_ = task.name if task.type == "SIMPLE" else task.type
        record = self.create(node, iteration, type_=type_, name=task.name, input_=given, is_told=False)
        self.core.open -= 1
        if node.loop in self.core.loops:
            self.loop(node.loop).open -= 1
        self.core.last_ref = last_ref
        self.core.skips = [*self.core.skips, record.scheduled.ref]
        self.set_result(record, Result(format=FORMAT, status="SKIPPED", ended_ms=self.now, output=Raw(output)))

    def watch(self, duration_ms: int) -> None:
        """Somebody waits and wants to be told of every change, for so long."""
        self.core.watched_until_ms = max(self.core.watched_until_ms, self.now + min(duration_ms, WATCH_MS_MAX))

    def set_input(self, packed: bytes) -> None:
        """Change the input of the workflow: only where an operator has it go on otherwise than it would."""
        self.state = self.state.changed(input_raw=Raw(packed))
        self.input_packed = packed

    def set_meta(self, meta: Meta) -> None:
        """Change what the start fixed: only where an operator has it go on otherwise than it would."""
        self.state = self.state.changed(meta=meta)
        self.meta_packed = encode(meta)

    def drop_everything(self) -> None:
        """Forget every task that ever ran. Only when none is open."""
        self.state = self.state.changed(without=())
        self.is_wiped = True
        self.records.clear()
        self.scheduled.clear()
        self.results.clear()
        self.superseded.clear()
        self.pushed.clear()
        self.pulled.clear()
        self.dropped.clear()
        self.unwritten.clear()
        self.branches.clear()
        self.dynamic.clear()

    def set_result(self, record: TaskRecord, result: Result) -> TaskRecord:
        """Record how an attempt stands; returns the record as it is now."""
        ref = record.scheduled.ref
        now = TaskRecord(record.scheduled, result)
        self.records[ref] = now
        self.results[ref] = result
        if record.is_open and not now.is_open and self._is_heard(record.scheduled):
            listening.task(self, self.node_of(record.scheduled), now, now.status)
        return now

    def _is_heard(self, made: Scheduled, node: Node | None = None) -> bool:
        """Whether anybody may listen to this task; looks closer only where a definition or a setting says so."""
        if node is not None and node.task.on_state_change:
            return True
        return bool(self.facts.listeners.task) or self.program.hears_states or made.step is not None

    @property
    def is_jumping(self) -> bool:
        """Whether the workflow is to go on elsewhere as soon as nothing is open: what ends until then is not followed."""
        waiting = self.core.deferred
        return bool(waiting) and waiting[0].action == "jump" and not is_terminal(self.core.status)

    # --- flow ---------------------------------------------------------------------------------------------------------

    def go(self, ref: str | None, iteration: int, index: int = 0) -> None:
        """Enter the step ``ref`` next (or retry it, or fan it out); held back while the workflow is paused or kept out."""
        if ref is None or is_terminal(self.core.status) or self.is_jumping:
            return
        known = self.dynamic.get(ref) if ref not in self.program.nodes else None
        step = Pending(ref, iteration, index, known.branch if known is not None else "")
        if index == JUDGED and (step in self.agenda or step in self.core.held):
            return  # once is enough, whatever has happened meanwhile
        if self.core.status == "PAUSED" or (self.core.gate is not None and self.core.gate.is_waiting):
            self.core.held = [*self.core.held, step]
        else:
            self.agenda.append(step)

    def join(self, ref: str) -> Join | None:
        """This decision's own copy of an open JOIN's counters."""
        found = self.core.joins.get(ref)
        if found is None:
            return None
        own = copy.copy(found)
        self.core.joins[ref] = own
        return own

    def loop(self, ref: str) -> Loop:
        """This decision's own copy of the state of a loop, by the step's name."""
        own = self.core.loops[ref] = copy.copy(self.core.loops[ref])
        return own

    def note_failure(self, made: Scheduled, status: str) -> None:
        """Remember which tasks failed, as Conductor lists them (superseded attempts too, time-outs not)."""
        core = self.core
        if status in ("FAILED", "FAILED_WITH_TERMINAL_ERROR"):
            if made.ref not in core.failed_refs and len(core.failed_refs) < 100:
                core.failed_refs = [*core.failed_refs, made.ref]
            if made.name not in core.failed_names and len(core.failed_names) < 100:
                core.failed_names = [*core.failed_names, made.name]

    def pack_payload(self, value: Any, path: str) -> bytes:
        """Packed bytes of a payload this decision made. Raises ``InvalidPayload`` when it is too large or not JSON."""
        return pack(value, path, self.facts.payload_bytes_max)


def _task_behind(handoff: Handoff) -> str | None:
    """The task that is set going by a hand-off: offered to its queue, or carried out by a child."""
    if isinstance(handoff, Enqueue):
        return handoff.task_id
    return handoff.meta.parent_task_id if isinstance(handoff, StartWorkflow) else None

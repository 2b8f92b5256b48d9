"""A definition compiled once into a program: for every step its successor, its joins and what its inputs may read.

The decision loop asks the program and never walks the definition. A program depends on the definition alone, so the
engine caches it by the definition's content hash and thousands of executions share one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from orchestrator.core.expressions import Template, compile_template
from orchestrator.core.secret_references import names_of
from orchestrator.model.definitions import CacheConfig, WorkflowDef, WorkflowTask
from orchestrator.model.records import Step

JOIN_TYPES = frozenset({"JOIN", "EXCLUSIVE_JOIN"})

SCRIPT = "SCRIPT"
"""The type of the tasks that run a step's script outside the decision (see ``scripting``)."""

SCRIPT_MARK = "#"
"""Between a step's name and what its script is for, in the reference of a script task."""

Case = str | None
"""A branch of a SWITCH: its label, or None for the default branch (an empty label is a label like any other)."""


class Place(NamedTuple):
    """Where a list of tasks stands: what follows its last task, and what it lies in."""

    after: str | None
    loop: str | None
    parent: str | None
    case: Case = None


class Node:
    """One step of a program.

    ``next`` is what follows when the step is done; None = nothing does (the end of the workflow, of a branch of a fork
    or of a loop body). ``parent`` is the innermost SWITCH, FORK_JOIN or DO_WHILE around the step, ``case`` the branch
    if that is a SWITCH, ``loop`` the DO_WHILE whose body it is in. ``joins`` are the JOINs that list it, ``reads`` the
    steps whose records its inputs may look into. ``extra`` are the expressions that an operator has beside its inputs,
    with reads of their own. ``untaken`` (SWITCH): per branch, how many members a JOIN has there.
    ``members`` (JOIN): the steps it waits for; one inside a loop that the JOIN is not in stands for that loop.
    ``fork`` (JOIN): the dynamic fork before it, whose branches it waits for. ``rounds`` (DO_WHILE): the steps of its
    body, without those of loops inside. Of a step in a dynamically forked branch,
    ``branch`` is the branch's first task, ``ends`` the JOIN to be told if nothing follows; ``step`` is set where the
    definition does not have the step (see ``records.Step``). ``is_script``: it is the script task of the step ``parent``.
    """

    __slots__ = (
        "branch", "cache", "case", "ends", "extra", "extra_reads", "fork", "inputs", "is_script", "joins", "loop", "members",
        "next", "parent", "reads", "ref", "rounds", "step", "task", "untaken",
    )  # fmt: skip

    def __init__(self, task: WorkflowTask, place: Place) -> None:
        self.ref: str = task.task_reference_name
        self.task = task
        self.loop = place.loop
        self.parent = place.parent
        self.case = place.case
        self.next: str | None = place.after
        self.joins: list[str] = []
        self.inputs: Template = compile_template(task.input_parameters or {})
        self.cache: Template | None = _cache_key(task.cache_config)
        self.extra: Template = compile_template(_beside_inputs(task))
        self.extra_reads: tuple[str, ...] = ()
        self.reads: tuple[str, ...] = ()
        self.untaken: dict[Case, dict[str, int]] = {}
        self.members: list[str] = []
        self.fork: str | None = None
        self.rounds: list[str] = []
        self.branch = ""
        self.ends: str | None = None
        self.step: Step | None = None
        self.is_script = False


class Program:
    """The compiled form of one workflow definition."""

    __slots__ = ("cache", "definition", "first", "hears_states", "nodes", "output", "output_reads", "secrets")

    def __init__(self, definition: WorkflowDef) -> None:
        self.definition = definition
        self.nodes: dict[str, Node] = {}
        self.first: str | None = definition.tasks[0].task_reference_name if definition.tasks else None
        lay_out(definition.tasks, Place(None, None, None), self.nodes)
        link(self.nodes, self.nodes.get)
        self.secrets = names_of(definition)
        self.cache: Template | None = _cache_key(definition.cache_config)
        self.hears_states = any(node.task.on_state_change for node in self.nodes.values())
        parameters = definition.output_parameters
        self.output: Template | None = compile_template(parameters) if parameters else None
        self.output_reads: tuple[str, ...] = self.reads_of(self.output) if self.output else ()

    def reads_of(self, template: Template) -> tuple[str, ...]:
        """The steps whose records rendering ``template`` may ask for; a JOIN's output stands for its members'."""
        return reads_of(template, self.nodes.get)

    def members_of(self, refs: Iterable[str | None]) -> dict[str, None]:
        """These steps, and of each JOIN among them the members, and theirs: what its output is put together from."""
        return members_of(refs, self.nodes.get)


Find = Callable[[str], Node | None]


def lay_out(tasks: list[WorkflowTask], place: Place, nodes: dict[str, Node], branch: str = "") -> None:
    """Make the nodes of a task list and of all lists inside it."""
    work = [(tasks, place)]
    while work:
        tasks, place = work.pop()
        for position, task in enumerate(tasks):
            last = position + 1 == len(tasks)
            after = place.after if last else tasks[position + 1].task_reference_name
            node = nodes[task.task_reference_name] = Node(task, place._replace(after=after))
            node.branch = branch
            if position and task.type in JOIN_TYPES and tasks[position - 1].type == "FORK_JOIN_DYNAMIC":
                node.fork = tasks[position - 1].task_reference_name
            work.extend(inner_lists(node))


def link(nodes: dict[str, Node], find: Find) -> None:
    """Tell freshly made nodes of each other; ``find`` also knows the steps that they lie among."""
    for node in nodes.values():
        if node.task.type in JOIN_TYPES and node.fork is None:
            node.members = list(dict.fromkeys(_beside(member, node, find) for member in node.task.join_on))
            defaults = (_beside(ref, node, find) for ref in node.task.default_exclusive_join_task)
            for member in dict.fromkeys([*node.members, *defaults]):
                if member in nodes:
                    nodes[member].joins.append(node.ref)
        if node.loop is not None and node.loop in nodes:
            nodes[node.loop].rounds.append(node.ref)
    for node in nodes.values():
        node.reads = reads_of(node.inputs, find)
        node.extra_reads = reads_of(node.extra, find)
        if node.task.type in ("SWITCH", "DECISION"):
            node.untaken = {case: members_inside(tasks, nodes) for case, tasks in switch_cases(node.task)}


def _beside(member: str, join: Node, find: Find) -> str:
    """What a JOIN waits for when it lists ``member``: that, or the outermost loop around it that the JOIN is not in."""
    found = find(member)
    outer = found
    while outer is not None and outer.loop is not None and outer.loop != join.loop:
        outer = find(outer.loop)
    # A member outside of the loop that the JOIN is in is what it is.
    return outer.ref if outer is not None and outer.loop == join.loop else member


def members_inside(tasks: Iterable[WorkflowTask], nodes: dict[str, Node]) -> dict[str, int]:
    """How many members each JOIN has in these lists and inside them."""
    counts: dict[str, int] = {}
    for task in subtree(tasks):
        for join in nodes[task.task_reference_name].joins:
            counts[join] = counts.get(join, 0) + 1
    return counts


def reads_of(template: Template, find: Find) -> tuple[str, ...]:
    """The steps whose records rendering ``template`` may ask for; a JOIN's output stands for its members'.

    The members of a dynamic fork's JOIN are known at run time only: here, those that are named.
    """
    refs: dict[str, None] = {}
    for root, field, member in template.reads:
        node = find(root)
        if node is None:
            if root != "workflow":
                refs[root] = None  # a dynamically forked step: known only at run time
            continue
        refs[root] = None
        if node.task.type != "JOIN" or field not in (None, "output"):
            continue
        if node.fork is None:
            on = node.members
            refs.update(members_of([member] if member in on and not template.dynamic else on, find))
        elif member is not None:
            refs[member] = None
    return tuple(refs)


def members_of(refs: Iterable[str | None], find: Find) -> dict[str, None]:
    """These steps, and of each JOIN among them the members, and theirs: what its output is put together from."""
    found: dict[str, None] = {}
    work = [ref for ref in refs if ref is not None]
    while work:
        ref = work.pop()
        if ref not in found:
            found[ref] = None
            node = find(ref)
            if node is not None and node.task.type == "JOIN" and node.fork is None:
                work.extend(node.members)
    return found


def _cache_key(config: CacheConfig | None) -> Template | None:
    """The template of a cache key; None where nothing is to be reused."""
    if config is None or not config.key or config.ttl_in_second <= 0:
        return None
    return compile_template(config.key)


def execution_ref(ref: str, iteration: int) -> str:
    """What the task of step ``ref`` is called: its own name, or ``name__2`` in the second round of a loop."""
    return f"{ref}__{iteration}" if iteration else ref


def script_node(ref: str) -> Node:
    """The node of a script task, which no definition lists: only the step it works for. Raises KeyError for others."""
    owner, mark, _ = ref.partition(SCRIPT_MARK)
    if not mark:
        raise KeyError(ref)
    node = Node(WorkflowTask(name=SCRIPT, task_reference_name=ref, type=SCRIPT), Place(None, None, owner))
    node.is_script = True
    return node


def _beside_inputs(task: WorkflowTask) -> dict[str, Any]:
    """What of a step besides its input parameters may hold expressions."""
    if task.type == "DO_WHILE":
        return {"items": task.items}
    params = task.sub_workflow_param
    if task.type != "SUB_WORKFLOW" or params is None:
        return {}
    definition = params.workflow_definition
    return {
        "name": params.name,
        "version": params.version,
        "taskToDomain": params.task_to_domain,
        "workflowDefinition": definition if isinstance(definition, str) else None,
        "priority": params.priority,
        "idempotencyKey": params.idempotency_key,
    }


def inner_lists(node: Node) -> Iterator[tuple[list[WorkflowTask], Place]]:
    """The task lists inside a step, each with its place."""
    task = node.task
    if task.type in ("SWITCH", "DECISION"):
        for case, tasks in switch_cases(task):
            yield tasks, Place(node.next, node.loop, node.ref, case)
    elif task.type == "FORK_JOIN":
        for branch in task.fork_tasks:
            yield branch, Place(None, node.loop, node.ref)
    elif task.type == "DO_WHILE":
        yield task.loop_over, Place(None, node.ref, node.ref)


def switch_cases(task: WorkflowTask) -> Iterator[tuple[Case, list[WorkflowTask]]]:
    """The branches of a SWITCH by case."""
    yield from task.decision_cases.items()
    yield None, task.default_case or []


def subtree(tasks: Iterable[WorkflowTask]) -> Iterator[WorkflowTask]:
    """Every task in these lists and inside them."""
    work = list(tasks)
    while work:
        task = work.pop()
        yield task
        if task.type in ("SWITCH", "DECISION"):
            for _, case in switch_cases(task):
                work.extend(case)
        elif task.type == "FORK_JOIN":
            for branch in task.fork_tasks:
                work.extend(branch)
        elif task.type == "DO_WHILE":
            work.extend(task.loop_over)

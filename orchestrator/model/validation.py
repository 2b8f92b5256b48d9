"""Every rule a definition must obey, each a named function; the answer is the list of all problems, never the first.

Rules look at one definition only and touch neither catalog nor clock; what they need to know about the installation
comes as arguments. Texts are Conductor's where it has one. Paths are those of the JSON form
(``tasks[1].inputParameters``). Called by ``wire`` for what comes in as JSON and by the services for what is built in
Python; the rules of single task types stand in ``task_rules``, those of a TaskDef in ``task_def_rules``.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from orchestrator.errors import Problem
from orchestrator.model.definitions import (
    OPERATOR_TYPES,
    TASK_DEPTH_MAX,
    Location,
    SchemaDef,
    TaskDef,
    TaskType,
    WorkflowDef,
    is_built_in,
    locate,
    path_step,
)
from orchestrator.model.references import expressions, root_of, text_values
from orchestrator.model.scripts import scripts_of
from orchestrator.model.sinks import listeners_of, why_no_listener
from orchestrator.model.task_def_rules import TASK_DEF_RULES, number_problems
from orchestrator.model.task_rules import FindTaskDef, type_problems

CheckSchema = Callable[[SchemaDef, bool], list[Problem]]
"""Judges a schema, which is enforced or not; paths begin below it."""

CheckScript = Callable[[str, str], str | None]
"""Says what is wrong with a script, given its language and its text, or None."""

INLINE_DEPTH_MAX = 10
"""How deep inline sub-workflow definitions may stand in one another."""

# Names that resolve without a task or ``workflow.`` in front, wherever they stand.
_CONSTANTS = frozenset({"CPEWF_TASK_ID", "NETFLIX_ENV", "NETFLIX_STACK"})

RESERVED_TYPES = frozenset({"SCRIPT"})
"""Types of tasks that the engine makes by itself."""


@dataclass(frozen=True)
class _Tree:
    """A definition with what several rules ask of it, computed once."""

    definition: WorkflowDef
    places: list[Location]
    refs: frozenset[str]
    env_names: Collection[str]
    check_expression: Callable[[str], str | None] | None
    check_schema: CheckSchema | None


def _no_task_def(name: str) -> TaskDef | None:
    return None


def validate_workflow_def(
    definition: WorkflowDef,
    *,
    supported: Collection[str] | None = None,
    env_names: Collection[str] = (),
    check_expression: Callable[[str], str | None] | None = None,
    find_task_def: FindTaskDef = _no_task_def,
    check_schema: CheckSchema | None = None,
    check_script: CheckScript | None = None,
) -> list[Problem]:
    """All problems of a workflow definition, inline sub-workflow definitions included; empty when it is valid.

    ``supported``: the built-in types this installation can run (None: all). ``env_names``: the allow-listed names that
    ``${NAME}`` may read. ``check_expression``: says why a path does not compile, or None. ``find_task_def``: looks a
    registered TaskDef up. ``check_schema``: judges a schema. ``check_script``: says what is wrong with a script.

    Example: ``validate_workflow_def(WorkflowDef(name="a"))[0].path == "tasks"``
    """
    asked = _Asked(supported, env_names, check_expression, find_task_def, check_schema, check_script)
    return list(_workflow_problems(definition, asked, inline_depth=0))


class _Asked(NamedTuple):
    """What the caller says of the installation."""

    supported: Collection[str] | None
    env_names: Collection[str]
    check_expression: Callable[[str], str | None] | None
    find_task_def: FindTaskDef
    check_schema: CheckSchema | None
    check_script: CheckScript | None


def _workflow_problems(definition: WorkflowDef, asked: _Asked, inline_depth: int) -> Iterator[Problem]:
    places = list(locate(definition))
    refs = frozenset(place.task.task_reference_name for place in places)
    tree = _Tree(definition, places, refs, asked.env_names, asked.check_expression, asked.check_schema)
    for tree_rule in _TREE_RULES:
        yield from tree_rule(tree)
    for place in places:
        for task_rule in _TASK_RULES:
            yield from task_rule(place)
        yield from type_is_supported(place, asked.supported)
        yield from type_problems(place, asked.find_task_def)
        yield from scripts_can_be_read(place, asked.check_script)
        params = place.task.sub_workflow_param
        if params is None or not isinstance(params.workflow_definition, WorkflowDef):
            continue
        path = f"{place.path}.subWorkflowParam.workflowDefinition"
        if inline_depth >= INLINE_DEPTH_MAX:
            yield Problem(path, f"inline workflow definitions are nested deeper than {INLINE_DEPTH_MAX} levels")
            continue
        for problem in _workflow_problems(params.workflow_definition, asked, inline_depth + 1):
            yield Problem(f"{path}.{problem.path}", problem.message, problem.value)


# --- rules of the whole definition ----------------------------------------------------------------------------------


def name_is_given(tree: _Tree) -> Iterator[Problem]:
    """A workflow has a name."""
    if not tree.definition.name:
        yield Problem("name", "WorkflowDef name cannot be null or empty", tree.definition.name)
    yield from _text_is_printable("name", tree.definition.name)


def schema_version_is_two(tree: _Tree) -> Iterator[Problem]:
    """Only definitions with ``${}`` expressions are understood."""
    if tree.definition.schema_version != 2:
        message = "workflowDef schemaVersion: 2 is only supported"
        yield Problem("schemaVersion", message, tree.definition.schema_version)


def tasks_are_given(tree: _Tree) -> Iterator[Problem]:
    """A workflow has at least one task."""
    if not tree.definition.tasks:
        yield Problem("tasks", "WorkflowTask list cannot be empty", [])


def nesting_is_bounded(tree: _Tree) -> Iterator[Problem]:
    """Tasks nest at most ``TASK_DEPTH_MAX`` deep; one report is enough."""
    for place in tree.places:
        if place.depth > TASK_DEPTH_MAX:
            message = f"tasks are nested deeper than {TASK_DEPTH_MAX} levels; move the inner part into a sub-workflow"
            yield Problem("tasks", message, place.task.task_reference_name)
            return


def references_are_unique(tree: _Tree) -> Iterator[Problem]:
    """No two tasks of the tree share a reference name: results could not be told apart."""
    counts = Counter(place.task.task_reference_name for place in tree.places)
    seen = set()
    for place in tree.places:
        ref = place.task.task_reference_name
        if ref and counts[ref] > 1 and ref in seen:
            message = (
                f"taskReferenceName: {ref} should be unique across tasks for a given workflowDefinition: "
                f"{tree.definition.name}"
            )
            yield Problem(f"{place.path}.taskReferenceName", message, ref)
        seen.add(ref)


def inputs_name_known_tasks(tree: _Tree) -> Iterator[Problem]:
    """Every expression of every task's inputs reads the workflow, a known constant or a task of this definition.

    Conductor looks at top-level tasks only. Below the top level, names are let through when the definition forks
    dynamically, since they may mean a branch that gets its name at run time. A tree with a nameless task is not
    judged: the name that seems unknown may be the missing one.
    """
    if "" in tree.refs:
        return
    forks_dynamically = any(place.task.type == TaskType.FORK_JOIN_DYNAMIC for place in tree.places)
    for place in tree.places:
        lenient = place.depth > 1 and forks_dynamically
        for key, value in place.task.input_parameters.items():
            for text in text_values(value):
                yield from _expression_problems(tree, place, key, text, lenient=lenient)


def _expression_problems(tree: _Tree, place: Location, key: str, text: str, *, lenient: bool) -> Iterator[Problem]:
    path = f"{place.path}.inputParameters{path_step(key)}"
    for body in expressions(text):
        reason = tree.check_expression(body) if tree.check_expression else None
        if reason:
            yield Problem(path, f"key: {key} input parameter value: {body} is not valid ({reason})", text)
        elif not lenient and not _is_known(tree, body):
            message = (
                f"taskReferenceName: {root_of(body)} for given task: {place.task.name} input value: {key} of input "
                f"parameter: {text} is not defined in workflow definition."
            )
            yield Problem(path, message, text)


def _is_known(tree: _Tree, body: str) -> bool:
    root = root_of(body)
    constant = body.strip()
    return (
        root is None or root == "workflow" or root in tree.refs or constant in _CONSTANTS or constant in tree.env_names
    )


def joins_name_known_tasks(tree: _Tree) -> Iterator[Problem]:
    """A JOIN waits for tasks that exist; it would wait forever for any other.

    The JOIN of a dynamic fork gets its list at run time, so what is written there does not count.
    """
    if "" in tree.refs:
        return
    for place in tree.places:
        if place.task.type not in (TaskType.JOIN, TaskType.EXCLUSIVE_JOIN):
            continue
        if place.previous is not None and place.previous.type == TaskType.FORK_JOIN_DYNAMIC:
            continue
        fields = (("joinOn", place.task.join_on), ("defaultExclusiveJoinTask", place.task.default_exclusive_join_task))
        for field, refs in fields:
            for index, ref in enumerate(refs):
                if ref not in tree.refs:
                    message = f"{place.task.task_reference_name} joins on {ref}, which is not a task of this definition"
                    yield Problem(f"{place.path}.{field}[{index}]", message, ref)


def references_leave_scripts_theirs(tree: _Tree) -> Iterator[Problem]:
    """No task is called like the script task of another, which is ``<reference>#<purpose>``."""
    for place in tree.places:
        ref = place.task.task_reference_name
        owner, mark, _ = ref.partition("#")
        if mark and owner in tree.refs:
            message = f"taskReferenceName: {ref} is kept for scripts of the task {owner}; use another character than #"
            yield Problem(f"{place.path}.taskReferenceName", message, ref)


def schemas_are_usable(tree: _Tree) -> Iterator[Problem]:
    """What an enforced schema says has a meaning, for the workflow and for definitions embedded in its tasks."""
    if tree.check_schema is None:
        return
    holders: list[tuple[str, WorkflowDef | TaskDef]] = [("", tree.definition)]
    holders += [
        (f"{place.path}.taskDefinition.", place.task.task_definition)
        for place in tree.places
        if place.task.task_definition is not None
    ]
    for path, holder in holders:
        for field, schema in (("inputSchema", holder.input_schema), ("outputSchema", holder.output_schema)):
            if schema is not None:
                for problem in tree.check_schema(schema, holder.enforce_schema):
                    yield Problem(f"{path}{field}.{problem.path}", problem.message, problem.value)


def listeners_can_be_told(tree: _Tree) -> Iterator[Problem]:
    """News of the workflow and of its tasks' states goes to a place that there can be."""
    for path, sink in listeners_of(tree.definition):
        if sink:  # that a state change says what to publish is a rule of its own
            reason = why_no_listener(sink, tree.definition.name)
            if reason is not None:
                yield Problem(path, reason, sink)


_TREE_RULES = (
    name_is_given,
    schema_version_is_two,
    tasks_are_given,
    nesting_is_bounded,
    references_are_unique,
    references_leave_scripts_theirs,
    inputs_name_known_tasks,
    joins_name_known_tasks,
    schemas_are_usable,
    listeners_can_be_told,
)


# --- rules of every task --------------------------------------------------------------------------------------------


def task_name_is_given(place: Location) -> Iterator[Problem]:
    """A task has a name, which selects its TaskDef."""
    if not place.task.name:
        yield Problem(f"{place.path}.name", "WorkflowTask name cannot be empty or null", place.task.name)
    yield from _text_is_printable(f"{place.path}.name", place.task.name)


def reference_is_given(place: Location) -> Iterator[Problem]:
    """A task has a reference name, printable, and without ``__`` in a loop, where that separates the iteration."""
    ref, path = place.task.task_reference_name, f"{place.path}.taskReferenceName"
    if not ref:
        yield Problem(path, "WorkflowTask taskReferenceName name cannot be empty or null", ref)
    yield from _text_is_printable(path, ref)
    if place.in_loop and "__" in ref:
        message = f"taskReferenceName: {ref} must not contain '__' inside a DO_WHILE, which appends __<iteration>"
        yield Problem(path, message, ref)


def scripts_can_be_read(place: Location, check_script: CheckScript | None) -> Iterator[Problem]:
    """The scripts of a task are written in their language; those put together at run time show then."""
    for script in scripts_of(place.task):
        wrong = check_script(script.language, script.text) if check_script is not None and script.text else None
        if wrong is not None:
            yield Problem(f"{place.path}.{script.field}", f"Expression is not well formatted: {wrong}", script.text)


def type_is_given(place: Location) -> Iterator[Problem]:
    """A task has a type; for worker tasks of their own type it is the name of a queue."""
    if not place.task.type:
        yield Problem(
            f"{place.path}.type", "WorkflowTask type cannot be empty; leave it out for SIMPLE", place.task.type
        )
    if place.task.type in RESERVED_TYPES:
        message = f"type {place.task.type} is the engine's own; a step with a script is INLINE, SWITCH or DO_WHILE"
        yield Problem(f"{place.path}.type", message, place.task.type)
    yield from _text_is_printable(f"{place.path}.type", place.task.type)


def start_delay_is_not_negative(place: Location) -> Iterator[Problem]:
    """A task cannot start before it is reached."""
    if place.task.start_delay < 0:
        yield Problem(f"{place.path}.startDelay", "startDelay must be >= 0 seconds", place.task.start_delay)


def state_changes_are_typed(place: Location) -> Iterator[Problem]:
    """Every event of ``onStateChange`` says what it is."""
    for state, events in place.task.on_state_change.items():
        for index, event in enumerate(events):
            if not event.type:
                path = f"{place.path}.onStateChange{path_step(state)}[{index}].type"
                yield Problem(path, "StateChangeEvent type cannot be null or empty", event.type)


def embedded_definition_is_valid(place: Location) -> Iterator[Problem]:
    """The numbers of an embedded TaskDef are in range; it may switch the response time-out off, and sets no limit.

    It gives retries and time-outs only. A limit is shared by all workflows that use the task, so it belongs to the
    registered TaskDef, where it can be changed while they run.
    """
    task_def = place.task.task_definition
    if task_def is None:
        return
    path = f"{place.path}.taskDefinition"
    for problem in number_problems(task_def, response_timeout_min=0):
        yield Problem(f"{path}.{problem.path}", problem.message, problem.value)
    limits = (
        ("concurrentExecLimit", task_def.concurrent_exec_limit),
        ("rateLimitPerFrequency", task_def.rate_limit_per_frequency),
        ("fairnessKey", task_def.fairness_key),
        ("limitKey", task_def.limit_key),
    )
    for field, value in limits:
        if value and (isinstance(value, str) or value > 0):
            message = (
                f"{field} has no effect in an embedded taskDefinition: register a TaskDef named "
                f"{place.task.name or place.task.task_reference_name} with this limit and remove it here"
            )
            yield Problem(f"{path}.{field}", message, value)


def cache_is_usable(place: Location) -> Iterator[Problem]:
    """An output is reused of what is done by a worker or by the server; steering steps run anew at no cost."""
    config = place.task.cache_config
    if config is None or not config.key or config.ttl_in_second <= 0:
        return  # there is none: a key and a time to live make one
    if place.task.type in OPERATOR_TYPES and place.task.type != TaskType.DYNAMIC:
        message = f"cacheConfig has no effect on taskType: {place.task.type}; give it to a worker's or a system task"
        yield Problem(f"{place.path}.cacheConfig", message, config.key)


_TASK_RULES = (
    task_name_is_given,
    reference_is_given,
    type_is_given,
    start_delay_is_not_negative,
    state_changes_are_typed,
    embedded_definition_is_valid,
    cache_is_usable,
)


def type_is_supported(place: Location, supported: Collection[str] | None) -> Iterator[Problem]:
    """A built-in type is one that this installation can run."""
    task_type = place.task.type
    if supported is not None and is_built_in(task_type) and task_type not in supported:
        message = f"taskType: {task_type} is not supported by this installation; taskName: {place.task.name}"
        yield Problem(f"{place.path}.type", message, task_type)


def _text_is_printable(path: str, text: str) -> Iterator[Problem]:
    if not text.isprintable() and any(unicodedata.category(character) == "Cc" for character in text):
        yield Problem(path, "must not contain control characters", text)


# --- a TaskDef by itself --------------------------------------------------------------------------------------------


def validate_task_def(task_def: TaskDef) -> list[Problem]:
    """All problems of a task definition; empty when it is valid.

    Example: ``validate_task_def(TaskDef(name="a", retry_count=-1))[0].path == "retryCount"``
    """
    problems = [problem for rule in TASK_DEF_RULES for problem in rule(task_def)]
    return [*problems, *_text_is_printable("name", task_def.name)]

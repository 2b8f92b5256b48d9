"""What each task type demands of its fields: one small function per rule, one table from type to rules.

A rule gets the place of a task in its definition and yields the problems it finds; it never raises and knows nothing
of other definitions. Texts are Conductor's where Conductor has one, because users search for them. Called by
``validation`` only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from orchestrator.errors import Problem
from orchestrator.model.definitions import Location, TaskDef, TaskType, WorkflowTask
from orchestrator.model.durations import parse_duration, parse_until
from orchestrator.model.references import has_expression, is_whole_expression
from orchestrator.model.status import TaskStatus, is_terminal

FindTaskDef = Callable[[str], TaskDef | None]
"""Looks a registered TaskDef up by name, because its input template may supply what a task leaves out."""

Rule = Callable[[Location, FindTaskDef], Iterator[Problem]]

_TERMINATION_STATUSES = ("COMPLETED", "FAILED", "TERMINATED")


def type_problems(place: Location, find_task_def: FindTaskDef) -> Iterator[Problem]:
    """Every breach of the rules of the task's own type. Example: an EVENT without ``sink``."""
    for rule in _RULES.get(place.task.type, ()):
        yield from rule(place, find_task_def)


def _required(place: Location, field: str, *, at: str = "") -> Problem:
    task = place.task
    message = f"{field} field is required for taskType: {task.type} taskName: {task.name}"
    return Problem(f"{place.path}.{at or field}", message)


def _available(task: WorkflowTask, find_task_def: FindTaskDef, *keys: str) -> bool:
    """Whether one of ``keys`` is an input of the task or in the input template of its TaskDef."""
    task_def = task.task_definition or find_task_def(task.name)
    template = task_def.input_template if task_def else {}
    return any(key in task.input_parameters or key in template for key in keys)


def event_has_sink(place: Location, _: FindTaskDef) -> Iterator[Problem]:
    """EVENT says where the message goes."""
    if not place.task.sink:
        yield _required(place, "sink")


def decision_has_case_source(place: Location, _: FindTaskDef) -> Iterator[Problem]:
    """DECISION says what to decide on."""
    if not place.task.case_value_param and not place.task.case_expression:
        yield _required(place, "caseValueParam or caseExpression", at="caseValueParam")


def cases_are_given(place: Location, _: FindTaskDef) -> Iterator[Problem]:
    """SWITCH and DECISION have at least one case."""
    if not place.task.decision_cases:
        message = (
            f"decisionCases should have atleast one task for taskType: {place.task.type} taskName: {place.task.name}"
        )
        yield Problem(f"{place.path}.decisionCases", message)


def switch_has_evaluator(place: Location, _: FindTaskDef) -> Iterator[Problem]:
    """SWITCH says how to evaluate."""
    if not place.task.evaluator_type:
        yield _required(place, "evaluatorType")


def switch_has_expression(place: Location, _: FindTaskDef) -> Iterator[Problem]:
    """SWITCH says what to evaluate."""
    if not place.task.expression:
        yield _required(place, "expression")


def dynamic_names_its_parameter(place: Location, _: FindTaskDef) -> Iterator[Problem]:
    """DYNAMIC says which input holds the task's name."""
    if not place.task.dynamic_task_name_param:
        yield _required(place, "dynamicTaskNameParam")


def fork_has_branches(place: Location, _: FindTaskDef) -> Iterator[Problem]:
    """FORK_JOIN has branches, and no branch is empty: an empty one has no first task to schedule."""
    task = place.task
    if not task.fork_tasks:
        message = f"forkTasks should have atleast one task for taskType: {task.type} taskName: {task.name}"
        yield Problem(f"{place.path}.forkTasks", message)
    for index, branch in enumerate(task.fork_tasks):
        if not branch:
            message = f"branch {index} of {task.task_reference_name} has no tasks; add one or remove the branch"
            yield Problem(f"{place.path}.forkTasks[{index}]", message)


def fork_is_followed_by_join(place: Location, _: FindTaskDef) -> Iterator[Problem]:
    """The next task after a fork is its JOIN. Conductor notices at run time only, when the workflow is already lost."""
    if place.following is None or place.following.type != TaskType.JOIN:
        message = (
            "Fork task definition is not followed by a join task.  Check the blueprint"
            if place.task.type == TaskType.FORK_JOIN
            else "Dynamic join definition is not followed by a join task.  Check the workflow definition."
        )
        yield Problem(place.path, message, place.task.task_reference_name)


def join_accepts_statuses(place: Location, _: FindTaskDef) -> Iterator[Problem]:
    """What a JOIN's ``joinStatus`` lists are statuses that a task can end with."""
    known = [str(status) for status in TaskStatus if is_terminal(status)]
    for status in (place.task.join_status or "").split(","):
        if status.strip() and status.strip() not in known:
            message = f"joinStatus: {status.strip()} is not a status that a task ends with; use {', '.join(known)}"
            yield Problem(f"{place.path}.joinStatus", message, place.task.join_status)


def dynamic_fork_has_one_source(place: Location, _: FindTaskDef) -> Iterator[Problem]:
    """FORK_JOIN_DYNAMIC takes its branches from exactly one of the three input forms."""
    task = place.task
    pair = (task.dynamic_fork_tasks_param, task.dynamic_fork_tasks_input_param_name)
    if task.dynamic_fork_join_tasks_param and any(pair):
        message = (
            "dynamicForkJoinTasksParam cannot be combined with dynamicForkTasksParam and "
            f"dynamicForkTasksInputParamName for taskType: {task.type} taskName: {task.name}"
        )
        yield Problem(f"{place.path}.dynamicForkJoinTasksParam", message, task.dynamic_fork_join_tasks_param)
    elif "forkTaskInputs" in task.input_parameters or task.dynamic_fork_join_tasks_param:
        return
    else:
        for field, value in zip(("dynamicForkTasksParam", "dynamicForkTasksInputParamName"), pair, strict=True):
            if not value:
                yield _required(place, field)


def http_has_request(place: Location, find_task_def: FindTaskDef) -> Iterator[Problem]:
    """HTTP has its request, nested or at top level, or gets it from the TaskDef's input template."""
    if not _available(place.task, find_task_def, "http_request", "uri", "method"):
        yield _required(place, "http_request", at="inputParameters")


def kafka_has_request(place: Location, find_task_def: FindTaskDef) -> Iterator[Problem]:
    """KAFKA_PUBLISH has its request."""
    if not _available(place.task, find_task_def, "kafka_request"):
        yield _required(place, "kafka_request", at="inputParameters")


def rq_has_function(place: Location, find_task_def: FindTaskDef) -> Iterator[Problem]:
    """RQ says what to call: the path of a function that RQ's workers can import."""
    if not _available(place.task, find_task_def, "rq_request"):
        yield _required(place, "rq_request", at="inputParameters")
        return
    request = place.task.input_parameters.get("rq_request")
    function = request.get("function") if isinstance(request, dict) else None
    if isinstance(request, dict) and not function:
        yield _required(place, "rq_request.function", at="inputParameters.rq_request.function")
    elif isinstance(function, str) and not has_expression(function) and "." not in function:
        message = "function must be the path of a function that RQ's workers can import, such as shop.tasks.charge"
        yield Problem(f"{place.path}.inputParameters.rq_request.function", message, function)


def jq_has_query(place: Location, find_task_def: FindTaskDef) -> Iterator[Problem]:
    """JSON_JQ_TRANSFORM has its query."""
    if not _available(place.task, find_task_def, "queryExpression"):
        yield _required(place, "queryExpression", at="inputParameters")


def loop_has_condition(place: Location, _: FindTaskDef) -> Iterator[Problem]:
    """DO_WHILE has a condition, or items that come to an end (Conductor asks for the condition even then)."""
    if not place.task.loop_condition and not place.task.items and "_items" not in place.task.input_parameters:
        yield _required(place, "loopCondition")


def loop_has_body(place: Location, _: FindTaskDef) -> Iterator[Problem]:
    """DO_WHILE has something to repeat."""
    if not place.task.loop_over:
        yield _required(place, "loopOver")


def loop_keeps_a_number(place: Location, _: FindTaskDef) -> Iterator[Problem]:
    """``keepLastN`` of a DO_WHILE is a whole number from 1, known before the loop runs."""
    kept = place.task.input_parameters.get("keepLastN")
    if kept is not None and (not isinstance(kept, int) or isinstance(kept, bool) or kept < 1):
        message = f"keepLastN must be a whole number >= 1 for taskType: {place.task.type} taskName: {place.task.name}"
        yield Problem(f"{place.path}.inputParameters.keepLastN", message, kept)


def terminate_is_not_optional(place: Location, _: FindTaskDef) -> Iterator[Problem]:
    """TERMINATE always ends the workflow."""
    if place.task.optional:
        message = f"terminate task cannot be optional, taskName: {place.task.name}"
        yield Problem(f"{place.path}.optional", message, True)


def terminate_has_status(place: Location, _: FindTaskDef) -> Iterator[Problem]:
    """TERMINATE names a final status, or an expression for one (Conductor refuses expressions here)."""
    status = place.task.input_parameters.get("terminationStatus")
    if status not in _TERMINATION_STATUSES and not has_expression(status):
        message = (
            "terminate task must have an terminationStatus parameter and must be set to COMPLETED or FAILED, "
            f"taskName: {place.task.name}"
        )
        yield Problem(f"{place.path}.inputParameters.terminationStatus", message, status)


def wait_has_one_deadline(place: Location, _: FindTaskDef) -> Iterator[Problem]:
    """WAIT lasts for a time or until a moment, not both."""
    inputs = place.task.input_parameters
    if inputs.get("duration") and inputs.get("until"):
        message = "Both 'duration' and 'until' specified. Please provide only one input"
        yield Problem(f"{place.path}.inputParameters", message)


def wait_texts_parse(place: Location, _: FindTaskDef) -> Iterator[Problem]:
    """Literal ``duration`` and ``until`` of a WAIT can be read; expressions are judged when their value is known."""
    readers: tuple[tuple[str, Callable[[str], int]], ...] = (("duration", parse_duration), ("until", parse_until))
    for key, reader in readers:
        value = place.task.input_parameters.get(key)
        if value and not has_expression(value):
            reason = _parse_failure(reader, value)
            if reason:
                yield Problem(f"{place.path}.inputParameters.{key}", reason, value)


def _parse_failure(reader: Callable[[str], int], value: Any) -> str | None:
    if not isinstance(value, str):
        return "must be text, such as '5 minutes' or '2030-01-31 18:00'"
    try:
        reader(value)
    except ValueError as error:
        return str(error)
    return None


def sub_workflow_is_named(place: Location, _: FindTaskDef) -> Iterator[Problem]:
    """SUB_WORKFLOW says which workflow it starts, by name or inline."""
    params = place.task.sub_workflow_param
    if params is None:
        yield _required(place, "subWorkflowParam")
    elif not params.name and params.workflow_definition is None:
        message = "SubWorkflowParams name cannot be null or empty"
        yield Problem(f"{place.path}.subWorkflowParam", message, params.name)


def sub_workflow_texts_are_expressions(place: Location, _: FindTaskDef) -> Iterator[Problem]:
    """Where SUB_WORKFLOW takes a number or an object, a text must be an expression that yields one."""
    params = place.task.sub_workflow_param
    if params is None:
        return
    path = f"{place.path}.subWorkflowParam"
    definition = params.workflow_definition
    if isinstance(definition, str) and not (definition.startswith("${") and definition.endswith("}")):
        message = "workflowDefinition is a string, but not a valid DSL string"
        yield Problem(f"{path}.workflowDefinition", message, definition)
    for field, value in (("version", params.version), ("priority", params.priority)):
        if isinstance(value, str) and not is_whole_expression(value):
            yield Problem(f"{path}.{field}", f"{field} must be a whole number or one ${{...}} expression", value)


def webhook_has_matches(place: Location, _: FindTaskDef) -> Iterator[Problem]:
    """WAIT_FOR_WEBHOOK says which event it waits for."""
    matches = place.task.input_parameters.get("matches")
    if isinstance(matches, str) and is_whole_expression(matches):
        return
    if not isinstance(matches, dict) or not matches:
        message = "matches must map JSONPaths of the event to the values they must have"
        yield Problem(f"{place.path}.inputParameters.matches", message, matches)


_RULES: dict[str, tuple[Rule, ...]] = {
    TaskType.EVENT: (event_has_sink,),
    TaskType.DECISION: (decision_has_case_source, cases_are_given),
    TaskType.SWITCH: (switch_has_evaluator, switch_has_expression, cases_are_given),
    TaskType.DYNAMIC: (dynamic_names_its_parameter,),
    TaskType.FORK_JOIN: (fork_has_branches, fork_is_followed_by_join),
    TaskType.JOIN: (join_accepts_statuses,),
    TaskType.FORK_JOIN_DYNAMIC: (dynamic_fork_has_one_source, fork_is_followed_by_join),
    TaskType.HTTP: (http_has_request,),
    TaskType.HTTP_POLL: (http_has_request,),
    TaskType.KAFKA_PUBLISH: (kafka_has_request,),
    TaskType.RQ: (rq_has_function,),
    TaskType.JSON_JQ_TRANSFORM: (jq_has_query,),
    TaskType.DO_WHILE: (loop_has_condition, loop_has_body, loop_keeps_a_number),
    TaskType.TERMINATE: (terminate_is_not_optional, terminate_has_status),
    TaskType.WAIT: (wait_has_one_deadline, wait_texts_parse),
    TaskType.WAIT_FOR_WEBHOOK: (webhook_has_matches,),
    TaskType.SUB_WORKFLOW: (sub_workflow_is_named, sub_workflow_texts_are_expressions),
}

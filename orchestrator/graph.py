"""A definition as a drawing: ``mermaid`` for pages, ``text_tree`` for a terminal.

Pure functions of the definition that draw every operator and show what they do not know as a plain box, so that a
drawing never fails; a run's state is drawn elsewhere. Called by ``Workflow.graph``, the command line and the pages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from orchestrator.model.definitions import TASK_DEPTH_MAX, TaskType, WorkflowDef, WorkflowTask, nested_lists

_LABEL_CHARS_MAX = 80

_SHAPES = {
    TaskType.SWITCH: ("{", "}"),
    TaskType.DECISION: ("{", "}"),
    TaskType.FORK_JOIN: ("{{", "}}"),
    TaskType.FORK_JOIN_DYNAMIC: ("{{", "}}"),
    TaskType.JOIN: ("{{", "}}"),
    TaskType.EXCLUSIVE_JOIN: ("{{", "}}"),
    TaskType.DO_WHILE: ("[/", "/]"),
    TaskType.SUB_WORKFLOW: ("[[", "]]"),
    TaskType.START_WORKFLOW: ("[[", "]]"),
    TaskType.WAIT: ("([", "])"),
    TaskType.HUMAN: ("([", "])"),
    TaskType.TERMINATE: ("(((", ")))"),
}


def mermaid(definition: WorkflowDef) -> str:
    """A Mermaid flowchart, from start to end. Example: ``mermaid(hello.definition())`` begins with ``flowchart TD``."""
    return _Flowchart().draw(definition)


def text_tree(definition: WorkflowDef) -> str:
    """An indented tree, one line per step, branches below the step that holds them.

    Example: the second line of ``text_tree(hello.definition())`` is ``└─ greet``
    """
    return "\n".join(
        [f"{_one_line(definition.name)} version {definition.version}", *_tree_lines(definition.tasks, "", 1)]
    )


class _Loose(NamedTuple):
    """An edge that has left a node and looks for the next one."""

    node: str
    label: str = ""
    awaited: bool = True


class _Flowchart:
    def __init__(self) -> None:
        self._lines = ["flowchart TD"]
        self._count = 0

    def draw(self, definition: WorkflowDef) -> str:
        self._lines.append('  start(["' + _escaped(f"{definition.name} version {definition.version}") + '"])')
        loose = self._sequence(definition.tasks, [_Loose("start")], 1)
        if loose:
            self._lines.append('  finish(["end"])')
            self._connect(loose, "finish")
        return "\n".join(self._lines) + "\n"

    def _sequence(self, tasks: list[WorkflowTask], loose: list[_Loose], depth: int) -> list[_Loose]:
        if depth > TASK_DEPTH_MAX:
            return loose
        for index, task in enumerate(tasks):
            following = tasks[index + 1] if index + 1 < len(tasks) else None
            node = self._node(task)
            self._connect(loose, node)
            loose = self._after(task, node, following, depth)
        return loose

    def _after(self, task: WorkflowTask, node: str, following: WorkflowTask | None, depth: int) -> list[_Loose]:
        """What leaves ``task``, after drawing what it holds."""
        if task.type == TaskType.TERMINATE:
            return []
        if task.type in (TaskType.SWITCH, TaskType.DECISION):
            return self._cases(task, node, depth)
        if task.type == TaskType.FORK_JOIN:
            return self._branches(task, node, following, depth)
        if task.type == TaskType.DO_WHILE:
            self._connect(self._sequence(task.loop_over, [_Loose(node, "each turn")], depth + 1), node, "again")
            return [_Loose(node, "done")]
        if task.type == TaskType.FORK_JOIN_DYNAMIC:
            each = self._box("[", "one branch per element", "]")
            self._connect([_Loose(node)], each)
            return [_Loose(each)]
        return [_Loose(node)]

    def _cases(self, task: WorkflowTask, node: str, depth: int) -> list[_Loose]:
        cases = [*task.decision_cases.items(), ("default", task.default_case)]
        return [
            loose
            for case, tasks in cases
            for loose in self._sequence(tasks, [_Loose(node, case or "(empty)")], depth + 1)
        ]

    def _branches(self, task: WorkflowTask, node: str, following: WorkflowTask | None, depth: int) -> list[_Loose]:
        joined = following.join_on if following is not None and following.type == TaskType.JOIN else []
        loose: list[_Loose] = []
        for branch in task.fork_tasks:
            awaited = not joined or any(inner.task_reference_name in joined for inner in branch)
            ends = self._sequence(branch, [_Loose(node)], depth + 1)
            loose += [_Loose(end.node, end.label if awaited else "not awaited", awaited) for end in ends]
        return loose

    def _node(self, task: WorkflowTask) -> str:
        opening, closing = _SHAPES.get(TaskType(task.type), ("[", "]")) if task.type in set(TaskType) else ("[", "]")
        return self._box(opening, "\n".join([task.task_reference_name, *_details(task)]), closing)

    def _box(self, opening: str, label: str, closing: str) -> str:
        self._count += 1
        node = f"n{self._count}"
        self._lines.append(f'  {node}{opening}"{_escaped(label)}"{closing}')
        return node

    def _connect(self, loose: list[_Loose], node: str, fallback: str = "") -> None:
        for edge in loose:
            label = edge.label or fallback
            arrow = "-->" if edge.awaited else "-.->"
            caption = '|"' + _escaped(label) + '"|' if label else ""
            self._lines.append(f"  {edge.node} {arrow}{caption} {node}")


def _escaped(text: str) -> str:
    """Text for a quoted Mermaid label; its own entity form, since HTML's ``&`` forms are read only in part."""
    lines = [line if len(line) <= _LABEL_CHARS_MAX else line[: _LABEL_CHARS_MAX - 1] + "…" for line in text.split("\n")]
    for character, entity in (
        ("#", "#35;"),
        ("&", "#amp;"),
        ('"', "#quot;"),
        ("<", "#lt;"),
        (">", "#gt;"),
        ("`", "#96;"),
    ):
        lines = [line.replace(character, entity) for line in lines]
    return "<br/>".join("".join(c if c.isprintable() else " " for c in line) for line in lines)


# --- the tree -------------------------------------------------------------------------------------------------------


def _tree_lines(tasks: list[WorkflowTask], indent: str, depth: int) -> Iterator[str]:
    for index, task in enumerate(tasks):
        is_last = index == len(tasks) - 1
        details = ", ".join(_details(task))
        line = f"{indent}{'└─' if is_last else '├─'} {_one_line(task.task_reference_name)}"
        yield f"{line}  ({details})" if details else line
        if depth < TASK_DEPTH_MAX:
            yield from _held_lines(task, indent + ("   " if is_last else "│  "), depth)


def _held_lines(task: WorkflowTask, indent: str, depth: int) -> Iterator[str]:
    titled = [(title, tasks) for title, tasks in _titled_lists(task) if tasks or title != "default"]
    for index, (title, tasks) in enumerate(titled):
        is_last = index == len(titled) - 1
        yield f"{indent}{'└─' if is_last else '├─'} {_one_line(title)}:{'' if tasks else ' nothing'}"
        yield from _tree_lines(tasks, indent + ("   " if is_last else "│  "), depth + 1)


def _titled_lists(task: WorkflowTask) -> Iterator[tuple[str, list[WorkflowTask]]]:
    if task.sub_workflow_param is not None and task.type == TaskType.SUB_WORKFLOW:
        definition = task.sub_workflow_param.workflow_definition
        return iter([("workflow", definition.tasks)] if isinstance(definition, WorkflowDef) else [])
    lists = [tasks for _, tasks in nested_lists(task)]
    if task.type in (TaskType.SWITCH, TaskType.DECISION):
        titles = [f"case {case or '(empty)'}" for case in task.decision_cases] + ["default"]
    elif task.type == TaskType.DO_WHILE:
        titles = ["each turn"]
    else:
        titles = [f"branch {number}" for number in range(1, len(lists) + 1)]
    return zip(titles, lists, strict=True)


# --- what a step says about itself ----------------------------------------------------------------------------------


def _details(task: WorkflowTask) -> list[str]:
    """Short texts that tell the step from others: task name or type, what it waits for, how it differs."""
    details = [_kind(task), *_particulars(task)]
    if task.optional:
        details.append("optional")
    return [_one_line(text) for text in details if text]


def _kind(task: WorkflowTask) -> str:
    if task.type == TaskType.SIMPLE:
        return "" if task.name == task.task_reference_name else task.name
    return task.type


def _particulars(task: WorkflowTask) -> Iterator[str]:
    say = _SAYS.get(task.type)
    return (text for text in say(task) if text) if say is not None else iter(())


def _choice(task: WorkflowTask) -> Iterator[str]:
    yield f"on {task.input_parameters.get(task.expression or '', task.expression)}" if task.expression else ""


def _old_choice(task: WorkflowTask) -> Iterator[str]:
    by_value = task.case_expression or task.case_value_param
    yield f"on {task.input_parameters.get(task.case_value_param or '', by_value)}"


def _repetition(task: WorkflowTask) -> Iterator[str]:
    yield f"over {task.items}" if task.items else ""
    yield f"while {task.loop_condition}" if task.loop_condition else ""


def _dynamic_branches(task: WorkflowTask) -> Iterator[str]:
    parameters = task.input_parameters
    if "forkTaskInputs" in parameters:
        yield str(next((parameters[key] for key in _FORK_EACH_NAMES if parameters.get(key)), ""))
        yield f"over {parameters['forkTaskInputs']}"
    else:
        source = task.dynamic_fork_tasks_param or task.dynamic_fork_join_tasks_param
        yield f"over {parameters.get(source, source)}" if source else ""


def _awaited(task: WorkflowTask) -> Iterator[str]:
    yield f"on {', '.join(task.join_on)}" if task.join_on else ""
    yield f"by {task.expression}" if task.expression else ""
    if task.default_exclusive_join_task:
        yield f"else {', '.join(task.default_exclusive_join_task)}"


def _child(task: WorkflowTask) -> Iterator[str]:
    params = task.sub_workflow_param
    if params is not None:
        version = f" version {params.version}" if params.version is not None else ""
        yield f"{params.name}{version}{', inline' if isinstance(params.workflow_definition, WorkflowDef) else ''}"


def _started(task: WorkflowTask) -> Iterator[str]:
    request = task.input_parameters.get("startWorkflow")
    yield str(request.get("name", "")) if isinstance(request, dict) else ""


def _waits(task: WorkflowTask) -> Iterator[str]:
    parameters = task.input_parameters
    return (f"{word} {parameters[word]}" for word in ("duration", "until", "signal") if parameters.get(word))


def _call(task: WorkflowTask) -> Iterator[str]:
    parameters = task.input_parameters
    request = parameters.get("http_request", parameters)
    if isinstance(request, dict):
        yield f"{request.get('method', '')} {request.get('uri', '')}".strip()
        yield f"until {request['terminationCondition']}" if request.get("terminationCondition") else ""


def _topic(task: WorkflowTask) -> Iterator[str]:
    request = task.input_parameters.get("kafka_request")
    yield str(request.get("topic", "")) if isinstance(request, dict) else ""


def _function(task: WorkflowTask) -> Iterator[str]:
    request = task.input_parameters.get("rq_request")
    yield str(request.get("function", "")) if isinstance(request, dict) else ""


def _input(name: str) -> Callable[[WorkflowTask], Iterator[str]]:
    return lambda task: iter((str(task.input_parameters.get(name, "")),))


def _matched(task: WorkflowTask) -> Iterator[str]:
    matches = task.input_parameters.get("matches")
    pairs = matches.items() if isinstance(matches, dict) else ()
    yield ", ".join(f"{path} = {value}" for path, value in pairs)


_FORK_EACH_NAMES = ("forkTaskName", "forkTaskWorkflow", "forkTaskType")

_SAYS: dict[str, Callable[[WorkflowTask], Iterator[str]]] = {
    TaskType.SWITCH: _choice,
    TaskType.DECISION: _old_choice,
    TaskType.DO_WHILE: _repetition,
    TaskType.FORK_JOIN_DYNAMIC: _dynamic_branches,
    TaskType.JOIN: _awaited,
    TaskType.EXCLUSIVE_JOIN: _awaited,
    TaskType.DYNAMIC: lambda task: iter((str(task.input_parameters.get(task.dynamic_task_name_param or "", "")),)),
    TaskType.SUB_WORKFLOW: _child,
    TaskType.START_WORKFLOW: _started,
    TaskType.SET_VARIABLE: lambda task: iter((", ".join(task.input_parameters),)),
    TaskType.TERMINATE: _input("terminationStatus"),
    TaskType.WAIT: _waits,
    TaskType.WAIT_FOR_WEBHOOK: _matched,
    TaskType.HTTP: _call,
    TaskType.HTTP_POLL: _call,
    TaskType.INLINE: _input("expression"),
    TaskType.LAMBDA: _input("scriptExpression"),
    TaskType.JSON_JQ_TRANSFORM: _input("queryExpression"),
    TaskType.EVENT: lambda task: iter((task.sink or "",)),
    TaskType.KAFKA_PUBLISH: _topic,
    TaskType.RQ: _function,
    TaskType.PULL_WORKFLOW_MESSAGES: lambda task: iter((f"up to {task.input_parameters.get('batchSize', 1)}",)),
}


def _one_line(text: str) -> str:
    flat = "".join(c if c.isprintable() else " " for c in text)
    return flat if len(flat) <= _LABEL_CHARS_MAX else flat[: _LABEL_CHARS_MAX - 1] + "…"

"""Where a definition holds scripts, and in which language each is written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from orchestrator.model.definitions import TaskType, WorkflowTask

LANGUAGES = {"javascript": "javascript", "graaljs": "javascript", "python": "python"}
"""What a definition may call an evaluator, and the language that is."""


class Script(NamedTuple):
    """One script of a task: the field it is in, its language, and its text if that is not put together at run time."""

    field: str
    language: str
    text: str | None


def scripts_of(task: WorkflowTask) -> Iterator[Script]:
    """The scripts of a task. Example: ``[script.language for script in scripts_of(task)] == ["javascript"]``."""
    given = task.input_parameters
    match task.type:
        case TaskType.SWITCH if task.evaluator_type in LANGUAGES:
            yield Script("expression", LANGUAGES[task.evaluator_type], task.expression)
        case TaskType.DECISION if task.case_expression:
            yield Script("caseExpression", "javascript", task.case_expression)
        case TaskType.DO_WHILE if task.loop_condition and (task.evaluator_type or "javascript") in LANGUAGES:
            yield Script("loopCondition", LANGUAGES[task.evaluator_type or "javascript"], task.loop_condition)
        case TaskType.JOIN if task.expression:
            yield Script("expression", LANGUAGES.get(task.evaluator_type or "", "javascript"), task.expression)
        case TaskType.INLINE:
            language = LANGUAGES.get(given.get("evaluatorType") or "javascript")
            if language is not None:
                yield Script("inputParameters.expression", language, _fixed(given.get("expression")))
        case TaskType.LAMBDA:
            body = _fixed(given.get("scriptExpression"))
            yield Script("inputParameters.scriptExpression", "javascript", None if body is None else as_program(body))
        case TaskType.HTTP_POLL:
            request = given.get("http_request")
            place, polling = ("http_request.", request) if isinstance(request, dict) else ("", given)
            language = LANGUAGES.get(str(polling.get("evaluatorType") or "javascript"))
            if language is not None:
                text = _fixed(polling.get("terminationCondition"))
                yield Script(f"inputParameters.{place}terminationCondition", language, text)
        case TaskType.JSON_JQ_TRANSFORM:
            yield Script("inputParameters.queryExpression", "jq", _fixed(given.get("queryExpression")))


def as_program(body: str) -> str:
    """A function's body as a JavaScript program of the same lines. Example: ``as_program("return 1")``."""
    return f"(function(){{{body}\n}})()"


def _fixed(value: Any) -> str | None:
    """An input that is the same in every run."""
    return value if isinstance(value, str) and value.strip() and "${" not in value else None

"""Try an expression or a script out: against an execution as it stands, or against values that are given.

Nothing is written. What an expression reads is what a step of the workflow would read now, masked fields shown as
``***``. Called by the command line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from orchestrator.core.expressions import check_expression, compile_template, expressions_in
from orchestrator.core.scope import TASK_FIELDS, WORKFLOW_FIELDS
from orchestrator.errors import InvalidRequest
from orchestrator.model.execution import Workflow
from orchestrator.model.scripts import LANGUAGES
from orchestrator.model.wire import task_to_dict, workflow_to_dict
from orchestrator.plan import Plan
from orchestrator.scripts.children import Children
from orchestrator.scripts.limits import FULL
from orchestrator.scripts.messages import Request, evaluation_of
from orchestrator.service import secrets, workflows
from orchestrator.store.context import StoreContext

Json = dict[str, Any]

_WIRE_NAMES = {"input": "inputData", "output": "outputData"}


class Documents:
    """The expression scope of an execution seen from outside: the workflow, and the latest attempt of each task."""

    def __init__(self, workflow: Json, tasks: Mapping[str, Json], environment: Mapping[str, str]) -> None:
        self._workflow = workflow
        self._tasks = tasks
        self._environment = environment

    def field(self, root: str, name: str) -> Any:
        """One field of the workflow or of a task."""
        found = self.document(root)
        return found.get(name) if found is not None else None

    def document(self, root: str) -> Json | None:
        """All fields of the workflow or of a task."""
        return self._workflow if root == "workflow" else self._tasks.get(root)

    def constant(self, name: str) -> str | None:
        """A stored environment value."""
        return self._environment.get(name)

    def env(self, name: str) -> str | None:
        """A stored environment value."""
        return self._environment.get(name)


def documents_of(found: Workflow, environment: Mapping[str, str]) -> Documents:
    """What expressions can see of an execution; a step inside a loop is that of the newest round."""
    whole = workflow_to_dict(found)
    own = {name: whole.get(name) for name in WORKFLOW_FIELDS}
    own |= {"workflowType": found.workflow_name, "schemaVersion": 2, "variables": found.variables}
    tasks: dict[str, Json] = {}
    for task in sorted(found.tasks, key=lambda task: task.seq):
        shown = task_to_dict(task)
        document = {name: shown.get(_WIRE_NAMES.get(name, name)) for name in TASK_FIELDS}
        tasks[task.reference_task_name] = tasks[re.sub(r"__\d+$", "", task.reference_task_name)] = document
    return Documents(own, tasks, environment)


def scope_of(store: StoreContext, workflow_id: str) -> Plan[Documents]:
    """What expressions can see of a stored execution. Raises ``WorkflowNotFound``."""
    found = yield from workflows.get(store, workflow_id)
    environment = yield from secrets.environment_values(store)
    return documents_of(found, environment)


def given_scope(input: Json) -> Documents:
    """What expressions can see of a workflow that has this input and has run nothing yet."""
    return Documents({"input": input, "variables": {}}, {}, {})


def render(value: Any, scope: Documents) -> Any:
    """A JSON value with its expressions replaced. Raises ``InvalidRequest`` for one that cannot be read.

    Example: ``render("${workflow.input.n}", given_scope({"n": 3})) == 3``
    """
    for _, expression in expressions_in(value):
        wrong = check_expression(expression)
        if wrong is not None:
            raise InvalidRequest(f"${{{expression}}} cannot be read: {wrong}")
    return compile_template(value).render(scope)


def run_script(language: str, script: str, input: Json, *, now_ms: int) -> Any:
    """A script's value under the limits of a task; of jq, the list of its results.

    Raises ``InvalidRequest`` with what is wrong. Example: ``run_script("python", "n + 1", {"n": 2}, now_ms=0) == 3``
    """
    processes = Children(1)
    try:
        text = msgspec.json.encode(input).decode()
        answer = processes.ask(Request(LANGUAGES.get(language, language), script, text, now_ms, "", FULL))
    finally:
        processes.close()
    evaluation = evaluation_of(answer, FULL)
    if evaluation.error is not None:
        raise InvalidRequest(evaluation.error)
    return evaluation.value

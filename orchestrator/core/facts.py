"""What a decision may know besides the workflow: live task definitions, the allow-listed environment, size limits.

The engine refreshes the facts about once a second; a decision treats them as constants.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from orchestrator.model.definitions import TaskDef, WorkflowTask, default_task_def
from orchestrator.model.evaluation import Evaluation

VARIABLES_BYTES_MAX = 256 * 1024
PAYLOAD_BYTES_MAX = 3 * 1024 * 1024


class Scripts(Protocol):
    """What answers the user's scripts inside a decision: the same arguments always give the same answer, or none."""

    def evaluate(
        self, language: str, script: str, input: dict[str, Any], *, now_ms: int, seed: str
    ) -> Evaluation | None:
        """The answer; None = it did not come within the decider's budget, or must not be looked for here.

        ``language`` is ``javascript`` or ``python``; ``now_ms`` is the script's clock, ``seed`` that of its randomness.
        """


class NoScriptsHere:
    """Leaves every script to script tasks: what a decision goes by that was given nothing else."""

    def evaluate(
        self, language: str, script: str, input: dict[str, Any], *, now_ms: int, seed: str
    ) -> Evaluation | None:
        """No answer."""
        return None


class Listeners(NamedTuple):
    """Where news goes when a definition does not say: of workflows that have a listener, and of all tasks ('' = nowhere)."""

    workflow: str = ""
    task: str = ""


NOBODY = Listeners()


class Facts:
    """Everything outside the workflow that a decision depends on."""

    __slots__ = (
        "_defaults",
        "environment",
        "listeners",
        "partitions",
        "payload_bytes_max",
        "polled",
        "scripts",
        "task_defs",
        "variables_bytes_max",
    )

    def __init__(
        self,
        task_defs: Mapping[str, TaskDef] | None = None,
        environment: Mapping[str, str] | None = None,
        payload_bytes_max: int = PAYLOAD_BYTES_MAX,
        variables_bytes_max: int = VARIABLES_BYTES_MAX,
        scripts: Scripts | None = None,
        listeners: Listeners = NOBODY,
        partitions: int = 1,
        polled: Mapping[tuple[str, str], int] | None = None,
    ) -> None:
        # When somebody last polled a domain of a task type, of those that a decision has asked for; 0 = never.
        self.polled: Mapping[tuple[str, str], int] = polled if polled is not None else {}
        self.partitions = partitions
        self.task_defs: Mapping[str, TaskDef] = task_defs if task_defs is not None else {}
        self.environment: Mapping[str, str] = environment if environment is not None else {}
        self.payload_bytes_max = payload_bytes_max
        self.variables_bytes_max = variables_bytes_max
        self.scripts: Scripts = scripts if scripts is not None else NoScriptsHere()
        self.listeners = listeners
        self._defaults: dict[tuple[str, str], TaskDef] = {}

    def task_def(self, task: WorkflowTask) -> TaskDef:
        """The definition that governs a task: embedded, else registered under its name, else Conductor's defaults."""
        if task.task_definition is not None:
            return task.task_definition
        registered = self.task_defs.get(task.name)
        if registered is not None:
            return registered
        key = (task.name, task.type)
        default = self._defaults.get(key)
        if default is None:
            default = self._defaults[key] = default_task_def(task.name, task.type)
        return default

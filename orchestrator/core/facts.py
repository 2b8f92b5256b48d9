"""What a decision may know besides the workflow: live task definitions, the allow-listed environment, size limits.

The engine refreshes the facts about once a second; a decision treats them as constants.
"""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.model.definitions import TaskDef, WorkflowTask, default_task_def

VARIABLES_BYTES_MAX = 256 * 1024
PAYLOAD_BYTES_MAX = 3 * 1024 * 1024


class Facts:
    """Everything outside the workflow that a decision depends on."""

    __slots__ = ("_defaults", "environment", "payload_bytes_max", "task_defs", "variables_bytes_max")

    def __init__(
        self,
        task_defs: Mapping[str, TaskDef] | None = None,
        environment: Mapping[str, str] | None = None,
        payload_bytes_max: int = PAYLOAD_BYTES_MAX,
        variables_bytes_max: int = VARIABLES_BYTES_MAX,
    ) -> None:
        self.task_defs: Mapping[str, TaskDef] = task_defs if task_defs is not None else {}
        self.environment: Mapping[str, str] = environment if environment is not None else {}
        self.payload_bytes_max = payload_bytes_max
        self.variables_bytes_max = variables_bytes_max
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

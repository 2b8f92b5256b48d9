"""Tests of registered workflows: fetched from the installation, run in this process with mocked outcomes.

Nothing is started or stored in the installation, and no task's code runs. ``orchestrator.testing`` belongs to the floor
above and is loaded by name when it is asked for.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from orchestrator.model.requests import WorkflowTestRequest
from orchestrator.model.wire_write import write_struct
from orchestrator.service.companions import Company

if TYPE_CHECKING:
    from orchestrator.testing.results import WorkflowResult


def play(found: Company, input: Mapping[str, Any] | None, mocks: Mapping[str, Any]) -> WorkflowResult:
    """Run it to its end, on a clock of its own. Raises ``MissingExtra`` without the extra ``test``."""
    testing = importlib.import_module("orchestrator.testing")
    result: WorkflowResult = testing.run(found.workflow, input, mocks=mocks, others=[*found.others, *found.task_defs])
    return result


def mocks_of(request: WorkflowTestRequest) -> dict[str, Any]:
    """The mocks of a test as Conductor's clients write it. Raises ``MissingExtra``, ``InvalidRequest``."""
    mocks: dict[str, Any] = importlib.import_module("orchestrator.testing.mocks").mocks_of_request(
        write_struct(request)
    )
    return mocks

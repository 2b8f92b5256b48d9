"""What docs/events.md shows can be used as it stands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec

from orchestrator.model.definitions import WorkflowDef
from orchestrator.model.event_handlers import event_handler_from_dict, event_handler_to_dict
from orchestrator.model.validation import validate_workflow_def
from orchestrator.model.wire import workflow_task_from_dict

PAGE = Path(__file__).parents[2] / "docs" / "events.md"


def documents() -> list[Any]:
    """The JSON of the page, in order."""
    return [msgspec.json.decode(block) for block in re.findall(r"```json\n(.*?)```", PAGE.read_text(), re.DOTALL)]


def test_the_handler_of_the_page_is_valid() -> None:
    handler = event_handler_from_dict(documents()[0])
    assert handler.active
    assert event_handler_to_dict(handler)["actions"] == [
        {
            **documents()[0]["actions"][0],
            "start_workflow": {**documents()[0]["actions"][0]["start_workflow"], "taskToDomain": {}},
        }
    ]


def test_the_task_of_the_page_is_valid() -> None:
    task = workflow_task_from_dict(documents()[1])
    assert (task.type, task.sink) == ("EVENT", "conductor:paid")


def test_the_state_changes_of_the_page_are_valid() -> None:
    task = workflow_task_from_dict(documents()[2])
    assert validate_workflow_def(WorkflowDef(name="order", tasks=[task])) == []
    assert list(task.on_state_change) == ["onSuccess", "onFailed"]

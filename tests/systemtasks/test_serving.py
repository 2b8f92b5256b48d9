"""The table of system tasks, and which of them a process serves."""

from __future__ import annotations

import pytest

from orchestrator.core.kinds import SYSTEM_TASK_TYPES, is_queued
from orchestrator.engine import extras
from orchestrator.errors import InvalidRequest
from orchestrator.model.definitions import is_built_in
from orchestrator.model.validation import RESERVED_TYPES
from orchestrator.systemtasks import REACHING_OUTSIDE, SYSTEM_TASKS
from orchestrator.systemtasks.serving import served_types


def test_the_core_queues_exactly_what_the_role_carries_out() -> None:
    assert SYSTEM_TASKS.keys() == SYSTEM_TASK_TYPES
    assert SYSTEM_TASKS.keys() >= REACHING_OUTSIDE
    assert all(is_built_in(name) or name in RESERVED_TYPES for name in SYSTEM_TASKS)
    assert all(is_queued(name) for name in SYSTEM_TASKS)


def test_a_process_serves_what_it_has_the_packages_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert served_types()[0] == sorted(SYSTEM_TASKS)
    monkeypatch.setitem(extras.PACKAGES, "HTTP", ("no_such_module", "http"))
    types, missing = served_types()
    assert "HTTP" not in types
    assert "pip install 'redis-orchestrator[http]'" in missing["HTTP"]


def test_a_name_that_is_no_system_task_is_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"GOPHER is no system task; there are .*HTTP"):
        served_types(["GOPHER"])

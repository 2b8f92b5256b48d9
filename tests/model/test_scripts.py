"""Where a definition holds scripts, and in which language."""

from __future__ import annotations

import pytest

from orchestrator.model.definitions import WorkflowTask
from orchestrator.model.scripts import scripts_of


@pytest.mark.parametrize(
    ("evaluator", "languages"),
    [(None, ["javascript"]), ("graaljs", ["javascript"]), ("python", ["python"]), ("cobol", [])],
)
def test_a_loop_s_condition_is_in_the_language_of_its_evaluator(evaluator: str | None, languages: list[str]) -> None:
    loop = WorkflowTask(
        name="l", task_reference_name="l", type="DO_WHILE", loop_condition="x", evaluator_type=evaluator
    )
    assert [script.language for script in scripts_of(loop)] == languages

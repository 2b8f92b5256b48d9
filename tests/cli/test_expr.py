"""expr eval: expressions and scripts against given values and against executions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.client import Client
from tests.cli.conftest import Invoke, write
from tests.support.build import noop, set_variable, step, workflow_def


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        (["${workflow.input.n}", "-i", "n:=3"], 3),
        (["workflow.input.n", "-i", "n:=3"], 3),
        (["n is ${workflow.input.n}", "-i", "n:=3"], "n is 3"),
        (["${charge.output.amount}"], None),
        (["--language", "javascript", "$.n + 1", "-i", "n:=3"], 4),
        (["--language", "python", "return [n, 'x']", "-i", "n:=3"], [3, "x"]),
        (["--language", "jq", ".n, .n", "-i", "n:=3"], [3, 3]),
    ],
)
def test_an_expression_or_a_script_is_tried_on_given_values(invoke: Invoke, arguments: list[str], value: Any) -> None:
    result = invoke("expr", "eval", *arguments, url="redis://nowhere.invalid:1")
    assert (result.exit_code, json.loads(result.stdout)) == (0, value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["${workflow.input[}"], "cannot be read"),
        (["--language", "javascript", "$.n +"], "SyntaxError"),
        (["--language", "python", "import os"], "Import is not available in scripts at line 1"),
        (["--language", "jq", ".["], "syntax error"),
    ],
)
def test_what_is_wrong_is_said(invoke: Invoke, arguments: list[str], message: str) -> None:
    result = invoke("expr", "eval", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_input_may_come_from_a_file(invoke: Invoke, tmp_path: Path) -> None:
    file = write(tmp_path, "order.json", '{"items": [{"sku": "a"}, {"sku": "b"}]}')
    assert json.loads(invoke("expr", "eval", "workflow.input.items[*].sku", "--input-file", file).stdout) == ["a", "b"]


def test_an_execution_is_read_as_its_next_step_would(invoke: Invoke, engine: None, fakeredis_url: str) -> None:
    definition = workflow_def(
        set_variable("v", total="${workflow.input.total}"),
        step(
            "INLINE", "i", {"evaluatorType": "python", "expression": "{'half': n / 2}", "n": "${workflow.input.total}"}
        ),
        noop("n"),
    )
    with Client(fakeredis_url) as client:
        handle = client.start_workflow(definition, {"total": 9})
        handle.result(10)
    values = {
        "${workflow.variables.total}": 9,
        "${i.output.result.half}": 4.5,
        "${i.status} ${workflow.status}": "COMPLETED COMPLETED",
        "${i.input.n}": 9,
        "${workflow.workflowType}": "flow",
    }
    for text, value in values.items():
        result = invoke("expr", "eval", text, "--workflow", handle.id)
        assert (result.exit_code, json.loads(result.stdout)) == (0, value)
    script = ["--language", "javascript", "$.half * 2", "-i", "half=${i.output.result.half}", "--workflow", handle.id]
    assert json.loads(invoke("expr", "eval", *script).stdout) == 9
    assert invoke("expr", "eval", "x", "--workflow", "no-such").exit_code == 3

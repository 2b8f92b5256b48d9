"""``workflow why`` on the command line."""

from __future__ import annotations

import json

import pytest

from orchestrator_cli.why import lines
from tests.cli.conftest import SHOP, Invoke
from tests.support.eventually import eventually


@pytest.fixture(autouse=True)
def _shop(invoke: Invoke, engine: None) -> None:
    assert invoke("def", "apply", SHOP).exit_code == 0


def test_it_says_what_is_waited_for_and_how_to_go_on(invoke: Invoke) -> None:
    workflow_id = invoke("workflow", "start", "patient").stdout.strip()

    def is_waiting() -> bool:
        return "SIGNAL" in invoke("workflow", "why", workflow_id, "-o", "json").stdout

    eventually(is_waiting)
    told = invoke("workflow", "why", workflow_id).stdout.splitlines()
    assert told[0] == f"patient {workflow_id} is RUNNING and waits for"
    assert "waits for the signal" in told[1]
    (reason,) = json.loads(invoke("workflow", "why", workflow_id, "-o", "json").stdout)["waitsFor"]
    assert reason["kind"] == "SIGNAL"
    assert reason["text"] in told[1]
    assert invoke("workflow", "why", "gone").exit_code == 3


def test_children_stand_below_their_parent() -> None:
    from orchestrator.service.why import Explanation, Reason

    child = Explanation("c", "inner", "RUNNING", [Reason("SIGNAL", "a signal")], [])
    parent = Explanation("p", "outer", "RUNNING", [Reason("CHILD", "its child")], [child])
    assert lines(parent) == [
        "outer p is RUNNING and waits for",
        "- its child",
        "  inner c is RUNNING and waits for",
        "  - a signal",
    ]

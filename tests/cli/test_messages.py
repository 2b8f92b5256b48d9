"""``orchestrator workflow message push``."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Invoke, write

FLOW = json.dumps(
    {
        "name": "mailbox",
        "version": 1,
        "schemaVersion": 2,
        "tasks": [{"name": "pull", "taskReferenceName": "pull", "type": "PULL_WORKFLOW_MESSAGES"}],
    }
)


def test_a_message_is_pushed_and_the_workflow_goes_on_with_it(invoke: Invoke, engine: None, tmp_path: Path) -> None:
    assert invoke("def", "apply", write(tmp_path, "mailbox.json", FLOW)).exit_code == 0
    workflow_id = invoke("workflow", "start", "mailbox").stdout.strip()
    pushed = invoke(
        "workflow", "message", "push", workflow_id, "-i", "kind=paid", "-i", "n:=7", "--message-id", "payment-7"
    )
    assert (pushed.exit_code, pushed.stdout.strip()) == (0, "payment-7"), pushed.stderr
    assert f"kept for the next PULL_WORKFLOW_MESSAGES task of {workflow_id}" in pushed.stderr
    assert invoke("workflow", "watch", workflow_id).exit_code == 0
    shown = json.loads(invoke("workflow", "get", workflow_id, "-o", "json").stdout)
    assert shown["tasks"][0]["outputData"]["messages"][0]["payload"] == {"kind": "paid", "n": 7}
    again = invoke("workflow", "message", "push", workflow_id, "-i", "kind=late")
    assert again.exit_code == 4
    assert "only a RUNNING one takes messages" in again.stderr

"""workflow status, tasks, logs, graph; task list, poll, log, polls: parts of executions, through Redis and a server."""

from __future__ import annotations

import json
from typing import Any

from click.testing import Result

from tests.cli.conftest import SHOP, Invoke

BY_HAND = json.dumps({"name": "by_hand", "tasks": [{"name": "chore", "taskReferenceName": "chore"}]})


def data(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_a_task_is_taken_logged_about_and_ended_from_a_shell(ask: Invoke) -> None:
    assert ask("def", "apply", "-", stdin=BY_HAND).exit_code == 0
    assert data(ask("task", "poll", "chore")) == []
    workflow_id = ask("workflow", "start", "by_hand", "-i", "n:=1").stdout.strip()
    (waiting,) = data(ask("task", "list", "chore", "-o", "json"))
    assert (waiting["status"], waiting["workflowInstanceId"]) == ("SCHEDULED", workflow_id)
    (taken,) = data(ask("task", "poll", "chore", "--worker", "shell-1", "-o", "json"))
    assert (taken["taskId"], taken["status"], taken["workerId"]) == (waiting["taskId"], "IN_PROGRESS", "shell-1")
    assert data(ask("task", "poll", "chore")) == []
    assert ask("task", "log", taken["taskId"], "half of it").exit_code == 0
    assert ask("task", "update", taken["taskId"], "COMPLETED", "-i", "done:=true").exit_code == 0
    assert [line["log"] for line in data(ask("workflow", "logs", workflow_id, "chore", "-o", "json"))] == ["half of it"]
    assert data(ask("workflow", "logs", workflow_id, "other", "-o", "json")) == []
    standing = data(ask("workflow", "status", workflow_id, "-o", "json"))
    assert (standing["status"], standing["output"]) == ("COMPLETED", {"done": True})
    assert data(ask("task", "list", "chore", "-o", "json")) == []


def test_the_tasks_of_an_execution_are_listed_by_status_and_page(ask: Invoke) -> None:
    assert ask("def", "apply", SHOP).exit_code == 0
    assert ask("workflow", "run", "refused").exit_code == 10
    workflow_id = ask("workflow", "search", "--by-tasks", "taskDefName=refuse", "-o", "name").stdout.strip()
    (failed,) = data(ask("workflow", "tasks", workflow_id, "--status", "FAILED_WITH_TERMINAL_ERROR", "-o", "json"))
    assert failed["referenceTaskName"] == "refuse"
    assert ask("workflow", "tasks", workflow_id, "--offset", "1", "-o", "name").stdout == ""
    assert ask("workflow", "tasks", workflow_id, "--status", "COMPLETED", "-o", "name").stdout == ""
    assert "refuse" in ask("workflow", "graph", workflow_id, "--format", "text").stdout
    assert ask("workflow", "graph", workflow_id).stdout.startswith("flowchart")
    assert ask("workflow", "search", "--by-tasks", "--top-level").exit_code == 2


def test_several_executions_are_told_about_in_one_list(ask: Invoke) -> None:
    assert ask("def", "apply", SHOP).exit_code == 0
    ids = [ask("workflow", "start", "patient").stdout.strip() for _ in range(2)]
    assert ask("workflow", "status", *ids, "-o", "name").stdout.split() == ids
    assert ask("workflow", "status", "nobody").exit_code == 3


def test_what_was_done_to_one_is_told_as_data(ask: Invoke) -> None:
    assert ask("def", "apply", SHOP).exit_code == 0
    workflow_id = ask("workflow", "start", "patient").stdout.strip()
    paused = data(ask("workflow", "pause", workflow_id, "-o", "json"))
    assert paused == {"workflowId": workflow_id, "status": "PAUSED"}
    assert data(ask("workflow", "resume", workflow_id, "-o", "jsonl"))["status"] == "RUNNING"
    told = data(ask("workflow", "signal", workflow_id, "approved", "--wait", "10", "-i", "by=Ada", "-o", "jsonl"))
    assert told == {"result": "Hello, Ada"}
    *_, greet = ask("workflow", "tasks", workflow_id, "-o", "name").stdout.split()
    assert data(ask("task", "update", greet, "COMPLETED", "-o", "json")) == {"taskId": greet, "accepted": False}
    assert ask("workflow", "watch", workflow_id, "-o", "name").stdout == f"{workflow_id}\n"
    assert ask("workflow", "run", "hello", "-i", "name=Bob", "-o", "yaml").stdout == "result: Hello, Bob\n"


def test_who_asked_for_tasks_last_is_shown_when_anybody_did(ask: Invoke) -> None:
    polls = ask("task", "polls")
    assert polls.exit_code == 0
    assert polls.stdout.splitlines()[0].split() == ["TASK", "DOMAIN", "WORKER", "AT"]
    assert data(ask("task", "polls", "nothing", "-o", "json")) == []

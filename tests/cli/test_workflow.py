"""workflow and queue: start, run, look at, wait for and act on executions, with a decider and a worker beside them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestrator_cli.progress import LOOK_S
from tests.cli.conftest import SHOP, Invoke, write
from tests.support.eventually import eventually


@pytest.fixture
def shop_is_registered(invoke: Invoke, engine: None) -> None:
    assert invoke("def", "apply", SHOP).exit_code == 0


pytestmark = pytest.mark.usefixtures("shop_is_registered")


def started(invoke: Invoke, *arguments: str) -> str:
    result = invoke("workflow", "start", *arguments)
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout.strip()


def is_in(invoke: Invoke, workflow_id: str, status: str) -> bool:
    found: dict[str, str] = json.loads(invoke("workflow", "get", workflow_id, "-o", "json").stdout)
    return found["status"] == status


def test_run_prints_the_output_alone_and_tells_its_progress_apart(invoke: Invoke) -> None:
    result = invoke("workflow", "run", "hello", "-i", "name=Ada")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {"result": "Hello, Ada"}
    assert "greet: COMPLETED" in result.stderr
    assert result.stderr.splitlines()[-1] == "hello is COMPLETED"


def test_run_takes_a_definition_that_nobody_registered(invoke: Invoke, tmp_path: Path) -> None:
    task = {"name": "greet", "taskReferenceName": "greet", "inputParameters": {"name": "${workflow.input.who}"}}
    file = write(tmp_path, "inline.json", json.dumps({"name": "inline", "tasks": [task]}))
    result = invoke("workflow", "run", file, "--input-file", "-", stdin='{"who": "Bob"}')
    assert json.loads(result.stdout) == {"result": "Hello, Bob"}
    assert "inline" not in invoke("def", "list", "-o", "name").stdout
    assert invoke("workflow", "run", f"{SHOP}:hello", "-i", "name=Cy").exit_code == 0
    assert invoke("workflow", "run", file, "--version", "2").exit_code == 2


def test_the_exit_status_of_run_and_watch_is_that_of_the_end(invoke: Invoke) -> None:
    result = invoke("workflow", "run", "refused")
    assert (result.exit_code, result.stdout) == (10, "")
    assert "the card was refused" in result.stderr
    assert "Traceback" not in result.stderr
    workflow_id = invoke("workflow", "list", "--name", "refused", "-o", "name").stdout.strip()
    assert invoke("workflow", "watch", workflow_id).exit_code == 10


def test_run_gives_up_waiting_but_the_workflow_goes_on(invoke: Invoke) -> None:
    result = invoke("workflow", "run", "patient", "--timeout", str(LOOK_S / 2))
    assert (result.exit_code, result.stdout) == (8, "")
    assert "goes on" in result.stderr
    assert len(invoke("workflow", "list", "--status", "RUNNING", "-o", "name").stdout.split()) == 1


def test_a_signal_ends_the_wait_and_its_payload_is_used(invoke: Invoke) -> None:
    workflow_id = started(invoke, "patient")
    eventually(lambda: "approval" in invoke("workflow", "get", workflow_id).stdout)
    answer = invoke("workflow", "signal", workflow_id, "approved", "-i", "by=Ada")
    assert (answer.exit_code, answer.stdout) == (0, f"{workflow_id}\n")
    watched = invoke("workflow", "watch", workflow_id)
    assert json.loads(watched.stdout) == {"result": "Hello, Ada"}


def test_a_signal_that_nobody_waits_for_is_not_found(invoke: Invoke) -> None:
    workflow_id = started(invoke, "patient")
    result = invoke("workflow", "signal", workflow_id, "other")
    assert (result.exit_code, "'other'" in result.stderr) == (3, True)


def test_pause_resume_and_terminate_do_as_they_say(invoke: Invoke) -> None:
    workflow_id = started(invoke, "patient")
    for verb, status in (("pause", "PAUSED"), ("resume", "RUNNING")):
        result = invoke("workflow", verb, workflow_id)
        assert (result.exit_code, result.stdout) == (0, f"{workflow_id}\n")
        assert result.stderr == f"workflow {workflow_id} is {status}\n"
    assert invoke("workflow", "resume", workflow_id).exit_code == 4
    assert invoke("workflow", "terminate", workflow_id, "--reason", "ordered twice").exit_code == 0
    watched = invoke("workflow", "watch", workflow_id)
    assert (watched.exit_code, "ordered twice" in watched.stderr) == (11, True)


def test_unpark_of_a_healthy_one_puts_nothing_back(invoke: Invoke) -> None:
    workflow_id = started(invoke, "patient")
    result = invoke("workflow", "unpark", workflow_id)
    assert (result.exit_code, result.stdout, "0 events put back" in result.stderr) == (0, f"{workflow_id}\n", True)


def test_lists_are_filtered_and_say_when_there_is_more(invoke: Invoke) -> None:
    ids = [started(invoke, "patient", "--correlation-id", f"c{n % 2}") for n in range(3)]
    eventually(lambda: len(invoke("workflow", "list", "-o", "name").stdout.split()) == 3)
    assert set(invoke("workflow", "list", "-o", "name").stdout.split()) == set(ids)
    assert len(invoke("workflow", "list", "--correlation-id", "c0", "-o", "name").stdout.split()) == 2
    assert invoke("workflow", "list", "--status", "completed", "-o", "json").stdout == "[]\n"
    page = invoke("workflow", "list", "--limit", "2")
    assert len(page.stdout.splitlines()) == 3
    assert page.stderr == "2 of 3; more with --offset 2\n"
    row = json.loads(invoke("workflow", "list", "--limit", "1", "-o", "jsonl").stdout)
    assert (row["workflowType"], row["status"]) == ("patient", "RUNNING")


def test_get_shows_the_tasks_unless_told_not_to(invoke: Invoke) -> None:
    invoke("workflow", "run", "hello", "--id", "mine", "-i", "name=Ada")
    shown = invoke("workflow", "get", "mine").stdout
    assert "hello version 1" in shown
    assert '{"result": "Hello, Ada"}' in shown
    assert shown.splitlines()[-1].split()[:3] == ["greet", "COMPLETED", "1"]
    assert "ATTEMPT" not in invoke("workflow", "get", "mine", "--no-tasks").stdout
    assert json.loads(invoke("workflow", "get", "mine", "-o", "json").stdout)["tasks"][0]["status"] == "COMPLETED"


def test_get_shows_the_ids_of_children_and_of_the_parent(invoke: Invoke, tmp_path: Path) -> None:
    step = {
        "name": "sub",
        "taskReferenceName": "sub",
        "type": "SUB_WORKFLOW",
        "subWorkflowParam": {"name": "hello"},
        "inputParameters": {"name": "Ada"},
    }
    file = write(tmp_path, "parent.json", json.dumps({"name": "parent", "tasks": [step]}))
    assert invoke("workflow", "run", file, "--id", "above").exit_code == 0
    shown = json.loads(invoke("workflow", "get", "above", "-o", "json").stdout)
    child = shown["tasks"][0]["subWorkflowId"]
    lines = invoke("workflow", "get", "above").stdout.splitlines()
    assert (lines[-2].split()[-1], lines[-1].split()[-1]) == ("CHILD", child)
    assert any(line.split() == ["PARENT", "above"] for line in invoke("workflow", "get", child).stdout.splitlines())
    assert "PARENT" not in invoke("workflow", "get", "above").stdout


def test_a_second_start_under_a_key_is_refused_or_answered_with_the_first(invoke: Invoke) -> None:
    first = started(invoke, "patient", "--idempotency-key", "k")
    assert invoke("workflow", "start", "patient", "--idempotency-key", "k").exit_code == 4
    options = ("--idempotency-key", "k", "--idempotency-strategy", "RETURN_EXISTING")
    again = invoke("workflow", "start", "patient", *options, "-o", "json")
    assert json.loads(again.stdout) == {"workflowId": first, "existed": True}
    assert "exists already" in again.stderr


def test_an_input_of_the_wrong_type_fails_the_task_with_its_name_and_the_parameter(invoke: Invoke) -> None:
    result = invoke("workflow", "run", "hello", "-i", "name:=7")
    assert result.exit_code == 10
    assert "greet" in result.stderr
    assert "name" in result.stderr


def test_queues_are_listed_with_what_is_in_them(invoke: Invoke, tmp_path: Path) -> None:
    task = {"name": "nobody_does_this", "taskReferenceName": "t"}
    taskdef = {"name": "nobody_does_this", "concurrentExecLimit": 4}
    file = write(tmp_path, "w.json", json.dumps({"workflows": [{"name": "w", "tasks": [task]}], "tasks": [taskdef]}))
    invoke("def", "apply", file)
    started(invoke, "w")

    def is_ready() -> bool:
        rows = {row["name"]: row for row in json.loads(invoke("queue", "list", "-o", "json").stdout)}
        return bool(rows.get("nobody_does_this", {}).get("ready") == 1)

    eventually(is_ready)
    line = next(line for line in invoke("queue", "list").stdout.splitlines() if line.startswith("nobody_does_this"))
    assert "0 of 4 at once" in line


# --- act --------------------------------------------------------------------------------------------------------------


def test_an_ended_execution_starts_over(invoke: Invoke) -> None:
    invoke("workflow", "run", "hello", "--id", "mine", "-i", "name=Ada")
    answer = invoke("workflow", "restart", "mine")
    assert (answer.exit_code, answer.stdout, answer.stderr) == (0, "mine\n", "workflow mine is RUNNING\n")
    assert invoke("workflow", "watch", "mine").exit_code == 0
    assert invoke("workflow", "restart", "mine", "--latest").exit_code == 0
    assert invoke("workflow", "watch", "mine").exit_code == 0
    assert invoke("workflow", "restart", started(invoke, "patient")).exit_code == 4


def test_a_waiting_execution_is_changed_and_ended_by_hand(invoke: Invoke) -> None:
    workflow_id = started(invoke, "patient")
    assert invoke("workflow", "set-variables", workflow_id, "-i", "limit:=5").exit_code == 0
    shown = json.loads(invoke("workflow", "get", workflow_id, "-o", "json").stdout)
    assert shown["variables"] == {"limit": 5}
    assert invoke("workflow", "reset-callbacks", workflow_id).exit_code == 0
    waits = shown["tasks"][0]["referenceTaskName"]
    answer = invoke("workflow", "update-task", workflow_id, waits, "completed", "-i", "by=Ada")
    assert (answer.exit_code, answer.stdout) == (0, f"{shown['tasks'][0]['taskId']}\n")
    assert invoke("workflow", "watch", workflow_id).exit_code == 0
    assert invoke("workflow", "update-task", workflow_id, waits, "COMPLETED").exit_code == 3


def test_a_step_is_skipped_once_and_only_before_it_begins(invoke: Invoke) -> None:
    workflow_id = started(invoke, "patient")
    shown = json.loads(invoke("workflow", "get", workflow_id, "-o", "json").stdout)
    later = [step["taskReferenceName"] for step in shown["workflowDefinition"]["tasks"]][-1]
    begun = shown["tasks"][0]["referenceTaskName"]
    assert invoke("workflow", "skip", workflow_id, begun).exit_code == 4
    assert invoke("workflow", "skip", workflow_id, "nobody").exit_code == 3
    assert later != begun
    assert invoke("workflow", "skip", workflow_id, later, "-i", "said=yes").exit_code == 0


def test_an_ended_execution_is_retried_and_rerun(invoke: Invoke) -> None:
    invoke("workflow", "run", "refused", "--id", "lost")
    assert invoke("workflow", "retry", "lost").exit_code == 0
    assert invoke("workflow", "watch", "lost").exit_code == 10
    assert "1" in [
        str(task["retryCount"]) for task in json.loads(invoke("workflow", "get", "lost", "-o", "json").stdout)["tasks"]
    ]
    invoke("workflow", "run", "hello", "--id", "mine", "-i", "name=Ada")
    assert invoke("workflow", "retry", "mine", "--resume").exit_code == 4
    assert invoke("workflow", "rerun", "mine", "greet", "-i", "name=Bob").exit_code == 0
    assert json.loads(invoke("workflow", "watch", "mine").stdout) == {"result": "Hello, Bob"}
    assert invoke("workflow", "rerun", "mine", "-i", "name=Cy").exit_code == 0
    assert json.loads(invoke("workflow", "watch", "mine").stdout) == {"result": "Hello, Cy"}
    assert invoke("workflow", "rerun", "mine", "nobody").exit_code == 3


def test_several_executions_are_acted_on_at_once_and_refusals_named(invoke: Invoke) -> None:
    one, two = started(invoke, "patient"), started(invoke, "patient")
    assert invoke("workflow", "pause", one, two).stdout.split() == [one, two]
    answer = invoke("workflow", "resume", one, "nobody", two)
    assert (answer.exit_code, answer.stdout.split()) == (1, [one, two])
    assert "nobody" in answer.stderr
    assert invoke("workflow", "remove", one).exit_code == 4
    assert invoke("workflow", "remove", one, two, "--terminate").stdout.split() == [one, two]
    assert invoke("workflow", "get", one).exit_code == 3
    three = started(invoke, "patient")
    assert invoke("workflow", "remove", three, "--force").exit_code == 0


def test_an_execution_jumps_to_another_step(invoke: Invoke) -> None:
    workflow_id = started(invoke, "patient")
    assert invoke("workflow", "jump", workflow_id, "greet", "-i", "name=Ada").exit_code == 0
    assert json.loads(invoke("workflow", "watch", workflow_id).stdout) == {"result": "Hello, Ada"}
    assert invoke("workflow", "jump", workflow_id, "greet").exit_code == 4


def test_an_execution_goes_on_by_another_version(invoke: Invoke, tmp_path: Path) -> None:
    workflow_id = started(invoke, "patient")
    definition = json.loads(invoke("def", "get", "patient").stdout)
    new = {"name": "new", "taskReferenceName": "new", "type": "SET_VARIABLE", "inputParameters": {"x": 1}}
    (tmp_path / "patient.json").write_text(
        json.dumps({**definition, "version": 2, "tasks": [new, *definition["tasks"]]})
    )
    assert invoke("def", "apply", str(tmp_path / "patient.json")).exit_code == 0
    answer = invoke("workflow", "upgrade", workflow_id, "--version", "2", "-i", 'new:={"y": 1}', "--set", "k=v")
    assert answer.exit_code == 0, answer.stderr
    found = json.loads(invoke("workflow", "get", workflow_id, "-o", "json").stdout)
    assert (found["workflowVersion"], found["input"]["k"]) == (2, "v")
    assert invoke("workflow", "upgrade", workflow_id, "--version", "7").exit_code == 3


def test_several_are_retried_with_their_children_and_refusals_named(invoke: Invoke) -> None:
    for name in ("one", "two"):
        invoke("workflow", "run", "refused", "--id", name)
    answer = invoke("workflow", "retry", "one", "nobody", "two", "--resume")
    assert (answer.exit_code, answer.stdout.split(), "nobody" in answer.stderr) == (1, ["one", "two"], True)
    assert [invoke("workflow", "watch", name).exit_code for name in ("one", "two")] == [10, 10]


def test_a_skipped_step_shows_the_input_and_output_that_were_given(invoke: Invoke) -> None:
    workflow_id = started(invoke, "patient")
    assert invoke("workflow", "skip", workflow_id, "greet", "--task-input", "n:=1", "-i", "said=yes").exit_code == 0
    tasks = json.loads(invoke("workflow", "get", workflow_id, "-o", "json").stdout)["tasks"]
    (skipped,) = [task for task in tasks if task["status"] == "SKIPPED"]
    assert (skipped["inputData"], skipped["outputData"]) == ({"n": 1}, {"said": "yes"})


def test_variables_and_the_end_of_a_task_go_together(invoke: Invoke) -> None:
    workflow_id = started(invoke, "patient")
    refused = invoke("workflow", "update-state", workflow_id, "nobody", "--set", "paid:=true")
    assert refused.exit_code == 3
    assert json.loads(invoke("workflow", "get", workflow_id, "-o", "json").stdout)["variables"] == {}
    told = ("approval", "completed", "--set", "paid:=true", "-i", "by=Ada")
    assert invoke("workflow", "update-state", workflow_id, *told).exit_code == 0
    assert json.loads(invoke("workflow", "watch", workflow_id).stdout) == {"result": "Hello, Ada"}
    assert json.loads(invoke("workflow", "get", workflow_id, "-o", "json").stdout)["variables"] == {"paid": True}


def test_a_workflow_is_executed_until_it_halts(invoke: Invoke) -> None:
    asked = invoke("workflow", "execute", "patient", "--id", "mine", "--return", "BLOCKING_TASK_INPUT")
    assert (asked.exit_code, json.loads(asked.stdout)) == (0, {"signal": "approved"})
    assert asked.stderr == "workflow mine is RUNNING, at approval\n"
    step = ("--until", "greet", "--return", "BLOCKING_TASK")
    named = invoke("workflow", "signal", "mine", "approved", "-i", "by=Ada", "--wait", "20", *step)
    assert json.loads(named.stdout) == {"result": "Hello, Ada"}
    ended = invoke("workflow", "execute", "hello", "-i", "name=Cy", "--timeout", "20")
    assert (json.loads(ended.stdout), "is COMPLETED" in ended.stderr) == ({"result": "Hello, Cy"}, True)


def test_ids_are_found_by_correlation_id(invoke: Invoke) -> None:
    open_ = started(invoke, "patient", "--correlation-id", "c1", "--created-by", "Ada")
    ended = started(invoke, "patient", "--correlation-id", "c1")
    invoke("workflow", "terminate", ended)
    assert json.loads(invoke("workflow", "correlated", "patient", "c1", "c2").stdout) == {"c1": [open_], "c2": []}
    assert set(json.loads(invoke("workflow", "correlated", "patient", "c1", "--closed").stdout)["c1"]) == {open_, ended}
    assert json.loads(invoke("workflow", "get", open_, "-o", "json").stdout)["createdBy"] == "Ada"


def test_a_start_repeated_under_its_request_id_happens_once(invoke: Invoke) -> None:
    first = started(invoke, "patient", "--request-id", "r1")
    assert started(invoke, "patient", "--request-id", "r1") == first
    assert len(invoke("workflow", "list", "-o", "name").stdout.split()) == 1


def test_a_task_is_looked_at_and_ended_by_its_id(invoke: Invoke) -> None:
    workflow_id = started(invoke, "patient")
    (task,) = json.loads(invoke("workflow", "get", workflow_id, "-o", "json").stdout)["tasks"]
    assert json.loads(invoke("task", "get", task["taskId"], "-o", "json").stdout)["referenceTaskName"] == "approval"
    assert invoke("task", "logs", task["taskId"], "-o", "json").stdout == "[]\n"
    told = invoke("task", "update", task["taskId"], "completed", "-i", "by=Ada")
    assert (told.exit_code, told.stdout, told.stderr) == (0, f"{task['taskId']}\n", "the task is COMPLETED\n")
    assert json.loads(invoke("workflow", "watch", workflow_id).stdout) == {"result": "Hello, Ada"}
    assert "had ended before" in invoke("task", "update", task["taskId"], "FAILED", "--reason", "late").stderr
    assert invoke("task", "get", f"{workflow_id}-gone00000000").exit_code == 3


def test_a_signal_can_be_waited_for(invoke: Invoke) -> None:
    workflow_id = started(invoke, "patient")
    answer = invoke("workflow", "signal", workflow_id, "approved", "-i", "by=Ada", "--wait", "20")
    assert (answer.exit_code, json.loads(answer.stdout)) == (0, {"result": "Hello, Ada"})


def test_search_finds_executions_and_their_tasks(invoke: Invoke) -> None:
    workflow_id = started(invoke, "hello", "-i", "name=Grace Hopper", "--correlation-id", "navy")
    eventually(lambda: is_in(invoke, workflow_id, "COMPLETED"))
    started(invoke, "hello", "-i", "name=Ada")
    assert invoke("workflow", "search", "correlationId=navy", "-o", "name").stdout.split() == [workflow_id]
    assert invoke("workflow", "search", "--text", "hopper", "-o", "name").stdout.split() == [workflow_id]
    (line,) = json.loads(invoke("workflow", "search", "status=COMPLETED AND correlationId=navy", "-o", "json").stdout)
    assert (line["workflowType"], json.loads(line["input"])) == ("hello", {"name": "Grace Hopper"})
    tasks = invoke("task", "search", "--text", "hopper", "-o", "jsonl").stdout
    assert json.loads(tasks)["workflowId"] == workflow_id
    refused = invoke("workflow", "search", "colour=red")
    assert (refused.exit_code, "there is no field 'colour'" in refused.stderr) == (2, True)

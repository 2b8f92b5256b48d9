"""Executions over HTTP: what each call answers, and what it did."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from tests.api.flows import GATE, GREET, HELLO, WAITING, ended, get, register, start

Json = dict[str, Any]


@pytest.fixture
async def http(flows: httpx2.AsyncClient) -> httpx2.AsyncClient:
    """An installation that knows the workflows of these tests."""
    await register(flows, HELLO, WAITING)
    return flows


# --- start ------------------------------------------------------------------------------------------------------------


async def test_a_start_is_answered_with_the_id_as_plain_text_after_its_first_step(http: httpx2.AsyncClient) -> None:
    answer = await http.post("/workflow", json={"name": "waiting", "input": {"name": "Ada"}, "correlationId": "c-1"})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/plain; charset=utf-8")
    found = await get(http, answer.text)
    assert [task["referenceTaskName"] for task in found["tasks"]] == ["gate"]
    assert (found["workflowName"], found["correlationId"], found["input"]) == ("waiting", "c-1", {"name": "Ada"})
    assert found["variables"] == {"n": 1, "none": None}
    assert found["startTime"] == found["createTime"] > 1_700_000_000_000


async def test_a_start_by_name_takes_the_body_as_input(http: httpx2.AsyncClient) -> None:
    options: Json = {"version": 1, "correlationId": "c-2", "priority": 7}
    answer = await http.post("/workflow/hello", params=options, json={"name": "Bob", "none": None})
    found = await ended(http, answer.text)
    assert found["output"] == {"said": "Hello, Bob"}
    assert (found["priority"], found["correlationId"], found["input"]) == (7, "c-2", {"name": "Bob", "none": None})


async def test_a_definition_may_come_along(http: httpx2.AsyncClient) -> None:
    inline = {**HELLO, "name": "inline"}
    workflow_id = await start(http, "inline", {"name": "Cy"}, workflowDef=inline)
    assert (await ended(http, workflow_id))["output"] == {"said": "Hello, Cy"}
    assert (await http.get("/metadata/workflow/inline")).status_code == 404


@pytest.mark.parametrize(
    ("request_body", "status", "said"),
    [
        ({"name": "none"}, 404, "No such workflow"),
        ({"name": "hello", "version": 9}, 404, "9"),
        ({"name": "hello", "priority": 100}, 400, "priority"),
        ({"name": ""}, 400, "Workflow name cannot be null or empty"),
        ({"name": "hello", "input": 3}, 400, "input"),
        ({"name": "hello", "idempotencyStrategy": "MAYBE"}, 400, "idempotencyStrategy"),
    ],
)
async def test_a_start_that_cannot_be_is_refused(
    http: httpx2.AsyncClient, request_body: Json, status: int, said: str
) -> None:
    answer = await http.post("/workflow", json=request_body)
    assert (answer.status_code, said in answer.text) == (status, True)


async def test_an_idempotency_key_starts_one_execution(http: httpx2.AsyncClient) -> None:
    key: Json = {"idempotencyKey": "order-1", "idempotencyStrategy": "RETURN_EXISTING"}
    first, second = await start(http, "waiting", **key), await start(http, "waiting", **key)
    assert first == second
    refused = await http.post("/workflow", json={"name": "waiting", **key, "idempotencyStrategy": "FAIL"})
    assert (refused.status_code, first in refused.text) == (409, True)


async def test_a_repeated_request_with_an_idempotency_key_in_its_header_is_answered_alike(
    http: httpx2.AsyncClient,
) -> None:
    again = {"Idempotency-Key": "try-1"}
    ids = {(await http.post("/workflow", json={"name": "waiting"}, headers=again)).text for _ in range(2)}
    assert len(ids) == 1


# --- start and wait ---------------------------------------------------------------------------------------------------


async def test_execute_answers_with_the_end(http: httpx2.AsyncClient) -> None:
    answer = await http.post(
        "/workflow/execute/hello/1?requestId=r-1", json={"name": "hello", "input": {"name": "Ada"}}
    )
    found = answer.json()
    assert (found["responseType"], found["status"], found["requestId"]) == ("TARGET_WORKFLOW", "COMPLETED", "r-1")
    assert (found["output"], found["signalTimeout"]) == ({"said": "Hello, Ada"}, False)
    assert found["targetWorkflowId"] == found["workflowId"]
    assert [task["outputData"] for task in found["tasks"]] == [{"result": "Hello, Ada"}]


async def test_execute_answers_with_the_task_that_blocks(http: httpx2.AsyncClient) -> None:
    strategy = {"returnStrategy": "BLOCKING_TASK"}
    found = (await http.post("/workflow/execute/waiting/0", params=strategy, json={"name": "waiting"})).json()
    assert (found["responseType"], found["referenceTaskName"], found["status"]) == (
        "BLOCKING_TASK",
        "gate",
        "IN_PROGRESS",
    )
    nothing = await http.post("/workflow/execute/hello/0", params=strategy, json={"input": {"name": "Ada"}})
    assert (nothing.status_code, nothing.content) == (200, b"")


async def test_a_workflow_can_be_called_like_a_function(http: httpx2.AsyncClient) -> None:
    answer = await http.post("/workflow/execute/hello", json={"name": "Ada"})
    assert (answer.status_code, answer.json()) == (200, {"said": "Hello, Ada"})
    assert (await http.get("/workflow/execute/waiting")).json() == {}


async def test_a_test_runs_with_mocks_and_leaves_nothing(http: httpx2.AsyncClient) -> None:
    mocks = {"greet": [{"status": "FAILED"}, {"status": "COMPLETED", "output": {"result": "Hi"}}]}
    answer = await http.post("/workflow/test", json={"name": "hello", "input": {}, "taskRefToMockOutput": mocks})
    found = answer.json()
    assert (found["status"], found["output"]) == ("COMPLETED", {"said": "Hi"})
    assert [task["status"] for task in found["tasks"]] == ["FAILED", "COMPLETED"]
    assert (await http.get("/workflow/running/hello")).json() == []
    unknown = await http.post("/workflow/test", json={"name": "hello", "taskRefToMockOutput": {"nope": [{}]}})
    assert unknown.status_code == 400


# --- look -------------------------------------------------------------------------------------------------------------


async def test_an_execution_is_shown_with_or_without_its_tasks(http: httpx2.AsyncClient) -> None:
    workflow_id = await start(http, "waiting")
    assert len((await http.get(f"/workflow/{workflow_id}?includeTasks=True")).json()["tasks"]) == 1
    assert (await http.get(f"/workflow/{workflow_id}?includeTasks=false")).json()["tasks"] == []
    assert (await http.get("/workflow/none")).status_code == 404


async def test_the_status_tells_what_is_asked_for(http: httpx2.AsyncClient) -> None:
    workflow_id = await start(http, "waiting", correlationId="c-3")
    brief = (await http.get(f"/workflow/{workflow_id}/status")).json()
    assert brief == {"workflowId": workflow_id, "correlationId": "c-3", "status": "RUNNING"}
    full = (await http.get(f"/workflow/{workflow_id}/status?includeOutput=true&includeVariables=true")).json()
    assert full == {**brief, "output": {}, "variables": {"n": 1, "none": None}}


async def test_tasks_are_listed_by_page_and_status(http: httpx2.AsyncClient) -> None:
    steps = [{**GREET, "taskReferenceName": f"greet_{number}"} for number in range(3)]
    await register(http, {"name": "several", "tasks": [*steps, GATE]})
    workflow_id = (await http.post("/workflow/execute/several/1", json={"input": {"name": "Ada"}})).json()["workflowId"]
    page = (await http.get(f"/workflow/{workflow_id}/tasks?start=1&count=2")).json()
    assert (page["totalHits"], [task["referenceTaskName"] for task in page["results"]]) == (4, ["greet_1", "greet_2"])
    waiting = (await http.get(f"/workflow/{workflow_id}/tasks?status=IN_PROGRESS&status=SCHEDULED")).json()
    assert (waiting["totalHits"], waiting["results"][0]["referenceTaskName"]) == (1, "gate")
    assert (await http.get(f"/workflow/{workflow_id}/tasks?status=SLEEPY")).status_code == 400


async def test_executions_are_found_by_name_and_by_time(http: httpx2.AsyncClient) -> None:
    workflow_id = await start(http, "waiting")
    done = await ended(http, await start(http, "hello", {"name": "Ada"}))
    assert (await http.get("/workflow/running/waiting")).json() == [workflow_id]
    assert (await http.get("/workflow/running/waiting?version=2")).json() == []
    assert (await http.get("/workflow/running/hello")).json() == []
    around = {"startTime": done["startTime"], "endTime": done["startTime"]}
    assert (await http.get("/workflow/running/hello", params=around)).json() == [done["workflowId"]]
    before = {"startTime": 1, "endTime": done["startTime"] - 1}
    assert (await http.get("/workflow/running/hello", params=before)).json() == []


async def test_executions_are_found_by_correlation_id(http: httpx2.AsyncClient) -> None:
    ended_id = await start(http, "hello", {"name": "Ada"}, correlationId="x/1")
    await ended(http, ended_id)
    open_id = await start(http, "waiting", correlationId="x/1")
    assert (await http.get("/workflow/hello/correlated/x%2F1")).json() == []
    closed = (await http.get("/workflow/hello/correlated/x%2F1?includeClosed=true&includeTasks=true")).json()
    assert [(one["workflowId"], len(one["tasks"])) for one in closed] == [(ended_id, 1)]
    many = (await http.post("/workflow/waiting/correlated", json=["x/1", "other"])).json()
    assert {key: [one["workflowId"] for one in found] for key, found in many.items()} == {"x/1": [open_id], "other": []}
    batch = await http.post(
        "/workflow/correlated/batch?includeClosed=True",
        json={"correlationIds": ["x/1"], "workflowNames": ["hello", "waiting"]},
    )
    assert [one["workflowId"] for one in batch.json()["x/1"]] == [ended_id, open_id]


# --- act --------------------------------------------------------------------------------------------------------------


async def test_pause_and_resume(http: httpx2.AsyncClient) -> None:
    workflow_id = await start(http, "waiting")
    paused = await http.put(f"/workflow/{workflow_id}/pause", json={})
    assert (paused.status_code, paused.content) == (200, b"")
    assert (await get(http, workflow_id))["status"] == "PAUSED"
    assert (await http.put(f"/workflow/{workflow_id}/resume", json={})).status_code == 200
    assert (await get(http, workflow_id))["status"] == "RUNNING"
    again = await http.put(f"/workflow/{workflow_id}/resume", json={})
    assert (again.status_code, again.json()["status"]) == (409, 409)
    assert (await http.put("/workflow/none/pause")).status_code == 404
    assert (await http.put(f"/workflow/decide/{workflow_id}")).status_code == 200


async def test_terminate_ends_it_with_its_reason_and_only_once(http: httpx2.AsyncClient) -> None:
    workflow_id = await start(http, "waiting")
    answer = await http.request("DELETE", f"/workflow/{workflow_id}?reason=enough", json={})
    assert (answer.status_code, answer.content) == (200, b"")
    found = await get(http, workflow_id)
    assert (found["status"], found["reasonForIncompletion"]) == ("TERMINATED", "enough")
    assert found["tasks"][0]["status"] == "CANCELED"
    assert (await http.delete(f"/workflow/{workflow_id}")).status_code == 200
    done = await ended(http, await start(http, "hello", {"name": "Ada"}))
    assert (await http.delete(f"/workflow/{done['workflowId']}")).status_code == 409


@pytest.mark.parametrize(("asked", "is_started"), [("true", True), ("false", False), ("None", False)])
async def test_the_failure_workflow_of_a_terminated_one_starts_when_asked(
    http: httpx2.AsyncClient, asked: str, is_started: bool
) -> None:
    await register(http, {**WAITING, "name": "careful", "failureWorkflow": "waiting"})
    workflow_id = await start(http, "careful")
    await http.delete(f"/workflow/{workflow_id}?triggerFailureWorkflow={asked}")
    assert ("conductor.failure_workflow" in (await get(http, workflow_id))["output"]) is is_started


async def test_restart_retry_and_rerun_are_answered_as_conductor_does(http: httpx2.AsyncClient) -> None:
    workflow_id = await start(http, "hello", {"name": "nobody"})
    await ended(http, workflow_id, "FAILED")
    retried = await http.post(f"/workflow/{workflow_id}/retry", json={})
    assert (retried.status_code, retried.content) == (204, b"")
    assert len((await ended(http, workflow_id, "FAILED"))["tasks"]) == 2
    restarted = await http.post(f"/workflow/{workflow_id}/restart?useLatestDefinitions=True", json={})
    assert (restarted.status_code, restarted.content) == (204, b"")
    failed = await ended(http, workflow_id, "FAILED")
    assert len(failed["tasks"]) == 1
    body = {"reRunFromTaskId": failed["tasks"][0]["taskId"], "taskInput": {"name": "Ada"}}
    rerun = await http.post(f"/workflow/{workflow_id}/rerun", json=body)
    assert (rerun.status_code, rerun.text) == (200, workflow_id)
    assert (await ended(http, workflow_id))["output"] == {"said": "Hello, Ada"}
    unknown = await http.post(f"/workflow/{workflow_id}/rerun", json={"reRunFromTaskId": f"{workflow_id}-abcdefghijkl"})
    assert unknown.status_code == 404


async def test_what_is_under_way_cannot_be_restarted_or_retried(http: httpx2.AsyncClient) -> None:
    workflow_id = await start(http, "waiting")
    for verb in ("restart", "retry", "rerun"):
        assert (await http.post(f"/workflow/{workflow_id}/{verb}")).status_code == 409
    assert (await http.post(f"/workflow/{workflow_id}/resetcallbacks", json={})).status_code == 204


async def test_a_skipped_step_is_passed_over(http: httpx2.AsyncClient) -> None:
    workflow_id = await start(http, "waiting", {"name": "Ada"})
    body = {"taskInput": {"a": 1}, "taskOutput": {"result": "skipped"}}
    skipped = await http.put(f"/workflow/{workflow_id}/skiptask/greet?skipTaskRequest=x", json=body)
    assert (skipped.status_code, skipped.content) == (200, b"")
    assert (await http.put(f"/workflow/{workflow_id}/skiptask/gate", json={})).status_code == 409
    assert (await http.put(f"/workflow/{workflow_id}/skiptask/none", json={})).status_code == 404
    done = {"taskReferenceName": "gate", "taskResult": {"status": "COMPLETED"}}
    await http.post(f"/workflow/{workflow_id}/state", json=done)
    passed = {task["referenceTaskName"]: task for task in (await ended(http, workflow_id))["tasks"]}["greet"]
    assert (passed["status"], passed["inputData"], passed["outputData"]) == ("SKIPPED", {"a": 1}, {"result": "skipped"})


async def test_variables_are_laid_over_the_old_ones(http: httpx2.AsyncClient) -> None:
    workflow_id = await start(http, "waiting")
    answer = await http.post(f"/workflow/{workflow_id}/variables", json={"m": 2})
    assert answer.json()["variables"] == {"n": 1, "none": None, "m": 2}
    assert (await http.post("/workflow/none/variables", json={"m": 2})).status_code == 404


async def test_a_state_update_ends_a_task_changes_variables_and_waits(http: httpx2.AsyncClient) -> None:
    workflow_id = await start(http, "waiting", {"name": "Ada"})
    body = {
        "taskReferenceName": "gate",
        "taskResult": {"status": "COMPLETED", "outputData": {"by": "hand"}},
        "variables": {"n": 5},
    }
    found = (await http.post(f"/workflow/{workflow_id}/state?requestId=r-2&waitUntilTaskRef=greet", json=body)).json()
    assert (found["status"], found["variables"]["n"], found["requestId"]) == ("COMPLETED", 5, "r-2")
    assert [task["outputData"] for task in found["tasks"]] == [{"by": "hand"}, {"result": "Hello, Ada"}]
    nameless = await http.post(f"/workflow/{workflow_id}/state", json={"taskResult": {"status": "COMPLETED"}})
    assert nameless.status_code == 400


async def test_a_jump_goes_on_elsewhere_with_another_input(http: httpx2.AsyncClient) -> None:
    workflow_id = await start(http, "waiting")
    assert (await http.post(f"/workflow/{workflow_id}/jump/greet", json={"name": "Di"})).status_code == 200
    found = await ended(http, workflow_id)
    assert [(task["referenceTaskName"], task["status"]) for task in found["tasks"]] == [
        ("gate", "CANCELED"),
        ("greet", "COMPLETED"),
    ]
    assert found["tasks"][1]["outputData"] == {"result": "Hello, Di"}


async def test_an_upgrade_passes_over_what_the_new_version_has_before(http: httpx2.AsyncClient) -> None:
    workflow_id = await start(http, "waiting")
    definition = (await http.get("/metadata/workflow/waiting")).json()
    new = {"name": "new", "taskReferenceName": "new", "type": "SET_VARIABLE", "inputParameters": {"x": 1}}
    await register(http, {"name": "waiting", "version": 2, "tasks": [new, *definition["tasks"]]})
    body = {"name": "waiting", "version": 2, "taskOutput": {"new": {"y": 1}}, "workflowInput": {"k": 1}}
    answer = await http.post(f"/workflow/{workflow_id}/upgrade", json=body)
    assert (answer.status_code, answer.content) == (200, b"")
    found = (await http.get(f"/workflow/{workflow_id}")).json()
    assert (found["workflowVersion"], found["input"]["k"], found["status"]) == (2, 1, "RUNNING")
    assert {task["referenceTaskName"]: task["status"] for task in found["tasks"]}["new"] == "SKIPPED"
    again = await http.post(f"/workflow/{workflow_id}/upgrade", json={"name": "waiting", "taskOutput": {"new": {}}})
    assert again.status_code == 400  # it is not passed over a second time
    assert (await http.post(f"/workflow/{workflow_id}/upgrade", json={"name": "other"})).status_code == 404


async def test_messages_are_pushed_once_per_key(http: httpx2.AsyncClient) -> None:
    pull = {
        "name": "pull",
        "taskReferenceName": "pull",
        "type": "PULL_WORKFLOW_MESSAGES",
        "inputParameters": {"batchSize": 5},
    }
    await register(http, {"name": "listening", "tasks": [GATE, pull]})
    workflow_id = await start(http, "listening")
    for _ in range(2):
        pushed = await http.post(
            f"/workflow/{workflow_id}/messages", json={"kind": "paid"}, headers={"Idempotency-Key": "m-1"}
        )
        assert (pushed.status_code, pushed.text) == (200, "m-1")
    body = {"taskReferenceName": "gate", "taskResult": {"status": "COMPLETED"}}
    await http.post(f"/workflow/{workflow_id}/state", json=body)
    found = await ended(http, workflow_id)
    assert [message["payload"] for message in found["tasks"][1]["outputData"]["messages"]] == [{"kind": "paid"}]
    assert (await http.post(f"/workflow/{workflow_id}/messages", json={})).status_code == 409
    assert (await http.post("/workflow/none/messages", json={})).status_code == 404


# --- remove -----------------------------------------------------------------------------------------------------------


async def test_only_what_has_ended_is_removed_unless_it_must_be(http: httpx2.AsyncClient) -> None:
    workflow_id = await start(http, "waiting")
    assert (await http.delete(f"/workflow/{workflow_id}/remove")).status_code == 409
    assert (await http.delete(f"/workflow/{workflow_id}/remove?archiveWorkflow=False")).status_code == 200
    assert (await http.get(f"/workflow/{workflow_id}")).status_code == 404
    assert (await http.delete(f"/workflow/{workflow_id}/remove")).status_code == 404


async def test_terminate_remove_leaves_what_has_completed(http: httpx2.AsyncClient) -> None:
    workflow_id = await start(http, "waiting")
    assert (await http.delete(f"/workflow/{workflow_id}/terminate-remove?reason=x")).status_code == 200
    assert (await http.get(f"/workflow/{workflow_id}")).status_code == 404
    done = (await ended(http, await start(http, "hello", {"name": "Ada"})))["workflowId"]
    assert (await http.delete(f"/workflow/{done}/terminate-remove")).status_code == 409
    assert (await http.get(f"/workflow/{done}")).status_code == 200


# --- many -------------------------------------------------------------------------------------------------------------


async def test_one_action_on_many_answers_by_id(http: httpx2.AsyncClient) -> None:
    one, two = await start(http, "waiting"), await start(http, "waiting")
    paused = (await http.put("/workflow/bulk/pause", json=[one, two, "none"])).json()
    assert paused["bulkSuccessfulResults"] == [one, two]
    assert list(paused["bulkErrorResults"]) == ["none"]
    assert paused["message"] == "Bulk Request has been processed."
    assert (await http.put("/workflow/bulk/resume", json=[one])).json()["bulkSuccessfulResults"] == [one]
    ended_all = (await http.post("/workflow/bulk/terminate?reason=x", json=[one, two])).json()
    assert ended_all["bulkErrorResults"] == {}
    assert (await get(http, two))["reasonForIncompletion"] == "x"
    for verb in ("retry", "restart"):
        assert (await http.post(f"/workflow/bulk/{verb}", json=[one])).json()["bulkSuccessfulResults"] == [one]
        assert (await http.post("/workflow/bulk/terminate", json=[one])).json()["bulkErrorResults"] == {}
    shown = (await http.post("/workflow/bulk/search?includeTasks=false", json=[one, "none"])).json()
    assert [(found["workflowId"], found["tasks"]) for found in shown["bulkSuccessfulResults"]] == [(one, [])]
    assert list(shown["bulkErrorResults"]) == ["none"]
    removed = (await http.request("DELETE", "/workflow/bulk/remove", json=[one])).json()
    assert removed["bulkSuccessfulResults"] == [one]
    three = await start(http, "waiting")
    gone = (await http.request("DELETE", "/workflow/bulk/terminate-remove", json=[two, three])).json()
    assert gone["bulkSuccessfulResults"] == [two, three]
    assert (await http.get(f"/workflow/{three}")).status_code == 404


@pytest.mark.parametrize("ids", [[], [str(number) for number in range(1001)]])
async def test_no_ids_and_too_many_are_refused(http: httpx2.AsyncClient, ids: list[str]) -> None:
    assert (await http.put("/workflow/bulk/pause", json=ids)).status_code == 400


@pytest.mark.parametrize("wait_s", [60.5, -1, 1e9])
async def test_nobody_holds_a_connection_for_as_long_as_he_likes(http: httpx2.AsyncClient, wait_s: float) -> None:
    workflow_id = await start(http, "waiting")
    answer = await http.post(f"/verbs/workflows/{workflow_id}/await", json={"waitS": wait_s})
    assert (answer.status_code, "outside 0 to 60 seconds" in answer.text) == (400, True)

"""Schedules over HTTP, in the forms that Conductor's clients send and read."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

SCHEDULE: dict[str, Any] = {
    "name": "nightly",
    "cronExpression": "0 0 2 * * ?",
    "zoneId": "Europe/Berlin",
    "startWorkflowRequest": {"name": "report", "input": {"kind": None}, "idempotencyStrategy": "FAIL"},
    "runCatchupScheduleInstances": True,
}
SCHEDULES = "/scheduler/schedules"


async def test_a_schedule_is_stored_read_and_deleted(http: httpx2.AsyncClient) -> None:
    saved = (await http.post(SCHEDULES, json=SCHEDULE)).json()
    assert (saved["name"], saved["paused"], saved["startWorkflowRequest"]["input"]) == (
        "nightly",
        False,
        {"kind": None},
    )
    assert "pausedReason" not in saved
    assert (await http.get(f"{SCHEDULES}/nightly")).json() == saved
    assert [one["name"] for one in (await http.get(SCHEDULES, params={"workflowName": "report"})).json()] == ["nightly"]
    assert (await http.get(SCHEDULES, params={"workflowName": "other"})).json() == []
    gone = await http.request("DELETE", f"{SCHEDULES}/nightly", json={})
    assert (gone.status_code, gone.content) == (200, b"")
    assert (await http.get(f"{SCHEDULES}/nightly")).status_code == 404


@pytest.mark.parametrize("method", ["PUT", "GET"])
async def test_it_is_paused_with_a_reason_and_resumed(http: httpx2.AsyncClient, method: str) -> None:
    await http.post(SCHEDULES, json=SCHEDULE)
    paused = await http.request(method, f"{SCHEDULES}/nightly/pause", params={"reason": "prices"})
    assert (paused.status_code, paused.content) == (200, b"")
    found = (await http.get(f"{SCHEDULES}/nightly")).json()
    assert (found["paused"], found["pausedReason"]) == (True, "prices")
    assert "nextRunTime" not in found
    await http.request(method, f"{SCHEDULES}/nightly/resume")
    assert (await http.get(f"{SCHEDULES}/nightly")).json()["paused"] is False
    for verb in ("pause", "resume"):
        assert (await http.request(method, f"{SCHEDULES}/none/{verb}")).status_code == 404


async def test_a_bad_schedule_is_told_by_its_places(http: httpx2.AsyncClient) -> None:
    refused = await http.post(SCHEDULES, json={**SCHEDULE, "cronExpression": "every day", "name": ""})
    assert refused.status_code == 400
    assert [one["path"] for one in refused.json()["validationErrors"]] == ["name", "cronExpression"]


async def test_schedules_are_searched_in_pages(http: httpx2.AsyncClient) -> None:
    for name in ("a", "b", "c"):
        await http.post(SCHEDULES, json={**SCHEDULE, "name": name, "paused": name == "c"})
    page = (await http.get(f"{SCHEDULES}/search", params={"size": 1, "start": 1, "sort": "name:DESC"})).json()
    assert (page["totalHits"], [one["name"] for one in page["results"]]) == (3, ["b"])
    only = (await http.get(f"{SCHEDULES}/search", params={"paused": "True", "freeText": "*"})).json()
    assert [one["name"] for one in only["results"]] == ["c"]


async def test_many_are_paused_and_resumed(http: httpx2.AsyncClient) -> None:
    await http.post(SCHEDULES, json=SCHEDULE)
    answer = (await http.put("/scheduler/bulk/pause", json=["nightly", "none"])).json()
    assert answer["bulkSuccessfulResults"] == ["nightly"]
    assert list(answer["bulkErrorResults"]) == ["none"]
    assert answer["message"] == "Bulk Request has been processed."
    assert (await http.put("/scheduler/bulk/resume", json=["nightly"])).json()["bulkErrorResults"] == {}
    assert (await http.put("/scheduler/bulk/resume", json=[])).status_code == 400


async def test_the_next_times_are_five_numbers_at_most(http: httpx2.AsyncClient) -> None:
    query: dict[str, Any] = {"cronExpression": "0 0 9 * * ?", "limit": "50", "scheduleStartTime": "1900000000000"}
    times = (await http.get("/scheduler/nextFewSchedules", params=query)).json()
    assert times == [1_900_054_800_000 + day * 86_400_000 for day in range(5)]
    query["scheduleEndTime"] = times[1]
    assert (await http.get("/scheduler/nextFewSchedules", params=query)).json() == times[:2]
    assert (await http.get("/scheduler/nextFewSchedules", params={"cronExpression": "x"})).status_code == 400
    assert (await http.get("/scheduler/nextFewSchedules")).status_code == 400


async def test_tags_are_put_on_and_taken_off(http: httpx2.AsyncClient) -> None:
    await http.post(SCHEDULES, json=SCHEDULE)
    tag = {"key": "team", "value": "billing", "type": "METADATA"}
    await http.put(f"{SCHEDULES}/nightly/tags", json=[tag])
    assert (await http.get(f"{SCHEDULES}/nightly/tags")).json() == [tag]
    await http.request("DELETE", f"{SCHEDULES}/nightly/tags", json=[tag])
    assert (await http.get(f"{SCHEDULES}/nightly/tags")).json() == []


async def test_all_firing_is_paused_resumed_and_requeued(http: httpx2.AsyncClient) -> None:
    await http.post(SCHEDULES, json=SCHEDULE)
    assert (await http.get("/scheduler/admin/pause")).json() == {"paused": True}
    assert (await http.get("/scheduler/admin/resume")).json() == {"paused": False}
    assert (await http.get("/scheduler/admin/requeue")).json() == {"requeued": 1}


async def test_executions_are_searched_and_none_is_an_empty_page(http: httpx2.AsyncClient) -> None:
    query = {"query": "scheduleName=nightly AND state=FAILED", "freeText": "*", "sort": "scheduledTime:DESC"}
    assert (await http.get("/scheduler/search/executions", params=query)).json() == {"totalHits": 0, "results": []}
    assert (await http.get("/scheduler/search/executions", params={"query": "bogus ~ 1"})).status_code == 400

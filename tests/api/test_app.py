"""What holds for every request: where routes are found, how requests are read, what errors look like."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from orchestrator import AsyncClient
from orchestrator.api import create_app
from orchestrator.api.routes import Role
from orchestrator.api.tables import ROUTES
from tests.api.conftest import caller_of

Json = dict[str, Any]

HELLO: Json = {"name": "hello", "version": 3, "tasks": [{"name": "greet", "taskReferenceName": "greet"}]}
NESTED = b'{"name": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"


@pytest.fixture
async def small(fakeredis_url: str) -> AsyncIterator[httpx2.AsyncClient]:
    """A caller of an app that takes bodies of at most 1,000 bytes."""
    app = create_app(fakeredis_url, body_bytes_max=1_000)
    async with app.router.lifespan_context(app), caller_of(app) as http:
        yield http


async def test_what_is_registered_is_read_back_in_conductors_form(http: httpx2.AsyncClient) -> None:
    stored = await http.post("/metadata/workflow", json=HELLO)
    assert (stored.status_code, stored.content) == (200, b"")
    found = (await http.get("/metadata/workflow/hello", params={"version": "3"})).json()
    assert (found["name"], found["version"], found["timeoutPolicy"]) == ("hello", 3, "ALERT_ONLY")
    assert found["tasks"][0]["taskReferenceName"] == "greet"
    assert found["inputParameters"] == []
    assert "description" not in found


async def test_routes_are_found_with_and_without_api_in_front(http: httpx2.AsyncClient) -> None:
    for path in ("http://door/api/health", "http://door/health", "http://door/health/", "http://door//api//health"):
        assert (await http.get(path)).json()["healthy"] is True


async def test_a_value_in_a_path_may_hold_a_slash(http: httpx2.AsyncClient) -> None:
    await http.post("/metadata/taskdefs", json=[{"name": "eu/charge:now", "ownerEmail": "a@b.c"}])
    found = await http.get("/metadata/taskdefs/eu%2Fcharge%3Anow")
    assert (found.status_code, found.json()["name"]) == (200, "eu/charge:now")


@pytest.mark.parametrize(
    "value", ["a%0Ab", "a%00b", "%2e%2e", "..%2F..%2Fsecrets", "%252e", "a" * 4_000, "%20", ";x=1"]
)
async def test_whatever_stands_in_a_path_is_a_value_and_leads_nowhere_else(
    http: httpx2.AsyncClient, value: str
) -> None:
    answer = await http.get(f"http://door/api/metadata/workflow/{value}")
    assert (answer.status_code, answer.json()["code"]) == (404, "DEFINITION_NOT_FOUND")
    unknown = await http.get(f"http://door/api/{value}/{value}")
    assert (unknown.status_code, unknown.json()["status"]) == (404, 404)


@pytest.mark.parametrize("text", ["true", "True", "TRUE", "1"])
async def test_booleans_come_in_any_case(http: httpx2.AsyncClient, text: str) -> None:
    await http.post("/metadata/workflow", json=HELLO)
    changed = {**HELLO, "description": "another text"}
    assert (await http.post("/metadata/workflow", json=changed)).status_code == 409
    assert (await http.post("/metadata/workflow", params={"overwrite": text}, json=changed)).status_code == 200


@pytest.mark.parametrize("query", ["", "version=", "version=None", "unknown=x"])
async def test_absent_is_what_python_clients_send_for_it(http: httpx2.AsyncClient, query: str) -> None:
    await http.post("/metadata/workflow", json=HELLO)
    found = await http.get(f"/metadata/workflow/hello?{query}")
    assert (found.status_code, found.json()["version"]) == (200, 3)


async def test_plain_text_is_answered_as_plain_text(http: httpx2.AsyncClient) -> None:
    answer = await http.get("/version")
    assert (answer.text, answer.headers["content-type"]) == ("0.1.0", "text/plain; charset=utf-8")


async def test_head_answers_like_get(http: httpx2.AsyncClient) -> None:
    assert (await http.head("/health")).status_code == 200


# --- errors -----------------------------------------------------------------------------------------------------------


async def test_an_unknown_name_is_a_404_that_says_what_to_do(http: httpx2.AsyncClient) -> None:
    answer = await http.get("/metadata/workflow/none")
    assert answer.status_code == 404
    assert answer.json() == {
        "status": 404,
        "message": "No such workflow found by name: none, any version; list them with: orchestrator def list",
        "instance": socket.gethostname(),
        "retryable": False,
        "code": "DEFINITION_NOT_FOUND",
    }


async def test_an_unknown_route_is_a_404_and_a_wrong_method_a_405(http: httpx2.AsyncClient) -> None:
    unknown = await http.get("/nothing/here")
    assert (unknown.status_code, unknown.json()["status"]) == (404, 404)
    wrong = await http.request("PATCH", "/metadata/workflow")
    assert (wrong.status_code, wrong.json()["status"]) == (405, 405)
    assert "POST" in wrong.headers["allow"]


async def test_every_fault_of_a_definition_is_told_with_its_place(http: httpx2.AsyncClient) -> None:
    bad = {"name": "bad", "version": "one", "tasks": [{"name": "a", "taskReferenceName": "a", "optional": 3}]}
    answer = await http.post("/metadata/workflow", json=bad)
    document = answer.json()
    assert answer.status_code == 400
    assert document["message"] == "Validation failed, check below errors for detail."
    assert "instance" not in document
    faults = {fault["path"]: fault for fault in document["validationErrors"]}
    assert set(faults) == {"version", "tasks[0].optional"}
    assert faults["version"]["invalidValue"] == "one"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"name": ', "the body is no JSON"),
        (b"\xff\xfe", "the body is no JSON"),
        (b"", "the request has no body"),
        (NESTED, "nested too deep"),
    ],
)
async def test_a_body_that_cannot_be_read_is_a_400(http: httpx2.AsyncClient, body: bytes, said: str) -> None:
    answer = await http.post("/metadata/workflow", content=body)
    assert answer.status_code == 400
    assert said in answer.json()["message"]


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (None, 200),
        ("application/json", 200),
        ("Application/JSON; charset=utf-8", 200),
        ("application/vnd.order+json", 200),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data; boundary=x", 415),
        ("application/xml", 415),
    ],
)
async def test_a_body_of_json_must_not_be_called_something_else(
    http: httpx2.AsyncClient, kind: str | None, status: int
) -> None:
    headers = {"content-type": kind} if kind else {}
    answer = await http.post("/metadata/workflow", content=json.dumps(HELLO).encode(), headers=headers)
    assert answer.status_code == status
    if status == 415:
        assert answer.json()["code"] == "UNSUPPORTED_MEDIA_TYPE"
        assert "content-type: application/json" in answer.json()["message"]
        assert (await http.post("/metadata/workflow", content=b"", headers=headers)).status_code == 400


@pytest.mark.parametrize("query", ["version=one", "version=99999999999999999999", "version=1.5", "version=%C2%B2"])
async def test_a_query_that_cannot_be_read_is_a_400_with_its_name(http: httpx2.AsyncClient, query: str) -> None:
    answer = await http.get(f"/metadata/workflow/hello?{query}")
    assert answer.status_code == 400
    assert [fault["path"] for fault in answer.json()["validationErrors"]] == ["version"]


@pytest.mark.parametrize("path", ["/metadata/workflow/%FF", "/metadata/workflow/hello?version=%FF"])
async def test_bytes_that_are_no_text_are_a_400(http: httpx2.AsyncClient, path: str) -> None:
    assert (await http.get(path)).status_code == 400


async def test_a_conflict_is_a_409(http: httpx2.AsyncClient) -> None:
    await http.post("/metadata/workflow", json=HELLO)
    again = await http.post("/metadata/workflow", json={**HELLO, "description": "another text"})
    assert (again.status_code, again.json()["code"]) == (409, "CONFLICT")


async def test_a_body_that_is_too_large_is_a_413(small: httpx2.AsyncClient) -> None:
    async def parts() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b" " * 500

    told = await small.post("/metadata/workflow", content=b" " * 1_001)
    streamed = await small.post("/metadata/workflow", content=parts())
    assert [told.status_code, streamed.status_code] == [413, 413]
    assert "1,000 bytes" in told.json()["message"]


async def test_without_its_store_every_request_is_a_503_that_says_when_to_come_back() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    app = create_app(f"redis://127.0.0.1:{port}/0")
    async with app.router.lifespan_context(app), caller_of(app) as http:
        answers = [await http.get(path) for path in ("/metadata/workflow/hello", "/health")]
    assert [answer.status_code for answer in answers] == [503, 503]
    assert [answer.headers["retry-after"] for answer in answers] == ["1", "1"]
    assert answers[0].json()["retryable"] is True
    assert answers[1].json()["healthy"] is False


async def test_an_error_of_ours_is_a_500_and_is_logged(
    http: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr("orchestrator.service.metadata.get_workflow", broken)
    answer = await http.get("/metadata/workflow/hello")
    assert answer.status_code == 500
    assert "secret detail" not in answer.text
    assert "ZeroDivisionError: secret detail" in caplog.text


# --- mounting and description -----------------------------------------------------------------------------------------


async def test_an_application_mounts_it_on_a_client_of_its_own(fakeredis_url: str) -> None:
    async with AsyncClient(fakeredis_url) as client:
        application = Starlette(routes=[Mount("/flows", create_app(client))])
        async with caller_of(application) as http:
            stored = await http.post("http://door/flows/api/metadata/workflow", json=HELLO)
            found = await http.get("http://door/flows/metadata/workflow/hello%2F")
            described = (await http.get("http://door/flows/api-docs")).json()
        assert stored.status_code == 200
        assert (found.status_code, "hello/" in found.json()["message"]) == (404, True)
        assert described["servers"] == [{"url": "/flows/api"}]


async def test_the_description_has_every_route_with_its_types(http: httpx2.AsyncClient) -> None:
    described = (await http.get("/api-docs")).json()
    there = {(method.upper(), path) for path, methods in described["paths"].items() for method in methods}
    assert there == {(route.method, route.path) for route in ROUTES}
    operations = [operation for methods in described["paths"].values() for operation in methods.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    register = described["paths"]["/metadata/workflow"]["post"]
    assert register["requestBody"]["content"] == {
        "application/json": {"schema": {"$ref": "#/components/schemas/WorkflowDef"}}
    }
    assert [(one["name"], one["in"], one["schema"]) for one in register["parameters"]] == [
        ("overwrite", "query", {"type": "boolean", "default": False})
    ]
    assert register["x-role"] == "admin"
    workflow_def = described["components"]["schemas"]["WorkflowDef"]
    assert workflow_def["required"] == ["name", "tasks"] or workflow_def["required"] == ["name"]
    assert workflow_def["properties"]["timeoutSeconds"] == {"type": "integer", "format": "int64"}


@pytest.mark.parametrize(
    ("method", "path", "kinds"),
    [
        ("get", "/metrics", {"text/plain; version=0.0.4; charset=utf-8"}),
        ("get", "/actuator/prometheus", {"text/plain; version=0.0.4; charset=utf-8"}),
        ("post", "/verbs/events/{event}/publish", {"text/plain"}),
        ("get", "/webhook/{id}", {"text/plain", "application/json"}),
        ("post", "/verbs/secrets/{name}/put", set()),
        ("post", "/verbs/schedules", {"application/json"}),
    ],
)
async def test_the_description_says_which_answers_are_text_or_empty(
    http: httpx2.AsyncClient, method: str, path: str, kinds: set[str]
) -> None:
    described = (await http.get("/api-docs")).json()["paths"][path][method]
    assert set(described["responses"]["200"].get("content", {})) == kinds


def test_only_what_anybody_may_see_is_open() -> None:
    assert {route.path for route in ROUTES if route.role is Role.OPEN} == {
        "/actuator/health",
        "/api-docs",
        "/docs",
        "/externalstorage/{pass_}",
        "/health",
        "/livez",
        "/readyz",
        "/rq/{task_id}",  # a header proves the job
        "/startupz",
        "/token",
        "/version",
        "/webhook/{id}",  # a delivery proves itself who it is from
    }


async def test_the_page_finds_the_description_beside_it(http: httpx2.AsyncClient) -> None:
    answer = await http.get("/docs")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert 'fetch("api-docs")' in answer.text

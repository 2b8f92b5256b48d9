"""Every operation of the HTTP API and every kind of caller: who is let in is written out here, beside no code.

The lists are what the access page promises each role. A new operation is added to the list of the lowest role that may call
it; a role that is wrong in a table of routes fails here.
"""

from __future__ import annotations

import pytest

from orchestrator.api import app as door
from orchestrator.api.errors import Refused
from orchestrator.api.routes import Route
from orchestrator.api.tables import ROUTES
from orchestrator.model.access import KeyRole
from orchestrator.service import access
from tests.api.test_access import Locked, locked

__all__ = ["locked"]

ADMITTED = 418

LOWEST_ROLE = {
    None: """
    GET /actuator/health
    GET /api-docs
    GET /docs
    GET PUT /externalstorage/{pass_}
    GET /health
    GET /livez
    GET /readyz
    GET /startupz
    POST /token
    GET POST /webhook/{id}
    POST /rq/{task_id}
    GET /version
    """,
    KeyRole.VIEWER: """
    GET /actuator/prometheus
    GET /admin/queues
    GET /admin/task/{task_type}
    GET /environment
    GET /environment/{key}
    GET /event
    GET /event/handler/{name}
    GET /event/{event}
    GET /event/{name}/tags
    GET /metadata/tags
    GET /metadata/tags/workflow/{name}
    GET /metadata/task/{name}/tags
    GET /metadata/taskdefs
    GET /metadata/taskdefs/{name}
    GET /event/queue/config
    GET /event/queue/config/{queue_type}/{queue_name}
    GET /metadata/webhook
    GET /metadata/webhook/{id}
    GET /metadata/webhook/{id}/deliveries
    GET /metadata/workflow
    GET /metadata/workflow/latest-versions
    GET /metadata/workflow/names
    GET /metadata/workflow/names-and-versions
    POST /metadata/workflow/validate
    GET /metadata/workflow/{name}
    GET /metadata/workflow/{name}/rate-limit
    GET /metadata/workflow/{name}/tags
    GET /metadata/workflow/{name}/versions
    GET /metrics
    GET /queue
    GET /queue/size
    GET /scheduler/nextFewSchedules
    GET /scheduler/schedules
    GET /scheduler/schedules/search
    GET /scheduler/schedules/{name}
    GET /scheduler/schedules/{name}/tags
    GET /scheduler/search/executions
    GET /schema
    GET /schema/{name}
    GET /schema/{name}/{version}
    GET /tasks/queue/all
    GET /tasks/queue/all/verbose
    GET /tasks/queue/polldata
    GET /tasks/queue/polldata/all
    GET /tasks/queue/size
    GET /tasks/queue/sizes
    GET /tasks/search
    GET /tasks/search-v2
    GET /tasks/{task_id}
    GET /tasks/{task_id}/log
    POST /workflow/bulk/search
    POST /workflow/correlated/batch
    GET /workflow/running/{name}
    GET /workflow/search
    GET /workflow/search-by-tasks
    GET /workflow/search-by-tasks-v2
    GET /workflow/search-v2
    POST /workflow/test
    POST /workflow/{name}/correlated
    GET /workflow/{name}/correlated/{correlation_id}
    GET /workflow/{workflow_id}
    GET /workflow/{workflow_id}/status
    GET /workflow/{workflow_id}/tasks
    POST /verbs/definitions/company
    POST /verbs/definitions/names
    POST /verbs/definitions/tasks
    POST /verbs/definitions/tasks/{name}
    POST /verbs/definitions/workflows
    POST /verbs/definitions/workflows/{name}
    POST /verbs/definitions/workflows/{name}/company
    POST /verbs/definitions/workflows/{name}/versions
    POST /verbs/environment
    POST /verbs/environment/{name}
    POST /verbs/events/executions
    POST /verbs/events/handlers
    POST /verbs/events/handlers/{name}
    POST /verbs/events/queues
    POST /verbs/events/queues/{kind}/{name}
    POST /verbs/installation
    POST /verbs/installation/overview
    POST /verbs/queues
    POST /verbs/queues/{task_type}
    POST /verbs/queues/{task_type}/holders
    POST /verbs/queues/{task_type}/waiters
    POST /verbs/schedules
    POST /verbs/schedules/executions
    POST /verbs/schedules/search
    POST /verbs/schedules/times
    POST /verbs/schedules/{name}
    POST /verbs/schemas
    POST /verbs/schemas/{name}
    POST /verbs/tags
    POST /verbs/tags/{kind}/{name}
    POST /verbs/tasks/open
    POST /verbs/tasks/polls
    POST /verbs/tasks/search
    POST /verbs/tasks/{task_id}
    POST /verbs/tasks/{task_id}/logs
    POST /verbs/webhooks
    POST /verbs/webhooks/{webhook_id}
    POST /verbs/webhooks/{webhook_id}/deliveries
    GET /workers
    GET /workers/{name}
    POST /verbs/workers
    POST /verbs/workers/{name}
    POST /verbs/workflows/correlated
    POST /verbs/workflows/list
    POST /verbs/workflows/running
    POST /verbs/workflows/search
    POST /verbs/workflows/search-by-tasks
    POST /verbs/workflows/{workflow_id}
    POST /verbs/workflows/{workflow_id}/await
    POST /verbs/workflows/{workflow_id}/await-halt
    POST /verbs/workflows/{workflow_id}/export
    POST /verbs/workflows/{workflow_id}/standing
    POST /verbs/workflows/{workflow_id}/tasks
    POST /verbs/workflows/{workflow_id}/why
    """,
    KeyRole.WORKER: """
    POST /verbs/workers/say/alive
    POST /verbs/workers/say/gone
    POST /tasks
    GET /tasks/external-storage-location
    GET /tasks/externalstoragelocation
    GET /tasks/poll/batch/{task_type}
    GET /tasks/poll/{task_type}
    POST /tasks/update-v2
    POST /tasks/{task_id}/log
    POST /tasks/{workflow_id}/{ref}/{status}
    POST /tasks/{workflow_id}/{ref}/{status}/sync
    POST /tasks/{workflow_id}/{status}/signal
    POST /tasks/{workflow_id}/{status}/signal/sync
    GET /workflow/external-storage-location
    GET /workflow/externalstoragelocation
    POST /verbs/tasks/poll
    POST /verbs/tasks/update
    POST /verbs/tasks/{task_id}/log
    POST /verbs/workflows/{workflow_id}/tasks/{ref}/update
    """,
    KeyRole.OPERATOR: """
    POST /workers/{name}/pause
    POST /workers/{name}/resume
    POST /workers/{name}/drain
    POST /workers/pause
    POST /workers/resume
    POST /workers/drain
    POST /verbs/workers/tell/pause
    POST /verbs/workers/tell/resume
    POST /verbs/workers/tell/drain
    POST /admin/consistency/verifyAndRepair/{workflow_id}
    POST /admin/sweep/requeue/{workflow_id}
    POST /queue/update/{workflow_id}/task/{task_id}/{status}
    POST /queue/update/{workflow_id}/{ref}/{status}
    PUT /scheduler/bulk/pause
    PUT /scheduler/bulk/resume
    POST /scheduler/schedules
    DELETE /scheduler/schedules/{name}
    GET PUT /scheduler/schedules/{name}/pause
    GET PUT /scheduler/schedules/{name}/resume
    DELETE PUT /scheduler/schedules/{name}/tags
    POST /tasks/queue/requeue/{task_type}
    POST /workflow
    PUT /workflow/bulk/pause
    DELETE /workflow/bulk/remove
    POST /workflow/bulk/restart
    PUT /workflow/bulk/resume
    POST /workflow/bulk/retry
    POST /workflow/bulk/terminate
    DELETE /workflow/bulk/terminate-remove
    PUT /workflow/decide/{workflow_id}
    GET POST /workflow/execute/{name}
    POST /workflow/execute/{name}/{version}
    POST /workflow/{name}
    DELETE /workflow/{workflow_id}
    POST /workflow/{workflow_id}/jump/{ref}
    POST /workflow/{workflow_id}/messages
    PUT /workflow/{workflow_id}/pause
    DELETE /workflow/{workflow_id}/remove
    POST /workflow/{workflow_id}/rerun
    POST /workflow/{workflow_id}/resetcallbacks
    POST /workflow/{workflow_id}/restart
    PUT /workflow/{workflow_id}/resume
    POST /workflow/{workflow_id}/retry
    PUT /workflow/{workflow_id}/skiptask/{ref}
    POST /workflow/{workflow_id}/state
    DELETE /workflow/{workflow_id}/terminate-remove
    POST /workflow/{workflow_id}/upgrade
    POST /workflow/{workflow_id}/variables
    POST /verbs/definitions/introduce
    POST /verbs/events/{event}/publish
    POST /verbs/queues/{task_type}/drain
    POST /verbs/queues/{task_type}/pause
    POST /verbs/queues/{task_type}/resume
    POST /verbs/schedules/save
    POST /verbs/schedules/{name}/backfill
    POST /verbs/schedules/{name}/pause
    POST /verbs/schedules/{name}/remove
    POST /verbs/schedules/{name}/remove-tags
    POST /verbs/schedules/{name}/resume
    POST /verbs/schedules/{name}/run
    POST /verbs/schedules/{name}/set-tags
    POST /verbs/workflows/act
    POST /verbs/workflows/execute
    POST /verbs/workflows/import
    POST /verbs/workflows/start
    POST /verbs/workflows/start-many
    POST /verbs/workflows/{workflow_id}/jump
    POST /verbs/workflows/{workflow_id}/pause
    POST /verbs/workflows/{workflow_id}/push-message
    POST /verbs/workflows/{workflow_id}/remove
    POST /verbs/workflows/{workflow_id}/rerun
    POST /verbs/workflows/{workflow_id}/reset-callbacks
    POST /verbs/workflows/{workflow_id}/restart
    POST /verbs/workflows/{workflow_id}/resume
    POST /verbs/workflows/{workflow_id}/retry
    POST /verbs/workflows/{workflow_id}/signal
    POST /verbs/workflows/{workflow_id}/signal-and-wait
    POST /verbs/workflows/{workflow_id}/skip
    POST /verbs/workflows/{workflow_id}/terminate
    POST /verbs/workflows/{workflow_id}/unpark
    POST /verbs/workflows/{workflow_id}/update-state
    POST /verbs/workflows/{workflow_id}/update-variables
    POST /verbs/workflows/{workflow_id}/upgrade
    """,
    KeyRole.ADMIN: """
    GET /admin/audit
    GET /admin/config
    POST PUT /event
    DELETE /event/{name}
    DELETE PUT /event/{name}/tags
    DELETE POST /metadata/tags/workflow/{name}
    DELETE POST PUT /metadata/task/{name}/tags
    POST /metadata/taskdef
    POST PUT /metadata/taskdefs
    DELETE /metadata/taskdefs/{name}
    POST PUT /metadata/workflow
    DELETE PUT /event/queue/config/{queue_type}/{queue_name}
    POST /metadata/webhook
    DELETE PUT /metadata/webhook/{id}
    DELETE PUT /metadata/workflow/{name}/rate-limit
    DELETE POST PUT /metadata/workflow/{name}/tags
    DELETE /metadata/workflow/{name}/{version}
    GET /scheduler/admin/pause
    GET /scheduler/admin/requeue
    GET /scheduler/admin/resume
    POST /schema
    DELETE /schema/{name}
    DELETE /schema/{name}/{version}
    GET POST /secrets
    GET /secrets-v2
    GET /secrets/v2
    DELETE GET PUT /secrets/{key}
    GET /secrets/{key}/exists
    DELETE GET PUT /secrets/{key}/tags
    POST /verbs/definitions/apply
    POST /verbs/definitions/tasks/{name}/delete
    POST /verbs/definitions/workflows/{name}/delete
    POST /verbs/definitions/workflows/{name}/limit
    POST /verbs/environment/{name}/delete
    POST /verbs/environment/{name}/put
    POST /verbs/queues/{task_type}/purge
    POST /verbs/queues/{task_type}/set-limits
    POST /verbs/events/handlers/apply
    POST /verbs/events/handlers/{name}/remove
    POST /verbs/events/queues/{kind}/{name}/delete
    POST /verbs/events/queues/{kind}/{name}/put
    POST /verbs/schedules/pause-all
    POST /verbs/schedules/requeue-all
    POST /verbs/schedules/resume-all
    POST /verbs/schemas/{name}/delete
    POST /verbs/schemas/{name}/delete-all
    POST /verbs/secrets
    POST /verbs/secrets/{name}/delete
    POST /verbs/secrets/{name}/put
    POST /verbs/tags/{kind}/{name}/add
    POST /verbs/tags/{kind}/{name}/remove
    POST /verbs/webhooks/save
    POST /verbs/webhooks/{webhook_id}/delete
    """,
}
"""What may be called from each role on; None: without a key. A line names the methods and the path."""


def expected() -> dict[str, KeyRole | None]:
    """The lowest role of each operation, as it is written out above."""
    roles: dict[str, KeyRole | None] = {}
    for role, lines in LOWEST_ROLE.items():
        for line in lines.split("\n"):
            *methods, path = line.split() or [""]
            for method in methods:
                name = f"{method} {path}"
                assert name not in roles, f"{name} is written twice"
                roles[name] = role
    return roles


EXPECTED = expected()


def name_of(route: Route) -> str:
    return f"{route.method} {route.path}"


def path_of(route: Route) -> str:
    return "/".join("1" if part.startswith("{") else part for part in route.path.split("/"))


def test_the_lists_have_every_operation_and_no_other() -> None:
    assert set(EXPECTED) == {name_of(route) for route in ROUTES}


@pytest.fixture
def _stops_at_the_door(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is let in gets an answer that no route gives, before anything is read or done."""

    def admitted(*_: object) -> None:
        raise Refused(ADMITTED, "let in")

    monkeypatch.setattr(door, "arguments_of", admitted)


async def credentials(locked: Locked) -> dict[str, str]:
    """What the callers without a role bring along, by what is wrong with it."""
    key, secret = locked.keys[KeyRole.ADMIN]
    past_s = 1_000_000_000
    good = await locked.token(KeyRole.ADMIN)
    return {
        "none": "",
        "expired": await locked.client.run(access.issue_token(locked.client.store, key.id, secret, now_s=past_s)),
        "wrong": f"{good[:-6]}AAAAAA",
        "no token": "anything",
    }


@pytest.mark.usefixtures("_stops_at_the_door")
@pytest.mark.parametrize("route", ROUTES, ids=name_of)
async def test_every_operation_lets_in_its_roles_and_nobody_else(locked: Locked, route: Route) -> None:
    async def status(token: str) -> int:
        headers = {"X-Authorization": token} if token else {}
        return (await locked.http.request(route.method, path_of(route), headers=headers)).status_code

    lowest, ladder = EXPECTED[name_of(route)], list(KeyRole)
    told = {name: await status(token) for name, token in (await credentials(locked)).items()}
    assert told == dict.fromkeys(told, ADMITTED if lowest is None else 401)
    given = {role: await status(await locked.token(role)) for role in KeyRole}
    may = {role: lowest is None or ladder.index(role) >= ladder.index(lowest) for role in KeyRole}
    assert given == {role: ADMITTED if may[role] else 403 for role in KeyRole}

"""A small installation that is known by heart, so that random requests can be mixed with names and ids that exist.

It has one of everything that can be registered and an execution in each state. Whoever adds a route whose values cannot be
told from what is here adds them here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import httpx2

from orchestrator.api.access import TokenRequest
from orchestrator.api.routes import Route
from orchestrator.model.definitions import RateLimitConfig, SchemaDef, TaskDef, WorkflowDef
from orchestrator.model.execution import StartWorkflowRequest, TaskResult
from orchestrator.model.requests import (
    CorrelationIdsSearchRequest,
    RerunWorkflowRequest,
    SkipTaskRequest,
    Tag,
    UpgradeWorkflowRequest,
    WorkflowStateUpdate,
    WorkflowTestRequest,
)
from orchestrator.model.schedules import Schedule, ScheduleTag
from orchestrator.model.webhooks import Webhook
from orchestrator.model.wire_write import json_name
from orchestrator.model.workers import ServedType, WorkerInfo
from orchestrator.protocol.forms import parameters_of
from orchestrator.protocol.verbs import VERBS
from orchestrator.service import halts
from orchestrator.service.rq_jobs import PROOF_HEADER, proof_of
from orchestrator.settings import Settings

Json = dict[str, Any]

# --- what is registered -----------------------------------------------------------------------------------------------

GATE: Json = {"name": "gate", "taskReferenceName": "gate", "type": "WAIT"}
WORK: Json = {"name": "work", "taskReferenceName": "work"}
CHILD: Json = {**GATE, "type": "SUB_WORKFLOW", "subWorkflowParam": {"name": "waiting"}}
END: Json = {**GATE, "type": "SET_VARIABLE", "inputParameters": {"done": True}}

WAITING: Json = {"name": "waiting", "tasks": [GATE, WORK]}
WORKING: Json = {"name": "working", "tasks": [WORK, GATE]}
LIMIT: Json = {"rateLimitKey": "one", "concurrentExecLimit": 100}
ENDING: Json = {"name": "ending", "tasks": [END], "outputParameters": {"said": "${workflow.input.name}"}}
LIMITED: Json = {"name": "limited", "tasks": [END], "rateLimitConfig": LIMIT}
PARENT: Json = {"name": "parent", "tasks": [CHILD, WORK]}
TASK: Json = {"name": "work", "retryCount": 0, "responseTimeoutSeconds": 60}
SCHEMA: Json = {"name": "shape", "version": 1, "type": "JSON", "data": {"type": "object"}}
SCHEDULE: Json = {"name": "yearly", "cronExpression": "0 0 0 1 1 ?", "startWorkflowRequest": {"name": "ending"}}
START: Json = {"action": "start_workflow", "start_workflow": {"name": "ending"}}
HANDLER: Json = {"name": "listener", "event": "conductor:news", "active": True, "actions": [START]}
TAG: Json = {"key": "team", "value": "payments", "type": "METADATA"}
ORDER = "order-1"
WORDS: Json = {"name": "Ada"}
LARGE: Json = {"text": "x" * 2_000}
PASSWORD = "open sesame"
JOB = "job-at-rq"
WORKER = WorkerInfo(name="here-1", task_types=[ServedType(name="work")])
PROOF = {"X-Password": PASSWORD, PROOF_HEADER: proof_of(Settings(webhook_secret=PASSWORD), JOB) or ""}
"""The headers that a delivery at the webhook has, and what RQ tells of a job."""

HOOK: Json = {"name": "hub", "verifier": "HEADER_BASED", "headers": {"X-Password": "${workflow.secrets.password}"}}
QUEUE: Json = {"consumer": {"bootstrap.servers": "kafka:9092"}}

# --- values of requests -----------------------------------------------------------------------------------------------

REFS = ("gate", "work")
QUERY: Json = {
    "cronExpression": "0 0 12 * * ?",
    "operation": "WRITE",
    "taskType": ["work"],
    "timeoutMillis": 50,
    "waitForSeconds": 1,
}
PATH = {
    "correlation_id": ORDER,
    "event": "conductor:news",
    "id": "hub",
    "key": "password",
    "kind": "workflow",
    "name": "ending",
    "queue_name": "orders",
    "queue_type": "kafka",
    "status": "COMPLETED",
    "task_type": "work",
    "version": "1",
    "webhook_id": "hub",
}
PATH_BELOW = {
    ("/environment", "key"): "region",
    ("/event", "name"): "listener",
    ("/metadata/task", "name"): "work",
    ("/metadata/workflow", "name"): "limited",
    ("/scheduler", "name"): "yearly",
    ("/rq", "task_id"): JOB,
    ("/schema", "name"): "shape",
    ("/workers", "name"): WORKER.name,
    ("/verbs/definitions/tasks", "name"): "work",
    ("/verbs/environment", "name"): "area",
    ("/verbs/events/handlers", "name"): "listener",
    ("/verbs/events/queues", "kind"): "kafka",
    ("/verbs/events/queues", "name"): "orders",
    ("/verbs/schedules", "name"): "yearly",
    ("/verbs/schemas", "name"): "shape",
    ("/verbs/secrets", "name"): "password",
    ("/verbs/workers", "name"): WORKER.name,
}
"""Values of those whose word means another thing below these paths."""

BODY: dict[Any, Any] = {
    CorrelationIdsSearchRequest: {"correlationIds": [ORDER], "workflowNames": ["ending", "waiting"]},
    RateLimitConfig: LIMIT,
    Schedule: SCHEDULE,
    SkipTaskRequest: {"taskInput": WORDS, "taskOutput": WORDS},
    StartWorkflowRequest: {"name": "ending", "input": WORDS},
    TaskDef: TASK,
    UpgradeWorkflowRequest: {},
    Webhook: HOOK,
    WorkflowDef: ENDING,
    WorkflowTestRequest: {"name": "waiting", "taskRefToMockOutput": {"gate": [{"output": WORDS}]}},
    list[SchemaDef]: [SCHEMA],
    list[ScheduleTag]: [TAG],
    list[Tag]: [TAG],
    list[TaskDef]: [TASK],
    list[WorkflowDef]: [ENDING],
    str: PASSWORD,
}

ARGUMENTS: Json = {
    "action": "pause",
    "configuration": QUEUE,
    "correlationIds": [ORDER],
    "crons": [{"cronExpression": "0 0 12 * * ?"}],
    "definitions": [{"workflow": ENDING}, {"task": TASK}, {"schema": SCHEMA}],
    "endMs": 1,
    "handlers": [HANDLER],
    "isNew": True,
    "launch": {"request": {"name": "ending", "input": WORDS}},
    "launches": [{"request": {"name": "ending", "input": WORDS}}],
    "payload": WORDS,
    "schedule": SCHEDULE,
    "startMs": 0,
    "status": "COMPLETED",
    "tags": [TAG],
    "taskDefs": [{"task": TASK}],
    "taskType": "work",
    "text": "a line",
    "value": "north",
    "variables": WORDS,
    "version": 1,
    "waitS": 0.05,
    "webhook": HOOK,
    "worker": "somebody",
    "workflow": WAITING,
}
"""Arguments of verbs by their names; those that are about an execution are added."""

ARGUMENTS_AT: dict[str, Json] = {
    "/verbs/definitions/workflows/{name}/limit": {"limit": LIMIT},
    "/verbs/workers/say/alive": {"worker": {"name": "far-1", "taskTypes": [{"name": "work"}], "state": "RUNNING"}},
    "/verbs/workers/say/gone": {"name": "far-1"},
    "/verbs/workflows/correlated": {"name": "ending"},
    "/verbs/workflows/running": {"name": "waiting"},
}
"""Arguments whose word means another thing in these verbs."""

HALTS = (halts.execute, halts.await_halt, halts.signal_and_wait)
"""Verbs whose ``timeout_s`` is that of a halt which may never come, not that of an answer."""

VERB_AT = {f"/verbs/{verb.path}": verb for verb in VERBS}
ENDED = 3
"""Which of the executions has ended well."""


class Execution(NamedTuple):
    """An execution in some state; ``task_id`` and ``ref`` are those of its first task."""

    workflow_id: str
    task_id: str
    ref: str

    @property
    def result(self) -> Json:
        """A report that its first task is done."""
        return {"workflowInstanceId": self.workflow_id, "taskId": self.task_id, "status": "COMPLETED"}


class Known(NamedTuple):
    """The parts of a request in which everything exists; ``body`` None: it has none."""

    path: dict[str, str]
    query: dict[str, Any]
    body: Any


class World:
    """The names and ids of an installation. ``key``: id and secret of the key with which ``http`` calls.

    ``live``: let ``WORKER`` live, as if nobody had told it anything. Example: ``World(http, key, live).requests(route)``
    """

    def __init__(self, http: httpx2.Client, key: tuple[str, str], live: Callable[[], object]) -> None:
        self._http = http
        self._key = key
        self._live = live
        self._executions: list[Execution] = []
        self._document: Json = {}

    def refresh(self) -> None:
        """Let everything be there as if no request had touched it, with executions of its own."""
        self._do("PUT", "/metadata/workflow", [WAITING, WORKING, ENDING, PARENT, LIMITED])
        for name in ("waiting", "working", "ending", "parent", "limited"):
            self._do("PUT", f"/metadata/workflow/{name}/tags", [TAG])
        self._do("POST", "/metadata/taskdefs", [TASK])
        self._do("POST", "/schema", [SCHEMA])
        self._do("POST", "/scheduler/schedules", SCHEDULE)
        self._do("DELETE", "/event/listener", {}, 404)
        self._do("POST", "/event", HANDLER)
        self._do("PUT", "/secrets/password", PASSWORD)
        self._do("POST", "/verbs/environment/area/put", {"value": "north"})
        self._do("POST", "/metadata/webhook", {**HOOK, "id": "hub"})
        self._do("PUT", "/event/queue/config/kafka/orders", QUEUE)
        self._live()
        self._executions = list(self._in_each_state())
        self._document = self._do("POST", f"/verbs/workflows/{self._executions[ENDED].workflow_id}/export", {}).json()

    def requests(self, route: Route) -> list[Known]:
        """Requests to a route in which everything exists, one for each execution and step that it may be about."""
        found: list[Known] = []
        for execution in self._executions:
            for ref in REFS:
                path = {one.name: self._value(route, one.name, execution, ref) for one in route.shape.path}
                query = {one.wire: QUERY[one.wire] for one in route.shape.query if one.wire in QUERY}
                known = Known(path, query, self._body(route, execution, ref))
                if known not in found:
                    found.append(known)
        return found

    def _value(self, route: Route, name: str, execution: Execution, ref: str) -> str:
        if name == "pass_":
            return self._pass("READ" if route.method == "GET" else "WRITE")
        of_execution = {"workflow_id": execution.workflow_id, "task_id": execution.task_id, "ref": ref}
        below = [value for (path, word), value in PATH_BELOW.items() if word == name and route.path.startswith(path)]
        value = next(iter(below), of_execution.get(name) or PATH.get(name))
        assert value is not None, f"{route.method} {route.path}: what may {{{name}}} be?"
        return value

    def _body(self, route: Route, execution: Execution, ref: str) -> Any:
        body = route.shape.body
        if body is None:
            return None
        if route.path == "/event":
            return HANDLER if route.method == "PUT" else [HANDLER]
        told: dict[Any, Any] = {
            RerunWorkflowRequest | None: {"reRunFromTaskId": execution.task_id},
            TaskResult: execution.result,
            TokenRequest: {"keyId": self._key[0], "keySecret": self._key[1]},
            WorkflowStateUpdate: {
                "variables": WORDS,
                "taskReferenceName": execution.ref,
                "taskResult": execution.result,
            },
            dict[str, Any]: self._arguments(route, execution, ref) if route.path in VERB_AT else WORDS,
            list[str]: [execution.workflow_id] if "/workflow/bulk" in route.path else [ORDER, "yearly"],
        }
        kinds = (body.kind, *getattr(body.kind, "__args__", ()))
        found = [table[kind] for kind in kinds for table in (told, BODY) if kind in table]
        assert found, f"{route.method} {route.path}: what may its body be?"
        return found[0]

    def _arguments(self, route: Route, execution: Execution, ref: str) -> Json:
        about = {
            "document": self._document,
            "fromTaskId": execution.task_id,
            "ref": ref,
            "result": execution.result,
            "workflowIds": [execution.workflow_id],
        }
        arguments = ARGUMENTS | about | ARGUMENTS_AT.get(route.path, {})
        plan = VERB_AT[route.path].plan
        taken = [json_name(name) for name in parameters_of(plan)]
        wait = {"timeoutS": 0.05} if plan in HALTS else {}
        return wait | {name: arguments[name] for name in taken if name in arguments}

    def _pass(self, operation: str) -> str:
        """What a location of a payload ends with: permission to read a stored one, or to bring one."""
        where = f"/workflow/externalstoragelocation?operation={operation}"
        if operation == "READ":
            workflow_id = self._do("POST", "/workflow", {"name": "ending", "input": LARGE}).text
            where += f"&path={self._do('GET', f'/workflow/{workflow_id}').json()['externalInputPayloadStoragePath']}"
        uri: str = self._do("GET", where).json()["uri"]
        return uri.rpartition("/")[2]

    # --- executions ---------------------------------------------------------------------------------------------------

    def _in_each_state(self) -> Iterator[Execution]:
        yield self._start("waiting")
        at_work = self._start("working")
        self._do("POST", f"/tasks/{at_work.task_id}/log", "a line")
        yield at_work
        paused = self._start("waiting")
        self._do("PUT", f"/workflow/{paused.workflow_id}/pause", {})
        yield paused
        yield self._start("ending")
        failed = self._start("waiting")
        self._do("POST", f"/tasks/{failed.workflow_id}/gate/FAILED/sync", {})
        yield failed
        terminated = self._start("waiting")
        self._do("DELETE", f"/workflow/{terminated.workflow_id}", {})
        yield terminated
        yield self._start("parent")

    def _start(self, name: str) -> Execution:
        workflow_id = self._do("POST", "/workflow", {"name": name, "correlationId": ORDER, "input": WORDS}).text
        (first, *_) = self._do("GET", f"/workflow/{workflow_id}").json()["tasks"]
        return Execution(workflow_id, first["taskId"], first["referenceTaskName"])

    def _do(self, method: str, path: str, body: Any = None, *allowed: int) -> httpx2.Response:
        sent = {"content": body} if isinstance(body, str) else {"json": body}
        answer = self._http.request(method, path, **({} if body is None else sent))
        assert answer.is_success or answer.status_code in allowed, f"{method} {path}: {answer.text}"
        return answer

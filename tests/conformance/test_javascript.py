"""The official JavaScript SDK, unmodified: its workers and the calls of its clients, each story judged by what it gave."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

from orchestrator.settings import Settings
from tests.cli.conftest import Command
from tests.conformance.conftest import served

pytestmark = pytest.mark.slow

STORY = Path(__file__).with_name("sdk_story.cjs")
MODULES = Path(__file__).resolve().parents[2] / ".sdk-js" / "node_modules"
STORY_TIMEOUT_S = 60


@pytest.fixture
def node() -> str:
    """A Node that finds ``@io-orkes/conductor-javascript``; ``make conformance`` installs it."""
    program = shutil.which("node")
    if program is None or not MODULES.exists():
        if os.environ.get("CI"):
            pytest.fail("the JavaScript SDK is not installed: make conformance", pytrace=False)
        pytest.skip("the JavaScript SDK is not installed: make conformance")
    return program


@pytest.fixture
def engine(settings: Settings, command: Command) -> None:
    """A decider as users start it: with the system tasks and the schedules, beside the one in a thread."""
    command("--redis", settings.redis_url, "decider")


def told(node: str, server_url: str, story: str) -> dict[str, Any]:
    """What the calls of a story gave."""
    done = subprocess.run(
        [node, STORY, server_url, story],
        env={"NODE_PATH": str(MODULES), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=STORY_TIMEOUT_S,
    )
    assert done.returncode == 0, done.stdout[-2_000:] + done.stderr[-4_000:]
    given: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return given


def outputs(workflow: dict[str, Any]) -> dict[str, Any]:
    return {task["referenceTaskName"]: task["outputData"] for task in workflow["tasks"]}


def test_a_task_manager_works_and_completes_workflows(node: str, server_url: str) -> None:
    given = told(node, server_url, "manager")
    greeting = given["greeting"]
    assert (greeting["status"], greeting["output"]) == ("COMPLETED", {"result": "Hello, Ada"})
    (task,) = greeting["tasks"]
    assert (task["pollCount"], task["retryCount"], bool(task["workerId"])) == (1, 0, True)
    first, second = given["flaking"]["tasks"]
    assert (first["status"], second["status"]) == ("FAILED", "COMPLETED")
    assert first["reasonForIncompletion"] == "not at the first attempt"
    assert second["outputData"] == {"attempt": 1}
    (hopeless,) = given["despair"]["tasks"]
    assert (hopeless["status"], hopeless["reasonForIncompletion"]) == ("FAILED_WITH_TERMINAL_ERROR", "never")
    (stepwise,) = given["progress"]["tasks"]
    assert (stepwise["outputData"], stepwise["pollCount"]) == ({"polls": 3}, 3)
    assert [line["log"] for line in given["logs"]] == ["poll 1", "poll 2", "poll 3"]
    assert given["abroad"]["output"] == {"result": "Hello from the EU"}
    assert [one["domain"] for one in given["polls"]] == ["eu"]
    counting = given["counting"]
    assert counting["output"] == {"number": 20}
    assert {task["pollCount"] for task in counting["tasks"]} == {1}


def test_the_quick_start_is_executed_and_waited_for(node: str, server_url: str) -> None:
    given = told(node, server_url, "handler")
    assert given["run"]["status"] == "COMPLETED"
    assert given["run"]["output"] == {"result": "Hello Conductor"}
    assert given["status"] == [{"taskDefName": "greet_kindly", "polling": True}]
    assert given["taskDef"]["timeoutSeconds"] == 3_600


@pytest.mark.usefixtures("engine")
def test_the_builders_of_steps_make_what_runs_here(node: str, server_url: str) -> None:
    given = told(node, server_url, "kitchen")
    run, definition = given["run"], given["def"]
    assert (definition["description"], definition["version"]) == ("everything at once", 3)
    assert (run["status"], run["correlationId"], run["priority"]) == ("COMPLETED", "c-kitchen", 7)
    assert run["variables"] == {"tier": "gold"}
    found = outputs(run)
    assert found["sum"]["result"] == 5
    assert found["jq"]["result"] == [2, 4]
    assert found["loop"]["iteration"] == 3
    assert set(found["__join_1"]) >= {"inner"}
    assert found["tell"]["event_produced"] == "conductor:kitchen:said"
    assert found["sideways"]["workflowId"]
    assert "set_tin" not in found


def test_definitions_are_kept_tagged_and_limited(node: str, server_url: str) -> None:
    given = told(node, server_url, "metadata")
    assert (given["task"]["retryCount"], given["task"]["description"]) == (2, "first")
    assert given["changed"]["description"] == "second"
    assert "t1" in given["all"]
    assert given["taskTags"] == [{"key": "team", "value": "b", "type": "METADATA"}]
    assert given["noTaskTags"] == given["noTags"] == []
    assert "w1" in given["conflict"]
    assert (given["workflow"]["version"], given["workflow"]["description"]) == (2, "other")
    assert ["w1", 2] in given["workflows"]
    assert given["tags"] == [{"key": "k", "value": "v", "type": "METADATA"}]
    assert given["setTags"] == [{"key": "k", "value": "v2", "type": "METADATA"}]
    assert (given["limit"]["rateLimitKey"], given["limit"]["concurrentExecLimit"]) == ("k", 3)
    assert given["noLimit"] is None
    assert "No such workflow" in given["goneWorkflow"]
    assert "t1" in given["goneTask"]


def test_executions_are_started_looked_at_and_acted_on(node: str, server_url: str) -> None:
    given = told(node, server_url, "executions")
    assert (given["status"]["status"], given["status"]["correlationId"]) == ("RUNNING", "c1")
    assert (given["paused"], given["variables"]) == ("PAUSED", {"x": 1})
    # The client wraps the output of these two in an object of its own.
    assert outputs(given["sync"])["w1"] == {"taskOutput": {"said": 1}}
    assert outputs(given["signalled"])["w2"] == {"taskOutput": {"said": 2}}
    assert given["isTarget"]
    assert [line["log"] for line in given["logs"]] == ["a line"]
    assert (given["task"]["status"], given["sizes"]) == ("SCHEDULED", {"by_hand": 1})
    assert given["updated"] == given["hand"]
    assert (given["end"]["status"], given["end"]["output"]) == ("COMPLETED", {"done": True})
    assert [one["workflowId"] for one in given["found"]["results"]] == [given["id"]]
    assert given["tasksFound"]["totalHits"] == 4
    assert [one["workflowId"] for one in given["correlated"]["c1"]] == [given["id"]]
    assert given["restarted"] == given["retried"] == given["back"]["status"] == "RUNNING"
    assert given["failed"] == "FAILED"
    assert given["terminated"]["reasonForIncompletion"] == "enough"
    assert (given["rerun"], given["rerunInput"]) == (given["id"], {"a": 2})
    assert (given["skipped"]["status"], given["skipped"]["outputData"]) == ("SKIPPED", {"skipped": True})
    assert given["state"]["variables"] == {"y": 2}
    assert outputs(given["state"])["w3"] == {"z": 3}
    assert "No such workflow" in given["gone"]
    assert given["isTask"]
    assert given["execution"]["referenceTaskName"] == "w1"
    assert given["many"] == 2
    assert (given["named"]["correlationId"], given["named"]["priority"]) == ("c9", 5)
    assert given["tested"]["output"] == {"mocked": True}


@pytest.mark.usefixtures("engine")
def test_schedules_start_workflows_and_are_paused(node: str, server_url: str) -> None:
    given = told(node, server_url, "schedules")
    assert given["schedule"]["cronExpression"] == "* * * * * ?"
    fired = given["fired"]["results"][0]
    assert (fired["state"], fired["workflowName"]) == ("EXECUTED", "ticks")
    assert (given["paused"]["paused"], given["paused"]["pausedReason"]) == (True, "enough")
    assert given["resumed"] is False
    assert given["all"] == ["each"]
    first_ms, second_ms = given["next"]
    assert second_ms - first_ms == 86_400_000
    assert first_ms % 86_400_000 == 43_200_000
    assert [tag["key"] for tag in given["tags"]] == ["k"]
    assert given["noTags"] == []
    assert "each" in given["gone"]


def test_event_handlers_and_schemas_are_kept_and_forgotten(node: str, server_url: str) -> None:
    given = told(node, server_url, "rest")
    assert given["handler"]["event"] == "conductor:said"
    assert [(one["name"], one["active"]) for one in given["handlers"]] == [("h", False)]
    assert [one["name"] for one in given["ofEvent"]] == ["h"]
    assert given["activeOfEvent"] == given["noHandlers"] == given["noSchemas"] == []
    assert [tag["key"] for tag in given["eventTags"]] == ["k"]
    assert given["schema"]["data"] == given["latest"]["data"] == {"type": "object"}
    assert given["schemas"] == ["s"]


def test_secrets_are_kept_and_forgotten(node: str, settings: Settings, command: Command) -> None:
    key = Fernet.generate_key().decode()
    given = told(node, served(command, settings, environment={"ORCHESTRATOR_SECRETS_KEY": key}), "secrets")
    assert given["value"] == 'it\'s a "secret"'
    assert given["exists"] == [True, True]  # the client takes every answer for a yes, also ours of false
    assert given["names"] == given["grantable"] == ["key"]
    assert [tag["key"] for tag in given["tags"]] == ["k"]
    assert given["noTags"] == []
    assert "key" in given["gone"]

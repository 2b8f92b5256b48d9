"""HTTP_POLL: called again until the condition is true, with the pauses that were asked for, held by no worker meanwhile."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from orchestrator import testing
from orchestrator.errors import DefinitionInvalid
from orchestrator.model.definitions import WorkflowDef
from orchestrator.settings import Settings
from orchestrator.systemtasks.http_poll import Polling
from orchestrator.testing import WorkflowResult
from tests.support.build import step, workflow_def
from tests.systemtasks.peer import Asked, Peer, answer

DONE = "$.output.response.body.state == 'done'"


def flow(request: dict[str, Any], **given: Any) -> WorkflowDef:
    return workflow_def(step("HTTP_POLL", "poll", {"http_request": {"method": "GET", **request}, **given}))


def states(peer: Peer, *bodies: bytes) -> None:
    """Let the peer answer with these, one after the other, and with the last for ever."""
    left: Iterator[bytes] = iter([*bodies[:-1]])

    def behave(asked: Asked, connection: socket.socket) -> None:
        connection.sendall(answer(next(left, bodies[-1])))

    peer.behaviours["/"] = behave


def polled(peer: Peer, request: dict[str, Any] | None = None, **given: Any) -> tuple[WorkflowResult, float]:
    """The workflow, and how many seconds of its clock it took."""
    settings = Settings(http_hosts=peer.hosts)
    with testing.environment(allow_http=True, settings=settings) as env:
        began_ms = env.clock.now_ms()
        chosen = {"uri": peer.url("/"), "terminationCondition": DONE, **(request or {})}
        handle = env.client.start_workflow(flow(chosen, **given))
        env.run_until_quiet()
        return WorkflowResult(handle.describe()), (env.clock.now_ms() - began_ms) / 1000


def state(name: str) -> bytes:
    return json.dumps({"state": name}).encode()


@pytest.mark.parametrize(
    ("polling", "seconds"),
    [
        ({}, 180),
        ({"pollingInterval": "10"}, 30),
        ({"pollingInterval": 10, "pollingStrategy": "LINEAR_BACKOFF"}, 60),
        ({"pollingInterval": 10, "pollingStrategy": "EXPONENTIAL_BACKOFF"}, 70),
    ],
)
def test_it_calls_until_the_condition_is_true_with_the_pauses_of_its_strategy(
    polling: dict[str, Any], seconds: float
) -> None:
    with Peer({}) as peer:
        states(peer, state("new"), state("busy"), state("busy"), state("done"))
        result, took = polled(peer, polling)
    assert (result.assert_completed().task("poll").output["response"]["body"], took) == ({"state": "done"}, seconds)
    assert (len(peer.asked), result.task("poll").attempt) == (4, 0)


def test_it_may_poll_more_often_than_a_task_may_be_delivered_in_vain() -> None:
    with Peer({}) as peer:
        states(peer, *[state("busy")] * 25, state("done"))
        result, took = polled(peer, {"pollingInterval": 1})
    result.assert_completed()
    assert (len(peer.asked), took) == (26, 25)


def test_the_condition_sees_the_input_and_may_be_python() -> None:
    with Peer({}) as peer:
        states(peer, b"1", b"2", b"3")
        condition = "return output['response']['body'] >= wanted"
        result, took = polled(
            peer, {"evaluatorType": "python", "terminationCondition": condition, "pollingInterval": 5}, wanted=3
        )
    assert (result.assert_completed().task("poll").output["response"]["body"], took) == (3.0, 10)


def test_every_poll_wants_an_answer_of_its_own() -> None:
    with Peer({}) as peer:
        states(peer, state("done"))
        polled(peer, {"method": "POST", "body": {}})
    assert "idempotency-key" not in peer.asked[0].headers


def test_an_answer_that_is_no_success_fails_the_task() -> None:
    with Peer({"/": answer(b"gone", "404 Not Found")}) as peer:
        result, _ = polled(peer)
    task = result.task("poll")
    assert (task.status, task.reason) == ("FAILED", "Failed to invoke HTTP task due to: 404 Not Found: gone")
    assert task.output["response"]["statusCode"] == 404


@pytest.mark.parametrize(
    ("condition", "status", "reason"),
    [
        ("$.output.response.body.a.b", "FAILED_WITH_TERMINAL_ERROR", "Unable to evaluate terminationCondition"),
        ("while (true) {}", "FAILED", "Script not evaluated within 4 seconds, interrupted."),
    ],
)
def test_a_condition_that_fails_fails_the_task(condition: str, status: str, reason: str) -> None:
    with Peer({"/": answer(b"{}")}) as peer:
        result, _ = polled(peer, {"terminationCondition": condition})
    assert result.task("poll").status == status
    assert reason in (result.task("poll").reason or "")


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        ({"terminationCondition": " "}, "Missing terminationCondition"),
        ({"pollingStrategy": "SOMETIMES"}, "pollingStrategy must be one of FIXED"),
        ({"pollingInterval": 0}, "pollingInterval must be whole seconds"),
        ({"pollingInterval": 1.5}, "pollingInterval must be whole seconds"),
        ({"evaluatorType": "cobol"}, "Unknown evaluator 'cobol'"),
    ],
)
def test_polling_that_cannot_be_understood_fails_with_the_reason(request_: dict[str, Any], reason: str) -> None:
    with Peer({}) as peer:
        result, _ = polled(peer, request_)
    assert result.task("poll").status == "FAILED"
    assert reason in (result.task("poll").reason or "")
    assert peer.asked == []


def test_a_slip_in_the_condition_shows_when_it_is_registered() -> None:
    with testing.environment() as env, pytest.raises(DefinitionInvalid) as caught:
        env.client.register(flow({"uri": "http://peer.example/", "terminationCondition": "$.output ="}))
    assert [problem.path for problem in caught.value.problems] == [
        "tasks[0].inputParameters.http_request.terminationCondition"
    ]


def test_no_pause_is_longer_than_a_day() -> None:
    polling = Polling("javascript", "false", 60, "EXPONENTIAL_BACKOFF")
    assert [polling.pause_ms(polls) for polls in (1, 2, 3, 1_000_000)] == [60_000, 120_000, 240_000, 86_400_000]

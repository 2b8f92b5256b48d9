"""Each verb of an operator or system task writes the definition task that Conductor's JSON has for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from orchestrator.errors import DefinitionInvalid, InvalidRequest
from orchestrator.model import wire
from orchestrator.model.definitions import (
    IdempotencyStrategy,
    JoinMode,
    RateLimitConfig,
    SchemaDef,
    TaskDef,
    WorkflowDef,
    WorkflowTask,
    walk,
)
from orchestrator.step_options import Cache, Script
from orchestrator.steps import Branch
from orchestrator.task import RetryPolicy, task
from orchestrator.workflow import Workflow

Json = dict[str, Any]


@task
def pick() -> None: ...


@task
def ship() -> None: ...


child = Workflow("child", 3).then(pick, sku="${workflow.input.sku}")

PICK = {"name": "pick", "taskReferenceName": "pick"}


def operator(kind: str, ref: str | None = None, **fields: Any) -> Json:
    return {"name": kind, "taskReferenceName": ref or kind.lower(), "type": kind, **fields}


VERBS: list[tuple[Callable[[Workflow], object], list[Json]]] = [
    (
        lambda w: w.switch(Script("$.a > 3 ? 'big' : 'small'", {"a": w.input.a}), {"big": pick}),
        [
            operator(
                "SWITCH",
                evaluatorType="javascript",
                expression="$.a > 3 ? 'big' : 'small'",
                inputParameters={"a": "${workflow.input.a}"},
                decisionCases={"big": [PICK]},
            )
        ],
    ),
    (
        lambda w: w.switch(Script("'big' if a > 3 else 'small'", {"a": 1}, "python"), {"big": pick}, ref="size"),
        [
            operator(
                "SWITCH",
                "size",
                evaluatorType="python",
                expression="'big' if a > 3 else 'small'",
                inputParameters={"a": 1},
                decisionCases={"big": [PICK]},
            )
        ],
    ),
    (
        lambda w: w.fork(pick, ship).join(
            on=["pick"], script=Script("$.joinOn.length", {"a": 1}), status="COMPLETED", mode=JoinMode.SYNC, b=2
        ),
        [
            operator("FORK_JOIN", "fork", forkTasks=[[PICK], [{"name": "ship", "taskReferenceName": "ship"}]]),
            operator(
                "JOIN",
                "fork_join",
                joinOn=["pick"],
                joinStatus="COMPLETED",
                joinMode="SYNC",
                evaluatorType="javascript",
                expression="$.joinOn.length",
                inputParameters={"a": 1, "b": 2},
            ),
        ],
    ),
    (
        lambda w: w.dynamic_fork(w.input.tasks, w.input.inputs),
        [
            operator(
                "FORK_JOIN_DYNAMIC",
                "dynamic_fork",
                dynamicForkTasksParam="dynamicTasks",
                dynamicForkTasksInputParamName="dynamicTasksInput",
                inputParameters={
                    "dynamicTasks": "${workflow.input.tasks}",
                    "dynamicTasksInput": "${workflow.input.inputs}",
                },
            ),
            operator("JOIN", "dynamic_fork_join"),
        ],
    ),
    (
        lambda w: w.dynamic_fork([{"taskName": "pick", "referenceName": "p", "input": {}}], ref="many"),
        [
            operator(
                "FORK_JOIN_DYNAMIC",
                "many",
                dynamicForkJoinTasksParam="dynamicTasks",
                inputParameters={
                    "dynamicTasks": {"dynamicTasks": [{"taskName": "pick", "referenceName": "p", "input": {}}]}
                },
            ),
            operator("JOIN", "many_join"),
        ],
    ),
    (
        lambda w: w.fork_each(pick, over=w.input.parcels).join(ref="all"),
        [
            operator(
                "FORK_JOIN_DYNAMIC",
                "fork_each",
                inputParameters={"forkTaskInputs": "${workflow.input.parcels}", "forkTaskName": "pick"},
            ),
            operator("JOIN", "all"),
        ],
    ),
    (
        lambda w: w.fork_each(child, over=[{"sku": 1}], ref="each"),
        [
            operator(
                "FORK_JOIN_DYNAMIC",
                "each",
                inputParameters={
                    "forkTaskInputs": [{"sku": 1}],
                    "forkTaskWorkflow": "child",
                    "forkTaskWorkflowVersion": "3",
                },
            ),
            operator("JOIN", "each_join"),
        ],
    ),
    (
        lambda w: w.fork_each("HTTP", over=w.input.requests, ref="calls"),
        [
            operator(
                "FORK_JOIN_DYNAMIC",
                "calls",
                inputParameters={"forkTaskInputs": "${workflow.input.requests}", "forkTaskType": "HTTP"},
            ),
            operator("JOIN", "calls_join"),
        ],
    ),
    (
        lambda w: w.then(pick).then(ship).exclusive_join([w["pick"]], default=["ship"]),
        [
            PICK,
            {"name": "ship", "taskReferenceName": "ship"},
            operator("EXCLUSIVE_JOIN", joinOn=["pick"], defaultExclusiveJoinTask=["ship"]),
        ],
    ),
    (
        lambda w: w.loop([pick], while_="$.again.iteration < 3", keep_last=2, ref="again"),
        [
            operator(
                "DO_WHILE",
                "again",
                loopCondition="$.again.iteration < 3",
                loopOver=[PICK],
                inputParameters={"keepLastN": 2},
            )
        ],
    ),
    (
        lambda w: w.loop(
            lambda turn: Branch().then(pick, n=turn.number), while_=Script("n < most", {"most": 3}, "python")
        ),
        [
            operator(
                "DO_WHILE",
                "loop",
                loopCondition="n < most",
                evaluatorType="python",
                loopOver=[{**PICK, "inputParameters": {"n": "${loop.output.iteration}"}}],
                inputParameters={"most": 3},
            )
        ],
    ),
    (
        lambda w: w.for_each(w.input.lines, lambda turn: Branch().then(pick, sku=turn.item.sku, at=turn.index)),
        [
            operator(
                "DO_WHILE",
                "for_each",
                items="${workflow.input.lines}",
                loopOver=[
                    {
                        **PICK,
                        "inputParameters": {
                            "sku": "${for_each.output.loopItem.sku}",
                            "at": "${for_each.output.loopIndex}",
                        },
                    }
                ],
            )
        ],
    ),
    (
        lambda w: w.for_each(w.input.lines, pick, while_="$.loopIndex < 5"),
        [
            operator(
                "DO_WHILE",
                "for_each",
                items="${workflow.input.lines}",
                loopCondition="$.loopIndex < 5",
                loopOver=[PICK],
            )
        ],
    ),
    (
        lambda w: w.sub_workflow(child, {"a": 1}, sku=w.input.sku),
        [
            operator(
                "SUB_WORKFLOW",
                "child",
                subWorkflowParam={"name": "child", "version": 3},
                inputParameters={"a": 1, "sku": "${workflow.input.sku}"},
            )
        ],
    ),
    (
        lambda w: w.sub_workflow(child, inline=True, ref="carried"),
        [
            operator(
                "SUB_WORKFLOW", "carried", subWorkflowParam={"name": "child", "workflowDefinition": child.to_dict()}
            )
        ],
    ),
    (
        lambda w: w.sub_workflow(child.definition()),
        [operator("SUB_WORKFLOW", "child", subWorkflowParam={"name": "child", "workflowDefinition": child.to_dict()})],
    ),
    (
        lambda w: w.sub_workflow(
            w.input.which,
            version=w.input.version,
            domains={"*": "eu"},
            priority=w.input.urgency,
            idempotency_key=f"{w.input.id}-child",
            idempotency_strategy=IdempotencyStrategy.RETURN_EXISTING,
        ),
        [
            operator(
                "SUB_WORKFLOW",
                subWorkflowParam={
                    "name": "${workflow.input.which}",
                    "version": "${workflow.input.version}",
                    "taskToDomain": {"*": "eu"},
                    "priority": "${workflow.input.urgency}",
                    "idempotencyKey": "${workflow.input.id}-child",
                    "idempotencyStrategy": "RETURN_EXISTING",
                },
            )
        ],
    ),
    (
        lambda w: w.sub_workflow("made", definition=w.input.definition, version=1),
        [
            operator(
                "SUB_WORKFLOW",
                "made",
                subWorkflowParam={
                    "name": "made",
                    "version": 1,
                    "workflowDefinition": "${workflow.input.definition}",
                },
            )
        ],
    ),
    (
        lambda w: w.start_workflow(child, sku=1, correlation_id=w.input.id, priority=5),
        [
            operator(
                "START_WORKFLOW",
                inputParameters={
                    "startWorkflow": {
                        "name": "child",
                        "version": 3,
                        "input": {"sku": 1},
                        "correlationId": "${workflow.input.id}",
                        "priority": 5,
                    }
                },
            )
        ],
    ),
    (
        lambda w: w.dynamic(w.input.carrier, parcel=1),
        [
            operator(
                "DYNAMIC",
                dynamicTaskNameParam="taskToExecute",
                inputParameters={"parcel": 1, "taskToExecute": "${workflow.input.carrier}"},
            )
        ],
    ),
    (
        lambda w: w.human(ref="approve", amount=w.input.amount),
        [operator("HUMAN", "approve", inputParameters={"amount": "${workflow.input.amount}"})],
    ),
    (
        lambda w: w.http(
            f"https://bank.example.org/{w.input.id}",
            method="POST",
            headers={"X-Key": "k"},
            body={"sum": w.input.sum},
            accept=["application/json"],
            content_type="application/json",
            connect_timeout_ms=100,
            read_timeout_ms=2000,
        ),
        [
            operator(
                "HTTP",
                inputParameters={
                    "http_request": {
                        "uri": "https://bank.example.org/${workflow.input.id}",
                        "method": "POST",
                        "headers": {"X-Key": "k"},
                        "body": {"sum": "${workflow.input.sum}"},
                        "accept": ["application/json"],
                        "contentType": "application/json",
                        "connectionTimeOut": 100,
                        "readTimeOut": 2000,
                    }
                },
            )
        ],
    ),
    (
        lambda w: w.wait_for_webhook({"$.order": w.input.id}, ref="paid"),
        [operator("WAIT_FOR_WEBHOOK", "paid", inputParameters={"matches": {"$.order": "${workflow.input.id}"}})],
    ),
    (
        lambda w: w.http_poll("https://x.example.org", until="$.output.response.body.done", every_s=5),
        [
            operator(
                "HTTP_POLL",
                inputParameters={
                    "http_request": {
                        "uri": "https://x.example.org",
                        "method": "GET",
                        "terminationCondition": "$.output.response.body.done",
                        "pollingInterval": 5,
                        "pollingStrategy": "FIXED",
                    }
                },
            )
        ],
    ),
    (
        lambda w: w.http_poll(w.input.uri, until=Script("output['x'] == want", {"want": 3}, "python"), method="PUT"),
        [
            operator(
                "HTTP_POLL",
                inputParameters={
                    "want": 3,
                    "http_request": {
                        "uri": "${workflow.input.uri}",
                        "method": "PUT",
                        "terminationCondition": "output['x'] == want",
                        "evaluatorType": "python",
                        "pollingInterval": 60,
                        "pollingStrategy": "FIXED",
                    },
                },
            )
        ],
    ),
    (
        lambda w: w.inline(Script("$.a + 1", {"a": w.input.a})),
        [
            operator(
                "INLINE",
                inputParameters={"a": "${workflow.input.a}", "evaluatorType": "javascript", "expression": "$.a + 1"},
            )
        ],
    ),
    (
        lambda w: w.jq(".lines | map(.sku)", lines=w.input.lines, ref="skus"),
        [
            operator(
                "JSON_JQ_TRANSFORM",
                "skus",
                inputParameters={"lines": "${workflow.input.lines}", "queryExpression": ".lines | map(.sku)"},
            )
        ],
    ),
    (
        lambda w: w.event("conductor:paid", order=w.input.id),
        [operator("EVENT", sink="conductor:paid", inputParameters={"order": "${workflow.input.id}"})],
    ),
    (
        lambda w: w.kafka_publish("orders", {"id": 1}, servers="kafka:9092", key="k", headers={"a": "b"}),
        [
            operator(
                "KAFKA_PUBLISH",
                inputParameters={
                    "kafka_request": {
                        "bootStrapServers": "kafka:9092",
                        "topic": "orders",
                        "value": {"id": 1},
                        "key": "k",
                        "headers": {"a": "b"},
                    }
                },
            )
        ],
    ),
    (
        lambda w: w.rq(
            "shop.tasks.charge",
            [w.input.id],
            {"cents": 5},
            queue="pay",
            timeout_s=60,
            retries=2,
            retry_intervals_s=[1, 9],
        ),
        [
            operator(
                "RQ",
                inputParameters={
                    "rq_request": {
                        "function": "shop.tasks.charge",
                        "args": ["${workflow.input.id}"],
                        "kwargs": {"cents": 5},
                        "queue": "pay",
                        "timeout": 60,
                        "retries": 2,
                        "retryIntervals": [1, 9],
                    }
                },
            )
        ],
    ),
    (
        lambda w: w.rq("shop.tasks.charge", w.input.args),
        [
            operator(
                "RQ",
                inputParameters={
                    "rq_request": {
                        "function": "shop.tasks.charge",
                        "args": "${workflow.input.args}",
                        "queue": "default",
                    }
                },
            )
        ],
    ),
    (
        lambda w: w.pull_messages(batch_size=10, blocking=False, ref="inbox"),
        [operator("PULL_WORKFLOW_MESSAGES", "inbox", inputParameters={"batchSize": 10, "blocking": False})],
    ),
    (
        lambda w: w.place(operator("LAMBDA", "old", inputParameters={"scriptExpression": "return 1"})),
        [operator("LAMBDA", "old", inputParameters={"scriptExpression": "return 1"})],
    ),
    (
        lambda w: w.place({"name": "resize", "taskReferenceName": "small", "type": "RESIZE"}),
        [{"name": "resize", "taskReferenceName": "small", "type": "RESIZE"}],
    ),
]


@pytest.mark.parametrize(("write", "expected"), VERBS)
def test_a_verb_writes_what_json_says(write: Callable[[Workflow], object], expected: list[Json]) -> None:
    flow = Workflow("w")
    write(flow)
    said = wire.workflow_def_from_dict({"name": "w", "version": 1, "tasks": expected})
    assert flow.definition().tasks == said.tasks
    assert flow.validate() == []
    assert [flow[inner.task_reference_name].ref for _, inner in walk(said)]


def test_every_operator_and_system_task_of_the_language_has_a_verb() -> None:
    from tests.authoring.test_workflow import test_waits_ends_and_blanks

    written = {node["type"] for _, nodes in VERBS for node in nodes if "type" in node}
    test_waits_ends_and_blanks()  # WAIT, TERMINATE and NOOP are written there
    assert written >= {
        "SWITCH", "FORK_JOIN", "FORK_JOIN_DYNAMIC", "JOIN", "EXCLUSIVE_JOIN", "DO_WHILE", "DYNAMIC", "SUB_WORKFLOW",
        "START_WORKFLOW", "HUMAN", "HTTP", "HTTP_POLL", "INLINE", "LAMBDA", "JSON_JQ_TRANSFORM", "EVENT",
        "KAFKA_PUBLISH", "RQ", "PULL_WORKFLOW_MESSAGES", "WAIT_FOR_WEBHOOK",
    }  # fmt: skip


def test_options_are_those_of_the_next_step_whichever_verb_places_it() -> None:
    flow = Workflow("w")
    flow.with_options(
        task_name="call_bank",
        optional=True,
        permissive=True,
        retry=5,
        start_delay_s=3,
        cache=Cache(flow.input.sku, 60),
        on_state_change={"onSuccess": [{"type": "paid", "payload": {"id": flow.input.id}}]},
        async_complete=True,
        description="asks",
        metadata={"x": 1},
    ).http("https://bank.example.org").noop()
    asked, blank = flow.to_dict()["tasks"]
    expected = {
        "name": "call_bank",
        "optional": True,
        "permissive": True,
        "retryCount": 5,
        "startDelay": 3,
        "cacheConfig": {"key": "${workflow.input.sku}", "ttlInSecond": 60},
        "onStateChange": {"onSuccess": [{"type": "paid", "payload": {"id": "${workflow.input.id}"}}]},
        "asyncComplete": True,
        "description": "asks",
        "metadata": {"x": 1},
    }
    assert {name: asked[name] for name in expected} == expected
    assert (blank["name"], blank["optional"], "retryCount" in blank) == ("NOOP", False, False)


def test_a_retry_policy_becomes_an_embedded_definition() -> None:
    policy = RetryPolicy(limit=7, logic="EXPONENTIAL", delay_s=2, cap_s=60)
    flow = Workflow("w").with_options(retry=policy).http("https://a.example.org").with_options(retry=policy).then(pick)
    call, work = (node.task_definition for node in flow.definition().tasks)
    assert call is not None
    assert work is not None
    assert (call.name, call.retry_count, call.retry_delay_seconds, call.response_timeout_seconds) == ("HTTP", 7, 2, 0)
    assert (work.name, work.max_retry_delay_seconds, work.response_timeout_seconds) == ("pick", 60, 3600)
    assert flow.validate() == []


def test_a_carried_workflow_brings_its_tasks() -> None:
    assert Workflow("w").sub_workflow(child, inline=True).tasks == [pick]
    assert Workflow("w").fork_each(ship, over=[]).tasks == [ship]


def test_a_loop_in_a_branch_keeps_its_name_or_says_that_it_is_taken() -> None:
    def looped() -> Branch:
        return Branch().loop([pick], while_="$.loop.iteration < 3")

    flow = Workflow("w").fork(looped(), ship)
    with pytest.raises(DefinitionInvalid, match="loop: this reference name is used twice"):
        flow.fork(looped(), ship)


def test_names_inside_a_loop_are_renumbered_with_their_branch() -> None:
    flow = Workflow("w").then(pick).fork(Branch().for_each("${workflow.input.a}", pick), ship)
    flow.fork(Branch().fork_each(pick, over=[1]), Branch().then(ship)).switch(
        flow.input.b, {"x": Branch().then(pick), "y": Branch().then(pick)}
    )
    refs = [node.task_reference_name for _, node in walk(flow.definition())]
    assert len(refs) == len(set(refs))
    assert "pick_2" in refs
    assert flow.validate() == []


def test_the_frame_says_limits_schemas_and_listeners() -> None:
    flow = Workflow(
        "w",
        on_failure="clean_up",
        on_failure_version=2,
        input_schema={"type": "object"},
        output_schema=SchemaDef(name="out", data={}),
        enforce_schema=False,
        rate_limit=RateLimitConfig(rate_limit_key="${workflow.input.shop}", concurrent_exec_limit=3),
        cache=Cache("${workflow.input.id}", 60),
        masked_fields=["card"],
        listener="kafka:ended",
    ).noop()
    said = flow.to_dict()
    assert said["failureWorkflowVersion"] == 2
    assert said["inputSchema"]["data"] == {"type": "object"}
    assert (said["outputSchema"]["name"], said["enforceSchema"]) == ("out", False)
    assert said["rateLimitConfig"]["rateLimitKey"] == "${workflow.input.shop}"
    assert said["cacheConfig"] == {"key": "${workflow.input.id}", "ttlInSecond": 60}
    assert said["maskedFields"] == ["card"]
    assert (said["workflowStatusListenerEnabled"], said["workflowStatusListenerSink"]) == (True, "kafka:ended")
    assert Workflow.from_dict(said).definition() == flow.definition()


@pytest.mark.parametrize(
    ("write", "says"),
    [
        (lambda w: w.with_options(optional=True).with_options(retry=1), "directly before the verb"),
        (lambda w: w.with_options(optional=True).definition(), "directly before the verb"),
        (lambda w: w.fork(Branch().then(pick).with_options(optional=True), ship), "directly before the verb"),
        (
            lambda w: w.with_options(retry=RetryPolicy(), task_definition=TaskDef(name="a")).then(pick),
            "retry or task_definition, not both",
        ),
        (lambda w: w.with_options(on_state_change={"onSuccess": [{"type": 7}]}).noop(), "on_state_change onSuccess"),
        (lambda w: w.with_options(cache=Cache("a", 0)), "from 1"),
        (lambda w: w.loop([], while_="true"), "needs a step to repeat"),
        (lambda w: w.exclusive_join([]), "at least one step"),
        (lambda w: w.sub_workflow("child", inline=True), "the workflow itself"),
        (lambda w: w.http("https://a.example.org", colour="red"), "colour; there are: method"),
        (lambda w: w.inline(Script("  ")), "cannot be empty"),
        (lambda w: w.inline(Script("1", language="cobol")), "'cobol' is unknown"),  # type: ignore[arg-type] # wrong on purpose
        (lambda w: w.then(pick).place(WorkflowTask(name="a", task_reference_name="pick")), "used twice"),
        (lambda w: w.place({"taskReferenceName": 7}), "the step is not valid"),
        (lambda w: w.fork(Workflow("other").then(pick), ship), "sub_workflow"),
    ],
)
def test_what_cannot_be_meant_is_refused_where_it_is_written(write: Callable[[Workflow], object], says: str) -> None:
    with pytest.raises(InvalidRequest, match=says):
        write(Workflow("w"))


def test_a_placed_step_brings_what_it_holds() -> None:
    decision = WorkflowTask(
        name="d",
        task_reference_name="d",
        type="DECISION",
        case_value_param="kind",
        input_parameters={"kind": "${workflow.input.kind}"},
        decision_cases={"x": [WorkflowTask(name="a", task_reference_name="inner")]},
    )
    flow = Workflow("w").place(decision)
    assert flow.definition() == WorkflowDef(name="w", tasks=[decision])
    assert flow["inner"].output.x == flow["inner"].output["x"]

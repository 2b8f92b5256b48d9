"""Every rule of a definition, each with a definition that breaks it (and only it) and one that obeys it."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.errors import Problem
from orchestrator.model.definitions import TaskDef, WorkflowDef, WorkflowTask
from orchestrator.model.validation import INLINE_DEPTH_MAX, validate_task_def, validate_workflow_def
from orchestrator.model.wire import task_def_from_dict, workflow_def_from_dict

Json = dict[str, Any]


def simple(ref: str = "t", **fields: Any) -> Json:
    return {"name": ref, "taskReferenceName": ref, **fields}


def typed(task_type: str, ref: str = "t", **fields: Any) -> Json:
    return simple(ref, type=task_type, **fields)


def workflow(*tasks: Json, **fields: Any) -> Json:
    return {"name": "w", "tasks": list(tasks), **fields}


def check(definition: Json, **known: Any) -> list[Problem]:
    return validate_workflow_def(workflow_def_from_dict(definition, check=None), **known)


def required(field: str, task_type: str) -> str:
    return f"{field} field is required for taskType: {task_type} taskName: t"


SWITCH: Json = {"evaluatorType": "value-param", "expression": "x", "decisionCases": {"a": [simple("a")]}}
LOOP: Json = {"loopCondition": "false", "loopOver": [simple("body")]}
JOIN = typed("JOIN", "j")
TERMINATE_TEXT = (
    "terminate task must have an terminationStatus parameter and must be set to COMPLETED or FAILED, taskName: t"
)
UNDEFINED_TEXT = (
    "taskReferenceName: gone for given task: t input value: a of input parameter: ${gone.output.x} "
    "is not defined in workflow definition."
)

BROKEN: dict[str, tuple[Json, str, str]] = {
    "workflow name": (workflow(simple(), name=""), "name", "WorkflowDef name cannot be null or empty"),
    "printable workflow name": (workflow(simple(), name="a\nb"), "name", "must not contain control characters"),
    "schema version": (
        workflow(simple(), schemaVersion=1),
        "schemaVersion",
        "workflowDef schemaVersion: 2 is only supported",
    ),
    "no tasks": (workflow(), "tasks", "WorkflowTask list cannot be empty"),
    "task name": (workflow(simple("t") | {"name": ""}), "tasks[0].name", "WorkflowTask name cannot be empty or null"),
    "printable task name": (
        workflow(simple("t") | {"name": "a\x7f"}),
        "tasks[0].name",
        "must not contain control characters",
    ),
    "reference": (
        workflow({"name": "t"}),
        "tasks[0].taskReferenceName",
        "WorkflowTask taskReferenceName name cannot be empty or null",
    ),
    "printable reference": (
        workflow({"name": "t", "taskReferenceName": "a\tb"}),
        "tasks[0].taskReferenceName",
        "must not contain control characters",
    ),
    "unique references": (
        workflow(simple("t"), typed("DO_WHILE", "l", loopCondition="x", loopOver=[simple("t")])),
        "tasks[1].loopOver[0].taskReferenceName",
        "taskReferenceName: t should be unique across tasks for a given workflowDefinition: w",
    ),
    "iteration mark in a loop": (
        workflow(typed("DO_WHILE", loopCondition="x", loopOver=[simple("a__b")])),
        "tasks[0].loopOver[0].taskReferenceName",
        "taskReferenceName: a__b must not contain '__' inside a DO_WHILE, which appends __<iteration>",
    ),
    "empty type": (
        workflow(typed("")),
        "tasks[0].type",
        "WorkflowTask type cannot be empty; leave it out for SIMPLE",
    ),
    "type of the engine's own": (
        workflow(typed("SCRIPT")),
        "tasks[0].type",
        "type SCRIPT is the engine's own; a step with a script is INLINE, SWITCH or DO_WHILE",
    ),
    "reference of another task's script": (
        workflow(typed("NOOP"), simple(taskReferenceName="t#case")),
        "tasks[1].taskReferenceName",
        "taskReferenceName: t#case is kept for scripts of the task t; use another character than #",
    ),
    "start delay": (workflow(simple(startDelay=-1)), "tasks[0].startDelay", "startDelay must be >= 0 seconds"),
    "untyped state change": (
        workflow(simple(onStateChange={"onStart": [{"type": ""}]})),
        "tasks[0].onStateChange.onStart[0].type",
        "StateChangeEvent type cannot be null or empty",
    ),
    "undefined reference": (
        workflow(simple(inputParameters={"a": "${gone.output.x}"})),
        "tasks[0].inputParameters.a",
        UNDEFINED_TEXT,
    ),
    "undefined reference deep in a value": (
        workflow(simple(inputParameters={"a": [{"b": "${gone.output.x}"}]})),
        "tasks[0].inputParameters.a",
        UNDEFINED_TEXT,
    ),
    "undefined reference deep in the tree": (
        workflow(typed("DO_WHILE", "l", **LOOP | {"loopOver": [simple(inputParameters={"a": "${gone.output.x}"})]})),
        "tasks[0].loopOver[0].inputParameters.a",
        UNDEFINED_TEXT,
    ),
    "join of nothing": (
        workflow(typed("JOIN", joinOn=["gone"])),
        "tasks[0].joinOn[0]",
        "t joins on gone, which is not a task of this definition",
    ),
    "default of an exclusive join": (
        workflow(typed("EXCLUSIVE_JOIN", defaultExclusiveJoinTask=["gone"])),
        "tasks[0].defaultExclusiveJoinTask[0]",
        "t joins on gone, which is not a task of this definition",
    ),
    "embedded concurrency limit": (
        workflow(simple(taskDefinition={"name": "t", "concurrentExecLimit": 5})),
        "tasks[0].taskDefinition.concurrentExecLimit",
        "concurrentExecLimit has no effect in an embedded taskDefinition: register a TaskDef named t with this limit "
        "and remove it here",
    ),
    "embedded limit key": (
        workflow(simple(taskDefinition={"name": "t", "limitKey": "${workflow.input.tenant}"})),
        "tasks[0].taskDefinition.limitKey",
        "limitKey has no effect in an embedded taskDefinition: register a TaskDef named t with this limit "
        "and remove it here",
    ),
    "embedded fairness key": (
        workflow(simple(taskDefinition={"name": "t", "fairnessKey": "${workflow.input.tenant}"})),
        "tasks[0].taskDefinition.fairnessKey",
        "fairnessKey has no effect in an embedded taskDefinition: register a TaskDef named t with this limit "
        "and remove it here",
    ),
    "embedded rate limit": (
        workflow(simple(taskDefinition={"name": "t", "rateLimitPerFrequency": 5})),
        "tasks[0].taskDefinition.rateLimitPerFrequency",
        "rateLimitPerFrequency has no effect in an embedded taskDefinition: register a TaskDef named t with this limit "
        "and remove it here",
    ),
    "embedded retry count": (
        workflow(simple(taskDefinition={"name": "t", "retryCount": -1})),
        "tasks[0].taskDefinition.retryCount",
        "TaskDef retryCount: 0 must be >= 0",
    ),
    "EVENT sink": (workflow(typed("EVENT")), "tasks[0].sink", required("sink", "EVENT")),
    "DECISION source": (
        workflow(typed("DECISION", decisionCases={"a": [simple("a")]})),
        "tasks[0].caseValueParam",
        required("caseValueParam or caseExpression", "DECISION"),
    ),
    "DECISION cases": (
        workflow(typed("DECISION", caseValueParam="x")),
        "tasks[0].decisionCases",
        "decisionCases should have atleast one task for taskType: DECISION taskName: t",
    ),
    "SWITCH evaluator": (
        workflow(typed("SWITCH", **SWITCH | {"evaluatorType": None})),
        "tasks[0].evaluatorType",
        required("evaluatorType", "SWITCH"),
    ),
    "SWITCH expression": (
        workflow(typed("SWITCH", **SWITCH | {"expression": ""})),
        "tasks[0].expression",
        required("expression", "SWITCH"),
    ),
    "SWITCH cases": (
        workflow(typed("SWITCH", **SWITCH | {"decisionCases": {}})),
        "tasks[0].decisionCases",
        "decisionCases should have atleast one task for taskType: SWITCH taskName: t",
    ),
    "DYNAMIC parameter": (
        workflow(typed("DYNAMIC")),
        "tasks[0].dynamicTaskNameParam",
        required("dynamicTaskNameParam", "DYNAMIC"),
    ),
    "FORK_JOIN branches": (
        workflow(typed("FORK_JOIN"), JOIN),
        "tasks[0].forkTasks",
        "forkTasks should have atleast one task for taskType: FORK_JOIN taskName: t",
    ),
    "FORK_JOIN empty branch": (
        workflow(typed("FORK_JOIN", forkTasks=[[simple("a")], []]), JOIN),
        "tasks[0].forkTasks[1]",
        "branch 1 of t has no tasks; add one or remove the branch",
    ),
    "FORK_JOIN without JOIN": (
        workflow(typed("FORK_JOIN", forkTasks=[[simple("a")]]), simple("b")),
        "tasks[0]",
        "Fork task definition is not followed by a join task.  Check the blueprint",
    ),
    "FORK_JOIN_DYNAMIC without JOIN": (
        workflow(typed("FORK_JOIN_DYNAMIC", dynamicForkJoinTasksParam="x")),
        "tasks[0]",
        "Dynamic join definition is not followed by a join task.  Check the workflow definition.",
    ),
    "FORK_JOIN_DYNAMIC with both forms": (
        workflow(typed("FORK_JOIN_DYNAMIC", dynamicForkJoinTasksParam="x", dynamicForkTasksParam="y"), JOIN),
        "tasks[0].dynamicForkJoinTasksParam",
        "dynamicForkJoinTasksParam cannot be combined with dynamicForkTasksParam and dynamicForkTasksInputParamName "
        "for taskType: FORK_JOIN_DYNAMIC taskName: t",
    ),
    "FORK_JOIN_DYNAMIC with half a form": (
        workflow(typed("FORK_JOIN_DYNAMIC", dynamicForkTasksParam="y"), JOIN),
        "tasks[0].dynamicForkTasksInputParamName",
        required("dynamicForkTasksInputParamName", "FORK_JOIN_DYNAMIC"),
    ),
    "HTTP request": (workflow(typed("HTTP")), "tasks[0].inputParameters", required("http_request", "HTTP")),
    "KAFKA_PUBLISH request": (
        workflow(typed("KAFKA_PUBLISH")),
        "tasks[0].inputParameters",
        required("kafka_request", "KAFKA_PUBLISH"),
    ),
    "RQ request": (workflow(typed("RQ")), "tasks[0].inputParameters", required("rq_request", "RQ")),
    "RQ function": (
        workflow(typed("RQ", inputParameters={"rq_request": {"queue": "default"}})),
        "tasks[0].inputParameters.rq_request.function",
        required("rq_request.function", "RQ"),
    ),
    "RQ function without a module": (
        workflow(typed("RQ", inputParameters={"rq_request": {"function": "charge"}})),
        "tasks[0].inputParameters.rq_request.function",
        "function must be the path of a function that RQ's workers can import, such as shop.tasks.charge",
    ),
    "JSON_JQ_TRANSFORM query": (
        workflow(typed("JSON_JQ_TRANSFORM")),
        "tasks[0].inputParameters",
        required("queryExpression", "JSON_JQ_TRANSFORM"),
    ),
    "DO_WHILE condition": (
        workflow(typed("DO_WHILE", loopOver=[simple("body")])),
        "tasks[0].loopCondition",
        required("loopCondition", "DO_WHILE"),
    ),
    "JOIN statuses": (
        workflow(simple("t"), typed("JOIN", "j", joinOn=["t"], joinStatus="COMPLETED,DONE")),
        "tasks[1].joinStatus",
        "joinStatus: DONE is not a status that a task ends with; use COMPLETED, COMPLETED_WITH_ERRORS, SKIPPED, "
        "FAILED, TIMED_OUT, FAILED_WITH_TERMINAL_ERROR, CANCELED",
    ),
    "DO_WHILE kept turns": (
        workflow(typed("DO_WHILE", **LOOP, inputParameters={"keepLastN": 0})),
        "tasks[0].inputParameters.keepLastN",
        "keepLastN must be a whole number >= 1 for taskType: DO_WHILE taskName: t",
    ),
    "HTTP_POLL request": (
        workflow(typed("HTTP_POLL")),
        "tasks[0].inputParameters",
        required("http_request", "HTTP_POLL"),
    ),
    "DO_WHILE body": (
        workflow(typed("DO_WHILE", loopCondition="false")),
        "tasks[0].loopOver",
        required("loopOver", "DO_WHILE"),
    ),
    "TERMINATE optional": (
        workflow(typed("TERMINATE", optional=True, inputParameters={"terminationStatus": "FAILED"})),
        "tasks[0].optional",
        "terminate task cannot be optional, taskName: t",
    ),
    "TERMINATE without status": (
        workflow(typed("TERMINATE")),
        "tasks[0].inputParameters.terminationStatus",
        TERMINATE_TEXT,
    ),
    "TERMINATE with another status": (
        workflow(typed("TERMINATE", inputParameters={"terminationStatus": "RUNNING"})),
        "tasks[0].inputParameters.terminationStatus",
        TERMINATE_TEXT,
    ),
    "WAIT with two deadlines": (
        workflow(typed("WAIT", inputParameters={"duration": "5m", "until": "2030-01-01"})),
        "tasks[0].inputParameters",
        "Both 'duration' and 'until' specified. Please provide only one input",
    ),
    "WAIT duration": (
        workflow(typed("WAIT", inputParameters={"duration": "5"})),
        "tasks[0].inputParameters.duration",
        "invalid duration '5': write it like '2 days 3h 15m 10s' or 'PT5M'",
    ),
    "WAIT duration as a number": (
        workflow(typed("WAIT", inputParameters={"duration": 5})),
        "tasks[0].inputParameters.duration",
        "must be text, such as '5 minutes' or '2030-01-31 18:00'",
    ),
    "WAIT until": (
        workflow(typed("WAIT", inputParameters={"until": "soon"})),
        "tasks[0].inputParameters.until",
        "Invalid/Unsupported Wait Until format.  Provided: soon; write it like '2030-01-31', '2030-01-31 18:00' or "
        "'2030-01-31 18:00 Europe/Berlin'",
    ),
    "SUB_WORKFLOW parameters": (
        workflow(typed("SUB_WORKFLOW")),
        "tasks[0].subWorkflowParam",
        required("subWorkflowParam", "SUB_WORKFLOW"),
    ),
    "SUB_WORKFLOW name": (
        workflow(typed("SUB_WORKFLOW", subWorkflowParam={})),
        "tasks[0].subWorkflowParam",
        "SubWorkflowParams name cannot be null or empty",
    ),
    "SUB_WORKFLOW definition text": (
        workflow(typed("SUB_WORKFLOW", subWorkflowParam={"name": "c", "workflowDefinition": "c"})),
        "tasks[0].subWorkflowParam.workflowDefinition",
        "workflowDefinition is a string, but not a valid DSL string",
    ),
    "SUB_WORKFLOW version text": (
        workflow(typed("SUB_WORKFLOW", subWorkflowParam={"name": "c", "version": "2"})),
        "tasks[0].subWorkflowParam.version",
        "version must be a whole number or one ${...} expression",
    ),
    "SUB_WORKFLOW priority text": (
        workflow(typed("SUB_WORKFLOW", subWorkflowParam={"name": "c", "priority": "high"})),
        "tasks[0].subWorkflowParam.priority",
        "priority must be a whole number or one ${...} expression",
    ),
    "inline sub-workflow": (
        workflow(typed("SUB_WORKFLOW", subWorkflowParam={"workflowDefinition": workflow(typed("EVENT"))})),
        "tasks[0].subWorkflowParam.workflowDefinition.tasks[0].sink",
        required("sink", "EVENT"),
    ),
}


@pytest.mark.parametrize(("definition", "path", "message"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_rule_is_reported_once_with_its_path(definition: Json, path: str, message: str) -> None:
    assert check(definition) == [Problem(path, message)]


VALID: dict[str, Json] = {
    "one task": workflow(simple()),
    "names with spaces and other scripts": workflow(simple("Bestätigung senden"), name="Ein <Auftrag> {1} #2"),
    "a type of its own": workflow(typed("resize_image")),
    "references to everything that exists": workflow(
        simple(
            "a",
            inputParameters={
                "workflow": "${workflow.input.x}",
                "later": "${b.output.x}",
                "inner": "${inner.output}",
                "constant": "${CPEWF_TASK_ID}",
                "blank": "${}",
                "scan": "${$..x}",
                "escaped": "$${gone.output}",
                "late": "${task_${workflow.input.n}.output}",
                "quoted": "${['b'].output}",
                "plain": {"gone.output": [1, None, True, "{}"]},
            },
        ),
        simple("b"),
        typed("DO_WHILE", "l", loopCondition="false", loopOver=[simple("inner")]),
    ),
    "a nested reference to a branch made at run time": workflow(
        typed("FORK_JOIN_DYNAMIC", dynamicForkJoinTasksParam="x"),
        typed("JOIN", "j", joinOn=["made_later"]),
        typed(
            "DO_WHILE", "l", loopCondition="x", loopOver=[simple("i", inputParameters={"a": "${made_later.output}"})]
        ),
    ),
    "iteration mark outside loops": workflow(simple("a__b")),
    "joins": workflow(
        typed("FORK_JOIN", forkTasks=[[simple("a")], [simple("b")]]),
        typed("JOIN", "j", joinOn=["a", "b"]),
        typed("EXCLUSIVE_JOIN", "e", joinOn=["a"], defaultExclusiveJoinTask=["b"]),
    ),
    "embedded definition with policies only": workflow(
        simple(taskDefinition={"retryCount": 5, "responseTimeoutSeconds": 0, "concurrentExecLimit": 0})
    ),
    "state changes": workflow(simple(startDelay=5, onStateChange={"onStart": [{"type": "x", "payload": {"a": None}}]})),
    "EVENT": workflow(typed("EVENT", sink="conductor")),
    "DECISION by value": workflow(typed("DECISION", caseValueParam="x", decisionCases={"a": [simple("a")]})),
    "DECISION by script": workflow(typed("DECISION", caseExpression="$.x", decisionCases={"a": [simple("a")]})),
    "SWITCH": workflow(typed("SWITCH", **SWITCH)),
    "SWITCH with an empty case": workflow(typed("SWITCH", **SWITCH | {"decisionCases": {"a": []}})),
    "DYNAMIC": workflow(typed("DYNAMIC", dynamicTaskNameParam="x")),
    "FORK_JOIN_DYNAMIC simple form": workflow(
        typed("FORK_JOIN_DYNAMIC", inputParameters={"forkTaskInputs": "${workflow.input.list}"}), JOIN
    ),
    "FORK_JOIN_DYNAMIC two parameters": workflow(
        typed("FORK_JOIN_DYNAMIC", dynamicForkTasksParam="x", dynamicForkTasksInputParamName="y"), JOIN
    ),
    "HTTP nested": workflow(typed("HTTP", inputParameters={"http_request": {}})),
    "HTTP flat": workflow(typed("HTTP", inputParameters={"uri": "https://example.org", "method": "GET"})),
    "HTTP from an embedded template": workflow(typed("HTTP", taskDefinition={"inputTemplate": {"http_request": {}}})),
    "KAFKA_PUBLISH": workflow(typed("KAFKA_PUBLISH", inputParameters={"kafka_request": {}})),
    "RQ": workflow(typed("RQ", inputParameters={"rq_request": {"function": "shop.tasks.charge"}})),
    "RQ by an expression": workflow(typed("RQ", inputParameters={"rq_request": {"function": "${workflow.input.f}"}})),
    "JSON_JQ_TRANSFORM": workflow(typed("JSON_JQ_TRANSFORM", inputParameters={"queryExpression": "."})),
    "DO_WHILE": workflow(typed("DO_WHILE", **LOOP)),
    "DO_WHILE over items": workflow(
        typed("DO_WHILE", items="${workflow.input.list}", loopOver=[simple("i")], inputParameters={"keepLastN": 5})
    ),
    "TERMINATE": workflow(typed("TERMINATE", inputParameters={"terminationStatus": "TERMINATED"})),
    "TERMINATE by expression": workflow(
        typed("TERMINATE", inputParameters={"terminationStatus": "${workflow.input.status}"})
    ),
    "WAIT for a signal": workflow(typed("WAIT")),
    "WAIT for a time": workflow(typed("WAIT", inputParameters={"duration": "1h 5 min"})),
    "WAIT by expression": workflow(typed("WAIT", inputParameters={"until": "${workflow.input.when}"})),
    "SUB_WORKFLOW": workflow(typed("SUB_WORKFLOW", subWorkflowParam={"name": "c", "version": 2})),
    "SUB_WORKFLOW by expressions": workflow(
        typed(
            "SUB_WORKFLOW",
            subWorkflowParam={
                "name": "${workflow.input.n}",
                "version": "${workflow.input.v}",
                "priority": "${workflow.input.p}",
            },
        )
    ),
    "SUB_WORKFLOW by a computed definition": workflow(
        typed("SUB_WORKFLOW", subWorkflowParam={"name": "c", "workflowDefinition": "${workflow.input.d}"})
    ),
    "SUB_WORKFLOW inline with references of its own": workflow(
        simple("a"),
        typed(
            "SUB_WORKFLOW",
            subWorkflowParam={
                "workflowDefinition": workflow(simple("a"), simple("b", inputParameters={"x": "${a.output}"}))
            },
        ),
    ),
}


@pytest.mark.parametrize("definition", VALID.values(), ids=VALID.keys())
def test_what_obeys_the_rules_has_no_problems(definition: Json) -> None:
    assert check(definition) == []


def test_all_problems_are_found_not_only_the_first() -> None:
    found = check(workflow(typed("EVENT"), typed("HTTP", "h"), schemaVersion=3, name=""))
    assert [problem.path for problem in found] == ["name", "schemaVersion", "tasks[0].sink", "tasks[1].inputParameters"]


def test_a_built_in_type_that_is_not_supported_is_reported_and_a_workers_type_never() -> None:
    definition = workflow(typed("EVENT", sink="x"), typed("resize", "r"), simple("s"), typed("NOOP", "n"))
    assert check(definition, supported={"NOOP"}) == [
        Problem("tasks[0].type", "taskType: EVENT is not supported by this installation; taskName: t")
    ]
    assert check(definition) == []


def test_an_allow_listed_environment_name_may_be_read() -> None:
    definition = workflow(simple(inputParameters={"a": "${REGION}"}))
    assert [problem.path for problem in check(definition)] == ["tasks[0].inputParameters.a"]
    assert check(definition, env_names={"REGION"}) == []


def test_a_path_that_does_not_compile_is_reported_with_the_reason() -> None:
    definition = workflow(simple("a"), simple("t", inputParameters={"k": "${a.output[}"}))
    found = check(definition, check_expression=lambda body: "no closing bracket" if "[" in body else None)
    assert found == [
        Problem(
            "tasks[1].inputParameters.k",
            "key: k input parameter value: a.output[ is not valid (no closing bracket)",
        )
    ]


@pytest.mark.parametrize(
    ("task_type", "key"),
    [
        ("HTTP", "http_request"),
        ("KAFKA_PUBLISH", "kafka_request"),
        ("RQ", "rq_request"),
        ("JSON_JQ_TRANSFORM", "queryExpression"),
    ],
)
def test_a_registered_task_definition_may_supply_the_request(task_type: str, key: str) -> None:
    registered = TaskDef(name="t", input_template={key: "x"})
    assert check(workflow(typed(task_type)), find_task_def=lambda name: registered if name == "t" else None) == []


def test_references_are_not_judged_while_a_task_has_no_name() -> None:
    found = check(
        workflow({"name": "a"}, simple("t", inputParameters={"x": "${a.output}"}), typed("JOIN", "j", joinOn=["a"]))
    )
    assert [problem.path for problem in found] == ["tasks[0].taskReferenceName"]


def test_an_endless_tree_built_in_python_is_refused() -> None:
    loop = WorkflowTask(name="l", task_reference_name="l", type="DO_WHILE", loop_condition="false")
    loop.loop_over = [loop]
    found = validate_workflow_def(WorkflowDef(name="w", tasks=[loop]))
    assert "tasks are nested deeper than 100 levels; move the inner part into a sub-workflow" in [
        problem.message for problem in found if problem.path == "tasks"
    ]


def test_an_inline_definition_that_holds_itself_is_refused() -> None:
    definition = workflow_def_from_dict(
        workflow(typed("SUB_WORKFLOW", subWorkflowParam={"workflowDefinition": workflow(simple())}))
    )
    params = definition.tasks[0].sub_workflow_param
    assert params is not None
    params.workflow_definition = definition
    assert [problem.message for problem in validate_workflow_def(definition)] == [
        f"inline workflow definitions are nested deeper than {INLINE_DEPTH_MAX} levels"
    ]


TASK_DEF_BROKEN: list[tuple[Json, str, str]] = [
    ({"name": ""}, "name", "TaskDef name cannot be null or empty"),
    ({"name": "a\x00"}, "name", "must not contain control characters"),
    (
        {"fairnessKey": "tenant"},
        "fairnessKey",
        "TaskDef: x fairnessKey is the same for every task: name what tells them apart, such as ${workflow.input.tenant}",
    ),
    (
        {"limitKey": "tenant"},
        "limitKey",
        "TaskDef: x limitKey is the same for every task: name what tells them apart, such as ${workflow.input.tenant}",
    ),
    ({"retryCount": -1}, "retryCount", "TaskDef retryCount: 0 must be >= 0"),
    ({"maxRetryDelaySeconds": -1}, "maxRetryDelaySeconds", "TaskDef maxRetryDelaySeconds: 0 must be >= 0"),
    ({"backoffJitterMs": -1}, "backoffJitterMs", "TaskDef backoffJitterMs: 0 must be >= 0"),
    ({"backoffScaleFactor": 0}, "backoffScaleFactor", "Backoff scale factor. Applicable for LINEAR_BACKOFF"),
    (
        {"responseTimeoutSeconds": 0},
        "responseTimeoutSeconds",
        "TaskDef responseTimeoutSeconds: 0 should be minimum 1 second",
    ),
    ({"pollTimeoutSeconds": -1}, "pollTimeoutSeconds", "TaskDef pollTimeoutSeconds: 0 must be >= 0"),
    ({"totalTimeoutSeconds": -1}, "totalTimeoutSeconds", "TaskDef totalTimeoutSeconds: 0 must be >= 0"),
    (
        {"responseTimeoutSeconds": 11, "timeoutSeconds": 10},
        "responseTimeoutSeconds",
        "TaskDef: x responseTimeoutSeconds: 11 must be less than timeoutSeconds: 10",
    ),
    (
        {"responseTimeoutSeconds": 1, "timeoutSeconds": 10, "totalTimeoutSeconds": 9},
        "timeoutSeconds",
        "TaskDef: x timeoutSeconds: 10 must be less than or equal to totalTimeoutSeconds: 9",
    ),
    (
        {"rateLimitPerFrequency": 5, "rateLimitFrequencyInSeconds": 0},
        "rateLimitFrequencyInSeconds",
        "TaskDef: x rateLimitFrequencyInSeconds must be >= 1 when rateLimitPerFrequency is set",
    ),
]


@pytest.mark.parametrize(("fields", "path", "message"), TASK_DEF_BROKEN)
def test_a_broken_rule_of_a_task_definition_is_reported_once(fields: Json, path: str, message: str) -> None:
    assert validate_task_def(task_def_from_dict({"name": "x", **fields}, check=None)) == [Problem(path, message)]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"retryCount": 0, "maxRetryDelaySeconds": 0, "backoffJitterMs": 0, "backoffScaleFactor": 1},
        {"responseTimeoutSeconds": 1, "pollTimeoutSeconds": 0, "totalTimeoutSeconds": 0},
        {"responseTimeoutSeconds": 10, "timeoutSeconds": 10, "totalTimeoutSeconds": 10},
        {"rateLimitPerFrequency": 5, "rateLimitFrequencyInSeconds": 1, "concurrentExecLimit": 5},
        {"rateLimitPerFrequency": 0, "rateLimitFrequencyInSeconds": 0},
        {"fairnessKey": "${workflow.input.tenant}", "limitKey": "${workflow.input.tenant}"},
    ],
)
def test_a_task_definition_at_its_bounds_is_valid(fields: Json) -> None:
    assert validate_task_def(task_def_from_dict({"name": "x", **fields}, check=None)) == []

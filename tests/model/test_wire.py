"""Definitions and views as JSON: round trips, nulls, unknown fields, wrong types, and files of definitions."""

from __future__ import annotations

import json
import math
from enum import StrEnum
from functools import partial
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

import msgspec
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.errors import DefinitionInvalid, Problem
from orchestrator.model.definitions import (
    RetryLogic,
    SubWorkflowParams,
    TaskDef,
    WorkflowDef,
    WorkflowTask,
    WorkflowTimeoutPolicy,
)
from orchestrator.model.execution import StartWorkflowRequest, Task, TaskExecLog, TaskResult, Workflow
from orchestrator.model.status import TaskStatus, WorkflowStatus
from orchestrator.model.validation import validate_workflow_def
from orchestrator.model.wire import (
    definition_hash,
    parse_definitions,
    start_request_from_dict,
    start_request_to_dict,
    task_def_from_dict,
    task_def_to_dict,
    task_from_dict,
    task_result_from_dict,
    task_result_to_dict,
    task_to_dict,
    workflow_def_from_dict,
    workflow_def_to_dict,
    workflow_from_dict,
    workflow_task_from_dict,
    workflow_task_to_dict,
    workflow_to_dict,
)

Json = dict[str, Any]
SMALLEST: Json = {"name": "w", "tasks": [{"name": "t", "taskReferenceName": "t"}]}

# --- random values of every struct, made from the annotations ---------------------------------------------------------

_text = st.text(max_size=8)
_integers = st.integers(-(2**63), 2**63 - 1)
_payloads = st.recursive(
    st.none() | st.booleans() | _integers | st.floats(allow_nan=False, allow_infinity=False) | _text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_text, inner, max_size=3),
    max_leaves=6,
)


def values(annotation: Any, depth: int) -> st.SearchStrategy[Any]:
    origin, arguments = get_origin(annotation), get_args(annotation)
    plain = {str: _text, int: _integers, bool: st.booleans(), Any: _payloads, NoneType: st.none()}
    if annotation in plain:
        return plain[annotation]
    if origin is list:
        return st.lists(values(arguments[0], depth), max_size=2) if depth else st.just([])
    if origin is dict:
        return st.dictionaries(_text, values(arguments[1], depth), max_size=2) if depth else st.just({})
    if arguments:
        options = [option for option in arguments if depth or not _is_struct(option)]
        return st.one_of(*(values(option, depth) for option in options))
    return structs(annotation, depth - 1) if _is_struct(annotation) else st.sampled_from(list(annotation))


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def structs(kind: type[Any], depth: int = 3) -> st.SearchStrategy[Any]:
    fields = {name: values(hint, max(depth, 0)) for name, hint in get_type_hints(kind).items()}
    required = {field.name for field in msgspec.structs.fields(kind) if field.required}
    return st.fixed_dictionaries(
        {name: fields[name] for name in required},
        optional={name: strategy for name, strategy in fields.items() if name not in required},
    ).map(lambda chosen: kind(**chosen))


@given(structs(WorkflowDef))
def test_any_workflow_definition_survives_the_round_trip(definition: WorkflowDef) -> None:
    written = workflow_def_to_dict(definition)
    assert workflow_def_from_dict(written, check=None) == definition
    assert workflow_def_from_dict(json.loads(msgspec.json.encode(written)), check=None) == definition
    assert workflow_def_to_dict(workflow_def_from_dict(written, check=None)) == written


@given(structs(TaskDef))
def test_any_task_definition_survives_the_round_trip(task_def: TaskDef) -> None:
    assert task_def_from_dict(task_def_to_dict(task_def), check=None) == task_def


@given(structs(WorkflowTask, depth=2))
def test_any_step_survives_the_round_trip(task: WorkflowTask) -> None:
    assert workflow_task_from_dict(workflow_task_to_dict(task)) == task


@given(structs(Workflow, depth=2))
def test_any_execution_survives_the_round_trip(workflow: Workflow) -> None:
    written = workflow_to_dict(workflow)
    for task in workflow.tasks:
        task.runtime_metadata = task.runtime_metadata or None  # an empty one is left out
    assert workflow_from_dict(written) == workflow


@given(structs(StartWorkflowRequest, depth=1))
def test_any_start_request_survives_the_round_trip(request: StartWorkflowRequest) -> None:
    request.name = request.name or "w"
    request.priority %= 100
    assert start_request_from_dict(start_request_to_dict(request), check=lambda definition: []) == request


@given(structs(TaskResult, depth=2))
def test_any_report_survives_the_round_trip_or_breaks_a_rule(result: TaskResult) -> None:
    result.workflow_instance_id, result.task_id, result.status = "w", "t", TaskStatus.FAILED
    result.callback_after_seconds = abs(result.callback_after_seconds) // 2
    assert task_result_from_dict(task_result_to_dict(result)) == result


@settings(max_examples=50)
@given(structs(WorkflowDef, depth=2), structs(TaskDef, depth=1))
def test_json_and_yaml_say_the_same(definition: WorkflowDef, task_def: TaskDef) -> None:
    bundle = {"workflows": [workflow_def_to_dict(definition)], "tasks": [task_def_to_dict(task_def)]}
    read = partial(parse_definitions, check_workflow=None, check_task=None)
    from_json = read(msgspec.json.encode(bundle), "a.json")
    assert from_json == [definition, task_def]
    assert read(yaml.dump(bundle, Dumper=_Quoting), "a.yaml") == from_json
    assert read(yaml.dump(bundle, Dumper=_Quoting, default_flow_style=True), "a.yaml") == from_json


class _Quoting(yaml.SafeDumper):
    """Writes every text in quotes: without them some, such as 0E0, are refused as ambiguous."""

    def represent_text(self, text: str) -> yaml.ScalarNode:
        return self.represent_scalar("tag:yaml.org,2002:str", text, style='"')


_Quoting.add_representer(str, _Quoting.represent_text)


# --- what is written ------------------------------------------------------------------------------------------------


def test_null_fields_are_left_out_and_empty_collections_and_nulls_in_maps_are_kept() -> None:
    written = workflow_def_to_dict(WorkflowDef(name="w", variables={"a": None}, input_template={"b": {"c": None}}))
    assert written["variables"] == {"a": None}
    assert written["inputTemplate"] == {"b": {"c": None}}
    assert written["tasks"] == []
    assert written["outputParameters"] == {}
    assert "description" not in written
    assert None not in written.values()


def test_defaults_are_conductors() -> None:
    assert workflow_def_to_dict(workflow_def_from_dict(SMALLEST)) == {
        "name": "w",
        "version": 1,
        "tasks": [
            {
                "name": "t",
                "taskReferenceName": "t",
                "inputParameters": {},
                "type": "SIMPLE",
                "decisionCases": {},
                "defaultCase": [],
                "forkTasks": [],
                "startDelay": 0,
                "joinOn": [],
                "optional": False,
                "permissive": False,
                "defaultExclusiveJoinTask": [],
                "asyncComplete": False,
                "loopOver": [],
                "onStateChange": {},
                "metadata": {},
            }
        ],
        "inputParameters": [],
        "outputParameters": {},
        "schemaVersion": 2,
        "restartable": True,
        "workflowStatusListenerEnabled": False,
        "timeoutPolicy": "ALERT_ONLY",
        "timeoutSeconds": 0,
        "variables": {},
        "inputTemplate": {},
        "enforceSchema": True,
        "metadata": {},
        "maskedFields": [],
        "createTime": 0,
        "updateTime": 0,
    }
    assert task_def_to_dict(TaskDef(name="t")) == {
        "name": "t",
        "retryCount": 3,
        "timeoutSeconds": 0,
        "timeoutPolicy": "TIME_OUT_WF",
        "retryLogic": "FIXED",
        "retryDelaySeconds": 60,
        "maxRetryDelaySeconds": 0,
        "backoffJitterMs": 0,
        "backoffScaleFactor": 1,
        "responseTimeoutSeconds": 3600,
        "totalTimeoutSeconds": 0,
        "inputKeys": [],
        "outputKeys": [],
        "inputTemplate": {},
        "runtimeMetadata": [],
        "rateLimitPerFrequency": 0,
        "rateLimitFrequencyInSeconds": 1,
        "taskStatusListenerEnabled": True,
        "enforceSchema": False,
        "createTime": 0,
        "updateTime": 0,
    }


def test_enums_are_written_as_plain_text() -> None:
    written = task_def_to_dict(TaskDef(name="t", retry_logic=RetryLogic.LINEAR_BACKOFF))
    assert type(written["retryLogic"]) is str
    assert not any(isinstance(value, StrEnum) for value in written.values())


def test_the_hash_depends_on_the_content_and_not_on_the_order_of_keys() -> None:
    one = WorkflowDef(name="w", variables={"a": 1, "b": {"c": 2, "d": 3}})
    same = WorkflowDef(name="w", variables={"b": {"d": 3, "c": 2}, "a": 1})
    other = WorkflowDef(name="w", variables={"a": 1, "b": {"c": 2, "d": 4}})
    assert definition_hash(one) == definition_hash(same)
    assert definition_hash(one) != definition_hash(other)
    assert len(definition_hash(TaskDef(name="t"))) == 32


def test_the_hash_is_the_same_in_every_version_of_this_package() -> None:
    # Executions hold this hash: when it changes by accident, they no longer find their definition.
    assert definition_hash(workflow_def_from_dict(SMALLEST)) == "30f85cf6f64f66dafb2d8476165bc5a3"


def test_a_task_view_has_the_derived_fields() -> None:
    step = WorkflowTask(name="t", task_reference_name="t", task_definition=TaskDef(name="t"))
    task = Task(task_id="1", scheduled_time=100, start_time=350, iteration=2, workflow_task=step, runtime_metadata={})
    written = task_to_dict(task)
    assert written["loopOverTask"] is True
    assert (written["executed"], written["callbackFromWorker"]) == (False, True)
    assert written["queueWaitTime"] == 250
    assert written["taskDefinition"]["name"] == "t"
    assert "runtimeMetadata" not in written
    assert "taskDefinition" not in task_to_dict(Task(task_id="1"))


def test_the_queue_time_of_a_task_with_a_callback_runs_from_when_it_fell_due() -> None:
    task = Task(task_id="1", scheduled_time=1, start_time=2, update_time=10_000, callback_after_seconds=5)
    assert task_to_dict(task, now_ms=16_000)["queueWaitTime"] == 1000
    assert task_to_dict(task, now_ms=14_000)["queueWaitTime"] == 0


def test_a_workflow_view_has_the_derived_fields() -> None:
    definition = WorkflowDef(name="order", version=3)
    tasks = [Task(task_id="1", scheduled_time=100, start_time=150)]
    written = workflow_to_dict(Workflow(workflow_id="w", create_time=7, workflow_definition=definition, tasks=tasks))
    assert (written["startTime"], written["workflowName"], written["workflowVersion"]) == (7, "order", 3)
    assert written["tasks"][0]["queueWaitTime"] == 50
    assert written["status"] == "RUNNING"


# --- what is read ---------------------------------------------------------------------------------------------------


def problems_of(read: Any, data: object) -> list[Problem]:
    with pytest.raises(DefinitionInvalid) as caught:
        read(data)
    return caught.value.problems


def test_unknown_fields_are_ignored() -> None:
    assert workflow_def_from_dict({**SMALLEST, "unknown": {"x": 1}}) == workflow_def_from_dict(SMALLEST)


def test_null_is_zero_or_false_for_numbers_and_booleans_and_the_default_elsewhere() -> None:
    nulls = {
        "retryCount": None,
        "taskStatusListenerEnabled": None,
        "retryLogic": None,
        "inputKeys": None,
        "inputTemplate": None,
        "concurrentExecLimit": None,
        "rateLimitPerFrequency": None,
        "rateLimitFrequencyInSeconds": None,
        "description": None,
    }
    assert task_def_from_dict({"name": "t", **nulls}) == TaskDef(
        name="t", retry_count=0, task_status_listener_enabled=False, rate_limit_frequency_in_seconds=1
    )


def test_the_optional_retry_count_of_a_step_keeps_null_apart_from_zero() -> None:
    step = {"name": "t", "taskReferenceName": "t"}
    assert workflow_task_from_dict({**step, "retryCount": None}).retry_count is None
    assert workflow_task_from_dict({**step, "retryCount": 0}).retry_count == 0


def test_a_whole_number_written_with_a_point_is_a_number() -> None:
    assert workflow_def_from_dict({**SMALLEST, "version": 3.0}).version == 3


def test_an_inline_definition_and_an_expression_for_one_are_told_apart() -> None:
    step: Json = {"name": "t", "taskReferenceName": "t", "type": "SUB_WORKFLOW"}
    inline = workflow_task_from_dict({**step, "subWorkflowParam": {"workflowDefinition": SMALLEST}})
    assert inline.sub_workflow_param == SubWorkflowParams(workflow_definition=workflow_def_from_dict(SMALLEST))
    computed = workflow_task_from_dict({**step, "subWorkflowParam": {"workflowDefinition": "${a.b}", "version": 2}})
    assert computed.sub_workflow_param == SubWorkflowParams(workflow_definition="${a.b}", version=2)


TASK = "tasks[0]"


def step(**fields: Any) -> Json:
    return {"tasks": [{"name": "t", "taskReferenceName": "t", **fields}]}


@pytest.mark.parametrize(
    ("path", "fields", "message"),
    [
        ("version", {"version": "1"}, "must be a whole number, not the text '1'"),
        ("version", {"version": 1.5}, "must be a whole number, not the number 1.5"),
        ("version", {"version": True}, "must be a whole number, not true"),
        ("version", {"version": 2**63}, "is outside the range of 64-bit integers"),
        ("version", {"version": math.nan}, "must be a whole number, not the number nan"),
        ("restartable", {"restartable": "true"}, "must be true or false, not the text 'true'"),
        ("restartable", {"restartable": 1}, "must be true or false, not the number 1"),
        ("name", {"name": 5}, "must be text, not the number 5"),
        ("name", {"name": "\ud800"}, "text holds a lone surrogate and has no UTF-8 form"),
        ("timeoutPolicy", {"timeoutPolicy": "RETRY"}, "must be one of TIME_OUT_WF, ALERT_ONLY, not the text 'RETRY'"),
        ("timeoutPolicy", {"timeoutPolicy": []}, "must be one of TIME_OUT_WF, ALERT_ONLY, not a list"),
        ("inputParameters", {"inputParameters": {"a": 1}}, "must be a list, not an object"),
        ("inputParameters[1]", {"inputParameters": ["a", None]}, "must be text, not null"),
        ("variables", {"variables": [1]}, "must be an object, not a list"),
        ("variables.a[1]", {"variables": {"a": [0, math.inf]}}, "inf is not a JSON number; send null or text"),
        ("variables", {"variables": {1: 2}}, "key 1 is not text"),
        (
            "variables.a",
            {"variables": {"a": 2**64}},
            "integer 18446744073709551616 is outside -2^63..2^64-1; send it as text",
        ),
        ("variables.a", {"variables": {"a": {1}}}, "a value of type set is not JSON; convert it first"),
        ("inputSchema", {"inputSchema": "s"}, "must be an object, not the text 's'"),
        (
            "inputSchema.type",
            {"inputSchema": {"name": "s", "type": "XML"}},
            "must be one of JSON, AVRO, PROTOBUF, not the text 'XML'",
        ),
        ("tasks", {"tasks": {}}, "must be a list, not an object"),
        (TASK, {"tasks": ["t"]}, "must be an object, not the text 't'"),
        (f"{TASK}.optional", step(optional=0), "must be true or false, not the number 0"),
        (f"{TASK}.forkTasks[0]", step(forkTasks=[{}]), "must be a list, not an object"),
        (f"{TASK}.decisionCases.a", step(decisionCases={"a": 1}), "must be a list, not the number 1"),
        (
            f"{TASK}.subWorkflowParam.workflowDefinition",
            step(subWorkflowParam={"workflowDefinition": 5}),
            "must be an object or text, not the number 5",
        ),
        (
            f"{TASK}.subWorkflowParam.priority",
            step(subWorkflowParam={"priority": True}),
            "must be a whole number or text, not true",
        ),
    ],
)
def test_a_wrong_type_is_reported_once_with_its_path(path: str, fields: Json, message: str) -> None:
    assert problems_of(workflow_def_from_dict, {**SMALLEST, **fields}) == [Problem(path, message)]


@pytest.mark.parametrize("data", [None, [], "w", 5])
def test_what_is_not_an_object_is_not_a_definition(data: object) -> None:
    assert [problem.path for problem in problems_of(workflow_def_from_dict, data)] == [""]


def test_problems_of_types_and_of_rules_are_reported_together_with_the_right_places() -> None:
    broken = {
        "name": "w",
        "version": "one",
        "tasks": [7, {"name": "e", "taskReferenceName": "e", "type": "EVENT"}],
        "variables": {"a": math.nan, "b": math.inf},
    }
    with pytest.raises(DefinitionInvalid, match="workflow definition 'w' is not valid") as caught:
        workflow_def_from_dict(broken)
    assert [problem.path for problem in caught.value.problems] == [
        "version",
        "tasks[0]",
        "variables.a",
        "variables.b",
        "tasks[1].sink",
    ]


def test_the_rules_are_left_out_when_asked_and_replaced_when_given() -> None:
    assert workflow_def_from_dict({"name": ""}, check=None).tasks == []
    strict = partial(validate_workflow_def, supported=())
    terminate = {"name": "t", "taskReferenceName": "t", "type": "NOOP"}
    with pytest.raises(DefinitionInvalid, match="NOOP is not supported"):
        workflow_def_from_dict({"name": "w", "tasks": [terminate]}, check=strict)


def test_what_was_read_is_independent_of_the_source() -> None:
    source = {**SMALLEST, "variables": {"list": [1]}}
    definition = workflow_def_from_dict(source)
    source["variables"]["list"].append(2)
    assert definition.variables == {"list": [1]}


def nested(levels: int, kind: str) -> Json:
    task: Json = {"name": "t", "taskReferenceName": "t0"}
    for level in range(1, levels):
        inner: Json = {"loopOver": [task]} if kind == "DO_WHILE" else {"forkTasks": [[task]]}
        task = {"name": "t", "taskReferenceName": f"t{level}", "type": kind, "loopCondition": "false", **inner}
    return {"name": "w", "tasks": [task]}


@pytest.mark.parametrize("kind", ["DO_WHILE", "FORK_JOIN"])
def test_tasks_may_nest_a_hundred_levels_and_not_one_more(kind: str) -> None:
    deepest = workflow_def_from_dict(nested(100, kind), check=None)
    assert workflow_def_from_dict(workflow_def_to_dict(deepest), check=None) == deepest
    assert len(definition_hash(deepest)) == 32
    found = problems_of(partial(workflow_def_from_dict, check=None), nested(101, kind))
    assert [problem.message for problem in found] == [
        "tasks are nested deeper than 100 levels; register the inner part as a workflow of its own"
    ]


@pytest.mark.parametrize("levels", [300, 200_000])
def test_deeply_nested_json_is_refused_politely(levels: int) -> None:
    text = '{"name":"w","tasks":[{"name":"t","taskReferenceName":"t","loopOver":' + "[" * levels + "]" * levels + "}]}"
    with pytest.raises(DefinitionInvalid):
        parse_definitions(text, "a.json")
    with pytest.raises(DefinitionInvalid):
        parse_definitions(text, "a.yaml")


def test_inline_definitions_nest_ten_levels_and_not_one_more() -> None:
    def inline(levels: int) -> Json:
        definition = SMALLEST
        for _ in range(levels):
            params = {"workflowDefinition": definition}
            definition = {
                "name": "w",
                "tasks": [{"name": "t", "taskReferenceName": "t", "type": "SUB_WORKFLOW", "subWorkflowParam": params}],
            }
        return definition

    assert workflow_def_from_dict(inline(10)).name == "w"
    assert len(problems_of(workflow_def_from_dict, inline(11))) == 1


def test_a_payload_deeper_than_a_hundred_levels_is_refused() -> None:
    value: Any = 1
    for _ in range(101):
        value = [value]
    found = problems_of(workflow_def_from_dict, {**SMALLEST, "variables": {"a": value}})
    assert len(found) == 1
    assert "nested deeper than 100 levels" in found[0].message


# --- requests and reports -------------------------------------------------------------------------------------------


def test_a_report_needs_its_ids_and_a_status_a_worker_may_report() -> None:
    found = problems_of(task_result_from_dict, {"status": "SKIPPED"})
    assert [(problem.path, problem.message) for problem in found] == [
        ("workflowInstanceId", "Workflow Id cannot be null or empty"),
        ("taskId", "Task ID cannot be null or empty"),
        (
            "status",
            "SKIPPED cannot be reported; use one of "
            "IN_PROGRESS, FAILED, FAILED_WITH_TERMINAL_ERROR, COMPLETED, CANCELED",
        ),
    ]


@pytest.mark.parametrize("data", [{}, {"status": None}])
def test_a_report_without_status_is_refused(data: Json) -> None:
    found = problems_of(task_result_from_dict, {"workflowInstanceId": "w", "taskId": "t", **data})
    assert found == [Problem("status", "is required")]


def test_a_report_is_read_with_its_logs() -> None:
    data = {
        "workflowInstanceId": "w",
        "taskId": "t",
        "status": "COMPLETED",
        "outputData": {"a": None},
        "logs": [{"log": "hi", "taskId": "t", "createdTime": 5}],
    }
    assert task_result_from_dict(data) == TaskResult(
        workflow_instance_id="w",
        task_id="t",
        status=TaskStatus.COMPLETED,
        output_data={"a": None},
        logs=[TaskExecLog(log="hi", task_id="t", created_time=5)],
    )


def test_a_start_request_is_checked_with_its_inline_definition() -> None:
    found = problems_of(start_request_from_dict, {"priority": 100, "workflowDef": {"name": "w"}})
    assert [(problem.path, problem.message) for problem in found] == [
        ("name", "Workflow name cannot be null or empty"),
        ("priority", "priority: 100 should be maximum 99"),
        ("workflowDef.tasks", "WorkflowTask list cannot be empty"),
    ]


def test_an_execution_from_another_server_is_read_without_its_derived_fields() -> None:
    data = {"workflowId": "w", "status": "FAILED", "startTime": 5, "workflowName": "x", "tasks": [{"taskId": "t"}]}
    assert workflow_from_dict(data) == Workflow(
        workflow_id="w", status=WorkflowStatus.FAILED, tasks=[Task(task_id="t")]
    )
    assert task_from_dict({"taskId": "t", "loopOverTask": True, "queueWaitTime": 5}) == Task(task_id="t")


# --- files ----------------------------------------------------------------------------------------------------------

WORKFLOW_YAML = """
name: hello
version: 2
timeoutPolicy: TIME_OUT_WF
tasks:
  - name: greet
    taskReferenceName: greet
    inputParameters: {name: "${workflow.input.name}", when: 2030-01-31, at: 12:30}
"""


def test_a_yaml_workflow_is_read() -> None:
    (definition,) = parse_definitions(WORKFLOW_YAML, "hello.yaml")
    assert isinstance(definition, WorkflowDef)
    assert (definition.name, definition.version) == ("hello", 2)
    assert definition.timeout_policy is WorkflowTimeoutPolicy.TIME_OUT_WF
    assert definition.tasks[0].input_parameters == {
        "name": "${workflow.input.name}",
        "when": "2030-01-31",
        "at": "12:30",
    }


def test_documents_lists_and_bundles_are_read_in_order() -> None:
    text = """
name: a
---
- name: b
- {name: w, tasks: [{name: t, taskReferenceName: t}]}
---
---
workflows: [{name: v, tasks: [{name: t, taskReferenceName: t}]}]
tasks: [{name: c}]
---
tasks: [{name: d}]
"""
    found = parse_definitions(text, "all.yaml")
    assert [(type(each).__name__, each.name) for each in found] == [
        ("TaskDef", "a"),
        ("TaskDef", "b"),
        ("WorkflowDef", "w"),
        ("WorkflowDef", "v"),
        ("TaskDef", "c"),
        ("TaskDef", "d"),
    ]


def test_a_workflow_without_a_name_is_not_taken_for_task_definitions() -> None:
    read = partial(parse_definitions, filename="a.json")
    found = problems_of(read, '{"tasks": [{"name": "t", "taskReferenceName": "t"}]}')
    assert found == [Problem("name", "WorkflowDef name cannot be null or empty")]


def test_problems_of_a_whole_file_are_reported_at_once_with_their_places() -> None:
    text = "workflows: [{name: w, tasks: []}, 5]\ntasks: [{name: t, retryCount: -1}]\n---\nname: 5\n---\n- {}\n"
    with pytest.raises(DefinitionInvalid, match=r"all\.yaml is not valid \(5 problems\)") as caught:
        parse_definitions(text, "all.yaml")
    assert [problem.path for problem in caught.value.problems] == [
        "document[0].workflows[0].tasks",
        "document[0].workflows[1]",
        "document[0].tasks[0].retryCount",
        "document[1].name",
        "document[2][0].name",
    ]


@pytest.mark.parametrize("bundle", ['{"workflows": {}}', '{"workflows": [], "tasks": 5}'])
def test_a_bundle_holds_lists(bundle: str) -> None:
    with pytest.raises(DefinitionInvalid):
        parse_definitions(bundle, "a.json")


@pytest.mark.parametrize(("text", "filename"), [("", "a.yaml"), ("# nothing", "a.yaml"), ("null", "a.json")])
def test_a_file_without_definitions_is_refused(text: str, filename: str) -> None:
    with pytest.raises(DefinitionInvalid, match="holds no definition"):
        parse_definitions(text, filename)

"""The builder's verbs write the definition one would have written in JSON."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import DefinitionInvalid, InvalidPayload, InvalidRequest
from orchestrator.model.definitions import WorkflowDef, WorkflowTask, WorkflowTimeoutPolicy
from orchestrator.task import task
from orchestrator.workflow import Branch, Workflow


@task
async def greet(name: str) -> str:
    return f"Hello, {name}"


@task
def charge_card(amount: float) -> dict[str, Any]:
    return {"id": amount}


@task
def pick() -> None: ...


@task
def pack() -> None: ...


@task
def ship(payment: str) -> None: ...


def step(ref: str, name: str | None = None, **fields: Any) -> WorkflowTask:
    return WorkflowTask(name=name or ref, task_reference_name=ref, **fields)


def refs(tasks: list[WorkflowTask]) -> list[str]:
    return [task.task_reference_name for task in tasks]


def test_hello_world_is_one_sentence() -> None:
    hello = Workflow("hello").then(greet, name="${workflow.input.name}")
    parameters = {"name": "${workflow.input.name}"}
    assert hello.definition() == WorkflowDef(name="hello", tasks=[step("greet", input_parameters=parameters)])
    assert hello.validate() == []
    assert hello.tasks == [greet]


def test_steps_are_values_that_later_steps_refer_to() -> None:
    order = Workflow("order", 2)
    charge = order.step(charge_card, amount=order.input.amount)
    order.set(total=charge.output["total"])
    order.then(ship, payment=charge.output.id, note=f"{order.variables.total} by {order['charge_card'].status}")
    order.output(charge=charge, total=order.variables.total)
    first, variables, last = order.definition().tasks
    assert first.input_parameters == {"amount": "${workflow.input.amount}"}
    assert variables == step(
        "set", "SET_VARIABLE", type="SET_VARIABLE", input_parameters={"total": "${charge_card.output.total}"}
    )
    assert last.input_parameters == {
        "payment": "${charge_card.output.id}",
        "note": "${workflow.variables.total} by ${charge_card.status}",
    }
    assert order.definition().output_parameters == {
        "charge": "${charge_card.output}",
        "total": "${workflow.variables.total}",
    }
    assert order.validate() == []


def test_the_frame_of_a_workflow_reaches_the_definition() -> None:
    refund = Workflow("refund")
    order = Workflow(
        "order",
        3,
        description="sells",
        timeout_s=60,
        on_failure=refund,
        inputs=["sku"],
        input_template={"count": 1},
        variables={"total": 0},
        restartable=False,
        metadata={"team": "shop"},
        owner="shop@example.org",
    )
    assert order.definition() == WorkflowDef(
        name="order",
        version=3,
        description="sells",
        timeout_seconds=60,
        timeout_policy=WorkflowTimeoutPolicy.TIME_OUT_WF,
        failure_workflow="refund",
        input_parameters=["sku"],
        input_template={"count": 1},
        variables={"total": 0},
        restartable=False,
        metadata={"team": "shop"},
        owner_email="shop@example.org",
    )


@pytest.mark.parametrize(
    ("options", "policy"),
    [
        ({}, "ALERT_ONLY"),
        ({"timeout_s": 5}, "TIME_OUT_WF"),
        ({"timeout_s": 5, "timeout_policy": "ALERT_ONLY"}, "ALERT_ONLY"),
    ],
)
def test_a_timeout_ends_the_workflow_unless_told_otherwise(options: dict[str, Any], policy: str) -> None:
    assert Workflow("w", **options).definition().timeout_policy == policy


def test_step_options_are_kept_apart_from_inputs() -> None:
    flow = Workflow("w").then(
        "tag",
        {"ref": "main", "optional": 1},
        ref="t",
        optional=True,
        permissive=True,
        retry_count=0,
        start_delay_s=5,
        x=2,
    )
    parameters = {"ref": "main", "optional": 1, "x": 2}
    expected = step(
        "t", "tag", input_parameters=parameters, optional=True, permissive=True, retry_count=0, start_delay=5
    )
    assert flow.definition().tasks == [expected]
    assert flow.tasks == []


def test_reference_names_are_numbered_when_a_task_is_used_again() -> None:
    flow = Workflow("w").then(pick).then(pick, ref="pick_2").then(pick).wait(for_s=1).wait(for_s=2)
    assert refs(flow.definition().tasks) == ["pick", "pick_2", "pick_3", "wait", "wait_2"]


def test_a_fork_is_joined_on_the_last_step_of_each_branch() -> None:
    flow = Workflow("w").fork([pick, pack], ship, "audit", Branch().then(greet, name="a"))
    fork, join = flow.definition().tasks
    assert fork == step(
        "fork",
        "FORK_JOIN",
        type="FORK_JOIN",
        fork_tasks=[
            [step("pick"), step("pack")],
            [step("ship")],
            [step("audit")],
            [step("greet", input_parameters={"name": "a"})],
        ],
    )
    assert join == step("fork_join", "JOIN", type="JOIN", join_on=["pack", "ship", "audit", "greet"])
    assert flow.validate() == []
    assert flow.tasks == [pick, pack, ship, greet]


def test_a_join_after_a_fork_replaces_the_automatic_one() -> None:
    flow = Workflow("w")
    flow.fork([pick], [pack], ref="both").join(on=["pick"], ref="either", optional=True, x=1)
    flow.fork([ship], [greet])
    flow.join(on=[flow["ship"]])
    joins = [task for task in flow.definition().tasks if task.type == "JOIN"]
    assert joins == [
        step("either", "JOIN", type="JOIN", join_on=["pick"], optional=True, input_parameters={"x": 1}),
        step("fork_join", "JOIN", type="JOIN", join_on=["ship"]),
    ]
    assert flow["either"].output.x == flow["either"].output["x"]
    with pytest.raises(KeyError, match="both_join"):
        _ = flow["both_join"]


def test_a_switch_compares_the_text_of_a_value() -> None:
    flow = Workflow("w")
    flow.switch(flow.input.kind, {"gift": [pack], True: Branch(), 3: ship}, default=pick)
    assert flow.definition().tasks == [
        step(
            "switch",
            "SWITCH",
            type="SWITCH",
            evaluator_type="value-param",
            expression="switchCaseValue",
            input_parameters={"switchCaseValue": "${workflow.input.kind}"},
            decision_cases={"gift": [step("pack")], "true": [], "3": [step("ship")]},
            default_case=[step("pick")],
        )
    ]


def test_waits_ends_and_blanks() -> None:
    flow = Workflow("w").wait(for_s=90).wait(until=datetime(2030, 1, 31, 18, tzinfo=UTC), ref="later")
    flow.wait(signal="approved").noop().terminate(
        "FAILED", reason="no stock", output={"by": flow["approved"].output.user}
    )
    assert flow.definition().tasks == [
        step("wait", "WAIT", type="WAIT", input_parameters={"duration": "90s"}),
        step("later", "WAIT", type="WAIT", input_parameters={"until": "2030-01-31 18:00 UTC"}),
        step("approved", "WAIT", type="WAIT", input_parameters={"signal": "approved"}),
        step("noop", "NOOP", type="NOOP"),
        step(
            "terminate",
            "TERMINATE",
            type="TERMINATE",
            input_parameters={
                "terminationStatus": "FAILED",
                "terminationReason": "no stock",
                "workflowOutput": {"by": "${approved.output.user}"},
            },
        ),
    ]
    assert flow.validate() == []


def test_a_branch_takes_free_names_when_it_joins_and_its_joins_follow() -> None:
    branch = Branch().then(pick).then(pick).fork([pick], [pack])
    flow = Workflow("w").then(pick).fork(["x"], branch)
    outer, join = flow.definition().tasks[1:]
    inner = outer.fork_tasks[1]
    assert refs(inner) == ["pick_2", "pick_3", "fork_2", "fork_2_join"]
    assert [refs(tasks) for tasks in inner[2].fork_tasks] == [["pick_4"], ["pack"]]
    assert inner[3].join_on == ["pick_4", "pack"]
    assert join.join_on == ["x", "fork_2_join"]
    assert flow.validate() == []


def test_an_automatic_name_gives_way_to_one_the_author_chose_in_the_branch() -> None:
    flow = Workflow("w").then(pick).fork(Branch().then(pick).then(pick, ref="pick_2"), pack)
    assert refs(flow.definition().tasks[1].fork_tasks[0]) == ["pick_3", "pick_2"]


def test_a_name_that_stands_in_a_reference_is_not_renumbered_behind_its_back() -> None:
    branch = Branch()
    picked = branch.step(pick)
    branch.then(pack, of=picked.output.id)
    with pytest.raises(DefinitionInvalid, match="pick: this reference name is used twice"):
        Workflow("w").then(pick).fork(branch, ship)


def test_a_step_of_a_branch_refers_to_the_name_it_got_when_the_branch_joined() -> None:
    branch = Branch()
    picked = branch.step(pick)
    flow = Workflow("w").then(pick).fork(branch, ship)
    assert flow.then(pack, of=picked).definition().tasks[-1].input_parameters == {"of": "${pick_2.output}"}


def test_a_definition_is_a_snapshot() -> None:
    flow = Workflow("w").then(pick)
    before = flow.definition()
    flow.then(pack).output(a=1)
    assert refs(before.tasks) == ["pick"]
    assert before.output_parameters == {}


def _used_branch() -> Branch:
    branch = Branch().then(pick)
    Workflow("other").fork(branch, pack)
    return branch


@pytest.mark.parametrize(
    ("write", "says"),
    [
        (lambda w: w.then(pick, ref="a").then(pack, ref="a"), "a: this reference name is used twice"),
        (lambda w: w.then(pick, {"x": 1}, x=2), "given twice, in the mapping and by keyword: x"),
        (lambda w: w.fork(), "at least one branch"),
        (lambda w: w.fork([pick], []), "a step in each branch"),
        (lambda w: w.then(pick).join(), "directly after fork"),
        (lambda w: w.join(), "directly after fork"),
        (lambda w: w.switch(w.input.a, {}), "at least one case"),
        (lambda w: w.switch(w.input.a, {True: pick, "true": pack}), "differ as text"),
        (lambda w: w.switch("kind", {"a": pick}), "always goes one way"),
        (lambda w: w.wait(), "exactly one of"),
        (lambda w: w.wait(for_s=1, signal="a"), "exactly one of"),
        (lambda w: w.wait(signal="a").wait(signal="a"), "a: this reference name is used twice"),
        (lambda w: w.fork(_used_branch(), pack), "a branch can be used once"),
        (lambda w: _used_branch().then(pack), "already part of a workflow"),
        (lambda w: w.graph("png"), "'png' is unknown"),
        (lambda w: Workflow("w", timeout_s=1.5), "whole number"),  # type: ignore[arg-type] # wrong on purpose
        (lambda w: Workflow("w", timeout_policy="RETRY"), "TIME_OUT_WF"),  # type: ignore[arg-type] # likewise
    ],
)
def test_what_cannot_be_meant_is_refused_where_it_is_written(write: Callable[[Workflow], object], says: str) -> None:
    with pytest.raises(InvalidRequest, match=says):
        write(Workflow("w"))


def test_an_input_that_json_cannot_say_is_refused_with_its_path() -> None:
    with pytest.raises(InvalidPayload) as caught:
        Workflow("w").then(pick, a=[object()])
    assert caught.value.path == "a[0]"


def test_problems_are_listed_and_not_raised() -> None:
    flow = Workflow("w").then(pick, a="${nobody.output}").terminate("FAILED")
    assert [problem.path.split(".")[0] for problem in flow.validate()] == ["tasks[0]"]
    assert [problem.path for problem in Workflow("empty").validate()] == ["tasks"]


def test_two_functions_with_one_name_cannot_serve_one_workflow() -> None:
    other = task(name="pick")(lambda: None)
    with pytest.raises(DefinitionInvalid, match="workflow w is not valid"):
        _ = Workflow("w").then(pick).then(other).tasks


def test_a_file_or_text_becomes_a_workflow(tmp_path: Path) -> None:
    order = Workflow("order").then(pick).output(a="ä")
    (tmp_path / "order.json").write_text(order.to_json(), encoding="utf-8")
    (tmp_path / "order.yaml").write_text(order.to_yaml(), encoding="utf-8")
    loaded = [
        Workflow.from_json(tmp_path / "order.json"),
        Workflow.from_json(str(tmp_path / "order.json")),
        Workflow.from_json(order.to_json(indent=None)),
        Workflow.from_json(order.to_json().encode()),
        Workflow.from_yaml(tmp_path / "order.yaml"),
        Workflow.from_yaml(order.to_yaml()),
    ]
    assert [workflow.definition() for workflow in loaded] == [order.definition()] * 6


def test_a_file_without_exactly_one_workflow_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "two.yaml"
    path.write_text(Workflow("a").then(pick).to_yaml() + "---\n" + Workflow("b").then(pick).to_yaml())
    with pytest.raises(InvalidRequest, match=r"two\.yaml must hold exactly one workflow; it holds a, b"):
        Workflow.from_yaml(path)
    with pytest.raises(InvalidRequest, match="it holds none"):
        Workflow.from_json('{"name": "charge", "retryCount": 1}')


def test_a_loaded_definition_goes_on_in_python_and_keeps_what_python_has_no_verb_for() -> None:
    data = {
        "name": "loop",
        "version": 4,
        "maskedFields": ["card"],
        "workflowStatusListenerSink": "kafka:done",
        "tasks": [
            {
                "name": "again",
                "taskReferenceName": "again",
                "type": "DO_WHILE",
                "loopCondition": "$.again.iteration < 3",
                "loopOver": [{"name": "pick", "taskReferenceName": "pick", "type": "SIMPLE"}],
            },
            {
                "name": "s",
                "taskReferenceName": "s",
                "type": "SUB_WORKFLOW",
                "subWorkflowParam": {"name": "x", "version": 1},
            },
        ],
    }
    flow = Workflow.from_dict(data)
    flow.then(pick, times=flow["again"].output.iteration)
    written = flow.to_dict()
    assert (written["version"], written["maskedFields"], written["workflowStatusListenerSink"]) == (
        4,
        ["card"],
        "kafka:done",
    )
    assert written["tasks"][0]["loopCondition"] == "$.again.iteration < 3"
    assert written["tasks"][1]["subWorkflowParam"]["name"] == "x"
    assert written["tasks"][2]["taskReferenceName"] == "pick_2"
    assert written["tasks"][2]["inputParameters"] == {"times": "${again.output.iteration}"}


@pytest.mark.parametrize(
    "text",
    [
        "a\x85b",
        "a\u2028 b",
        "\u2029",
        "\ufeffa",
        "ä\ta\n b",
        "2030-01-31",
        "on",
        "1e3",
        "0o17",
        "1_0",
        "=",
        "~",
        "\x00",
    ],
)
def test_yaml_brings_odd_texts_back_unchanged(text: str) -> None:
    flow = Workflow("w").then(pick, {text: text})
    assert Workflow.from_yaml(flow.to_yaml()).definition() == flow.definition()


def test_yaml_stays_readable_beyond_ascii() -> None:
    assert "Grüße" in Workflow("w").then(greet, name="Grüße").to_yaml()

"""A recorded execution, played against the code of today: the same decisions, or the differences by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from examples.dynamic_forks import dynamic_forks
from examples.forks import forks
from examples.loops import loops
from examples.scripts import scripts
from examples.sub_workflows import sub_workflows
from examples.switching import switching
from orchestrator import Branch, Retry, RetryPolicy, Script, Workflow, task, testing
from orchestrator.errors import InvalidRequest
from orchestrator.model.wire import workflow_to_dict
from orchestrator.service.transfer import export_execution


@task(retry=RetryPolicy(limit=2, delay_s=30))
def charge(amount: int) -> dict[str, int]:
    return {"id": amount}


@task(retry=RetryPolicy(limit=1, delay_s=1), timeout_s=5, timeout_policy="RETRY")
def ship(payment: int) -> str:
    return f"{payment} shipped"


def order(limit: int = 100) -> Workflow:
    flow = Workflow("order")
    flow.then(charge, amount=flow.input.amount)
    flow.inline(Script(f"$.id > {limit} ? 'dear' : 'cheap'", {"id": "${charge.output.id}"}), ref="price")
    flow.switch("${price.output.result}", {"dear": Branch().wait(signal="approved")})
    flow.fork(Branch().wait(for_s=60), Branch().sub_workflow("print", id="${charge.output.id}"))
    return flow.then(ship, payment="${charge.output.id}").set(done=True).output(said="${ship.output.result}")


label = Workflow("print").then("printer")


def record(flow: Workflow, input: dict[str, Any], **tasks: Any) -> Any:
    """An execution of ``flow`` with retries, waits, a signal and a child, as its export has it."""
    with testing.environment([charge, ship], {"printer": {"page": 1}, **tasks}) as env:
        env.client.register(label)
        handle = env.client.start_workflow(flow, input)
        env.run_until_quiet()
        if "approved" in {one.reference_task_name for one in handle.describe().tasks}:
            env.clock.advance(600)
            handle.signal("approved", {"by": "Ada"})
            env.run_until_quiet()
        return json.loads(json.dumps(env.client.run(export_execution(env.store, handle.id))))


BANK = [TimeoutError("closed"), Retry("later", after_s=7), {"id": 900}]


def test_the_same_definition_decides_the_same(tmp_path: Path) -> None:
    document = record(order(), {"amount": 900}, charge=BANK)
    assert document["workflow"]["status"] == "COMPLETED"
    replay = testing.replay(document, order()).assert_same()
    assert replay.result.output == {"said": "900 shipped"}
    then = {one["referenceTaskName"]: one["endTime"] for one in document["workflow"]["tasks"]}
    now = {one.reference_task_name: one.end_time for one in replay.result.workflow.tasks}
    assert now["approved"] == then["approved"]
    file = tmp_path / "run.json"
    file.write_text(json.dumps(document))
    testing.replay(file, order()).assert_same()
    testing.replay(str(file), others=[charge.definition(), ship.definition()]).assert_same()


def test_a_changed_decision_is_shown() -> None:
    document = record(order(), {"amount": 900})
    replay = testing.replay(document, order(limit=1000))
    assert replay.differences == [
        "price: input expression was \"$.id > 100 ? 'dear' : 'cheap'\", is \"$.id > 1000 ? 'dear' : 'cheap'\"",
        'price: output result was "dear", is "cheap"',
        'switch: output evaluationResult was ["dear"], is ["cheap"]',
        'switch: output selectedCase was "dear", is "cheap"',
        "approved was COMPLETED then and is not reached now",
    ]
    with pytest.raises(AssertionError, match=r"approved was COMPLETED then and is not reached now(.|\n)*ship"):
        replay.assert_same()


def test_a_step_that_was_added_and_an_input_that_changed_are_shown() -> None:
    document = record(Workflow("order").then(charge, amount="${workflow.input.amount}"), {"amount": 3})
    changed = Workflow("order").then(charge, amount="${workflow.input.sum}").then("mail")
    assert testing.replay(document, changed).differences == [
        "charge: input amount was 3, is null",
        "mail is SCHEDULED now and was not reached then",
        "the workflow was COMPLETED then, is RUNNING now",
        "output of the workflow id was 3, is not there",
    ]


def test_time_outs_and_failures_come_again() -> None:
    flow = Workflow("w").then(charge, amount=1).then(ship, payment=1)
    mocks = {"charge": [{"id": 1}], "ship": [testing.MockOutput(takes_s=60), ValueError("no")]}
    failed = testing.run(flow, mocks=mocks)
    assert failed.status == "FAILED"
    assert [(one.ref, one.status) for one in failed.tasks] == [
        ("charge", "COMPLETED"),
        ("ship", "TIMED_OUT"),
        ("ship", "FAILED"),
    ]
    document = workflow_to_dict(failed.workflow)
    assert testing.replay(document, flow).assert_same().result.status == "FAILED"


def test_one_that_still_runs_is_replayed_as_far_as_it_came() -> None:
    document = record(Workflow("w").then(charge, amount=1).wait(signal="go"), {})
    assert testing.replay(document).assert_same().result.status == "RUNNING"


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ({}, "holds no execution"),
        ([], "holds no execution"),
        ({"workflow": {"workflowId": "a"}}, "without its definition"),
    ],
)
def test_what_is_no_execution_is_refused(document: Any, says: str, tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    file.write_text(json.dumps(document))
    with pytest.raises(InvalidRequest, match=says):
        testing.replay(file)


RUNS: dict[str, tuple[Workflow, dict[str, Any], list[Any], list[Any]]] = {
    "switching": (switching.order, {"kind": "gift", "price": 30, "count": 5}, [], []),
    "forks": (forks.order, {"sku": "book", "amount": 12}, [], [forks.send_coupon.definition()]),
    "dynamic_forks": (
        dynamic_forks.shipping,
        {"parcels": 2, "carrier": "by_bike"},
        [dynamic_forks.plan, dynamic_forks.pick, dynamic_forks.weigh, dynamic_forks.by_bike],
        [],
    ),
    "loops": (loops.patience, {"lines": [{"sku": "book"}, {"sku": "lamp"}]}, [], []),
    "sub_workflows": (sub_workflows.mailing, {"text": "hello"}, [], [sub_workflows.letter, sub_workflows.undo]),
    "scripts": (scripts.totals, {"lines": [{"sku": "lamp", "price": 30}]}, [], []),
}


@pytest.mark.parametrize("name", RUNS)
def test_what_every_kind_of_operator_decided_is_decided_again(name: str) -> None:
    flow, given, tasks, others = RUNS[name]
    result = testing.run(flow, given, tasks, others=others)
    assert result.status in ("COMPLETED", "FAILED")
    replay = testing.replay(workflow_to_dict(result.workflow), flow, others=others).assert_same()
    assert replay.result.timeline().splitlines()[-1][:31] == result.timeline().splitlines()[-1][:31]

"""Executions as files: out with every record, in under the same or another id, and never over anything."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator import Branch, RetryPolicy, Workflow, task
from orchestrator.errors import Conflict, InvalidRequest, StoreUnavailable, WorkflowNotFound
from orchestrator.model.wire import workflow_to_dict
from orchestrator.plan import Call, Command, Plan, Step
from orchestrator.service import transfer
from orchestrator.settings import Settings
from orchestrator.store import transfer as records
from orchestrator.testing import Environment
from tests.support.served import MakeEnvironment, asked


@task(retry=RetryPolicy(limit=1, delay_s=5))
def pay(amount: int = 0) -> dict[str, int]:
    if not amount:
        raise ValueError("nothing to pay")
    return {"paid": amount}


order = Workflow("order").then(pay, amount="${workflow.input.amount}")


@pytest.fixture
def env(environment: MakeEnvironment) -> Iterator[Environment]:
    with environment([pay]) as env:
        yield env


@pytest.fixture
def other(environment: MakeEnvironment) -> Iterator[Environment]:
    """Another installation."""
    with environment([pay]) as env:
        env.client.register(pay)
        yield env


def exported(env: Environment, workflow_id: str) -> Any:
    return json.loads(json.dumps(asked(env, transfer.export_execution, workflow_id)))


def imported(env: Environment, document: Any, **options: Any) -> str:
    return asked(env, transfer.import_execution, document, **options)


def failed(env: Environment) -> str:
    handle = env.client.with_options(correlation_id="c").start_workflow(order, amount=0)
    env.run_until_quiet()
    assert handle.status() == "FAILED"
    return handle.id


def seen(env: Environment, workflow_id: str) -> Any:
    return workflow_to_dict(env.client.workflow(workflow_id).describe())


def test_an_execution_looks_the_same_in_another_installation(env: Environment, other: Environment) -> None:
    workflow_id = failed(env)
    assert imported(other, exported(env, workflow_id)) == workflow_id
    assert seen(other, workflow_id) == seen(env, workflow_id)
    for conditions in ({"status": "FAILED"}, {"name": "order"}, {"correlation_id": "c"}):
        assert [one.workflow_id for one in other.client.list_workflows(**conditions).items] == [workflow_id]  # type: ignore[arg-type]


def test_it_comes_back_under_a_new_id_beside_the_old_one(env: Environment) -> None:
    old = failed(env)
    document = exported(env, old)
    with pytest.raises(Conflict, match="import it under a new id"):
        imported(env, document)
    for new in (imported(env, document, is_new=True), imported(env, document, workflow_id="copy")):
        assert new != old
        copy = env.client.workflow(new).describe()
        assert [one.task_id.startswith(new) for one in copy.tasks] == [True, True]
        assert copy.tasks[1].retried_task_id == copy.tasks[0].task_id
        assert json.dumps(seen(env, new)).replace(new, old) == json.dumps(seen(env, old))


def test_an_imported_execution_can_be_acted_on(env: Environment, other: Environment) -> None:
    workflow_id = imported(other, exported(env, failed(env)))
    for installation in (env, other):
        installation.client.workflow(workflow_id).restart()
        installation.run_until_quiet()
    there, here = (each.client.workflow(workflow_id).describe() for each in (other, env))
    assert there.status == "FAILED"
    assert [(one.task_id, one.status) for one in there.tasks] == [(one.task_id, one.status) for one in here.tasks]
    assert there.tasks[-1].end_time == other.clock.now_ms()


def test_a_wide_one_is_staged_in_pieces(env: Environment, other: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "_PIECE_BYTES_MAX", 2_000)
    flow = Workflow("wide").fork(*[Branch().then(pay, amount=number + 1) for number in range(60)])
    handle = env.client.start_workflow(flow)
    env.run_until_quiet()
    workflow_id = imported(other, exported(env, handle.id))
    assert seen(other, workflow_id) == seen(env, handle.id)
    assert other.run(_ttl(other.store.keys.workflow(0, workflow_id))) == -1


def test_records_that_are_lost_on_their_way_are_noticed(env: Environment, other: Environment) -> None:
    document = exported(env, failed(env))
    plan = transfer.import_execution(other.store, document)
    step = next(plan)
    while not (isinstance(step, Call) and step.script == "import_workflow"):
        step = plan.send(other.run(_done(step)))
    other.run(_done(Command(("DEL", step.keys[3]))))
    with pytest.raises(StoreUnavailable, match="repeat the import"):
        plan.send(other.run(_done(step)))
    assert imported(other, document) == document["workflow"]["workflowId"]


def _done(step: Step) -> Plan[Any]:
    return (yield step)


def _ttl(key: str) -> Plan[int]:
    left: int = yield Command(("PTTL", key))
    return left


def test_payloads_outside_redis_travel_along(environment: MakeEnvironment, other: Environment, tmp_path: Path) -> None:
    def storage(name: str) -> Settings:
        return Settings(partitions=1, payload_storage=f"file://{tmp_path / name}", payload_threshold_bytes=300)

    flow = Workflow("w").then("large", text="${workflow.input.text}").set(text="${large.output.text}")
    with environment(fakes={"large": lambda text: {"text": text * 2}}, settings=storage("a")) as env:
        handle = env.client.start_workflow(flow, text="x" * 500)
        env.drain()
        document, then = exported(env, handle.id), seen(env, handle.id)
    assert then["tasks"][0]["outputData"] == {"text": "x" * 1000}
    assert then["tasks"][0]["externalOutputPayloadStoragePath"]
    imported(other, document)  # which keeps everything in Redis
    assert seen(other, handle.id)["tasks"][0]["outputData"] == {"text": "x" * 1000}
    assert "externalOutputPayloadStoragePath" not in seen(other, handle.id)["tasks"][0]
    with environment(settings=storage("b")) as third:
        imported(third, document)
        assert seen(third, handle.id) == then
        assert [path.parent.name for path in (tmp_path / "b").rglob("*") if path.is_file()]


def test_one_that_goes_on_is_exported_but_not_imported(env: Environment, other: Environment) -> None:
    handle = env.client.start_workflow(Workflow("w").wait(signal="go"))
    document = exported(env, handle.id)
    assert document["workflow"]["status"] == "RUNNING"
    with pytest.raises(InvalidRequest, match="was RUNNING when it was exported"):
        imported(other, document)
    with pytest.raises(WorkflowNotFound):
        exported(env, "gone")


def test_one_that_is_too_large_is_refused(env: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    workflow_id = failed(env)
    document = exported(env, workflow_id)
    monkeypatch.setattr(records, "RECORDS_MAX", 1)
    with pytest.raises(InvalidRequest, match="too large"):
        exported(env, workflow_id)
    with pytest.raises(InvalidRequest, match="too large"):
        imported(env, document, is_new=True)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda d: d.update(format="x"), "no exported execution"),
        (lambda d: d.update(formatVersion=2), "format version 2"),
        (lambda d: d.pop("records"), "cannot be read"),
        (lambda d: d["records"].update(fields=[]), "cannot be read"),
        (lambda d: d["records"]["fields"].update(c="not base64"), "cannot be read"),
        (lambda d: d["records"]["fields"].update(c="AAAA"), "cannot be read"),
        (lambda d: d["records"]["fields"].pop("c"), "had not begun"),
        (lambda d: d["records"]["tasks"].update(Spay="AAAA"), "cannot be read"),
        (lambda d: d["records"]["tasks"].update(q="AAAA"), "'q' in the records of this export"),
        (lambda d: d["records"]["fields"].update(Spay="AAAA"), "'Spay' in the records of this export"),
    ],
)
def test_a_spoiled_document_is_refused_and_leaves_nothing(env: Environment, spoil: Any, says: str) -> None:
    document = exported(env, failed(env))
    spoil(document)
    with pytest.raises(InvalidRequest, match=says):
        imported(env, document, is_new=True)
    assert env.client.list_workflows().total == 1

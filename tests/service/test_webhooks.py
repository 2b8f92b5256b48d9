"""Webhooks from end to end: deliveries end the tasks that await them and start workflows, each once, whatever dies."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from orchestrator.codec import pack
from orchestrator.errors import DefinitionInvalid, MissingExtra, NotFound, Unauthorized
from orchestrator.model.definitions import IdempotencyStrategy, WorkflowTask
from orchestrator.model.webhooks import Verifier, Webhook
from orchestrator.plan import Command, Plan
from orchestrator.service import secrets, webhook_deliveries, webhooks, why
from orchestrator.settings import Settings
from orchestrator.testing import Environment
from tests.support.build import noop, step, workflow_def


def awaiting(ref: str, **matches: Any) -> WorkflowTask:
    return step("WAIT_FOR_WEBHOOK", ref, {"matches": {f"$.{name}": value for name, value in matches.items()}})


TWICE = workflow_def(awaiting("one", order="${workflow.input.id}"), awaiting("two", order="${workflow.input.id}"))
NEW = workflow_def(noop("n"), name="new")


@pytest.fixture
def env() -> Iterator[Environment]:
    with Environment(settings=Settings(secret_values={"TOKEN": "s3cret"}, secrets_key=secrets.new_key())) as env:
        env.client.register(TWICE, NEW)
        yield env


def hook(env: Environment, **fields: Any) -> str:
    webhook = Webhook(
        name="bank", verifier=Verifier.HEADER_BASED, headers={"X-Token": "${workflow.secrets.TOKEN}"}, **fields
    )
    kept: Webhook = env.client.run(webhooks.put(env.store, webhook))
    assert kept.id is not None
    return kept.id


def deliver(env: Environment, webhook_id: str, event: Any, delivery_id: str = "", token: str = "s3cret") -> str:
    headers = {"x-token": token, "webhook-id": delivery_id}
    body = json.dumps(event).encode()
    return env.client.run(webhooks.receive(env.store, webhook_id, headers, body, env.clock.now_ms())).delivery_id


def indexed(env: Environment) -> int:
    """How many tasks the indexes say to await an event."""

    def count() -> Plan[int]:
        keys = env.store.keys
        sizes = yield [Command(("ZCARD", keys.awaiting_webhook(n, "flow"))) for n in range(keys.partitions)]
        return sum(sizes)

    return env.client.run(count())


def statuses(env: Environment, workflow_id: str) -> dict[str, str]:
    return {task.reference_task_name: str(task.status) for task in env.client.workflow(workflow_id).describe().tasks}


def test_a_delivery_ends_the_tasks_that_await_its_values_and_no_others(env: Environment) -> None:
    bank = hook(env, receiver_workflow_names_to_versions={"flow": 1})
    seven = [env.client.start_workflow("flow", id="7") for _ in range(3)]
    eight = env.client.start_workflow("flow", id="8")
    env.drain()
    assert indexed(env) == 4
    deliver(env, bank, {"order": "7", "sum": 3})
    env.drain()
    for handle in seven:
        assert statuses(env, handle.id) == {"one": "COMPLETED", "two": "IN_PROGRESS"}
        assert handle.describe().task("one").output_data == {"order": "7", "sum": 3}
    assert statuses(env, eight.id) == {"one": "IN_PROGRESS"}
    (told,) = env.client.run(webhooks.deliveries(env.store, bank))
    assert (told.status, told.task_count, len(told.task_ids)) == ("COMPLETED", 3, 3)


FOR_ORDER = {"new": 1, "idempotencyKey": "order-${workflow.input.order}"}


@pytest.mark.parametrize("strategy", [{}, *({"idempotencyStrategy": str(one)} for one in IdempotencyStrategy)])
def test_what_is_told_twice_under_different_ids_is_started_once_by_its_key(
    env: Environment, strategy: dict[str, str]
) -> None:
    env.client.register(workflow_def(step("HUMAN", "h"), name="new"))
    bank = hook(env, workflows_to_start=FOR_ORDER | strategy)
    for delivery_id, order in (("d-1", 7), ("d-2", 7), ("d-3", 8)):
        deliver(env, bank, {"order": order}, delivery_id)
        env.drain()
    told = {one.delivery_id: one for one in env.client.webhook_deliveries(bank)}
    assert env.client.search("workflowType = new").total == 2
    first = env.client.workflow(told["d-1"].workflow_ids[0]).describe()
    assert (first.idempotency_key, first.input) == ("order-7", {"order": 7})
    if "RETURN_EXISTING" in strategy.values():
        assert told["d-2"].workflow_ids == told["d-1"].workflow_ids
    else:
        assert (told["d-2"].workflow_ids, "idempotency key 'order-7'" in str(told["d-2"].reason)) == ([], True)


def test_a_key_that_the_delivery_does_not_fill_keeps_nothing_from_starting(env: Environment) -> None:
    bank = hook(env, workflows_to_start={"new": 1, "idempotencyKey": "${workflow.input.order}"})
    for delivery_id in ("d-1", "d-2"):
        deliver(env, bank, {"other": 1}, delivery_id)
    env.drain()
    assert env.client.search("workflowType = new").total == 2


@pytest.mark.parametrize("receivers", [{"other": 1}, {"flow": 2}, {}])
def test_only_the_workflows_and_versions_of_a_webhook_hear_of_it(env: Environment, receivers: dict[str, int]) -> None:
    bank = hook(env, receiver_workflow_names_to_versions=receivers)
    handle = env.client.start_workflow("flow", id="7")
    env.drain()
    deliver(env, bank, {"order": "7"})
    env.drain()
    assert statuses(env, handle.id) == {"one": "IN_PROGRESS"}


def test_a_null_version_means_any(env: Environment) -> None:
    bank = hook(env, receiver_workflow_names_to_versions={"flow": None})
    handle = env.client.start_workflow("flow", id="7")
    env.drain()
    deliver(env, bank, {"order": "7"})
    env.drain()
    assert statuses(env, handle.id)["one"] == "COMPLETED"


def test_the_same_delivery_has_one_effect(env: Environment) -> None:
    bank = hook(env, receiver_workflow_names_to_versions={"flow": 1}, workflows_to_start={"new": 1})
    handle = env.client.start_workflow("flow", id="7")
    env.drain()
    for _ in range(2):
        assert deliver(env, bank, {"order": "7"}, "d-1") == deliver(env, bank, {"order": "7"}, "d-1") == "d-1"
        env.drain()
    assert statuses(env, handle.id) == {"one": "COMPLETED", "two": "IN_PROGRESS"}
    (told,) = env.client.run(webhooks.deliveries(env.store, bank))
    assert len(told.workflow_ids) == 1
    assert env.client.workflow(told.workflow_ids[0]).describe().input == {"order": "7"}
    deliver(env, bank, {"order": "7"}, "d-2")
    env.drain()
    assert statuses(env, handle.id) == {"one": "COMPLETED", "two": "COMPLETED"}


@pytest.mark.parametrize("starts", [{"new": 1}, FOR_ORDER], ids=["", "key"])
def test_whoever_dies_while_carrying_a_delivery_out_it_has_one_effect(env: Environment, starts: dict[str, Any]) -> None:
    bank = hook(env, receiver_workflow_names_to_versions={"flow": 1}, workflows_to_start=starts)
    for steps in range(1, 40):
        handle = env.client.start_workflow("flow", id=str(steps))
        env.drain()
        packed = pack({"webhook": bank, "delivery": f"d-{steps}", "event": {"order": str(steps)}})
        is_cut = env.client.run(_cut(webhook_deliveries.deliver(env.store, packed, env.clock.now_ms()), steps))
        env.drain()  # the flow goes on and awaits the like again
        assert env.client.run(webhook_deliveries.deliver(env.store, packed, env.clock.now_ms())) == ""
        env.drain()
        assert statuses(env, handle.id) == {"one": "COMPLETED", "two": "IN_PROGRESS"}
        told = next(d for d in env.client.run(webhooks.deliveries(env.store, bank)) if d.delivery_id == f"d-{steps}")
        assert (told.status, told.task_count, len(told.workflow_ids)) == ("COMPLETED", 1, 1)
        if not is_cut:
            break
    else:
        pytest.fail("the plan never came to its end")
    assert env.client.search("workflowType = new").total == steps


def _cut(plan: Plan[Any], steps: int) -> Plan[bool]:
    """The first steps of a plan, whose process dies then; gives whether there were more."""
    reply = None
    for _ in range(steps):
        try:
            asked = plan.send(reply)
        except StopIteration:
            return False
        reply = yield asked
    plan.close()
    return True


def test_a_task_that_ends_otherwise_is_found_no_more(env: Environment) -> None:
    handles = [env.client.start_workflow("flow", id="7") for _ in range(3)]
    env.drain()
    assert indexed(env) == 3
    handles[0].terminate("enough")
    handles[1].update_task("one", output={"by": "hand"})
    env.drain()
    assert indexed(env) == 2  # of the second one the next task, and the third
    handles[2].pause()
    handles[2].terminate("enough")
    handles[1].terminate("enough")
    env.drain()
    assert indexed(env) == 0
    handles[1].retry()
    env.drain()
    assert indexed(env) == 1


def test_a_workflow_that_is_removed_while_it_waits_is_found_no_more(env: Environment) -> None:
    handles = [env.client.start_workflow("flow", id="7") for _ in range(3)]
    handles[1].pause()
    env.drain()
    handles[1].update_task("one")
    handles[0].remove(force=True)
    handles[1].remove(force=True)
    assert indexed(env) == 1


def test_a_workflow_that_cannot_be_started_is_said_in_the_log(env: Environment) -> None:
    bank = hook(env, workflows_to_start={"nowhere": 1, "new": None})
    deliver(env, bank, ["no", "object"])
    env.drain()
    (told,) = env.client.run(webhooks.deliveries(env.store, bank))
    assert "nowhere was not started" in (told.reason or "")
    assert env.client.workflow(told.workflow_ids[0]).describe().input == {"body": ["no", "object"]}


def test_a_delivery_that_proves_nothing_is_kept_as_rejected(env: Environment) -> None:
    bank = hook(env, workflows_to_start={"new": 1})
    with pytest.raises(Unauthorized, match="missing or wrong"):
        deliver(env, bank, {}, token="guess")
    env.drain()
    (told,) = env.client.run(webhooks.deliveries(env.store, bank))
    assert (told.status, told.workflow_ids) == ("REJECTED", [])
    with pytest.raises(NotFound):
        deliver(env, "nobody", {})


def test_a_secret_in_clear_is_kept_encrypted_and_goes_with_its_webhook(env: Environment) -> None:
    webhook = Webhook(name="hub", verifier=Verifier.SIGNATURE_BASED, secret_value="clear")
    kept: Webhook = env.client.run(webhooks.put(env.store, webhook))
    assert kept.secret_value == f"${{workflow.secrets.webhook-{kept.id}}}"
    assert env.client.run(secrets.value(env.store, f"webhook-{kept.id}")) == "clear"
    env.client.run(webhooks.put(env.store, kept))
    assert env.client.run(secrets.value(env.store, f"webhook-{kept.id}")) == "clear"
    env.client.run(webhooks.delete(env.store, str(kept.id)))
    assert f"webhook-{kept.id}" not in env.client.run(secrets.names(env.store))


def test_a_header_that_is_added_leaves_the_secret_of_the_others_alone(env: Environment) -> None:
    webhook = Webhook(name="w", verifier=Verifier.HEADER_BASED, headers={"X-Token": "old"})
    kept: Webhook = env.client.run(webhooks.put(env.store, webhook))
    kept.headers["A-Token"] = "new"
    env.client.run(webhooks.put(env.store, kept))
    headers = {"x-token": "old", "a-token": "new"}
    assert env.client.run(webhooks.receive(env.store, str(kept.id), headers, b"{}", 0)).answer == ""


def test_what_is_wrong_with_a_definition_is_said_at_once(env: Environment) -> None:
    to_start = {"new": "x", "idempotencyKey": 7, "idempotencyStrategy": "GUESS"}
    webhook = Webhook(name=" ", verifier=Verifier.STRIPE, workflows_to_start=to_start)
    with pytest.raises(DefinitionInvalid) as caught:
        env.client.run(webhooks.put(env.store, webhook))
    assert {one.path for one in caught.value.problems} == {
        "name",
        "secretValue",
        *(f"workflowsToStart.{name}" for name in to_start),
    }


def test_a_key_of_sendgrid_that_is_none_is_said_when_the_webhook_is_stored(env: Environment) -> None:
    for key, value in (("AAAA", None), (None, "AAAA")):
        with pytest.raises(DefinitionInvalid) as caught:
            env.client.save_webhook(
                Webhook(name="mail", verifier=Verifier.SENDGRID, secret_key=key, secret_value=value)
            )
        assert [one.path for one in caught.value.problems] == ["secretKey" if key else "secretValue"]
    with pytest.raises(DefinitionInvalid, match="verification key"):
        env.client.save_webhook(Webhook(name="mail", verifier=Verifier.SENDGRID))
    reference = "${workflow.secrets.TOKEN}"
    kept = env.client.save_webhook(Webhook(name="mail", verifier=Verifier.SENDGRID, secret_value=reference))
    assert kept.secret_value == reference


def test_without_its_package_a_webhook_of_sendgrid_says_what_to_install(
    env: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    with pytest.raises(MissingExtra, match=r"pip install 'redis-orchestrator\[secrets\]'"):
        env.client.save_webhook(
            Webhook(name="mail", verifier=Verifier.SENDGRID, secret_value="${workflow.secrets.TOKEN}")
        )
    assert env.client.webhooks() == []


def test_a_delivery_of_twitter_that_is_repeated_by_whoever_overheard_it_has_one_effect(env: Environment) -> None:
    webhook = Webhook(
        name="x", verifier=Verifier.TWITTER, secret_value="${workflow.secrets.TOKEN}", workflows_to_start={"new": 1}
    )
    hooked = str(env.client.save_webhook(webhook).id)
    body = b'{"for_user_id": "7"}'
    signed = base64.b64encode(hmac.new(b"s3cret", body, hashlib.sha256).digest()).decode()
    for forged_id in ("one", "two"):
        headers = {"x-twitter-webhooks-signature": f"sha256={signed}", "webhook-id": forged_id}
        env.client.run(webhooks.receive(env.store, hooked, headers, body, env.clock.now_ms()))
        env.drain()
    assert env.client.search("workflowType = new").total == 1


def test_what_a_delivery_asks_does_not_depend_on_how_many_executions_wait(env: Environment) -> None:
    bank = hook(env, receiver_workflow_names_to_versions={"flow": 1})

    def asked(delivery_id: str) -> int:
        packed = pack({"webhook": bank, "delivery": delivery_id, "event": {"order": "7"}})
        return env.client.run(_counted(webhook_deliveries.deliver(env.store, packed, env.clock.now_ms())))

    sizes = []
    for count in (1, 60):
        for number in range(count):
            env.client.start_workflow("flow", id=f"{count}-{number}")
        env.drain()
        sizes.append(asked(f"d-{count}"))
    assert indexed(env) == 61
    # One range is asked of each partition in which anybody waits, so at most once more per partition.
    assert 0 <= sizes[1] - sizes[0] <= env.store.keys.partitions


def _counted(plan: Plan[Any]) -> Plan[int]:
    """How many commands and scripts a plan asks for."""
    count, reply = 0, None
    while True:
        try:
            asked = plan.send(reply)
        except StopIteration:
            return count
        count += len(asked) if isinstance(asked, list) else 1
        reply = yield asked


def test_why_a_workflow_does_not_go_on_names_the_event(env: Environment) -> None:
    handle = env.client.start_workflow("flow", id="7")
    env.drain()
    (reason,) = env.client.run(why.why(env.store, handle.id)).reasons
    assert (reason.kind, reason.facts) == ("WEBHOOK", {"matches": {"$.order": "7"}})

"""Secrets, environment values and masks: who gets the value, and that nobody else ever sees it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator import TaskContext, Workflow, task
from orchestrator.errors import InvalidRequest, NotFound, SettingsInvalid, WorkflowFailed
from orchestrator.model.definitions import WorkflowDef
from orchestrator.plan import Command, Plan
from orchestrator.service import secrets, tasks
from orchestrator.settings import Settings, load_settings
from orchestrator.testing import Environment
from tests.support.build import simple, workflow_def
from tests.support.served import MakeEnvironment, asked

KEY = secrets.new_key()
TOKEN = "tok-1234567890"
got: list[Any] = []


@task
def call(input: dict[str, Any]) -> dict[str, Any]:
    got.append(input)
    return {"seen": len(str(input))}


@task(runtime_metadata=["STRIPE", "REGION", "NOWHERE"])
def charge(context: TaskContext) -> str:
    got.append(dict(context.runtime_metadata))
    context.log(f"calling with {context.runtime_metadata['STRIPE']}")
    raise TypeError(f"401 for {context.runtime_metadata['STRIPE']}")


@pytest.fixture
def env(environment: MakeEnvironment, tmp_path: Path) -> Iterator[Environment]:
    """An installation with a secret in the environment, one in a file and a key for those in Redis."""
    got.clear()
    (tmp_path / "DATABASE").write_text('{"user": "ada", "password": "pass-in-file"}\n')
    settings = Settings(
        partitions=1, secret_values={"STRIPE": TOKEN}, secrets_dir=str(tmp_path), secrets_key=KEY, env_values={"STAGE": "test"}
    )  # fmt: skip
    with environment([call, charge]) as plain, environment([call, charge], settings=settings) as env:
        assert plain.store.settings.secret_values == {}
        yield env


def everything(env: Environment) -> bytes:
    """All that Redis holds, as one text."""
    keys: list[bytes] = env.run(one(Command(("KEYS", "*"))))
    dump = b""
    for key in keys:
        kind: bytes = env.run(one(Command(("TYPE", key))))
        read = {b"hash": ("HGETALL", key), b"stream": ("XRANGE", key, "-", "+"), b"string": ("GET", key)}.get(kind)
        if read is not None:
            dump += repr(env.run(one(Command(read)))).encode()
    return dump


def one(command: Command) -> Plan[Any]:
    return (yield command)


def test_a_task_gets_the_value_and_nothing_that_is_stored_holds_it(env: Environment) -> None:
    asked(env, secrets.put, "REDIS_KEPT", "kept-in-redis")
    flow = Workflow("flow").then(
        call,
        token="${workflow.secrets.STRIPE}",
        header="Bearer ${workflow.secrets.STRIPE}",
        password="${workflow.secrets.DATABASE.password}",
        deep=[{"kept": "${workflow.secrets.REDIS_KEPT}"}],
    )
    handle = env.client.start_workflow(flow)
    handle.result()
    assert got == [
        {"token": TOKEN, "header": f"Bearer {TOKEN}", "password": "pass-in-file", "deep": [{"kept": "kept-in-redis"}]}
    ]
    assert handle.describe().task("call").input_data["header"] == "Bearer ${workflow.secrets.STRIPE}"
    stored = everything(env)
    assert [text for text in (TOKEN, "pass-in-file", "kept-in-redis") if text.encode() in stored] == []


def test_text_that_arrives_as_data_is_never_resolved(env: Environment) -> None:
    thief = Workflow("thief").then(call, text="${workflow.input.text}", own="${workflow.secrets.DATABASE.user}")
    env.client.execute_workflow(thief, text="${workflow.secrets.STRIPE}")
    assert got == [{"text": "${workflow.secrets.STRIPE}", "own": "ada"}]


def test_an_escaped_reference_stays_text(env: Environment) -> None:
    env.client.execute_workflow(Workflow("escaped").then(call, text="$${workflow.secrets.STRIPE}"))
    assert got == [{"text": "${workflow.secrets.STRIPE}"}]


def test_a_child_gets_the_reference_and_its_tasks_the_value(env: Environment) -> None:
    env.client.register(Workflow("child").then(call, token="${workflow.input.token}"))
    parent = Workflow("parent").sub_workflow("child", token="${workflow.secrets.STRIPE}")
    handle = env.client.start_workflow(parent)
    handle.result()
    assert got == [{"token": TOKEN}]
    assert TOKEN.encode() not in everything(env)


def test_a_secret_that_nobody_knows_fails_the_attempt_and_says_what_to_do(env: Environment) -> None:
    handle = env.client.start_workflow(Workflow("flow").then(call, token="${workflow.secrets.NOBODY}"))
    env.run_worker_once()
    first = handle.describe().tasks[0]
    assert (first.status, got) == ("FAILED", [])
    assert "orchestrator secret set NOBODY" in (first.reason_for_incompletion or "")
    asked(env, secrets.put, "NOBODY", "now it is here")
    assert handle.result()
    assert got == [{"token": "now it is here"}]


def test_a_secret_in_redis_needs_the_key_it_was_stored_with(env: Environment) -> None:
    asked(env, secrets.put, "KEPT", "value")
    for key, reason in (
        ("", "secrets_key is not set"),
        (secrets.new_key(), "is not the key"),
        ("short", "is not a key"),
    ):
        object.__setattr__(env.store.settings, "secrets_key", key)
        values, locked = env.run(secrets.read(env.store, ["KEPT"]))
        assert (values, reason in locked["KEPT"]) == ({}, True)
    with pytest.raises(SettingsInvalid, match="secret key"):
        asked(env, secrets.put, "KEPT", "value")


def test_a_stored_secret_cannot_be_passed_off_as_another(env: Environment) -> None:
    asked(env, secrets.put, "ONE", "value")
    key = env.store.keys.secrets()
    sealed = env.run(one(Command(("HGET", key, "ONE"))))
    env.run(one(Command(("HSET", key, "OTHER", sealed))))
    values, locked = env.run(secrets.read(env.store, ["ONE", "OTHER"]))
    assert (values, list(locked)) == ({"ONE": "value"}, ["OTHER"])


def test_names_are_listed_with_their_source_and_deleted(env: Environment) -> None:
    asked(env, secrets.put, "KEPT", "value")
    listed = {"DATABASE": "file", "KEPT": "redis", "STRIPE": "environment"}
    assert asked(env, secrets.names) == listed
    asked(env, secrets.delete, "KEPT")
    with pytest.raises(NotFound, match="no secret KEPT"):
        asked(env, secrets.delete, "KEPT")
    with pytest.raises(InvalidRequest, match="no name"):
        asked(env, secrets.put, "../etc", "value")


def test_runtime_metadata_is_handed_over_and_struck_out_of_what_is_told(
    env: Environment, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    asked(env, secrets.put_environment, "REGION", "eu")
    handle = env.client.start_workflow(Workflow("paying").then(charge))
    env.run_worker_once()
    assert got == [{"STRIPE": TOKEN, "REGION": "eu"}]
    found = handle.describe().tasks[0]
    assert found.reason_for_incompletion == "TypeError: 401 for ***"
    assert "calling with ***" in str(asked(env, tasks.logs, found.task_id))
    assert TOKEN.encode() not in everything(env)
    assert TOKEN not in caplog.text


def test_environment_values_are_allow_listed_or_stored_and_stored_ones_win(env: Environment) -> None:
    flow = Workflow("flow").then(
        call, stage="${workflow.env.STAGE}", path="${workflow.env.PATH}", x="${workflow.env.J.a}"
    )
    asked(env, secrets.put_environment, "J", '{"a": [1]}')
    env.client.execute_workflow(flow)
    asked(env, secrets.put_environment, "STAGE", "live")
    env.client.execute_workflow(flow)
    assert got == [{"stage": "test", "path": None, "x": [1]}, {"stage": "live", "path": None, "x": [1]}]
    asked(env, secrets.delete_environment, "STAGE")
    assert asked(env, secrets.environment_values) == {"STAGE": "test", "J": '{"a": [1]}'}
    with pytest.raises(NotFound):
        asked(env, secrets.delete_environment, "STAGE")


def test_settings_take_allow_listed_variables_and_prefixed_secrets_and_never_show_them(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{KEY}\n")
    settings = load_settings(
        {
            "ORCHESTRATOR_ENV_NAMES": "STAGE, REGION",
            "STAGE": "test",
            "PATH": "/bin",
            "ORCHESTRATOR_SECRET_STRIPE": TOKEN,
            "ORCHESTRATOR_SECRETS_KEY_FILE": str(tmp_path / "key"),
        }
    )
    assert settings.env_values == {"STAGE": "test"}
    assert settings.secret_values == {"STRIPE": TOKEN}
    assert settings.secrets_key == KEY
    assert TOKEN not in repr(settings)
    assert KEY not in repr(settings)


def test_masked_fields_are_hidden_from_who_looks_and_from_nobody_else(env: Environment) -> None:
    definition: WorkflowDef = workflow_def(
        simple("call", {"card": "${workflow.input.card}", "owner": {"pin": 1234, "name": "${workflow.input.name}"}}),
        name="paying",
        variables={"card": "4111"},
        output_parameters={"card": "${workflow.input.card}", "pin": "1", "none": None},
        masked_fields=["card", "owner.pin"],
    )
    handle = env.client.start_workflow(definition, card="4111", name="Ada")
    assert handle.result() == {"card": "4111", "pin": "1", "none": None}
    assert got == [{"card": "4111", "owner": {"pin": 1234, "name": "Ada"}}]
    shown = handle.describe()
    assert shown.input == {"card": "***", "name": "Ada"}
    assert shown.output == {"card": "***", "pin": "1", "none": None}
    assert shown.variables == {"card": "***"}
    assert shown.task("call").input_data == {"card": "***", "owner": {"pin": "***", "name": "Ada"}}


def test_a_failure_workflow_hides_what_the_failed_one_hides_and_its_tasks_get_it(env: Environment) -> None:
    refunding = workflow_def(
        simple("call", {"card": "${workflow.input.card}", "before": "${workflow.input.failedWorkflow.input}"}),
        name="refunding",
        masked_fields=["reason"],
    )
    env.client.register(refunding)
    paying = workflow_def(
        simple("charge", {"card": "${workflow.input.card}"}, retry_count=0),
        name="paying",
        failure_workflow="refunding",
        masked_fields=["card"],
    )
    failed = env.client.start_workflow(paying, card="4111", name="Ada")
    with pytest.raises(WorkflowFailed):
        failed.result()
    rescue = env.client.workflow(failed.describe().output["conductor.failure_workflow"])
    rescue.result()
    assert got[-1] == {"card": "4111", "before": {"card": "4111", "name": "Ada"}}
    shown = rescue.describe()
    assert (shown.input["card"], shown.input["name"], shown.input["reason"]) == ("***", "Ada", "***")
    assert shown.input["failedWorkflow"]["input"] == {"card": "***", "name": "Ada"}
    assert shown.task("call").input_data == {"card": "***", "before": {"card": "***", "name": "Ada"}}
    assert "4111" not in repr(shown)

"""The catalog: definitions of workflows and tasks, and their revisions."""

from __future__ import annotations

import pytest

from orchestrator.errors import StoreRefused
from orchestrator.plan import Call, Command
from orchestrator.store.catalog import (
    PutTaskDefinition,
    Registered,
    TaskDefinition,
    WorkflowDefinition,
    delete_task_definition,
    delete_workflow,
    get_task_definition,
    get_workflow,
    list_task_definitions,
    list_workflows,
    put_task_definition,
    register_workflow,
    task_definitions_since,
    workflow_versions,
)
from orchestrator.store.executors import SyncExecutor
from orchestrator.store.installation import check_installation, decider_beat
from orchestrator.store.keys import Keys
from tests.store.queue_story import run_call, snapshot

# --- workflow definitions ---------------------------------------------------------------------------------------------


def test_a_registered_version_is_read_back_byte_for_byte(store: SyncExecutor, keys: Keys) -> None:
    body = b'{"n": 9007199254740993, "x": [], "y": 1.10}'
    assert store.do(register_workflow(keys, "order", 1, body)) == Registered.OK
    assert store.do(get_workflow(keys, "order", 1)) == WorkflowDefinition(1, body)


def test_the_latest_is_the_highest_version_in_whatever_order_they_came(store: SyncExecutor, keys: Keys) -> None:
    for version in (2, 10, 9):
        store.do(register_workflow(keys, "order", version, b"v%d" % version))
    assert store.do(get_workflow(keys, "order")) == WorkflowDefinition(10, b"v10")
    assert store.do(list_workflows(keys)) == {"order": 10}
    assert store.do(workflow_versions(keys, "order")) == [
        WorkflowDefinition(2, b"v2"),
        WorkflowDefinition(9, b"v9"),
        WorkflowDefinition(10, b"v10"),
    ]


def test_the_same_text_may_be_registered_again(store: SyncExecutor, keys: Keys) -> None:
    store.do(register_workflow(keys, "order", 1, b"one"))
    before = snapshot(store)
    assert store.do(register_workflow(keys, "order", 1, b"one")) == Registered.SAME
    assert snapshot(store) == before


def test_another_text_replaces_a_version_only_when_told_to(store: SyncExecutor, keys: Keys) -> None:
    store.do(register_workflow(keys, "order", 1, b"one"))
    before = snapshot(store)
    assert store.do(register_workflow(keys, "order", 1, b"other")) == Registered.EXISTS
    assert snapshot(store) == before
    assert store.do(register_workflow(keys, "order", 1, b"other", overwrite=True)) == Registered.OK
    assert store.do(get_workflow(keys, "order")) == WorkflowDefinition(1, b"other")


@pytest.mark.parametrize("version", [None, 2])
def test_what_is_not_registered_reads_as_nothing(store: SyncExecutor, keys: Keys, version: int | None) -> None:
    store.do(register_workflow(keys, "other", 1, b"one"))
    assert store.do(get_workflow(keys, "order", version)) is None
    assert store.do(workflow_versions(keys, "order")) == []


def test_deleting_the_latest_version_makes_the_next_lower_one_the_latest(store: SyncExecutor, keys: Keys) -> None:
    for version in (2, 9, 10):
        store.do(register_workflow(keys, "order", version, b"v%d" % version))
    assert store.do(delete_workflow(keys, "order", 10))
    assert store.do(get_workflow(keys, "order")) == WorkflowDefinition(9, b"v9")
    assert store.do(delete_workflow(keys, "order", 2))
    assert store.do(list_workflows(keys)) == {"order": 9}


def test_deleting_the_last_version_forgets_the_name(store: SyncExecutor, keys: Keys) -> None:
    store.do(register_workflow(keys, "order", 1, b"one"))
    assert store.do(delete_workflow(keys, "order", 1))
    assert not store.do(delete_workflow(keys, "order", 1))
    assert snapshot(store) == {}


# --- task definitions -------------------------------------------------------------------------------------------------


def test_every_change_of_a_task_definition_has_a_higher_revision(store: SyncExecutor, keys: Keys) -> None:
    assert store.do(put_task_definition(keys, "charge", b"one")) == PutTaskDefinition(Registered.OK, 1)
    assert store.do(put_task_definition(keys, "ship", b"s")) == PutTaskDefinition(Registered.OK, 2)
    assert store.do(put_task_definition(keys, "charge", b"two")) == PutTaskDefinition(Registered.OK, 3)
    assert store.do(get_task_definition(keys, "charge")) == b"two"
    assert store.do(list_task_definitions(keys)) == {"charge": b"two", "ship": b"s"}


@pytest.mark.parametrize("only_if_absent", [True, False])
def test_the_same_task_definition_keeps_its_revision(store: SyncExecutor, keys: Keys, only_if_absent: bool) -> None:
    store.do(put_task_definition(keys, "charge", b"one"))
    before = snapshot(store)
    again = put_task_definition(keys, "charge", b"one", only_if_absent=only_if_absent)
    assert store.do(again) == PutTaskDefinition(Registered.SAME, 1)
    assert snapshot(store) == before


def test_a_starting_worker_does_not_replace_a_task_definition_but_sees_it(store: SyncExecutor, keys: Keys) -> None:
    store.do(put_task_definition(keys, "charge", b"one", only_if_absent=True))
    before = snapshot(store)
    other = put_task_definition(keys, "charge", b"two", only_if_absent=True)
    assert store.do(other) == PutTaskDefinition(Registered.EXISTS, 1, b"one")
    assert snapshot(store) == before


def test_readers_learn_what_changed_since_their_revision_in_order(store: SyncExecutor, keys: Keys) -> None:
    for name in ("charge", "ship", "mail"):
        store.do(put_task_definition(keys, name, name.encode()))
    store.do(put_task_definition(keys, "charge", b"new"))
    changes = [
        TaskDefinition("ship", 2, b"ship"),
        TaskDefinition("mail", 3, b"mail"),
        TaskDefinition("charge", 4, b"new"),
    ]
    for revision, expected in ((0, changes), (2, changes[1:]), (3, changes[2:]), (4, [])):
        assert store.do(task_definitions_since(keys, revision)) == expected
    assert store.do(task_definitions_since(keys, 0, limit=2)) == changes[:2]


def test_readers_learn_of_a_deleted_task_definition(store: SyncExecutor, keys: Keys) -> None:
    store.do(put_task_definition(keys, "charge", b"one"))
    assert store.do(delete_task_definition(keys, "charge"))
    assert store.do(task_definitions_since(keys, 1)) == [TaskDefinition("charge", 2, None)]
    assert store.do(get_task_definition(keys, "charge")) is None
    assert store.do(put_task_definition(keys, "charge", b"one")) == PutTaskDefinition(Registered.OK, 3)


def test_deleting_what_is_not_there_changes_nothing(store: SyncExecutor, keys: Keys) -> None:
    assert not store.do(delete_task_definition(keys, "charge"))
    assert snapshot(store) == {}


# --- wrong types ------------------------------------------------------------------------------------------------------


def _calls(keys: Keys) -> dict[str, Call]:
    return {
        "register_workflow": register_workflow(keys, "order", 1, b"new", overwrite=True),
        "delete_workflow": delete_workflow(keys, "order", 1),
        "put_taskdef": put_task_definition(keys, "charge", b"new"),
        "delete_taskdef": delete_task_definition(keys, "charge"),
        "installation": check_installation(keys),
        "decider_beat": decider_beat(keys, "d1", 1000),
        "get_workflow": get_workflow(keys, "order"),
        "taskdefs_since": task_definitions_since(keys, 0),
    }


WRONG_KEYS = [(name, index) for name, call in _calls(Keys()).items() for index in range(len(call.keys))]


@pytest.mark.parametrize(("name", "index"), WRONG_KEYS)
def test_a_key_of_a_wrong_type_is_refused_and_nothing_is_written(
    store: SyncExecutor, keys: Keys, name: str, index: int
) -> None:
    store.do(register_workflow(keys, "order", 1, b"one"))
    store.do(put_task_definition(keys, "charge", b"one"))
    call = _calls(keys)[name]
    store.do(Command(("DEL", call.keys[index])))
    store.do(Command(("RPUSH", call.keys[index], "of another program")))
    before = snapshot(store)
    assert isinstance(run_call(store, call), StoreRefused)
    assert snapshot(store) == before

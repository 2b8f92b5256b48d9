"""The catalog: definitions and revisions, the layout of the installation, who is alive."""

from __future__ import annotations

import pytest

from orchestrator.errors import StoreRefused
from orchestrator.plan import Call, Command
from orchestrator.store import catalog
from orchestrator.store.catalog import (
    PollNote,
    PutTaskDefinition,
    Registered,
    TaskDefinition,
    WorkflowDefinition,
    add_queues,
    check_installation,
    decider_beat,
    decider_leave,
    delete_task_definition,
    delete_workflow,
    get_task_definition,
    get_workflow,
    list_queues,
    list_task_definitions,
    list_workflows,
    live_deciders,
    put_task_definition,
    register_workflow,
    task_definitions_since,
    workflow_versions,
)
from orchestrator.store.executors import SyncExecutor
from orchestrator.store.keys import Keys
from tests.store.queue_story import run_call, snapshot

# --- polls ------------------------------------------------------------------------------------------------------------


def test_the_last_poll_of_a_queue_replaces_the_one_before(timed_store: SyncExecutor, keys: Keys) -> None:
    timed_store.do(Command(("SET", keys.catalog_clock(), 1_000_000)))
    notes = [PollNote("pay", None, "a b", 400), PollNote("pay", "eu", "c", 0)]
    assert timed_store.do(catalog.note_polls(keys, notes)) == 2
    assert timed_store.do(catalog.note_polls(keys, [PollNote("pay", "eu", "d", 100)])) == 2
    found = timed_store.do(catalog.list_polls(keys))
    assert [(one.queue_name, one.domain, one.worker_id, one.last_poll_time) for one in found] == [
        ("pay", None, "a b", 999_600),
        ("pay", "eu", "d", 999_900),
    ]


def test_notes_of_polls_are_bounded_and_those_of_yesterday_make_room(
    timed_store: SyncExecutor, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog, "POLL_NOTES_MAX", 3)
    timed_store.do(Command(("SET", keys.catalog_clock(), 200_000_000)))
    old = [PollNote("old", None, "w", 86_400_001), PollNote("older", None, "w", 90_000_000)]
    assert timed_store.do(catalog.note_polls(keys, [*old, PollNote("new", None, "w", 5)])) == 3
    fresh = [PollNote(name, None, "w", 0) for name in ("b", "c", "new", "d")]
    assert timed_store.do(catalog.note_polls(keys, fresh)) == 3
    assert [one.queue_name for one in timed_store.do(catalog.list_polls(keys))] == ["b", "c", "new"]


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


# --- installation, deciders, queues -----------------------------------------------------------------------------------


def test_the_first_process_fixes_the_number_of_partitions(store: SyncExecutor) -> None:
    assert store.do(check_installation(Keys(partitions=4))) == 4
    assert store.do(check_installation(Keys(partitions=4))) == 4
    with pytest.raises(StoreRefused, match="has 4 partitions, this process is set to 16; set partitions=4"):
        store.do(check_installation(Keys(partitions=16)))


def test_installations_of_different_namespaces_do_not_meet(store: SyncExecutor) -> None:
    store.do(check_installation(Keys(partitions=4)))
    assert store.do(check_installation(Keys("other", partitions=16))) == 16


@pytest.mark.parametrize(
    ("oldest_reader", "is_refused"),
    [(0, False), (catalog.SCHEMA, False), (catalog.SCHEMA + 1, True)],
)
def test_a_program_too_old_for_the_schema_is_refused(
    store: SyncExecutor, keys: Keys, oldest_reader: int, is_refused: bool
) -> None:
    fields = ("partitions", 4, "schema", catalog.SCHEMA + 1, "oldest_reader", oldest_reader)
    store.do(Command(("HSET", keys.installation(), *fields)))
    if is_refused:
        with pytest.raises(StoreRefused, match="upgrade this program"):
            store.do(check_installation(keys))
    else:
        assert store.do(check_installation(keys)) == 4


def test_a_schema_too_old_for_this_program_is_refused(
    store: SyncExecutor, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.do(check_installation(keys))
    monkeypatch.setattr(catalog, "OLDEST_SCHEMA", catalog.SCHEMA + 1)
    with pytest.raises(StoreRefused, match="finish its workflows with the older release"):
        store.do(check_installation(keys))


@pytest.mark.parametrize(("later_ms", "live"), [(999, ["d1", "d2"]), (1000, ["d2"]), (1001, ["d2"])])
def test_a_decider_lives_until_its_time_is_over(
    timed_store: SyncExecutor, keys: Keys, later_ms: int, live: list[str]
) -> None:
    _set_clock(timed_store, keys, 5000)
    assert timed_store.do(decider_beat(keys, "d1", 1000)) == ["d1"]
    assert timed_store.do(decider_beat(keys, "d2", 9000)) == ["d1", "d2"]
    _set_clock(timed_store, keys, 5000 + later_ms)
    assert timed_store.do(live_deciders(keys)) == live


def test_a_decider_that_leaves_is_gone_at_once(store: SyncExecutor, keys: Keys) -> None:
    store.do(decider_beat(keys, "d2", 60_000))
    store.do(decider_beat(keys, "d1", 60_000))
    assert store.do(decider_leave(keys, "d2")) == ["d1"]
    assert store.do(decider_leave(keys, "d2")) == ["d1"]


def test_task_types_are_remembered_once(store: SyncExecutor, keys: Keys) -> None:
    store.do(add_queues(keys, ["ship", "charge"]))
    store.do(add_queues(keys, ["ship"]))
    assert store.do(list_queues(keys)) == ["charge", "ship"]


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


def _set_clock(store: SyncExecutor, keys: Keys, now_ms: int) -> None:
    store.do(Command(("SET", keys.catalog_clock(), now_ms)))

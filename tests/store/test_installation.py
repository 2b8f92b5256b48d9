"""The installation: its layout, the rights of its users, who is alive, which queues there are."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.errors import StoreForbidden, StoreRefused
from orchestrator.plan import Command
from orchestrator.store import installation
from orchestrator.store.connection import connect
from orchestrator.store.executors import SyncExecutor
from orchestrator.store.installation import (
    add_queues,
    check_installation,
    decider_beat,
    decider_leave,
    list_queues,
    live_deciders,
)
from orchestrator.store.keys import Keys
from tests.store.queue_story import snapshot
from tests.support.redis_server import Kind, RedisServer


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
    [(0, False), (installation.SCHEMA, False), (installation.SCHEMA + 1, True)],
)
def test_a_program_too_old_for_the_schema_is_refused(
    store: SyncExecutor, keys: Keys, oldest_reader: int, is_refused: bool
) -> None:
    fields = ("partitions", 4, "schema", installation.SCHEMA + 1, "oldest_reader", oldest_reader)
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
    monkeypatch.setattr(installation, "OLDEST_SCHEMA", installation.SCHEMA + 1)
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


@pytest.mark.parametrize("kind", ["redis", "valkey"])
def test_a_user_who_may_not_run_what_scripts_call_is_refused_before_a_script_stops_half_way(
    kind: Kind, keys: Keys, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue(f"{kind}_server")  # where that is missing, so is this
    users = tmp_path / "users.acl"
    users.write_text(
        "user default on nopass ~* &* +@all\n"
        "user few on >good ~orc:* &orc:* +@all -xdel -zpopmin\n"
        "user silent on >good ~orc:* resetchannels +@all\n"
        "user enough on >good ~orc:* &orc:* +@all\n"
    )
    with RedisServer(kind, options={"aclfile": str(users)}) as server:
        for user, missing in (("few", "+xdel +zpopmin,"), ("silent", "+publish +subscribe,")):
            connection = connect(server.url_of(f"{user}:good@"))
            with pytest.raises(StoreForbidden, match=r"lacks rights.* ~orc:\* &orc:\*") as refused:
                connection.sync().do(check_installation(keys))
            assert missing in str(refused.value)
            assert snapshot(connection.sync()) == {}
            connection.close()
        connection = connect(server.url_of("enough:good@"))
        assert connection.sync().do(check_installation(keys)) == keys.partitions
        connection.close()


def _set_clock(store: SyncExecutor, keys: Keys, now_ms: int) -> None:
    store.do(Command(("SET", keys.catalog_clock(), now_ms)))

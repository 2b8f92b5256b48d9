"""Facts for operators: what a diagnosis sees of an installation that is not well."""

from __future__ import annotations

from orchestrator import Workflow
from orchestrator.plan import Command
from orchestrator.service import operations
from orchestrator.store.connection import connect
from orchestrator.store.context import StoreContext
from orchestrator.testing import environment

WAITING = Workflow("waiting").wait(signal="go")


def test_partitions_that_nobody_holds_are_told(fakeredis_url: str) -> None:
    connection = connect(fakeredis_url)
    found = connection.sync().run(operations.diagnose(StoreContext(connection.settings)))
    connection.close()
    assert found.unowned == list(range(16))
    assert (found.deciders, found.partitions_recorded, found.server.eviction_policy) == ([], 16, None)


def test_quarantined_executions_are_found_with_their_reason() -> None:
    with environment() as env:
        env.client.start_workflow(WAITING)
        sick = env.client.start_workflow(WAITING)
        env.connection.sync().do(Command(("HSET", env.store.keys.workflow(0, sick.id), "q", "poison")))
        assert env.client.run(operations.find_quarantined(env.store)) == [operations.Quarantined(sick.id, "poison")]


def test_a_queue_is_shown_with_what_waits_in_it() -> None:
    with environment() as env:
        env.client.enqueue_many([("pay", {"sum": number}) for number in range(3)])
        env.client.enqueue("ship")
        queues = env.client.run(operations.queues(env.store))
        assert {name: stats.ready for name, stats in queues.items()} == {"pay": 3, "ship": 1}
        assert env.unserved() == ["pay", "ship"]


def test_an_execution_whose_record_is_damaged_can_be_removed() -> None:
    with environment() as env:
        sick = env.client.start_workflow(WAITING)
        damaged = b"\xc1"  # a byte that MessagePack never uses
        env.connection.sync().do(Command(("HSET", env.store.keys.workflow(0, sick.id), "c", damaged)))
        sick.remove(force=True)
        assert env.client.list_workflows().total == 0

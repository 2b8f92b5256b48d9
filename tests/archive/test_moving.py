"""Executions on their way from Redis to the archive and back: never lost, never twice, found all the time."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from orchestrator import RetryPolicy, Workflow, task
from orchestrator.archive import database, mover, shelf
from orchestrator.archive.mover import Mover
from orchestrator.errors import (
    Conflict,
    OrchestratorError,
    SettingsInvalid,
    StoreRefused,
    StoreUnavailable,
    WorkflowNotFound,
)
from orchestrator.model.wire import workflow_to_dict
from orchestrator.plan import Call, Command, Plan, Step
from orchestrator.service import search, transfer, why
from orchestrator.settings import Settings
from orchestrator.store.context import StoreContext
from orchestrator.store.partition import load_workflow
from orchestrator.testing import Environment
from tests.support.population import (
    FREE_TEXTS,
    Row,
    every,
    has_words,
    populate,
    random_query,
    random_sort,
    rows_of,
    task_rows_of,
    work,
)

DAY_S = 86_400


@task(retry=RetryPolicy(limit=0))
def pay(amount: int = 0) -> dict[str, int]:
    if not amount:
        raise ValueError("nothing to pay")
    return {"paid": amount}


order = Workflow("order").then(pay, amount="${workflow.input.amount}")


@pytest.fixture
def env(archive_url: str) -> Iterator[Environment]:
    settings = Settings(redis_url="fakeredis://unused", partitions=3, archive_url=archive_url)
    with Environment([work, pay], settings=settings) as env:
        yield env
    database.close_databases()


def move_all(env: Environment) -> None:
    """Let a day pass and the mover do all there is to do."""
    env.clock.advance(DAY_S + 1)
    chore = Mover(env.clock)
    while env.run(chore.turn(env.store)) != mover.REST_MS:
        pass


def is_in_redis(env: Environment, workflow_id: str) -> bool:
    found = env.run(_reading(env, workflow_id))
    return found is not None


def _reading(env: Environment, workflow_id: str) -> Plan[Any]:
    keys = env.store.keys
    return (yield load_workflow(keys, keys.partition_of(workflow_id), workflow_id))


def seen(env: Environment, workflow_id: str) -> Any:
    return workflow_to_dict(env.client.workflow(workflow_id).describe())


def paid(env: Environment, **options: Any) -> str:
    handle = env.client.with_options(**options).start_workflow(order, amount=7)
    env.run_until_quiet()
    return handle.id


# --- searching before, during and after ---------------------------------------------------------------------------------


def judged(env: Environment, random: Random, rows: list[Row], tasks: list[Row], queries: int) -> None:
    """Random searches, in any order and with words, give what a filter over all gives; so do searches for tasks."""
    for _ in range(queries):
        query, words = random_query(random, rows), random.choice(FREE_TEXTS)
        sort, in_order = random_sort(random, rows)
        wanted = [row["workflowId"] for row in in_order if query.holds(row) and has_words(words, row)]
        start, size = random.randrange(3), random.randrange(20)
        found = env.client.search(query.text, free_text=words, sort=sort, start=start, size=size)
        asked = (query.text, words, sort)
        assert found.total == len(wanted), asked
        assert [line.workflow_id for line in found.items] == wanted[start : start + size], asked

        query, words = random_query(random, tasks), random.choice(FREE_TEXTS)
        sort, in_order = random_sort(random, tasks)
        wanted = [row["taskId"] for row in in_order if query.holds(row) and has_words(words, row)]
        lines = env.client.search_tasks(query.text, free_text=words, sort=sort, start=start, size=size)
        asked = (query.text, words, sort)
        assert lines.total == len(wanted), asked
        assert [line.task_id for line in lines.items] == wanted[start : start + size], asked


def newest_first(rows: list[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: (row["startTime"], row["workflowId"]), reverse=True)


@pytest.mark.parametrize("seed", range(3))
def test_searches_give_the_same_before_during_and_after_archiving(
    env: Environment, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mover, "EXECUTIONS_PER_MOVE", 5)
    random = Random(seed)
    executions = every(env.client, populate(env, random, 30))
    rows = newest_first(rows_of(executions))
    texts = [
        (text, env.client.search(free_text=text).total) for text in ("red", "order-17", "größe", "blu*", "cannot 42")
    ]
    by_schedule = sorted(
        task_rows_of(executions), key=lambda row: (row["scheduledTime"] or 0, row["taskId"]), reverse=True
    )
    tasks = [row["taskId"] for row in by_schedule]
    judged(env, random, rows, by_schedule, 20)

    env.clock.advance(DAY_S + 1)
    chore, steps = Mover(env.clock), 0
    for _ in range(40):
        plan = chore.turn(env.store)
        step: Step | None = next(plan)
        while step is not None:
            steps += 1
            if steps % 8 == 0:
                judged(env, random, rows, by_schedule, 1)
            try:
                step = next_step(env, plan, step)
            except StopIteration as stop:
                step = None
                rest_ms = stop.value
        if rest_ms == mover.REST_MS:
            break
    assert steps > 50

    judged(env, random, rows, by_schedule, 20)
    archived = [row for row in rows if not is_in_redis(env, row["workflowId"])]
    assert {row["workflowId"] for row in archived} == {row["workflowId"] for row in rows if row["endTime"]}
    assert [(text, env.client.search(free_text=text).total) for text, _ in texts] == texts
    found = env.client.search_tasks(size=1_000)
    assert [line.task_id for line in found.items] == tasks
    assert found.total == len(tasks)
    failed = env.client.run(search.search_by_tasks(env.store, "status=FAILED", size=1_000))
    assert {line.workflow_id for line in failed.items} == {
        one.workflow_id for one in executions if any(task.status == "FAILED" for task in one.tasks)
    }
    for one in executions:
        assert seen(env, one.workflow_id) == workflow_to_dict(one)


def next_step(env: Environment, plan: Plan[Any], step: Step) -> Step:
    """Do one step of a plan. Raises ``StopIteration`` at its end."""
    try:
        reply = env._do(step)
    except OrchestratorError as error:
        return plan.throw(error)
    return plan.send(reply)


# --- dying on the way ---------------------------------------------------------------------------------------------------


def test_a_mover_that_dies_at_any_step_loses_and_doubles_nothing(env: Environment) -> None:
    ids = [paid(env) for _ in range(3)]
    before = [seen(env, one) for one in ids]
    env.clock.advance(DAY_S + 1)
    for deaths in range(1, 200):
        plan = Mover(env.clock).turn(env.store)
        step = next(plan)
        try:
            for _ in range(deaths):
                step = next_step(env, plan, step)
        except StopIteration:
            break
        plan.close()
        found = env.client.search(size=10)
        assert (found.total, sorted(line.workflow_id for line in found.items)) == (3, sorted(ids))
        assert [seen(env, one) for one in ids] == before
        env.clock.advance(61)  # what began is taken to have died
    else:
        pytest.fail("the mover never came to an end")
    move_all(env)
    env.clock.advance(61)
    move_all(env)
    assert not any(is_in_redis(env, one) for one in ids)
    assert env.client.search().total == 3
    record = env.run(shelf.shelf(env.store))
    assert record is not None
    assert dict(record.record.under_way) == {}


def test_a_restore_that_dies_at_any_step_loses_nothing(env: Environment) -> None:
    workflow_id = paid(env)
    then = seen(env, workflow_id)
    move_all(env)
    for deaths in range(1, 100):
        plan = shelf.bring_back(env.store, [workflow_id])
        step = next(plan)
        try:
            for _ in range(deaths):
                step = next_step(env, plan, step)
        except StopIteration:
            break
        plan.close()
        assert env.client.search().total == 1
        assert seen(env, workflow_id) == then
        env.clock.advance(61)
        move_all(env)
        assert env.client.search().total == 1
        assert seen(env, workflow_id) == then
    assert is_in_redis(env, workflow_id)
    assert env.client.search().total == 1


@pytest.mark.parametrize("what", ["records are lost", "its key is another program's"])
def test_what_could_not_be_restored_in_whole_stays_in_the_archive(env: Environment, what: str) -> None:
    workflow_id = paid(env)
    then = seen(env, workflow_id)
    move_all(env)
    plan = shelf.bring_back(env.store, [workflow_id])
    step = next(plan)
    while not (isinstance(step, Call) and step.script == "import_workflow"):
        step = next_step(env, plan, step)
    assert step.durable
    key = step.keys[3] if what == "records are lost" else step.keys[0]
    put = ("DEL", key) if what == "records are lost" else ("SET", key, "of another program")
    env.run(one(Command(put)))
    with pytest.raises((StoreUnavailable, StoreRefused)):
        next_step(env, plan, step)
    if what != "records are lost":
        env.run(one(Command(("DEL", key))))
    assert env.run(shelf.look_up(env.store, [workflow_id])) != []
    assert seen(env, workflow_id) == then
    env.clock.advance(61)
    assert env.run(shelf.bring_back(env.store, [workflow_id])) == 1
    assert seen(env, workflow_id) == then


def one(command: Command) -> Plan[Any]:
    """A plan of one command."""
    return (yield command)


def test_what_goes_on_while_it_is_moved_stays(env: Environment) -> None:
    workflow_id = paid(env)
    env.clock.advance(DAY_S + 1)
    plan = Mover(env.clock).turn(env.store)
    step = next(plan)
    while not env.run(shelf.look_up(env.store, [workflow_id])):
        step = next_step(env, plan, step)
    env.client.workflow(workflow_id).restart()
    with contextlib.suppress(StopIteration):
        while True:
            step = next_step(env, plan, step)
    env.run_until_quiet()
    assert is_in_redis(env, workflow_id)
    assert env.run(shelf.look_up(env.store, [workflow_id])) == []
    assert env.client.search().total == 1


# --- living in the archive ----------------------------------------------------------------------------------------------


def test_an_archived_execution_is_read_like_any_other(env: Environment) -> None:
    workflow_id = paid(env, correlation_id="c")
    handle = env.client.workflow(workflow_id)
    then, document = seen(env, workflow_id), env.client.run(transfer.export_execution(env.store, workflow_id))
    move_all(env)
    assert not is_in_redis(env, workflow_id)
    assert seen(env, workflow_id) == then
    assert (handle.status(), handle.result(timeout_s=1)) == ("COMPLETED", {"paid": 7})
    assert env.client.correlated_workflows("order", ["c"], include_closed=True) == {"c": [workflow_id]}
    assert "has ended COMPLETED" in env.client.run(why.why(env.store, workflow_id)).reasons[0].text
    again = env.client.run(transfer.export_execution(env.store, workflow_id))
    assert json.dumps(again, sort_keys=True) == json.dumps(document, sort_keys=True)


def test_operations_bring_it_back(env: Environment) -> None:
    failed = env.client.start_workflow(order, amount=0)
    env.run_until_quiet()
    move_all(env)
    with pytest.raises(Conflict):
        failed.pause()
    assert is_in_redis(env, failed.id)
    move_all(env)
    assert not is_in_redis(env, failed.id)
    failed.rerun("pay", task_input={"amount": 3})
    env.run_until_quiet()
    assert (failed.status(), failed.result()) == ("COMPLETED", {"paid": 3})
    assert env.client.search("workflowType=order").total == 1
    move_all(env)
    assert env.client.search("workflowType=order AND status=COMPLETED").total == 1
    failed.restart()
    env.run_until_quiet()
    assert failed.status() == "FAILED"


def test_a_family_comes_back_together_and_parts_stay_with_what_goes_on(env: Environment) -> None:
    outer = Workflow("outer").sub_workflow(order, inline=True, amount="${workflow.input.amount}").wait(signal="go")
    handle = env.client.start_workflow(outer, amount=0)
    env.run_until_quiet()
    (child,) = [one.sub_workflow_id for one in handle.describe().tasks if one.sub_workflow_id]
    move_all(env)
    assert not is_in_redis(env, handle.id)
    assert not is_in_redis(env, child)
    env.client.act_on_workflows("retry", [child])
    assert is_in_redis(env, handle.id)
    assert is_in_redis(env, child)
    going = env.client.start_workflow(outer, amount=1)
    env.run_until_quiet()
    (part,) = [one.sub_workflow_id for one in going.describe().tasks if one.sub_workflow_id]
    assert env.client.workflow(part).status() == "COMPLETED"
    move_all(env)
    assert is_in_redis(env, part)


def test_ids_and_keys_of_archived_executions_stay_taken(env: Environment) -> None:
    workflow_id = paid(env, workflow_id="mine", request_id="r-1")
    keyed = paid(env, idempotency_key="k")
    move_all(env)
    env.clock.advance(3_700)  # the mark in Redis is gone
    with pytest.raises(Conflict, match="in use"):
        env.client.with_options(workflow_id="mine").start_workflow(order, amount=1)
    repeated = env.client.with_options(workflow_id="mine", request_id="r-1").start_workflow(order, amount=7)
    assert repeated.id == workflow_id
    same = env.client.with_options(idempotency_key="k", idempotency_strategy="RETURN_EXISTING")
    assert same.start_workflow(order, amount=1).id == keyed
    assert env.client.search().total == 2


def test_what_is_removed_is_gone_and_its_id_is_free(env: Environment) -> None:
    workflow_id = paid(env, workflow_id="mine")
    move_all(env)
    env.client.workflow(workflow_id).remove()
    assert env.client.search().total == 0
    with pytest.raises(WorkflowNotFound):
        env.client.workflow(workflow_id).describe()
    with pytest.raises(WorkflowNotFound):
        env.client.workflow(workflow_id).remove()
    assert paid(env, workflow_id="mine") == "mine"


def test_nothing_moves_before_its_time(env: Environment) -> None:
    workflow_id = paid(env)
    waiting = env.client.start_workflow(Workflow("w").wait(signal="go"))
    env.clock.advance(DAY_S - 10)
    env.run(Mover(env.clock).turn(env.store))
    assert is_in_redis(env, workflow_id)
    move_all(env)
    assert (is_in_redis(env, workflow_id), is_in_redis(env, waiting.id)) == (False, True)


def test_with_little_memory_left_what_has_ended_moves_at_once(
    env: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    workflow_id = paid(env)

    def short(store: Any) -> Plan[bool]:
        return True
        yield

    monkeypatch.setattr(mover, "_is_short_of_memory", short)
    env.run(Mover(env.clock).turn(env.store))
    assert is_in_redis(env, workflow_id)  # somebody may be waiting for its end
    env.clock.advance(11)
    env.run(Mover(env.clock).turn(env.store))
    assert not is_in_redis(env, workflow_id)


def test_an_archive_that_is_not_here_is_said_to_be_elsewhere(env: Environment, archive_url: str) -> None:
    paid(env)
    move_all(env)
    place = env.run(shelf.shelf(env.store))
    assert place is not None
    with pytest.raises(StoreRefused, match="not to be found here"):
        database.known_database(archive_url, "another id")
    store = StoreContext(Settings(partitions=3, archive_url="sqlite:////nowhere/at/all.db"))
    store.keys = env.store.keys
    with pytest.raises(SettingsInvalid, match="another archive"):
        env.run(shelf.join(store))

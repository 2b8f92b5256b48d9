"""Tasks on loan: handed out for as long as their response time-out says, extended, postponed, ended and handed back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from orchestrator import RetryPolicy, Workflow, task
from orchestrator.client import WorkflowHandle
from orchestrator.errors import StoreUnavailable, TaskNotFound, WorkflowNotFound
from orchestrator.model.execution import Task as Shown
from orchestrator.model.execution import TaskExecLog, TaskResult
from orchestrator.model.status import TaskStatus
from orchestrator.plan import Call, Command, Plan
from orchestrator.service import dispatch, lending, tasks
from orchestrator.service.dispatch import Claimed, Want
from orchestrator.service.lending import Lent, Steps
from orchestrator.store import queue
from orchestrator.testing import Environment
from tests.support.served import MakeEnvironment, asked
from tests.workers.estate import Estate

ME, OTHER = "host-1", "host-2"


@task(retry=RetryPolicy(limit=1, delay_s=5), response_timeout_s=60)
def pay(amount: int = 1) -> str:
    return "paid by a native worker"


order = Workflow("order").then(pay, amount=7)


@pytest.fixture
def estate(store_url: str) -> Iterator[Estate]:
    """An empty installation, once per backend."""
    estate = Estate(store_url)
    yield estate
    estate.close()


@pytest.fixture
def env(environment: MakeEnvironment) -> Iterator[Environment]:
    """An installation with a decider, whose own worker runs nothing."""
    with environment() as env:
        env.client.register(order)
        yield env


@pytest.fixture
def handle(env: Environment) -> WorkflowHandle:
    """An order that waits for its payment."""
    return env.client.start_workflow(order)


def claim(estate: Estate, count: int = 10) -> list[Claimed]:
    return estate.executor.run(dispatch.claim_tasks(estate.store, [Want("charge", None, count)], "server")).claimed


def hand_out(estate: Estate, claimed: list[Claimed], worker: str = ME) -> list[Lent]:
    return estate.executor.run(lending.hand_out(estate.store, claimed, worker))


def poll(env: Environment, worker: str = ME, task_type: str = "pay") -> Shown | None:
    """What a server does for a poll."""
    claimed = env.run(dispatch.claim_tasks(env.store, [Want(task_type, None, 1)], "server")).claimed
    lent = env.run(lending.hand_out(env.store, claimed, worker))
    return next(iter(env.run(lending.show(env.store, lent, Steps(), worker))), None)


def report(env: Environment, shown: Shown, status: TaskStatus = TaskStatus.COMPLETED, **fields: Any) -> bool:
    result = TaskResult(
        workflow_instance_id=shown.workflow_instance_id, task_id=shown.task_id, status=status, worker_id=ME, **fields
    )
    return asked(env, tasks.update_task, result).is_accepted


# --- in the store -----------------------------------------------------------------------------------------------------


def test_a_task_handed_out_is_lent_and_no_lease_runs(estate: Estate) -> None:
    task_id = estate.add("charge", {"amount": 5}, response_ms=60_000)
    (lent,) = hand_out(estate, claim(estate))
    assert (lent.run.claimed.task_id, lent.run.polls, lent.run.response_ms) == (task_id, 1, 60_000)
    assert (estate.queue("charge").leased, estate.queue("charge").held) == (0, 1)
    assert estate.dispatch(task_id).split()[0:2] == ["R", "1"]
    assert estate.dispatch(task_id).split()[7] == ME


def test_what_nobody_received_is_for_others_at_once(estate: Estate) -> None:
    estate.add("charge")
    (claimed,) = claim(estate)
    (lent,) = hand_out(estate, [claimed])
    estate.executor.run(lending.hand_back(estate.store, [lent.run.claimed]))
    (again,) = hand_out(estate, claim(estate), OTHER)
    assert (again.run.claimed.delivery, again.run.polls) == (2, 2)
    estate.executor.run(lending.hand_back(estate.store, [claimed]))  # late, or repeated
    assert claim(estate) == []


def test_what_was_claimed_and_never_started_can_be_handed_back_too(estate: Estate) -> None:
    estate.add("charge")
    estate.executor.run(lending.hand_back(estate.store, claim(estate)))
    assert [one.delivery for one in claim(estate)] == [2]


def test_a_task_that_ended_meanwhile_is_not_handed_out_and_its_slot_is_free(estate: Estate) -> None:
    estate.limit("charge", concurrency=2)
    ended, _ = estate.add("charge"), estate.add("charge")
    claimed = claim(estate)
    estate.close_task(ended)
    assert [lent.run.claimed.task_id for lent in hand_out(estate, claimed)] == [claimed[1].task_id]
    assert (estate.queue("charge").leased, estate.queue("charge").held) == (0, 1)


def test_a_task_cancelled_between_its_start_and_its_loan_is_not_handed_out(estate: Estate) -> None:
    task_id = estate.add("charge")
    plan = lending.hand_out(estate.store, claim(estate), ME)
    step = next(plan)
    while not (isinstance(step, list) and isinstance(step[0], Call) and step[0].script == "lend"):
        step = plan.send(estate.executor.do(step))
    estate.cancel("charge", task_id)
    with pytest.raises(StopIteration) as stop:
        plan.send(estate.executor.do(step))
    assert stop.value.value == []
    assert estate.is_empty("charge")


def test_a_cancelled_loan_frees_its_slot_at_once(estate: Estate) -> None:
    estate.limit("charge", concurrency=1)
    first, second = estate.add("charge"), estate.add("charge")
    hand_out(estate, claim(estate))
    assert claim(estate) == []
    estate.cancel("charge", first)
    assert [one.task_id for one in claim(estate)] == [second]


def test_a_task_that_was_delivered_too_often_fails_and_is_not_handed_out(store_url: str) -> None:
    estate = Estate(store_url, deliveries_max=1)
    task_id = estate.add("charge")
    claim(estate)
    estate.expire("charge", task_id)
    assert hand_out(estate, claim(estate)) == []
    assert "lost after 1 deliveries" in (estate.outcome(task_id).reason or "")
    assert estate.is_empty("charge")
    estate.close()


# --- with a decider ---------------------------------------------------------------------------------------------------


def test_a_worker_is_shown_its_task_as_conductor_shows_it(env: Environment, handle: WorkflowHandle) -> None:
    shown = poll(env)
    assert shown is not None
    assert (shown.status, shown.input_data, shown.worker_id) == ("IN_PROGRESS", {"amount": 7}, ME)
    assert (shown.poll_count, shown.response_timeout_seconds, shown.callback_after_seconds) == (1, 60, 0)
    assert shown.start_time == shown.update_time == env.clock.now_ms()
    assert shown.workflow_task is not None
    assert (shown.workflow_task.task_reference_name, shown.workflow_type) == ("pay", "order")
    seen = asked(env, tasks.get_task, shown.task_id)
    assert (seen.status, seen.worker_id, seen.poll_count) == ("IN_PROGRESS", ME, 1)
    assert poll(env, OTHER) is None


def test_its_report_ends_the_task_and_the_queue_forgets_it(env: Environment, handle: WorkflowHandle) -> None:
    shown = poll(env)
    assert shown is not None
    logs = [TaskExecLog(log="paying")]
    assert report(env, shown, output_data={"receipt": 9}, logs=logs)
    assert handle.result() == {"receipt": 9}
    found = handle.describe().task("pay")
    assert (found.worker_id, found.poll_count) == (ME, 1)
    assert not report(env, shown, output_data={"receipt": 10})
    assert handle.result() == {"receipt": 9}
    (stats,) = env.run(queue.stats(env.store.queues, ["pay"]))
    assert not isinstance(stats, Exception)
    assert (stats.held, stats.leased, stats.delayed, stats.ready) == (0, 0, 0, 0)


def test_a_silent_worker_is_judged_by_the_response_time_out_and_the_task_retried(
    env: Environment, handle: WorkflowHandle
) -> None:
    shown = poll(env)
    assert shown is not None
    env.clock.advance(59)
    assert poll(env, OTHER) is None
    assert handle.describe().task("pay").status == "IN_PROGRESS"
    env.clock.advance(1)
    env.decide()
    first, second = handle.describe().tasks
    assert (first.status, second.status) == ("TIMED_OUT", "SCHEDULED")
    assert not report(env, shown)
    env.clock.advance(5)
    again = poll(env, OTHER)
    assert again is not None
    assert again.task_id == second.task_id


def test_a_lease_extension_lets_the_response_time_out_begin_anew(env: Environment, handle: WorkflowHandle) -> None:
    shown = poll(env)
    assert shown is not None
    for _ in range(4):
        env.clock.advance(50)
        assert report(env, shown, TaskStatus.IN_PROGRESS, extend_lease=True, output_data={"ignored": 1})
    assert poll(env, OTHER) is None
    seen = handle.describe().task("pay")
    assert (seen.status, seen.output_data, seen.update_time) == ("IN_PROGRESS", {}, env.clock.now_ms())
    assert report(env, shown, output_data={"receipt": 9})
    assert handle.result() == {"receipt": 9}


def test_progress_hands_the_task_out_again_after_its_delay_with_what_was_reported(
    env: Environment, handle: WorkflowHandle
) -> None:
    shown = poll(env)
    assert shown is not None
    assert report(env, shown, TaskStatus.IN_PROGRESS, callback_after_seconds=20, output_data={"step": 1})
    seen = handle.describe().task("pay")
    assert (seen.status, seen.callback_after_seconds, seen.output_data) == ("SCHEDULED", 20, {"step": 1})
    env.clock.advance(19)
    assert poll(env) is None
    env.clock.advance(1)
    again = poll(env, OTHER)
    assert again is not None
    assert (again.task_id, again.poll_count, again.output_data) == (shown.task_id, 2, {"step": 1})
    assert again.start_time == shown.start_time
    assert report(env, again)
    assert handle.result() == {}


@pytest.mark.parametrize("response_s", [60, 3600])
def test_progress_whose_server_dies_behind_the_word_of_the_partition_strands_nothing(
    env: Environment, response_s: int
) -> None:
    @task(response_timeout_s=response_s)
    def lonely() -> None:
        pass

    handle = env.client.start_workflow(Workflow("lonely").then(lonely))
    shown = poll(env, task_type="lonely")
    assert shown is not None
    result = TaskResult(
        workflow_instance_id=handle.id, task_id=shown.task_id, status=TaskStatus.IN_PROGRESS, callback_after_seconds=20
    )
    until(env, tasks.update_task(env.store, result), "accept")
    env.clock.advance(20)
    assert poll(env, OTHER, "lonely") is None  # nobody has told the queue when exactly
    env.clock.advance(lending.MARGIN_MS / 1000)
    again = poll(env, OTHER, "lonely")
    assert again is not None
    assert again.task_id == shown.task_id


def test_an_extension_whose_server_dies_between_queue_and_partition_shortens_no_loan(
    env: Environment, handle: WorkflowHandle
) -> None:
    shown = poll(env)
    assert shown is not None
    env.clock.advance(50)
    result = TaskResult(
        workflow_instance_id=handle.id, task_id=shown.task_id, status=TaskStatus.IN_PROGRESS, extend_lease=True
    )
    until(env, tasks.update_task(env.store, result), "touch")
    env.clock.advance(50)  # longer than the first loan, shorter than the response time-out that begins anew
    assert poll(env, OTHER) is None
    assert report(env, shown)
    assert handle.result() == {}


def test_a_late_report_on_a_workflow_whose_record_is_damaged_is_told_so(
    env: Environment, handle: WorkflowHandle
) -> None:
    shown = poll(env)
    assert shown is not None
    assert report(env, shown)
    keys = env.store.keys
    key = keys.workflow(keys.partition_of(handle.id), handle.id)
    env.run(_one(Command(("HSET", key, "c", b"\xc1"))))
    with pytest.raises(StoreUnavailable, match="cannot be read"):
        report(env, shown)


def until(env: Environment, plan: Plan[Any], script: str) -> None:
    """Go on with a plan until that script has run, and die."""
    step = next(plan)
    while not (isinstance(step, Call) and step.script == script):
        step = plan.send(env.run(_one(step)))
    env.run(_one(step))
    plan.close()


def _one(step: Any) -> Plan[Any]:
    return (yield step)


def test_progress_by_reference_hands_the_task_out_again_at_once(env: Environment, handle: WorkflowHandle) -> None:
    shown = poll(env)
    assert shown is not None
    asked(env, tasks.update_task_by_ref, handle.id, "pay", "IN_PROGRESS", {"step": 1})
    again = poll(env, OTHER)
    assert again is not None
    assert (again.task_id, again.output_data) == (shown.task_id, {"step": 1})


def test_terminating_the_workflow_frees_the_slot_of_a_lent_task(env: Environment) -> None:
    env.run(queue.set_limits(env.store.queues, "pay", queue.Limits(10**6, concurrency=1)))
    first, second = env.client.start_workflow(order), env.client.start_workflow(order)
    shown = poll(env)
    assert shown is not None
    assert poll(env) is None
    first.terminate()
    freed = poll(env)
    assert freed is not None
    assert freed.workflow_instance_id == second.id
    assert not report(env, shown)


def test_a_word_on_an_unknown_task_is_an_error(env: Environment, handle: WorkflowHandle) -> None:
    shown = poll(env)
    assert shown is not None
    for task_id, kind in ((handle.id + "-aaaaaaaaaaaa", TaskNotFound), ("nobody-aaaaaaaaaaaa", WorkflowNotFound)):
        shown.task_id = task_id
        for extend_lease in (False, True):
            with pytest.raises(kind):
                report(env, shown, TaskStatus.IN_PROGRESS, extend_lease=extend_lease)


# --- logs -------------------------------------------------------------------------------------------------------------


def test_lines_are_added_to_the_log_of_a_task_while_it_runs_and_afterwards(
    env: Environment, handle: WorkflowHandle
) -> None:
    shown = poll(env)
    assert shown is not None
    env.run(tasks.add_log(env.store, shown.task_id, "half way"))
    assert handle.describe().task("pay").status == "IN_PROGRESS"
    report(env, shown, logs=[TaskExecLog(log="done", created_time=5)])
    env.run(tasks.add_log(env.store, shown.task_id, "checked"))
    lines = asked(env, tasks.logs, shown.task_id)
    assert [(line.log, line.created_time) for line in lines] == [
        ("half way", env.clock.now_ms()),
        ("done", 5),
        ("checked", env.clock.now_ms()),
    ]
    assert handle.describe().status == "COMPLETED"


def test_the_log_of_an_attempt_that_was_retried_is_closed(env: Environment, handle: WorkflowHandle) -> None:
    shown = poll(env)
    assert shown is not None
    report(env, shown, TaskStatus.FAILED)
    with pytest.raises(TaskNotFound, match="its log is closed"):
        env.run(tasks.add_log(env.store, shown.task_id, "late"))
    with pytest.raises(TaskNotFound):
        env.run(tasks.add_log(env.store, handle.id + "-aaaaaaaaaaaa", "late"))

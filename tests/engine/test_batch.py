"""One turn over many workflows: few round trips, commits within their limits, nobody held up by somebody else."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.plan import Call, Command
from orchestrator.store import quarantine
from orchestrator.store.inbox import read_parked
from tests.engine.stage import Stage, flow, forked, has_script, once, step


def _commits_of_a_turn(stage: Stage) -> tuple[int, int]:
    """The commit scripts of one turn of a fresh decider, and in how many pipelines they were sent."""
    seen: list[int] = []

    def hook(steps: Sequence[Call | Command]) -> None:
        if has_script(steps, "commit"):
            seen.append(sum(isinstance(one, Call) and one.script == "commit" for one in steps))

    decider = stage.decider()
    stage.run(decider.redrive())
    stage.before = hook
    stage.run(decider.turn())
    stage.before = None
    return sum(seen), len(seen)


def test_many_workflows_of_all_partitions_are_one_pipeline_with_a_commit_each(stage: Stage) -> None:
    started = [stage.start(flow(step("a")), number=number % 2) for number in range(40)]
    assert _commits_of_a_turn(stage) == (2, 1)
    assert [len(stage.view(one).tasks) for one in started] == [1] * 40
    assert stage.inbox() == 0


def test_the_round_trips_of_a_turn_do_not_depend_on_how_many_workflows_it_moves(stage: Stage) -> None:
    decider = stage.decider()
    trips = []
    for count in (1, 40):
        for _ in range(count):
            stage.start(flow(step("a")))
        stage.settle(decider)
        stage.work("a")
        stage.settle(decider)
        for _ in range(count):
            stage.start(flow(step("a")))
        before = stage.trips
        stage.run(decider.turn())
        trips.append(stage.trips - before)
        stage.settle(decider)
        while stage.work("a"):
            stage.settle(decider)
    assert trips[0] == trips[1]


def test_a_commit_holds_a_hundred_events(stage: Stage) -> None:
    workflow_id = stage.start(flow(step("a")))
    stage.settle(stage.decider())
    requests = [stage.ask(workflow_id, "pause") for _ in range(150)]
    decider = stage.decider()
    stage.run(decider.turn())
    assert stage.inbox() == 50
    stage.settle(decider)
    assert all(stage.answer(workflow_id, one)["ok"] for one in requests)


def test_a_commit_holds_two_hundred_and_fifty_new_tasks(stage: Stage) -> None:
    for _ in range(3):
        stage.start(forked(100))
    assert _commits_of_a_turn(stage) == (2, 1)


def test_a_commit_holds_a_mebibyte(stage: Stage) -> None:
    for _ in range(4):
        stage.start(flow(step("a", input_parameters={"x": "${workflow.input.x}"})), {"x": "x" * 600_000})
    assert _commits_of_a_turn(stage) == (2, 1)


def test_events_of_unknown_workflows_go_to_the_dead_letters(stage: Stage) -> None:
    gone, there = stage.start(flow(step("a"))), stage.start(flow(step("a")))
    decider = stage.decider()
    stage.settle(decider)
    stage.ask(gone, "pause")
    pause = stage.ask(there, "pause")
    stage.do(Command(("DEL", stage.workflow_key(gone))))
    for estate in decider.estates.values():
        estate.forget(gone)
    stage.settle(decider)
    assert stage.dead_letters() == ["no such workflow"]
    assert stage.answer(there, pause)["ok"]


def test_entries_that_cannot_be_read_go_to_the_dead_letters_and_hold_up_nobody(stage: Stage) -> None:
    inbox = stage.keys.inbox(0)
    stage.do(Command(("XADD", inbox, "*", "some", "thing")))
    stage.do(Command(("XADD", inbox, "*", "k", "op", "w", "w1", "t", "5", "x", "r", "b", b"\xc1")))
    workflow_id = stage.start(flow(step("a")))
    stage.settle(stage.decider())
    assert len(stage.view(workflow_id).tasks) == 1
    assert len(stage.dead_letters()) == 2
    assert stage.inbox() == 0


def test_wake_ups_are_deleted_and_change_nothing(stage: Stage) -> None:
    stage.do(Command(("XADD", stage.keys.inbox(0), "*", "k", "wake", "w", "", "t", "5", "x", "", "b", "")))
    stage.settle(stage.decider())
    assert stage.inbox() == 0
    assert stage.dead_letters() == []


def test_an_event_that_another_took_away_is_let_go_and_the_rest_is_decided(stage: Stage) -> None:
    gone, there = stage.start(flow(step("a"))), stage.start(flow(step("a")))
    decider = stage.decider()
    first = stage.do(Command(("XRANGE", stage.keys.inbox(0), "-", "+", "COUNT", 1)))[0][0]
    stage.before = once("commit", lambda: stage.do(Command(("XDEL", stage.keys.inbox(0), first))))
    stage.retry_all(decider)
    stage.settle(decider)
    assert stage.view(gone).tasks == []
    assert len(stage.view(there).tasks) == 1
    assert stage.inbox() == 0


def test_a_commit_that_comes_after_the_quarantine_of_its_workflow_is_refused(stage: Stage) -> None:
    ill, well = stage.start(flow(step("a"))), stage.start(flow(step("a")))
    decider = stage.decider()
    estate = decider.estates[0]
    first = stage.do(Command(("XRANGE", stage.keys.inbox(0), "-", "+", "COUNT", 1)))[0][0].decode()
    place = (stage.keys, 0, estate.epoch, decider.name)
    stage.before = once("commit", lambda: stage.do(quarantine.quarantine(*place, ill, "it is ill", [first])))
    stage.settle(decider)
    assert stage.view(ill).tasks == []
    assert len(stage.view(well).tasks) == 1
    assert stage.do(read_parked(stage.keys, 0, ill)) != []


def test_a_fenced_decider_changes_nothing_and_lets_the_partition_go(stage: Stage) -> None:
    workflow_id = stage.start(flow(step("a")))
    decider = stage.decider()
    usurper: list[int] = []

    def take_over() -> None:
        from orchestrator.store.ownership import acquire

        usurper.append(stage.do(acquire(stage.keys, 0, "d2", 10_000, force=True)).epoch)

    stage.before = once("commit", take_over)
    stage.run(decider.turn())
    assert sorted(decider.estates) == [1]
    assert stage.view(workflow_id).tasks == []
    assert stage.inbox() == 1
    assert usurper == [2]


def test_a_version_that_moved_is_loaded_anew_and_decided_again(stage: Stage) -> None:
    workflow_id = stage.start(flow(step("a")))
    decider = stage.decider()
    stage.settle(decider)
    stage.do(Command(("HINCRBY", stage.workflow_key(workflow_id), "v", 5)))
    stage.work("a", {"v": 1})
    stage.settle(decider)
    assert stage.status(workflow_id) == "COMPLETED"
    assert stage.field(workflow_id, "v") == b"7"


def test_an_outcome_that_is_accepted_while_its_workflow_is_ended_stands(stage: Stage) -> None:
    workflow_id = stage.start(flow(step("a")))
    decider = stage.decider()
    stage.settle(decider)
    (task,) = stage.claim("a")
    stage.ask(workflow_id, "terminate")
    words: list[str] = []
    stage.before = once("commit", lambda: words.extend(stage.report([task], {"v": 1})))
    stage.settle(decider)
    assert words == ["OK"]
    view = stage.view(workflow_id)
    assert (view.status, view.tasks[0].status, view.tasks[0].output_data) == ("TERMINATED", "COMPLETED", {"v": 1})
    assert stage.inbox() == 0


def test_whoever_reports_from_outside_is_told_of_the_commit_and_workers_cost_no_message(stage: Stage) -> None:
    told: list[bool] = []

    def hook(steps: Sequence[Call | Command]) -> None:
        told.extend("P" in one.args for one in steps if isinstance(one, Call) and one.script == "commit")

    decider = stage.decider()
    workflow_id = stage.start(flow(step("a"), step("b"), step("c")))
    stage.settle(decider)
    stage.before = hook
    stage.work("a")
    stage.run(decider.turn())
    stage.accept(stage.task_id(workflow_id, "b"))
    stage.run(decider.turn())
    stage.before = None
    assert told == [False, True]

"""Sub-workflows through the real store: started once in a partition of their own, ended with their parents, told apart."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest

from orchestrator import ids
from orchestrator.model.definitions import TaskDef, WorkflowDef
from orchestrator.model.execution import StartWorkflowRequest
from orchestrator.model.wire import workflow_def_to_dict
from orchestrator.plan import Call, Command
from orchestrator.service import starting, workflows
from orchestrator.service.starting import Launch
from orchestrator.store.view import remove
from tests.engine.stage import Died, Stage, flow, step
from tests.support.build import fork, join, sub_workflow

LEASE_MS = 10_000


def family(depth: int, leaf: WorkflowDef) -> list[WorkflowDef]:
    """Workflows that each start the next; the last of them is ``leaf``."""
    names = [f"level{number}" for number in range(depth)] + [leaf.name]
    above = [flow(sub_workflow("sub", name=below), name=name) for name, below in itertools.pairwise(names)]
    return [*above, leaf]


def child_of(stage: Stage, workflow_id: str, ref: str = "sub") -> str:
    """The id of the child that the latest attempt of a task has."""
    found = stage.tasks(workflow_id, ref)[-1].sub_workflow_id
    assert found is not None
    return found


def line_of(stage: Stage, workflow_id: str, depth: int) -> list[str]:
    """The workflow, its child, the child's child and so on."""
    line = [workflow_id]
    for _ in range(depth):
        line.append(child_of(stage, line[-1]))
    return line


@pytest.fixture
def lineage(stage: Stage) -> list[str]:
    """Four workflows under each other, the last of them waiting for a worker."""
    definitions = family(3, flow(step("a"), name="leaf"))
    for definition in definitions[1:]:
        stage.register(definition)
    top = stage.start(definitions[0])
    stage.settle(stage.decider())
    return line_of(stage, top, 3)


def test_a_child_runs_and_its_end_is_its_parents_task(stage: Stage) -> None:
    stage.register(flow(step("a"), name="child", output_parameters={"sum": "${a.output.sum}"}))
    parent = stage.start(
        flow(sub_workflow("sub", {"n": 2}), step("b", input_parameters={"sum": "${sub.output.sum}"})),
        correlation_id="c-1",
        priority=6,
    )
    decider = stage.decider()
    stage.settle(decider)
    child = child_of(stage, parent)
    shown = stage.view(child)
    assert (shown.parent_workflow_id, shown.parent_workflow_task_id) == (parent, stage.task_id(parent, "sub"))
    assert (shown.input, shown.correlation_id, shown.priority) == ({"n": 2}, "c-1", 6)
    assert stage.work("a", {"sum": 4}) == 1
    stage.settle(decider)
    assert stage.status(child) == "COMPLETED"
    assert stage.tasks(parent, "b")[0].input_data == {"sum": 4}
    assert stage.tasks(parent, "sub")[0].output_data == {"subWorkflowId": child, "sum": 4}


def test_the_end_of_the_last_ends_all_above_it(stage: Stage, lineage: list[str]) -> None:
    assert len({stage.keys.partition_of(workflow_id) for workflow_id in lineage}) == 2
    assert stage.work("a") == 1
    stage.tick(LEASE_MS + 1)
    stage.settle(stage.decider("d2"))
    assert [stage.status(workflow_id) for workflow_id in lineage] == ["COMPLETED"] * 4


def test_a_failure_passes_up_with_the_names_on_its_way(stage: Stage, lineage: list[str]) -> None:
    stage.register(TaskDef(name="a", retry_count=0))
    stage.tick(LEASE_MS + 1)
    assert stage.work("a", status="FAILED") == 1
    stage.settle(stage.decider("d2"))
    assert [stage.status(workflow_id) for workflow_id in lineage] == ["FAILED"] * 4
    reason = stage.view(lineage[0]).reason_for_incompletion
    assert reason is not None
    assert [f"Sub workflow level1.1/{lineage[1]} failure reason" in reason, "on purpose" in reason] == [True, True]


def test_terminating_the_first_ends_all_below_it(stage: Stage, lineage: list[str]) -> None:
    stage.tick(LEASE_MS + 1)
    stage.ask(lineage[0], "terminate", reason="enough")
    stage.settle(stage.decider("d2"))
    assert [stage.status(workflow_id) for workflow_id in lineage] == ["TERMINATED"] * 4
    prefix = "Parent workflow has been terminated with reason: "
    expected = [n * prefix + "enough" for n in range(4)]
    assert [stage.view(one).reason_for_incompletion for one in lineage] == expected
    assert stage.claim("a") == []
    assert (stage.inbox(), stage.outbox()) == (0, 0)


def test_terminating_one_in_the_middle_ends_those_below_and_fails_those_above(stage: Stage, lineage: list[str]) -> None:
    stage.tick(LEASE_MS + 1)
    stage.ask(lineage[2], "terminate", reason="enough")
    stage.settle(stage.decider("d2"))
    assert [stage.status(workflow_id) for workflow_id in lineage] == ["TERMINATED"] * 4
    assert [task.status for task in stage.view(lineage[1]).tasks] == ["CANCELED"]


def test_a_child_that_arrives_after_its_parent_has_ended_does_not_start(stage: Stage) -> None:
    stage.register(flow(step("a"), name="child"))
    parent = stage.start(flow(sub_workflow("sub")))
    decider = stage.decider()
    late: list[Call] = []

    def hold_back(steps: Sequence[Call | Command]) -> object:
        starts = [one for one in steps if isinstance(one, Call) and one.script == "start"]
        if not starts:
            return None
        late.extend(starts)
        raise Died

    stage.before = hold_back
    with pytest.raises(Died):
        stage.settle(decider)
    stage.before = None
    child = child_of(stage, parent)
    stage.ask(parent, "terminate")
    # A decider that is about to take over hears of the end first, and of the start from the outbox.
    stage.tick(LEASE_MS + 1)
    stage.before = lambda steps: [_refused()] if any(_is_start(one) for one in steps) else None
    successor = stage.decider("d2")
    stage.settle(successor)
    stage.before = None
    assert stage.do(late[0]) == [("TOMB", "")]
    stage.tick(LEASE_MS, successor)
    stage.settle(successor)
    assert stage.outbox() == 0
    assert stage.field(child, "v") is None


def _is_start(one: Call | Command) -> bool:
    return isinstance(one, Call) and one.script == "start"


def _refused() -> Exception:
    return RuntimeError("not now")


@pytest.mark.parametrize("script", ["start", "accept", "tell"])
def test_a_hand_off_that_is_delivered_twice_counts_once(stage: Stage, script: str) -> None:
    stage.register(flow(step("a"), name="child"))
    parent = stage.start(flow(sub_workflow("sub"), step("b")))
    decider = stage.decider()
    if script != "start":
        stage.settle(decider)
        if script == "accept":
            stage.work("a")
        else:
            stage.ask(parent, "terminate")

    def die_after(steps: Sequence[Call | Command]) -> None:
        if any(isinstance(one, Call) and one.script == script for one in steps):
            stage.before = None
            stage.do(steps)
            raise Died

    stage.before = die_after
    with pytest.raises(Died):
        stage.settle(decider)
    stage.before = None
    stage.tick(LEASE_MS + 1)
    successor = stage.decider("d2")
    stage.settle(successor)
    child = child_of(stage, parent)
    if script == "start":
        assert stage.work("a") == 1
        stage.settle(successor)
    if script == "tell":
        assert (stage.status(parent), stage.status(child)) == ("TERMINATED", "TERMINATED")
        return
    assert len(stage.tasks(parent, "sub")) == 1
    assert stage.work("b") == 1
    stage.settle(successor)
    assert (stage.status(parent), stage.status(child)) == ("COMPLETED", "COMPLETED")


def test_a_child_nobody_has_defined_fails_the_task_with_the_reason(stage: Stage) -> None:
    parent = stage.start(flow(sub_workflow("sub", name="nobody", version=3)))
    stage.settle(stage.decider())
    shown = stage.view(parent)
    assert shown.status == "FAILED"
    assert "No such workflow defined. name=nobody, version=3" in str(shown.tasks[0].reason_for_incompletion)
    assert (stage.inbox(), stage.outbox()) == (0, 0)


def test_an_inline_definition_that_cannot_run_fails_the_task_with_its_problems(stage: Stage) -> None:
    broken = workflow_def_to_dict(flow(step("a"), step("a"), name="twice"))
    parent = stage.start(
        flow(sub_workflow("sub", name="", workflow_definition="${workflow.input.plan}")), {"plan": broken}
    )
    stage.settle(stage.decider())
    assert stage.status(parent) == "FAILED"
    assert "twice" in str(stage.tasks(parent, "sub")[0].reason_for_incompletion)


def test_an_inline_definition_runs_without_being_registered(stage: Stage) -> None:
    inline = flow(step("a"), name="inside", input_template={"x": 1})
    parent = stage.start(flow(sub_workflow("sub", {"y": 2}, workflow_definition=inline)))
    decider = stage.decider()
    stage.settle(decider)
    shown = stage.view(child_of(stage, parent))
    assert shown.workflow_name == "inside"
    assert shown.input == {"x": 1, "y": 2, "_systemMetadata": {"dynamic": True}}
    stage.work("a")
    stage.settle(decider)
    assert stage.status(parent) == "COMPLETED"


def test_the_version_is_the_latest_of_the_moment_the_parent_started(stage: Stage) -> None:
    stage.register(flow(step("a"), name="child", version=1))
    parent = flow(step("first"), sub_workflow("sub"), sub_workflow("named", name="${workflow.input.n}"), name="parent")
    stage.register(parent)
    launches = [Launch(StartWorkflowRequest(name="parent", input={"n": "child"})) for _ in range(2)]
    started = stage.run(starting.start(stage.store, launches[0], wait_commit=False))
    (other,) = stage.run(starting.start_many(stage.store, launches[1:]))
    stage.register(flow(step("a"), step("more"), name="child", version=2))
    decider = stage.decider()
    stage.settle(decider)
    assert stage.work("first") == 2
    stage.settle(decider)
    assert stage.work("a") == 2
    stage.settle(decider)
    for workflow_id in (started.workflow_id, other.workflow_id):
        assert stage.view(child_of(stage, workflow_id)).workflow_version == 1
        assert stage.view(child_of(stage, workflow_id, "named")).workflow_version == 2


def test_a_workflow_that_starts_itself_ends_with_a_reason(stage: Stage) -> None:
    stage.register(flow(sub_workflow("sub", name="again"), name="again"))
    top = stage.start(flow(sub_workflow("sub", name="again"), name="again"))
    stage.settle(stage.decider())
    shown = stage.view(top)
    assert shown.status == "FAILED"
    assert "sub-workflows may nest 50 deep" in str(shown.reason_for_incompletion)


def test_the_end_of_a_child_whose_parent_was_removed_disturbs_nobody(stage: Stage) -> None:
    stage.register(flow(step("a"), name="child"))
    parent = stage.start(flow(sub_workflow("sub")))
    decider = stage.decider()
    stage.settle(decider)
    child = child_of(stage, parent)
    number = stage.keys.partition_of(parent)
    indexes = [stage.keys.by_status(number, "RUNNING"), stage.keys.by_name(number, "flow")]
    assert stage.do(remove(stage.keys, number, parent, indexes=indexes, force=True)) == "OK"
    stage.work("a")
    stage.settle(decider)
    assert stage.status(child) == "COMPLETED"
    assert (stage.inbox(), stage.outbox()) == (0, 0)


def test_a_parent_does_not_wait_for_a_child_that_was_removed(stage: Stage) -> None:
    stage.register(flow(step("a"), name="child"))
    decider = stage.decider()
    parents = [stage.start(shared("RETURN_EXISTING")) for _ in range(2)]
    stage.settle(decider)
    (child,) = {child_of(stage, parent) for parent in parents}
    stage.run(workflows.remove(stage.store, child, force=True))
    stage.settle(decider)
    assert [stage.status(parent) for parent in parents] == ["TERMINATED"] * 2
    assert f"{child} was removed" in str(stage.view(parents[0]).reason_for_incompletion)


def test_the_start_of_a_child_that_was_removed_does_not_bring_it_back(stage: Stage) -> None:
    stage.register(flow(step("a"), name="child"))
    parent = stage.start(flow(sub_workflow("sub")))
    decider, seen = stage.decider(), list[Call]()

    def watch(steps: Sequence[Call | Command]) -> None:
        seen.extend(one for one in steps if isinstance(one, Call) and _is_start(one))

    stage.before = watch
    stage.settle(decider)
    stage.work("a")
    stage.settle(decider)
    stage.before = None
    child = child_of(stage, parent)
    stage.run(workflows.remove(stage.store, child))
    assert stage.do(seen[0]) == [("TOMB", "")]
    assert stage.field(child, "v") is None


def test_many_children_are_started_told_and_ended_in_few_round_trips(stage: Stage) -> None:
    stage.register(flow(step("a"), name="child"))
    trips = []
    for width in (2, 45):
        refs = [f"sub{width}_{number}" for number in range(width)]
        wide = flow(fork("split", *([sub_workflow(ref)] for ref in refs)), join("all", *refs))
        decider = stage.decider()
        before = stage.trips
        parents = [stage.start(wide), stage.start(wide)]
        stage.settle(decider)
        assert stage.work("a") == 2 * width
        stage.settle(decider)
        assert stage.status(parents[0]) == "COMPLETED"
        ended = stage.start(wide)
        stage.settle(decider)
        stage.ask(ended, "terminate")
        stage.settle(decider)
        trips.append(stage.trips - before)
        assert (stage.inbox(), stage.outbox()) == (0, 0)
    assert trips[1] < 3 * trips[0], trips


def shared(strategy: str) -> WorkflowDef:
    """A parent whose child has an idempotency key."""
    return flow(sub_workflow("sub", idempotency_key="k", idempotency_strategy=strategy))


def test_a_child_under_a_key_that_is_taken_fails_its_task(stage: Stage) -> None:
    stage.register(flow(step("a"), name="child"))
    decider = stage.decider()
    first, second = stage.start(shared("FAIL")), stage.start(shared("FAIL_ON_RUNNING"))
    stage.settle(decider)
    states = sorted([stage.status(first), stage.status(second)])
    assert states == ["FAILED", "RUNNING"]
    failed = first if stage.status(first) == "FAILED" else second
    assert "with idempotency key 'k'" in str(stage.tasks(failed, "sub")[0].reason_for_incompletion)
    assert stage.work("a") == 1
    stage.settle(decider)
    third = stage.start(shared("FAIL_ON_RUNNING"))
    stage.settle(decider)
    assert stage.status(third) == "RUNNING"
    assert stage.work("a") == 1


def test_a_child_under_a_key_may_be_shared(stage: Stage) -> None:
    stage.register(flow(step("a"), name="child"))
    decider = stage.decider()
    parents = [stage.start(shared("RETURN_EXISTING"), number=number) for number in (0, 1)]
    stage.settle(decider)
    (child,) = {child_of(stage, parent) for parent in parents}
    assert stage.work("a", {"n": 1}) == 1
    stage.settle(decider)
    assert [stage.status(one) for one in (*parents, child)] == ["COMPLETED"] * 3
    late = stage.start(shared("RETURN_EXISTING"))
    stage.settle(decider)
    assert stage.status(late) == "COMPLETED"
    for parent in (*parents, late):
        assert stage.tasks(parent, "sub")[0].output_data == {"subWorkflowId": child, "n": 1}
    assert (stage.inbox(), stage.outbox()) == (0, 0)


def test_a_shared_child_outlives_a_parent_that_did_not_start_it(stage: Stage) -> None:
    stage.register(flow(step("a"), name="child"))
    decider = stage.decider()
    first = stage.start(shared("RETURN_EXISTING"))
    stage.settle(decider)
    second = stage.start(shared("RETURN_EXISTING"))
    stage.settle(decider)
    stage.ask(second, "terminate")
    stage.settle(decider)
    assert [stage.status(one) for one in (second, first, child_of(stage, first))] == [
        "TERMINATED",
        "RUNNING",
        "RUNNING",
    ]
    stage.work("a")
    stage.settle(decider)
    assert stage.status(first) == "COMPLETED"


def test_the_id_of_a_child_tells_where_it_lives(stage: Stage) -> None:
    stage.register(flow(step("a"), name="child"))
    parents = [stage.start(flow(sub_workflow("sub"))) for _ in range(8)]
    stage.settle(stage.decider())
    found = {stage.keys.partition_of(ids.child_workflow_id(stage.task_id(one, "sub"))) for one in parents}
    assert found == {0, 1}
    assert stage.work("a") == 8

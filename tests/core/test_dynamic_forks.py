"""FORK_JOIN_DYNAMIC: its three input forms, any width, branches that hold steps, and lists that cannot be carried out."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.core.draft import TASKS_PER_DECISION
from orchestrator.model.definitions import WorkflowTask
from orchestrator.model.effects import Enqueue
from orchestrator.model.records import encode
from tests.support.build import dynamic_fork, fork, join, noop, simple, switch, task_def, workflow_def
from tests.support.happenings import completed, failed, operation, started
from tests.support.story import Story

ITEMS = {"forkTaskName": "resize", "forkTaskInputs": "${workflow.input.items}"}


def uniform(items: Any, *after: WorkflowTask, in_one_go: bool = True, **given: Any) -> Story:
    """A fork of the first form over ``items``, started."""
    definition = workflow_def(*dynamic_fork("f", {**ITEMS, **given}), *after)
    return Story(definition, input={"items": items}, in_one_go=in_one_go).when(started())


def stepped(*branches: dict[str, Any], inputs: Any = None, after: tuple[WorkflowTask, ...] = (), **more: Any) -> Story:
    """A fork of the second form, started."""
    params = {"dynamic_fork_tasks_param": "tasks", "dynamic_fork_tasks_input_param_name": "inputs"}
    given = {"tasks": "${workflow.input.tasks}", "inputs": "${workflow.input.inputs}"}
    definition = workflow_def(*dynamic_fork("f", given, **params), *after)
    return Story(definition, input={"tasks": list(branches), "inputs": inputs or {}}, **more).when(started())


def branch(ref: str, type_: str = "SIMPLE", **fields: Any) -> dict[str, Any]:
    """One step in its JSON form."""
    return {"name": fields.pop("name", ref), "taskReferenceName": ref, "type": type_, **fields}


# --- the first form: one task for every input -------------------------------------------------------------------------


def test_every_element_becomes_a_branch_and_the_join_waits_for_all() -> None:
    story = uniform([{"size": 1}, 2], simple("z", {"all": "${f_join.output}", "one": "${f_join.output._resize_1.w}"}))
    story.expect("RUNNING", open=["f_join", "_resize_0", "_resize_1"])
    assert story.task("_resize_0").input == {"size": 1, "__index": 0}
    assert story.task("_resize_1").input == {"input": 2, "__index": 1}
    assert [(one.type, one.task_id) for one in story.sent(Enqueue)] == [
        ("resize", story.id_of("_resize_0")),
        ("resize", story.id_of("_resize_1")),
    ]
    assert story.task("f").input["forkedTasks"] == story.task("f_join").input["joinOn"] == ["_resize_0", "_resize_1"]
    story.when(completed("_resize_1", {"w": 6})).expect("RUNNING", tasks={"f_join": "IN_PROGRESS"})
    story.when(completed("_resize_0", {"w": 5})).expect(open=["z"])
    assert story.task("z").input == {"all": {"_resize_0": {"w": 5}, "_resize_1": {"w": 6}}, "one": 6}


def test_the_name_of_the_fork_serves_when_the_input_names_no_task() -> None:
    definition = workflow_def(*dynamic_fork("f", {"forkTaskInputs": [1]}))
    assert Story(definition).when(started()).task("_f_0").record.scheduled.type == "f"


def test_a_built_in_type_names_the_branches() -> None:
    story = Story(
        workflow_def(*dynamic_fork("f", {"forkTaskType": "WAIT", "forkTaskInputs": [{"duration": "5 s"}, {}]}))
    )
    story.when(started()).expect(open=["f_join", "_WAIT_0", "_WAIT_1"])
    assert story.task("_WAIT_0").record.scheduled.deadline_ms == story.now + 5000


def test_a_second_dynamic_fork_puts_its_own_name_before_those_of_its_branches() -> None:
    two = [*dynamic_fork("f", {"forkTaskName": "a", "forkTaskInputs": [1]})]
    two += dynamic_fork("g", {"forkTaskName": "a", "forkTaskInputs": [1]})
    story = Story(workflow_def(*two)).when(started(), completed("_a_0"))
    story.expect(open=["g_join", "_g_a_0"]).when(completed("_g_a_0")).expect("COMPLETED")


def test_elements_carry_flags_of_their_step_and_the_forks_own_optional_holds_for_all() -> None:
    story = uniform([{"optional": True, "retryCount": 0, "x": 1}, {"retryCount": 0, "startDelay": 9}])
    assert story.task("_resize_0").input == {"x": 1, "__index": 0}
    assert story.task("_resize_1").record.scheduled.delay_ms == 9000
    story.when(failed("_resize_0")).expect("RUNNING", tasks={"_resize_0": "COMPLETED_WITH_ERRORS"})
    story.when(failed("_resize_1")).expect("FAILED", tasks={"f_join": "CANCELED"})
    both = workflow_def(*dynamic_fork("f", {"forkTaskName": "a", "forkTaskInputs": [{"retryCount": 0}]}, optional=True))
    Story(both).when(started(), failed("_a_0")).expect("COMPLETED", tasks={"f_join": "COMPLETED_WITH_ERRORS"})


def test_what_looks_like_an_expression_in_the_data_of_a_branch_stays_as_it_is() -> None:
    assert uniform([{"x": "${workflow.input.secret}"}]).task("_resize_0").input["x"] == "${workflow.input.secret}"


def test_a_retried_branch_keeps_its_input() -> None:
    story = uniform([{"x": 1}])
    story.facts.task_defs = {"resize": task_def("resize")}
    story.when(failed("_resize_0"))
    assert (story.task("_resize_0").attempt, story.task("_resize_0").input) == (1, {"x": 1, "__index": 0})
    story.when(completed("_resize_0")).expect("COMPLETED")


@pytest.mark.parametrize("width", [0, 1, 2, 197, 198, 199, 200, 201, 1000])
def test_a_dynamic_fork_of_any_width_is_joined_when_its_last_branch_ends(width: int) -> None:
    story = uniform(list(range(width)))
    refs = [f"_resize_{n}" for n in range(width)]
    assert len(story.sent(Enqueue)) == width
    assert max(len(draft.scheduled) for draft in story.drafts) <= TASKS_PER_DECISION
    story.when(*(completed(ref) for ref in reversed(refs[1:])))
    if width:
        story.expect("RUNNING", tasks={"f_join": "IN_PROGRESS"}).when(completed(refs[0]))
    story.expect("COMPLETED", tasks={"f": "COMPLETED", "f_join": "COMPLETED"})


def test_twenty_thousand_branches_are_fanned_out_in_slices_and_the_core_record_stays_small() -> None:
    story = uniform(list(range(20_000)), forkTaskType="NOOP").expect("COMPLETED")
    assert len(story.scheduled) == 20_002
    assert story.decisions <= 20_000 / TASKS_PER_DECISION + 2
    assert max(len(encode(draft.core)) for draft in story.drafts) < 1000


def test_branches_that_end_while_others_are_not_started_yet_are_counted() -> None:
    story = uniform(list(range(450)), in_one_go=False)
    first = len(story.sent(Enqueue))
    assert first == TASKS_PER_DECISION - 2
    story.when(*(completed(f"_resize_{n}") for n in range(first)))
    story.when(operation("pause"), operation("resume"))
    while story.owed:
        story.continue_once()
    story.when(*(completed(f"_resize_{n}") for n in range(first, 450))).expect("COMPLETED")


def test_a_workflow_that_ends_during_the_fan_out_starts_no_further_branches() -> None:
    story = uniform(list(range(450)), in_one_go=False)
    story.when(operation("terminate"))
    while story.owed:
        story.continue_once()
    story.expect("TERMINATED", open=[])
    assert len(story.scheduled) == TASKS_PER_DECISION


# --- the second form: steps with inputs by reference ------------------------------------------------------------------


def test_branches_are_steps_of_their_own_with_inputs_laid_over_theirs() -> None:
    one = branch("one", name="crop", inputParameters={"a": "${workflow.input.inputs.one.b}", "b": 0})
    story = stepped(one, branch("two", "NOOP"), inputs={"one": {"b": 2}})
    assert story.task("one").input == {"a": 2, "b": 2}
    assert [offer.type for offer in story.sent(Enqueue)] == ["crop"]
    story.when(completed("one", {"x": 1})).expect("COMPLETED", tasks={"one": "COMPLETED", "two": "COMPLETED"})


def test_the_join_waits_for_everything_inside_a_branch() -> None:
    inner = branch("inner")
    choice = branch(
        "s",
        "SWITCH",
        inputParameters={"v": "x"},
        evaluatorType="value-param",
        expression="v",
        decisionCases={"x": [branch("a"), inner], "y": []},
    )
    story = stepped(choice, branch("b")).expect(open=["f_join", "b", "a"])
    story.when(completed("b"), completed("a")).expect("RUNNING", open=["f_join", "inner"])
    story.when(completed("inner")).expect("COMPLETED", tasks={"f_join": "COMPLETED"})
    choice["inputParameters"] = {"v": "y"}
    stepped(choice, branch("b")).when(completed("b")).expect("COMPLETED")


def test_steps_inside_a_branch_are_retried_and_read_each_other() -> None:
    choice = branch(
        "s",
        "SWITCH",
        inputParameters={"v": "x"},
        evaluatorType="value-param",
        expression="v",
        decisionCases={"x": [branch("a"), branch("b", inputParameters={"v": "${a.output.v}"})]},
    )
    story = stepped(choice, task_defs=[task_def("a"), task_def("b")])
    story.when(failed("a"), completed("a", {"v": 7}), failed("b"))
    assert story.task("b").input == {"v": 7}
    assert (story.task("a").attempt, story.task("b").attempt) == (1, 1)
    story.when(completed("b")).expect("COMPLETED")


def test_a_script_of_a_step_in_a_branch_is_answered_by_its_own_task() -> None:
    choice = branch(
        "s", "SWITCH", evaluatorType="javascript", expression="$.x", decisionCases={"b": [branch("a"), branch("c")]}
    )
    story = stepped(choice, branch("b")).expect(open=["f_join", "s", "s#case", "b"])
    story.when(completed("s#case", {"result": "b"}), completed("b"), completed("a")).expect(open=["f_join", "c"])
    story.when(completed("c")).expect("COMPLETED", tasks={"f_join": "COMPLETED"})


def test_a_branch_may_hold_forks_static_and_dynamic() -> None:
    static = [
        branch("g", "FORK_JOIN", forkTasks=[[branch("g1")], [branch("g2")]]),
        branch("gj", "JOIN", joinOn=["g1", "g2"]),
    ]
    nested = branch("h", "FORK_JOIN_DYNAMIC", inputParameters={"forkTaskName": "n", "forkTaskInputs": [1, 2]})
    choice = branch(
        "s",
        "SWITCH",
        inputParameters={"v": "x"},
        evaluatorType="value-param",
        expression="v",
        decisionCases={"x": [*static, nested, branch("hj", "JOIN")]},
    )
    last = simple("z", {"deep": "${hj.output._h_n_1.v}"})
    story = stepped(choice, after=(last,)).expect(open=["f_join", "gj", "g1", "g2"])
    story.when(completed("g2"), completed("g1")).expect(open=["f_join", "hj", "_h_n_0", "_h_n_1"])
    story.when(completed("_h_n_1", {"v": 3}), completed("_h_n_0")).expect(open=["z"])


def test_a_permissive_branch_that_failed_fails_the_join_when_all_have_ended() -> None:
    story = stepped(branch("a", permissive=True, retryCount=0), branch("b")).when(failed("a", "one"))
    story.expect("RUNNING").when(completed("b")).expect("FAILED", tasks={"f_join": "FAILED"}, reason="'one'")


def test_a_dynamic_fork_may_stand_in_a_branch_of_a_fork_and_in_a_case() -> None:
    inside = dynamic_fork("f", {"forkTaskName": "a", "forkTaskInputs": [1, 2]})
    steps = [fork("o", [noop("n"), *inside], [switch("s", "x", {"x": [simple("b")]})]), join("j", "f_join", "b")]
    story = Story(workflow_def(*steps, simple("z", {"x": "${j.output.f_join._a_0.v}"}))).when(started())
    story.when(completed("b"), completed("_a_0", {"v": 1}), completed("_a_1")).expect(open=["z"])
    assert story.task("z").input == {"x": 1}


# --- the third form: tasks to be named --------------------------------------------------------------------------------


def test_dynamic_tasks_are_named_typed_and_given_input() -> None:
    given = {"fork": {"dynamicTasks": "${workflow.input.tasks}"}}
    tasks = [
        {"taskName": "crop", "referenceName": "one", "input": {"x": 1}},
        {"referenceName": "two", "type": "WAIT"},
    ]
    definition = workflow_def(*dynamic_fork("f", given, dynamic_fork_join_tasks_param="fork"))
    story = Story(definition, input={"tasks": tasks}).when(started()).expect(open=["f_join", "one", "two"])
    assert (story.task("one").record.scheduled.type, story.task("one").input) == ("crop", {"x": 1})


# --- lists that cannot be carried out ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "given", "reason"),
    [
        ({}, {"forkTaskInputs": None}, "forkTaskInputs must be a list, not null"),
        ({}, {"forkTaskInputs": [1], "forkTaskName": 3}, "forkTaskName must be text, not 3"),
        ({"dynamic_fork_tasks_param": "t"}, {"t": "no"}, "Input 't' is invalid. Cannot deserialize a list of Workflow"),
        ({"dynamic_fork_tasks_param": "t"}, {"t": None}, "Cannot deserialize a list of Workflow Tasks from 'null'"),
        (
            {"dynamic_fork_tasks_param": "t", "dynamic_fork_tasks_input_param_name": "i"},
            {"t": [], "i": []},
            "Input to the dynamically forked tasks is not a map -> expecting a map of K,V  but found []",
        ),
        (
            {"dynamic_fork_tasks_param": "t", "dynamic_fork_tasks_input_param_name": "i"},
            {"t": [{"name": "a"}], "i": {}},
            "at [0]: it has no taskReferenceName",
        ),
        (
            {"dynamic_fork_join_tasks_param": "p"},
            {"p": None},
            "Dynamic tasks could not be created. The value of p from",
        ),
        ({"dynamic_fork_join_tasks_param": "p"}, {"p": {"dynamicTasks": [{}]}}, "dynamicTasks[0] has no referenceName"),
    ],
)
def test_a_list_that_cannot_be_read_fails_the_workflow(fields: Any, given: Any, reason: str) -> None:
    story = Story(workflow_def(*dynamic_fork("f", given, **fields))).when(started())
    story.expect("FAILED", reason=reason, tasks={"f": "FAILED"})


def test_a_fork_that_no_join_follows_fails_the_workflow() -> None:
    alone = dynamic_fork("f", {"forkTaskInputs": []})[:1]
    Story(workflow_def(*alone)).when(started()).expect("FAILED", reason="is not followed by a join task")


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"taskReferenceName": "x"}, "name"),
        (branch("x", "SWITCH"), "evaluatorType field is required"),
        (branch("x", "FORK_JOIN", forkTasks=[[branch("y")]]), "not followed by a join task"),
        (branch("x", "DO_WHILE", loopCondition="true", loopOver=[branch("x")]), "'x' should be given and unique"),
        (
            branch("x", "DO_WHILE", loopCondition="true", loopOver=[branch("f")]),
            "f is that of a step of the definition",
        ),
        (branch("x", inputParameters=[]), "inputParameters"),
    ],
)
def test_a_branch_that_is_no_step_fails_the_workflow_and_says_why(bad: dict[str, Any], reason: str) -> None:
    story = stepped(branch("ok"), bad).expect("FAILED", reason="Dynamic Fork Task: f has a branch x that cannot be")
    story.expect(reason=reason, open=[], tasks={"ok": "CANCELED"})
    assert story.sent(Enqueue) == []


def test_the_input_of_a_branch_that_is_no_map_fails_the_workflow() -> None:
    stepped(branch("x"), inputs={"x": 3}).expect("FAILED", reason="due to invalid input: 3 is not a map")


def test_a_type_that_nobody_carries_out_fails_its_own_task() -> None:
    stepped(branch("x", "CALL_MCP_TOOL")).expect("FAILED", reason="CALL_MCP_TOOL is not supported by this installation")
    stepped(branch("x", "CALL_MCP_TOOL", optional=True)).expect("COMPLETED", tasks={"x": "COMPLETED_WITH_ERRORS"})


@pytest.mark.parametrize("refs", [["a", "a"], ["a", "f_join"]], ids=["among themselves", "as a step of the definition"])
def test_branches_of_the_same_name_fail_the_workflow_before_any_is_started(refs: list[str]) -> None:
    story = stepped(*map(branch, refs)).expect("FAILED", reason="attempted to create a duplicate task reference name")
    assert list(story.scheduled) == ["f"]


def test_a_branch_with_the_name_of_another_forks_branch_fails_the_workflow() -> None:
    params = {"dynamic_fork_tasks_param": "t", "dynamic_fork_tasks_input_param_name": "i"}
    given = {"t": [branch("a")], "i": {}}
    definition = workflow_def(*dynamic_fork("f", given, **params), *dynamic_fork("g", given, **params))
    story = Story(definition).when(started(), completed("a"))
    story.expect("FAILED", reason="Dynamic Fork Task: g attempted to create a duplicate task reference name: a")


def test_steps_of_the_same_name_inside_two_branches_fail_the_workflow() -> None:
    def choice(ref: str) -> dict[str, Any]:
        cases = {"x": [branch(f"{ref}1"), branch("same")]}
        return branch(
            ref, "SWITCH", inputParameters={"v": "x"}, evaluatorType="value-param", expression="v", decisionCases=cases
        )

    story = stepped(choice("s"), choice("t")).when(completed("s1"), completed("same"), completed("t1"))
    story.expect("FAILED", reason="attempted to create a duplicate task reference name: same")

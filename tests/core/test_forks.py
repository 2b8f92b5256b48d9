"""FORK_JOIN and JOIN: order, width, nesting, members in odd places, and what a JOIN makes of failures."""

from __future__ import annotations

import pytest

from orchestrator.core.draft import TASKS_PER_DECISION
from orchestrator.model.effects import Enqueue
from tests.support.build import fork, forked, join, noop, set_variable, simple, switch, task_def, workflow_def
from tests.support.happenings import completed, failed, operation, reported, started, timer
from tests.support.story import Story


def test_branches_run_side_by_side_and_the_join_waits_for_the_last() -> None:
    definition = workflow_def(*forked("f", [simple("a"), simple("b")], [simple("c")]), simple("d"))
    story = Story(definition).when(started()).expect("RUNNING", open=["f_join", "a", "c"])
    story.when(completed("c", {"c": 1}), completed("a")).expect("RUNNING", open=["f_join", "b"])
    story.when(completed("b", {"b": 2})).expect("RUNNING", open=["d"], tasks={"f": "COMPLETED", "f_join": "COMPLETED"})


def test_the_fork_shows_its_input() -> None:
    branches = fork("f", [simple("a")])
    branches.input_parameters = {"x": "${workflow.input.x}"}
    story = Story(workflow_def(branches, join("j", "a")), input={"x": 4}).when(started())
    assert story.task("f").input == {"x": 4}
    assert story.task("j").input == {"joinOn": ["a"]}
    assert (story.task("f").record.scheduled.type, story.task("f").status) == ("FORK", "COMPLETED")


def test_the_join_is_there_before_any_branch_so_that_no_member_can_end_unnoticed() -> None:
    story = Story(workflow_def(*forked("f", [noop("a")], [noop("b")]), noop("c"))).when(started())
    story.expect("COMPLETED", tasks={"f_join": "COMPLETED", "c": "COMPLETED"})


def test_expressions_read_the_outputs_of_the_members_through_the_join() -> None:
    read = {"one": "${f_join.output.a.x}", "all": "${f_join.output}", "status": "${f_join.status}"}
    definition = workflow_def(*forked("f", [simple("a")], [simple("b")], [noop("c")]), simple("d", read))
    story = Story(definition).when(started(), completed("a", {"x": 1}), completed("b", {"y": 2}))
    assert story.task("d").input == {"one": 1, "all": {"a": {"x": 1}, "b": {"y": 2}}, "status": "COMPLETED"}


def test_the_output_of_a_join_of_joins_is_nested() -> None:
    inner = forked("g", [simple("a")], [simple("b")])
    steps = [*forked("f", inner, [simple("c")]), simple("d", {"x": "${f_join.output.g_join.a.x}"})]
    story = Story(workflow_def(*steps)).when(started(), completed("a", {"x": 1}), completed("b", {"y": 2}))
    story.when(completed("c", {"z": 3}))
    assert story.task("d").input == {"x": 1}


def test_the_output_of_a_join_that_is_named_at_run_time_is_complete() -> None:
    read = {"all": "${${workflow.input.join}.output}"}
    definition = workflow_def(*forked("f", forked("g", [simple("a")], [simple("b")]), [simple("c")]), simple("d", read))
    story = Story(definition, input={"join": "f_join"})
    story.when(started(), completed("a", {"x": 1}), completed("b", {"y": 2}), completed("c", {"z": 3}))
    assert story.task("d").input == {"all": {"g_join": {"a": {"x": 1}, "b": {"y": 2}}, "c": {"z": 3}}}


def test_the_output_of_a_workflow_that_ends_with_a_join_is_the_joins() -> None:
    definition = workflow_def(simple("a"), *forked("f", [noop("b")], [noop("c")]), join("j", "a", "f_join"))
    story = Story(definition).when(started(), completed("a", {"x": 1}))
    story.expect("COMPLETED", output={"a": {"x": 1}})


@pytest.mark.parametrize("width", [1, 99, 100, 101, 199, 200, 201, 1000])
def test_a_fork_of_any_width_is_joined_when_its_last_branch_ends(width: int) -> None:
    refs = [f"b{n}" for n in range(width)]
    story = Story(workflow_def(*forked("f", *([simple(ref)] for ref in refs)))).when(started())
    assert len(story.sent(Enqueue)) == width
    assert max(len(draft.scheduled) for draft in story.drafts) <= TASKS_PER_DECISION
    story.when(*(completed(ref) for ref in reversed(refs[1:]))).expect("RUNNING")
    story.when(completed(refs[0])).expect("COMPLETED")


def test_a_fork_of_ten_thousand_is_fanned_out_and_joined_in_order() -> None:
    refs = [f"b{n}" for n in range(10_000)]
    story = Story(workflow_def(*forked("f", *([noop(ref)] for ref in refs)))).when(started()).expect("COMPLETED")
    assert list(story.scheduled) == ["f", "f_join", *refs]
    assert story.decisions <= 10_000 / TASKS_PER_DECISION + 2
    assert max(len(draft.core.agenda) for draft in story.drafts) <= 300


def test_branches_that_end_while_others_are_not_started_yet_are_counted() -> None:
    refs = [f"b{n}" for n in range(450)]
    definition = workflow_def(*forked("f", *([simple(ref)] for ref in refs)))
    story = Story(definition, in_one_go=False).when(started())
    assert len(story.sent(Enqueue)) == TASKS_PER_DECISION - 2
    story.when(*(completed(ref) for ref in refs[:150]))
    while story.owed:
        story.continue_once()
    assert len(story.sent(Enqueue)) == 450
    story.when(*(completed(ref) for ref in refs[150:])).expect("COMPLETED")


def test_a_wide_fork_inside_a_wide_fork_starts_every_branch_once() -> None:
    inner = [forked(f"g{n}", *([noop(f"g{n}b{m}")] for m in range(30))) for n in range(120)]
    story = Story(workflow_def(*forked("f", *inner))).when(started()).expect("COMPLETED")
    assert len(story.scheduled) == 2 + 120 * 32
    story.check_books()


def test_a_branch_may_hold_a_fork_of_its_own() -> None:
    definition = workflow_def(*forked("f", [*forked("g", [simple("a")], [simple("b")]), simple("c")], [simple("d")]))
    story = Story(definition).when(started(), completed("d"), completed("b"), completed("a"))
    story.expect("RUNNING", open=["f_join", "c"]).when(completed("c")).expect("COMPLETED")


def test_a_join_may_list_steps_inside_a_nested_fork() -> None:
    nested = forked("g", [simple("a")], [simple("b")])
    story = Story(workflow_def(fork("f", nested, [simple("c")]), join("j", "a", "c"))).when(started())
    story.when(completed("a"), completed("c")).expect("RUNNING", tasks={"j": "COMPLETED"}, open=["g_join", "b"])
    story.when(completed("b")).expect("COMPLETED")


def test_a_join_that_lists_nothing_does_not_wait() -> None:
    story = Story(workflow_def(fork("f", [simple("a")]), join("j"), simple("b"))).when(started())
    story.expect("RUNNING", open=["a", "b"]).when(completed("a"), completed("b")).expect("COMPLETED")


def test_a_member_that_is_listed_twice_counts_once() -> None:
    story = Story(workflow_def(fork("f", [simple("a")], [simple("b")]), join("j", "a", "a", "b"))).when(started())
    story.when(completed("a")).expect("RUNNING", tasks={"j": "IN_PROGRESS"})
    story.when(completed("b")).expect("COMPLETED")


def test_a_step_may_be_a_member_of_several_joins() -> None:
    definition = workflow_def(fork("f", [simple("a")], [join("early", "a"), simple("b")]), join("j", "a", "b"))
    story = Story(definition).when(started()).expect("RUNNING", open=["j", "a", "early"])
    story.when(completed("a")).expect("RUNNING", open=["j", "b"]).when(completed("b")).expect("COMPLETED")


# --- members outside the fork -----------------------------------------------------------------------------------------


def test_a_join_counts_members_that_ended_before_it_was_reached() -> None:
    definition = workflow_def(simple("a"), fork("f", [simple("b")]), join("j", "a", "b"))
    story = Story(definition).when(started(), completed("a"), completed("b")).expect("COMPLETED")
    assert story.task("j").status == "COMPLETED"


@pytest.mark.parametrize("first", [True, False], ids=["before its members", "after its members"])
def test_a_join_may_stand_in_a_branch_and_wait_for_others(first: bool) -> None:
    waiting = [join("both", "a", "b"), simple("c")]
    branches = [[simple("a")], [simple("b")]]
    branches = [waiting, *branches] if first else [*branches, waiting]
    story = Story(workflow_def(fork("f", *branches), join("j", "c"))).when(started(), completed("a"))
    story.expect("RUNNING", tasks={"both": "IN_PROGRESS"}).when(completed("b")).expect("RUNNING", open=["j", "c"])
    story.when(completed("c")).expect("COMPLETED")


def test_a_join_does_not_wait_for_steps_that_come_after_it_or_do_not_exist() -> None:
    definition = workflow_def(fork("f", [simple("a"), join("early", "late", "j", "nobody", "early"), simple("late")]))
    definition.tasks += [join("j", "late"), simple("end")]
    story = Story(definition).when(started(), completed("a")).expect("RUNNING", tasks={"early": "COMPLETED"})
    story.when(completed("late"), completed("end")).expect("COMPLETED")


def test_joins_that_wait_for_each_other_fail_the_workflow_instead_of_hanging() -> None:
    one, two = [join("j1", "b"), simple("a")], [join("j2", "a"), simple("b")]
    story = Story(workflow_def(fork("f", one, two), join("j", "a", "b"))).when(started())
    story.expect("FAILED", reason="The JOINs j, j1, j2 wait for steps that can only run after them", open=[])


def test_a_join_does_not_wait_for_a_branch_of_a_neighbour_that_was_not_taken() -> None:
    choice = switch("s", "no", {"yes": [simple("m")]}, [noop("n")])
    late = [simple("a"), *forked("g", [simple("b")])]
    late[-1].join_on.append("m")
    story = Story(workflow_def(fork("f", [choice], late), join("j", "b"))).when(started(), completed("a"))
    story.when(completed("b")).expect("COMPLETED", tasks={"g_join": "COMPLETED"})


def test_a_join_waits_for_a_branch_of_a_neighbour_that_may_still_be_taken() -> None:
    choice = [simple("x"), switch("s", "${x.output.go}", {"yes": [simple("m")]})]
    story = Story(workflow_def(fork("f", choice, [join("early", "m"), simple("b")]), join("j", "b"))).when(started())
    story.expect("RUNNING", tasks={"early": "IN_PROGRESS"})
    story.when(completed("x", {"go": "yes"})).expect("RUNNING", tasks={"early": "IN_PROGRESS"})
    story.when(completed("m")).expect("RUNNING", tasks={"early": "COMPLETED"})
    other = Story(workflow_def(fork("f", choice, [join("early", "m"), simple("b")]), join("j", "b")))
    other.when(started(), completed("x", {"go": "no"})).expect("RUNNING", tasks={"early": "COMPLETED"})


def test_a_join_waits_for_the_retry_of_a_member_that_failed_while_the_workflow_was_paused() -> None:
    # Given: the first decision had room for the fork, its join and all branches but the one that waits for m
    wide = [[noop(f"n{n}")] for n in range(TASKS_PER_DECISION - 3)]
    definition = workflow_def(fork("f", [simple("m")], *wide, [join("early", "m"), simple("b")]), join("j", "b"))
    story = Story(definition, task_defs=[task_def("m")], in_one_go=False).when(started())
    assert "early" not in story.scheduled
    # When: that branch is held back first, and the retry of m behind it
    story.when(operation("pause"), failed("m"))
    # Then: the join does not take the failed attempt for the last
    story.when(operation("resume"))
    while story.owed:
        story.continue_once()
    story.expect("RUNNING", tasks={"early": "IN_PROGRESS", "m": "SCHEDULED"})
    story.when(completed("m"), completed("b")).expect("COMPLETED", tasks={"early": "COMPLETED"})


# --- members in branches of a SWITCH ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "steps"), [("x", ["a"]), ("y", ["b"]), ("z", ["c"]), ("empty", []), ("deep", ["e"]), ("deeper", ["d"])]
)
def test_a_join_does_not_wait_for_members_in_branches_that_were_not_taken(value: str, steps: list[str]) -> None:
    inner = switch("t", "${workflow.input.v}", {"deep": [simple("e")], "deeper": [simple("d")]})
    cases = {"x": [simple("a")], "y": [simple("b")], "empty": [], "deep": [inner], "deeper": [inner]}
    del cases["deeper"]
    cases["deep"] = [inner]
    choice = switch("s", "${workflow.input.v}", cases, [simple("c")])
    if value == "deeper":
        choice.input_parameters = {"value": "deep"}
    definition = workflow_def(fork("f", [choice], [simple("k")]), join("j", "a", "b", "c", "d", "e", "k"))
    story = Story(definition, input={"v": value}).when(started(), completed("k"))
    for ref in steps:
        story.expect("RUNNING", tasks={"j": "IN_PROGRESS"}).when(completed(ref))
    story.expect("COMPLETED", tasks={"j": "COMPLETED"})


def test_a_join_does_not_wait_for_members_in_a_fork_that_was_not_reached() -> None:
    choice = switch("s", "no", {"yes": forked("g", [simple("a")], [simple("b")])})
    story = Story(workflow_def(fork("f", [choice], [simple("k")]), join("j", "a", "g_join", "s", "k"))).when(started())
    story.when(completed("k")).expect("COMPLETED")


# --- failures ---------------------------------------------------------------------------------------------------------


def test_a_failing_branch_ends_the_workflow_and_cancels_the_others() -> None:
    story = Story(workflow_def(*forked("f", [simple("a", retry_count=0)], [simple("b")]))).when(started())
    story.when(failed("a", "no luck"))
    story.expect("FAILED", tasks={"a": "FAILED", "b": "CANCELED", "f_join": "CANCELED"})
    story.expect(reason=f"Task {story.id_of('a')} failed with status: FAILED and reason: 'no luck'")


def test_a_join_never_sees_an_attempt_that_is_going_to_be_retried() -> None:
    definition = workflow_def(*forked("f", [simple("a")], [simple("b")]))
    story = Story(definition, task_defs=[task_def("a", retry_count=1)]).when(started(), completed("b"), failed("a"))
    story.expect("RUNNING", open=["f_join", "a"]).when(completed("a")).expect("COMPLETED")


def test_an_optional_member_that_failed_shows_in_the_joins_status() -> None:
    definition = workflow_def(*forked("f", [simple("a", retry_count=0, optional=True)], [simple("b")]), simple("c"))
    story = Story(definition).when(started(), failed("a"), completed("b"), completed("c")).expect("COMPLETED")
    assert story.task("a").status == story.task("f_join").status == "COMPLETED_WITH_ERRORS"


def test_a_permissive_member_that_failed_fails_the_join_when_all_have_ended() -> None:
    bad = simple("a", retry_count=0, permissive=True)
    story = Story(workflow_def(*forked("f", [bad], [simple("b")]), simple("c"))).when(started(), failed("a", "one"))
    story.expect("RUNNING", tasks={"f_join": "IN_PROGRESS"}).when(completed("b"))
    story.expect("FAILED", tasks={"a": "FAILED", "f_join": "FAILED"}, reason="'one'")
    assert story.core.failed_task_id == story.id_of("f_join")


def test_a_join_whose_members_were_only_cancelled_is_cancelled() -> None:
    bad = simple("a", permissive=True)
    story = Story(workflow_def(*forked("f", [bad], [simple("b")]))).when(started(), reported("a", "CANCELED"))
    story.when(completed("b")).expect("TERMINATED", tasks={"a": "CANCELED", "f_join": "CANCELED"})


def test_a_member_that_failed_before_the_join_counts_for_it() -> None:
    bad = simple("a", retry_count=0, permissive=True)
    story = Story(workflow_def(bad, fork("f", [simple("b")]), join("j", "a", "b", optional=True), simple("c")))
    story.when(started(), failed("a"), completed("b")).expect("RUNNING", tasks={"j": "COMPLETED_WITH_ERRORS"})
    story.when(completed("c")).expect("FAILED", reason=f"Task {story.id_of('a')} failed with status: FAILED")


def test_a_fork_that_no_join_follows_fails_the_workflow() -> None:
    fork_alone = fork("f", [simple("a")])
    fork_alone.optional = True
    story = Story(workflow_def(fork_alone, simple("b"))).when(started())
    story.expect("FAILED", tasks={"f": "FAILED"}, open=[])
    assert story.core.reason == "Fork task definition is not followed by a join task.  Check the blueprint"


def test_variables_set_in_one_branch_are_seen_in_another() -> None:
    definition = workflow_def(
        *forked(
            "f",
            [simple("a"), set_variable("v", x="${a.output.x}")],
            [simple("b"), simple("c", {"x": "${workflow.variables.x}"})],
        )
    )
    story = Story(definition).when(started(), completed("a", {"x": 1}), completed("b"))
    assert story.task("c").input == {"x": 1}


def test_the_timer_of_a_task_in_a_branch_that_was_cancelled_is_gone() -> None:
    limits = [task_def("b", poll_timeout_seconds=9)]
    definition = workflow_def(*forked("f", [simple("a", retry_count=0)], [simple("b")]))
    story = Story(definition, task_defs=limits).when(started())
    assert len(story.timers) == 1
    story.when(failed("a"), timer("b")).expect("FAILED", tasks={"b": "CANCELED"})
    assert story.timers == {}

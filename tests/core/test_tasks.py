"""Tasks for workers: chains, queues, inputs, domains, reports that are late, doubled or unfinished."""

from __future__ import annotations

import pytest

from orchestrator.model.effects import Enqueue, Remove
from tests.support.build import fork, forked, join, simple, step, switch, task_def, workflow_def
from tests.support.happenings import Happening, completed, failed, later, operation, reported, started, timer
from tests.support.story import ID, START_MS, Story

CHAIN = workflow_def(simple("a"), simple("b", {"from": "${a.output.x}"}), simple("c"))


def test_a_chain_runs_one_step_after_the_other() -> None:
    story = Story(CHAIN).when(started()).expect("RUNNING", open=["a"])
    story.when(completed("a", {"x": 1})).expect("RUNNING", open=["b"])
    assert story.task("b").input == {"from": 1}
    story.when(completed("b")).expect("RUNNING", open=["c"])
    story.when(completed("c", {"done": True})).expect("COMPLETED", output={"done": True}, reason="")
    assert [entry.type for entry in story.sent(Enqueue)] == ["a", "b", "c"]


def test_a_workflow_without_tasks_is_completed_at_once() -> None:
    story = Story(workflow_def(failure_workflow="clean")).when(started())
    story.expect("COMPLETED", reason="No tasks found to be executed", output={})
    assert story.handoffs == []


def test_the_queue_of_a_simple_task_is_its_name_and_of_any_other_type_the_type() -> None:
    story = Story(workflow_def(simple("a", name="charge"), step("RESIZE", "b", name="image"))).when(started())
    story.when(completed("a"))
    assert [entry.type for entry in story.sent(Enqueue)] == ["charge", "RESIZE"]
    assert (story.task("a").record.scheduled.type, story.task("b").record.scheduled.type) == ("charge", "RESIZE")


@pytest.mark.parametrize("name", ["WAIT", "NOOP", "JOIN", "SWITCH"])
def test_a_simple_task_may_be_called_like_a_built_in_type(name: str) -> None:
    story = Story(workflow_def(simple("a", name=name), simple("b"))).when(started())
    assert [entry.type for entry in story.sent(Enqueue)] == [name]
    story.when(operation("terminate")).expect("TERMINATED", tasks={"a": "CANCELED"})
    assert [entry.type for entry in story.sent(Remove)] == [name]


def test_a_task_is_offered_with_its_delay_and_the_priority_of_its_workflow() -> None:
    story = Story(workflow_def(simple("a", start_delay=5)), priority=7).when(started())
    (offer,) = story.sent(Enqueue)
    assert (offer.task_id, offer.delay_ms, offer.priority) == (story.id_of("a"), 5000, 7)


@pytest.mark.parametrize(
    ("task_to_domain", "domain"),
    [
        ({}, None),
        ({"*": "eu"}, "eu"),
        ({"a": "us", "*": "eu"}, "us"),
        ({"b": "us"}, None),
        ({"a": "us, eu"}, "eu"),
        ({"a": "us,NO_DOMAIN"}, None),
        ({"a": "NO_DOMAIN"}, None),
        ({"a": "", "*": "eu"}, None),
    ],
)
def test_the_domain_of_a_task_is_the_last_of_its_entry_when_nobody_polls_another(
    task_to_domain: dict[str, str], domain: str | None
) -> None:
    story = Story(workflow_def(simple("a")), task_to_domain=task_to_domain).when(started())
    assert [entry.domain for entry in story.sent(Enqueue)] == [domain]


@pytest.mark.parametrize(
    ("entry", "polls", "domain"),
    [
        ("us, eu, asia", {"us": 0, "eu": 10_000}, "us"),
        ("us, eu, asia", {"us": 10_001, "eu": 10_000}, "eu"),
        ("us, eu, asia", {"us": 10_001, "asia": 99_999}, "asia"),
        ("us,NO_DOMAIN", {"us": 0}, "us"),
        ("us,NO_DOMAIN", {"us": 10_001}, None),
        ("NO_DOMAIN,us", {"NO_DOMAIN": 0}, "us"),
        ("NO_DOMAIN, ,us", {}, "us"),
        ("us,", {}, None),
    ],
)
def test_the_first_domain_that_was_polled_in_the_last_ten_seconds_gets_the_task(
    entry: str, polls: dict[str, int], domain: str | None
) -> None:
    story = Story(workflow_def(simple("a"), simple("b")), task_to_domain={"a": entry, "*": "none, other"})
    story.polls = {("a", name): story.now - ago_ms for name, ago_ms in polls.items()}
    story.polls["b", "us"] = story.now
    story.when(started(), completed("a"))
    assert [entry.domain for entry in story.sent(Enqueue)] == [domain, "other"]


def test_what_the_installation_does_itself_has_no_domain() -> None:
    story = Story(workflow_def(step("HTTP", "a")), task_to_domain={"*": "us", "HTTP": "eu"}).when(started())
    assert [entry.domain for entry in story.sent(Enqueue)] == [None]


def test_each_attempt_goes_to_the_domain_that_is_polled_then() -> None:
    story = Story(workflow_def(simple("a", retry_count=1)), task_to_domain={"a": "us,eu"})
    story.polls = {("a", "us"): story.now}
    story.when(started()).polled.clear()
    story.when(later(11), failed("a"))
    assert [story.earlier("a", 0).record.scheduled.domain, story.task("a").record.scheduled.domain] == ["us", "eu"]


def test_all_domains_of_a_decision_are_looked_up_together() -> None:
    branches = [[simple(f"t{number}")] for number in range(40)]
    story = Story(workflow_def(*forked("f", *branches)), task_to_domain={"*": "us,eu"})
    story.polls = {("t7", "us"): story.now}
    story.when(started())
    assert [entry.task_id for entry in story.sent(Enqueue) if entry.domain == "us"] == [story.id_of("t7")]
    assert story.rounds <= 2


def test_the_input_template_fills_in_what_is_missing_or_null() -> None:
    template = {"sku": "none", "size": 3, "who": "${workflow.input.who}", "kept": "raw ${workflow.input.absent}"}
    given = {"sku": "${workflow.input.sku}", "size": "${workflow.input.nothing}", "own": "${workflow.input.nothing}"}
    definition = workflow_def(simple("a", given))
    story = Story(definition, input={"sku": "x", "who": "ada"}, task_defs=[task_def("a", input_template=template)])
    assert story.when(started()).task("a").input == {
        "sku": "x",
        "size": 3,
        "own": None,
        "who": "ada",
        "kept": "raw null",
    }


def test_an_input_template_may_read_other_tasks() -> None:
    template = {"total": "${a.output.total}"}
    story = Story(workflow_def(simple("a"), simple("b")), task_defs=[task_def("b", input_template=template)])
    story.when(started(), completed("a", {"total": 3}))
    assert story.task("b").input == {"total": 3}


def test_an_embedded_definition_goes_before_the_registered_one() -> None:
    own = task_def("a", retry_count=0)
    story = Story(workflow_def(simple("a", task_definition=own)), task_defs=[task_def("a", retry_count=5)])
    story.when(started(), failed("a")).expect("FAILED")


def test_expressions_see_the_workflow_and_the_task_itself() -> None:
    given = {
        "id": "${CPEWF_TASK_ID}",
        "workflow": "${workflow.workflowId}",
        "type": "${workflow.workflowType}",
        "correlation": "${workflow.correlationId}",
        "region": "${REGION}",
        "path": "${PATH}",
    }
    story = Story(workflow_def(simple("a", given)), correlation_id="c1", environment={"REGION": "eu"}).when(started())
    assert story.task("a").input == {
        "id": story.id_of("a"),
        "workflow": ID,
        "type": "flow",
        "correlation": "c1",
        "region": "eu",
        "path": None,
    }


def test_the_id_of_the_task_in_its_input_is_that_of_the_attempt() -> None:
    definition = workflow_def(simple("a", {"id": "${CPEWF_TASK_ID}"}))
    story = Story(definition, task_defs=[task_def("a")]).when(started())
    first = story.task("a").input
    story.when(failed("a"))
    assert first == {"id": story.id_of("a", 0)}
    assert story.task("a").input == {"id": story.id_of("a", 1)}


def test_expressions_see_the_fields_of_other_tasks() -> None:
    fields = ("status", "referenceTaskName", "taskDefName", "taskType", "retryCount", "scheduledTime", "workerId")
    given = {name: f"${{a.{name}}}" for name in fields}
    story = Story(workflow_def(simple("a", name="charge"), simple("b", given))).when(started(), completed("a"))
    assert story.task("b").input == {
        "status": "COMPLETED",
        "referenceTaskName": "a",
        "taskDefName": "charge",
        "taskType": "charge",
        "retryCount": 0,
        "scheduledTime": START_MS,
        "workerId": "w1",
    }


def test_a_step_that_has_not_run_reads_as_null() -> None:
    definition = workflow_def(simple("a", {"x": "${b.output.x}", "y": "${nobody.status}"}), simple("b"))
    assert Story(definition).when(started()).task("a").input == {"x": None, "y": None}


def test_a_reference_that_is_put_together_at_run_time_is_read() -> None:
    definition = workflow_def(simple("a"), simple("b", {"x": "${${workflow.input.which}.output.x}"}))
    story = Story(definition, input={"which": "a"}).when(started(), completed("a", {"x": 5}))
    assert story.task("b").input == {"x": 5}


def test_an_input_that_is_too_large_fails_the_task_and_not_the_engine() -> None:
    definition = workflow_def(simple("a", {"x": "${workflow.input.x}"}, retry_count=3))
    story = Story(definition, input={"x": "y" * 100})
    story.facts.payload_bytes_max = 50
    story.when(started()).expect("FAILED", tasks={"a": "FAILED_WITH_TERMINAL_ERROR"}, reason="cannot be stored")
    assert story.sent(Enqueue) == []


def test_attempts_of_steps_whose_names_run_into_each_other_are_told_apart() -> None:
    policies = [task_def(ref, retry_count=20, retry_delay_seconds=0) for ref in ("t", "t1")]
    story = Story(workflow_def(fork("f", [simple("t")], [simple("t1")]), join("j", "t", "t1")), task_defs=policies)
    story.when(started(), *[failed("t")] * 11, failed("t1")).expect("RUNNING", open=["j", "t", "t1"])
    assert (story.task("t").attempt, story.task("t1").attempt) == (11, 1)
    assert story.id_of("t") != story.id_of("t1")
    story.when(completed("t", {"x": 1}), completed("t1", {"x": 2})).expect("COMPLETED")
    assert (story.task("t").output, story.task("t1").output) == ({"x": 1}, {"x": 2})


@pytest.mark.parametrize("late", [completed("a", {"x": 2}), failed("a"), timer("a", attempt=0)])
def test_a_report_on_a_task_that_has_ended_changes_nothing(late: Happening) -> None:
    story = Story(CHAIN).when(started(), completed("a", {"x": 1}))
    before = dict(story.scheduled), dict(story.results), list(story.handoffs)
    story.when(late)
    assert (story.scheduled, story.results, story.handoffs) == before
    assert story.task("b").input == {"from": 1}


def test_a_report_on_an_earlier_attempt_changes_nothing() -> None:
    story = Story(workflow_def(simple("a")), task_defs=[task_def("a")]).when(started(), failed("a"))
    story.when(completed("a", attempt=0)).expect("RUNNING", open=["a"])
    story.when(completed("a")).expect("COMPLETED")


def test_a_repeated_start_changes_nothing() -> None:
    story = Story(CHAIN).when(started(), completed("a"), started()).expect("RUNNING", open=["b"])
    assert story.core.sequence == 2
    assert Story(CHAIN).together(started(), started()).core.sequence == 1


def test_progress_is_kept_with_the_task_and_its_logs_with_the_outcome() -> None:
    story = Story(CHAIN).when(started())
    story.when(reported("a", "IN_PROGRESS", {"done": 1}, logs=[(1, "one")], callback_after_ms=9))
    story.expect("RUNNING", open=["a"], tasks={"a": "SCHEDULED"})
    story.when(reported("a", "IN_PROGRESS", logs=[(2, "two")]))
    assert story.task("a").output == {"done": 1}
    story.when(completed("a", {"x": 1}, logs=[(3, "three")]))
    result = story.task("a").record.result
    assert result is not None
    assert (story.task("a").output, result.logs) == ({"x": 1}, [(1, "one"), (2, "two"), (3, "three")])


def test_a_workers_output_replaces_and_an_update_by_reference_is_merged() -> None:
    replaced = Story(CHAIN).when(started(), reported("a", "IN_PROGRESS", {"p": 1}), completed("a", {"x": 2}))
    assert replaced.task("a").output == {"x": 2}
    emptied = Story(CHAIN).when(started(), reported("a", "IN_PROGRESS", {"p": 1}), completed("a"))
    assert emptied.task("a").output == {}
    merged = Story(CHAIN).when(started(), reported("a", "IN_PROGRESS", {"p": 1}))
    merged.when(reported("a", "IN_PROGRESS", {"q": 2}, merge=True), completed("a", {"x": 3}, merge=True))
    assert merged.task("a").output == {"p": 1, "q": 2, "x": 3}
    kept = Story(CHAIN).when(started(), reported("a", "IN_PROGRESS", {"p": 1}), completed("a", merge=True))
    assert kept.task("a").output == {"p": 1}


def test_a_task_that_a_caller_ends_is_taken_out_of_its_queue() -> None:
    story = Story(CHAIN).when(started(), completed("a", delivery=-1))
    assert [handoff.task_id for handoff in story.sent(Remove)] == [story.id_of("a")]
    by_worker = Story(CHAIN).when(started(), completed("a"))
    assert by_worker.sent(Remove) == []


def test_how_events_are_grouped_makes_no_difference() -> None:
    happenings = (started(), completed("a", {"x": 1}), completed("b"), completed("c"), operation("pause"))
    apart = Story(CHAIN).when(*happenings)
    story = Story(CHAIN).when(started(), completed("a", {"x": 1}), completed("b"))
    story.together(completed("c"), operation("pause"))
    assert (story.status, story.answers) == (apart.status, apart.answers) == ("COMPLETED", story.answers)


def test_ids_and_times_follow_from_history() -> None:
    one, two = (Story(CHAIN).when(started(), later(3), completed("a")) for _ in range(2))
    assert one.scheduled == two.scheduled
    assert one.task("b").record.scheduled.scheduled_ms == START_MS + 3000


def test_a_taken_branch_is_followed_by_what_follows_the_switch() -> None:
    definition = workflow_def(switch("s", 1, {"1": [simple("x"), simple("y")]}), simple("z"), join("j", "x"))
    story = Story(definition).when(started(), completed("x"), completed("y"), completed("z"))
    story.expect("COMPLETED", tasks={"s": "COMPLETED", "j": "COMPLETED"})

"""cacheConfig: an earlier output stands in for a run; what asks for it, what leaves it behind, and what it costs."""

from __future__ import annotations

import pytest

from orchestrator.codec import unpack
from orchestrator.core.caching import LOOKUPS_MAX
from orchestrator.model.definitions import CacheConfig, WorkflowTask
from orchestrator.model.effects import Enqueue, Remember
from orchestrator.model.records import encode
from orchestrator.model.validation import validate_workflow_def
from tests.support.build import fork, join, simple, switch, task_def, workflow_def
from tests.support.happenings import completed, failed, later, started
from tests.support.story import Story

MINUTE = CacheConfig(key="${sku}", ttl_in_second=60)


def price(ref: str = "price", sku: str = "${workflow.input.sku}", **fields: object) -> WorkflowTask:
    return simple(ref, {"sku": sku}, **{"name": "price", "cache_config": MINUTE, **fields})


def remembered(story: Story) -> dict[str, bytes | None]:
    """What the cache holds after a story."""
    return {one.key: encode((one.expires_ms, one.output)) for one in story.sent(Remember)}


def first_run(sku: str = "x", ref: str = "price") -> Story:
    return Story(workflow_def(price(ref)), input={"sku": sku}).when(started(), completed(ref, {"sum": 3}))


def test_a_hit_completes_the_task_without_running_it() -> None:
    story = Story(workflow_def(price()), input={"sku": "x"}, cached=remembered(first_run())).when(started())
    story.expect("COMPLETED", output={"sum": 3}, tasks={"price": "COMPLETED"})
    assert story.sent(Enqueue) == []
    result = story.task("price").record.result
    assert result is not None
    assert (result.worker_id, story.task("price").input) == ("cache", {"sku": "x"})
    assert story.sent(Remember) == []  # its time is not prolonged by being used


@pytest.mark.parametrize(
    "other",
    [
        price(sku="y"),
        price(name="offer"),
        price(cache_config=CacheConfig(key="${sku}-${workflow.input.sku}", ttl_in_second=60)),
        price(cache_config=CacheConfig(key="${sku}", ttl_in_second=0)),
        price(cache_config=CacheConfig(key="${nothing}", ttl_in_second=60)),
        simple("price", {"sku": "x"}),
    ],
    ids=["input", "task", "key", "time", "empty", "none"],
)
def test_any_difference_is_a_miss_and_the_task_runs(other: WorkflowTask) -> None:
    story = Story(workflow_def(other), input={"sku": "x"}, cached=remembered(first_run())).when(started())
    story.expect("RUNNING", open=["price"])


def test_an_entry_is_stale_when_its_time_is_over() -> None:
    cached = remembered(first_run())
    story = Story(workflow_def(price()), input={"sku": "x"}, cached=cached).when(later(59), started())
    story.expect("COMPLETED")
    Story(workflow_def(price()), input={"sku": "x"}, cached=cached).when(later(60), started()).expect("RUNNING")


def test_only_a_completed_run_leaves_its_output() -> None:
    policy = task_def("price", retry_count=1)
    story = Story(workflow_def(price()), input={"sku": "x"}, task_defs=[policy]).when(started(), failed("price"))
    assert story.sent(Remember) == []
    story.when(completed("price", {"sum": 4}))
    (left,) = story.sent(Remember)
    assert (unpack(left.output), left.ttl_ms) == ({"sum": 4}, 60_000)


def test_a_garbled_entry_is_a_miss() -> None:
    cached: dict[str, bytes | None] = dict.fromkeys(remembered(first_run()), b"garbled")
    Story(workflow_def(price()), input={"sku": "x"}, cached=cached).when(started()).expect("RUNNING", open=["price"])


def test_the_branches_of_a_fork_ask_in_one_round() -> None:
    branches = [[price(f"p{number}", sku=f"sku-{number}")] for number in range(100)]
    cached = remembered(first_run("sku-7"))
    story = Story(workflow_def(fork("f", *branches), join("j", *(f"p{n}" for n in range(100)))), cached=cached)
    story.when(started())
    assert len(story.open) == 100  # 99 tasks and the join
    assert story.statuses["p7"] == "COMPLETED"
    assert story.rounds <= 2


def test_a_long_chain_of_hits_ends_by_running_again() -> None:
    steps = [price(f"p{number}", sku=f"{number}") for number in range(LOOKUPS_MAX + 5)]
    cached: dict[str, bytes | None] = {}
    for number in range(LOOKUPS_MAX + 5):
        cached |= remembered(first_run(str(number)))
    story = Story(workflow_def(*steps), cached=cached).when(started())
    story.expect("RUNNING", open=[f"p{LOOKUPS_MAX}"])


def test_a_step_without_a_cache_asks_nothing() -> None:
    story = Story(workflow_def(simple("a"), simple("b"))).when(started(), completed("a"), completed("b"))
    story.expect("COMPLETED")
    assert (story.task("a").record.scheduled.cache_key, story.sent(Remember)) == ("", [])


WHOLE = CacheConfig(key="${workflow.input.sku}", ttl_in_second=60)


def test_a_whole_workflow_is_completed_by_an_earlier_output() -> None:
    definition = workflow_def(simple("a"), cache_config=WHOLE)
    story = Story(definition, input={"sku": "x"}).when(started(), completed("a", {"sum": 3})).expect("COMPLETED")
    again = Story(definition, input={"sku": "x"}, cached=remembered(story)).when(started())
    again.expect("COMPLETED", output={"sum": 3}, reason="earlier execution")
    assert (again.scheduled, again.sent(Remember)) == ({}, [])
    Story(definition, input={"sku": "y"}, cached=remembered(story)).when(started()).expect("RUNNING")


def test_a_workflow_that_fails_leaves_nothing() -> None:
    definition = workflow_def(simple("a"), cache_config=WHOLE)
    story = Story(definition, input={"sku": "x"}).when(started(), failed("a", terminal=True)).expect("FAILED")
    assert story.sent(Remember) == []


def test_a_cache_on_a_steering_step_is_refused() -> None:
    definition = workflow_def(switch("s", "x", {"x": [simple("a")]}, cache_config=MINUTE))
    (problem,) = validate_workflow_def(definition)
    assert (problem.path, "has no effect on taskType: SWITCH" in problem.message) == ("tasks[0].cacheConfig", True)


def test_a_key_that_is_an_object_is_told_apart_by_its_content() -> None:
    whole = CacheConfig(key="${order}", ttl_in_second=60)
    first = Story(workflow_def(simple("a", {"order": {"b": 1, "a": 2}}, cache_config=whole)))
    first.when(started(), completed("a", {"sum": 3}))
    cached = remembered(first)
    same = Story(workflow_def(simple("a", {"order": {"a": 2, "b": 1}}, cache_config=whole)), cached=cached)
    same.when(started()).expect("COMPLETED")
    other = Story(workflow_def(simple("a", {"order": {"a": 2}}, cache_config=whole)), cached=cached)
    other.when(started()).expect("RUNNING")

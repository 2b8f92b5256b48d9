"""Messages of a workflow: kept in order, bounded, each handed to exactly one PULL_WORKFLOW_MESSAGES task."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.core import messages
from orchestrator.model.definitions import WorkflowTask
from tests.support.build import forked, simple, step, workflow_def
from tests.support.happenings import Happening, accepted, completed, operation, started, timer
from tests.support.story import ID, START_MS, Story


def pull(ref: str = "pull", **given: Any) -> WorkflowTask:
    return step("PULL_WORKFLOW_MESSAGES", ref, given)


def push(name: str, **payload: Any) -> Happening:
    return operation("push_message", message_id=name, payload={"name": name, **payload})


def story(*steps: WorkflowTask, **given: Any) -> Story:
    return Story(workflow_def(*steps), **given)


def names(told: Story, ref: str = "pull") -> list[str]:
    """The messages a task was given."""
    output = told.task(ref).output
    assert output["count"] == len(output["messages"])
    return [message["payload"]["name"] for message in output["messages"]]


def waiting(told: Story) -> int:
    """How many messages wait, by the core record and by what is stored."""
    queue = told.core.messages
    assert queue is not None
    assert [*told.messages] == [*range(queue.first, queue.next)]
    return queue.next - queue.first


def test_a_message_wakes_the_task_that_waits_for_it() -> None:
    told = story(pull()).when(started()).expect("RUNNING", tasks={"pull": "IN_PROGRESS"})
    told.when(push("a"))
    assert told.answers == [{"ok": True, "status": "RUNNING", "message_id": "a"}]
    entry = told.entry("pull")
    assert entry is not None
    assert [due for (_, ref), due in told.timers.items() if ref == "pull"] == [told.now]
    told.when(timer("pull")).expect("COMPLETED")
    assert told.task("pull").output == {
        "messages": [{"id": "a", "workflowId": ID, "payload": {"name": "a"}, "receivedAt": "2023-11-14T22:13:20.000Z"}],
        "count": 1,
    }
    assert (waiting(told), told.now) == (0, START_MS)


def test_messages_that_came_early_are_taken_at_once_and_in_order() -> None:
    told = story(simple("first"), pull("one"), pull("two", batchSize=2), pull("rest", batchSize=100))
    told.when(started(), push("a"), push("b"), push("c"), push("d"), completed("first")).expect("COMPLETED")
    assert [names(told, ref) for ref in ("one", "two", "rest")] == [["a"], ["b", "c"], ["d"]]
    assert waiting(told) == 0


def test_a_pull_that_does_not_block_completes_with_nothing() -> None:
    told = story(pull(blocking=False)).when(started()).expect("COMPLETED")
    assert told.task("pull").output == {"messages": [], "count": 0}


def test_a_push_and_its_pull_may_be_one_decision() -> None:
    told = story(simple("first"), pull()).when(started())
    told.together(push("a"), completed("first"), push("b")).expect("COMPLETED")
    assert (names(told), waiting(told)) == (["a"], 0)
    assert [answer.get("error") for answer in told.answers] == [None, "CONFLICT"]


def test_several_waiting_tasks_are_served_in_turn() -> None:
    told = story(*forked("f", [pull("one")], [pull("two")])).when(started(), push("a"))
    told.when(timer("one")).expect("RUNNING", tasks={"one": "COMPLETED", "two": "IN_PROGRESS"})
    told.when(push("b"), timer("two")).expect("COMPLETED")
    assert (names(told, "one"), names(told, "two")) == (["a"], ["b"])


def test_messages_that_are_left_wake_the_next_task() -> None:
    told = story(*forked("f", [pull("one")], [pull("two", batchSize=5)])).when(started())
    told.when(push("a"), push("b"), push("c"), timer("one"), timer("two")).expect("COMPLETED")
    assert (names(told, "one"), names(told, "two")) == (["a"], ["b", "c"])


def test_a_timer_that_finds_nothing_leaves_the_task_waiting() -> None:
    told = story(pull()).when(started(), timer("pull")).expect("RUNNING")
    told.when(push("a"), timer("pull")).expect("COMPLETED")


def test_a_task_that_was_ended_from_outside_takes_no_message() -> None:
    told = story(*forked("f", [pull("one")], [pull("two")])).when(started(), push("a"), accepted("one"))
    told.when(timer("one")).expect("RUNNING", tasks={"one": "IN_PROGRESS"})
    told.when(completed("one", {"by": "hand"}, delivery=-1), timer("two")).expect("COMPLETED")
    assert told.task("one").output == {"by": "hand"}
    assert names(told, "two") == ["a"]


def test_the_end_of_the_workflow_ends_the_waiting() -> None:
    told = story(pull()).when(started(), operation("terminate")).expect("TERMINATED", tasks={"pull": "CANCELED"})
    told.when(push("late"))
    assert "is TERMINATED, only a RUNNING one takes messages" in told.answers[-1]["message"]
    assert told.answers[-1]["error"] == "CONFLICT"


def test_a_paused_workflow_takes_no_messages() -> None:
    told = story(pull()).when(started(), operation("pause"), push("a"))
    assert told.answers[-1]["error"] == "CONFLICT"


def test_no_more_messages_wait_than_may() -> None:
    told = story(simple("first"), pull(batchSize=1_000)).when(started())
    for number in range(messages.MESSAGES_MAX):
        told.when(push(str(number)))
    told.when(push("too many"))
    assert told.answers[-1]["error"] == "QUEUE_FULL"
    assert "1,000 messages of" in told.answers[-1]["message"]
    told.when(completed("first")).expect("COMPLETED")
    assert names(told) == [str(number) for number in range(messages.BATCH_MAX)]
    assert waiting(told) == messages.MESSAGES_MAX - messages.BATCH_MAX


def test_no_more_bytes_wait_than_may_and_no_message_is_too_large() -> None:
    told = story(simple("first"), pull(batchSize=100)).when(started(), push("a", text="x" * messages.MESSAGE_BYTES_MAX))
    assert told.answers[-1]["error"] == "INVALID_REQUEST"
    assert "larger than 262,144 bytes" in told.answers[-1]["message"]
    for number in range(32):
        told.when(push(str(number), text="x" * 250_000))
    told.when(push("32", text="x" * 250_000), push("33", text="x" * 250_000))
    assert [answer.get("error") for answer in told.answers[-2:]] == [None, "QUEUE_FULL"]


def test_a_batch_is_as_large_as_an_output_may_be() -> None:
    told = story(simple("first"), pull("one", batchSize=100), pull("two", batchSize=100)).when(started())
    for number in range(20):
        told.when(push(str(number), text="x" * 250_000))
    told.when(completed("first")).expect("COMPLETED")
    assert (len(names(told, "one")), len(names(told, "two"))) == (12, 8)


@pytest.mark.parametrize("size", [0, -1, 1.5, True, "many", ""])
def test_a_batch_size_that_is_none_fails_the_task(size: Any) -> None:
    told = story(pull(batchSize=size)).when(started()).expect("FAILED")
    assert "batchSize must be a whole number from 1 to 100" in (told.task("pull").reason or "")


@pytest.mark.parametrize("message_id", [None, "", "x" * 201])
def test_a_message_needs_an_id_of_some_length(message_id: str | None) -> None:
    told = story(pull()).when(started(), operation("push_message", message_id=message_id, payload={}))
    assert told.answers[-1]["error"] == "INVALID_REQUEST"


def test_a_push_costs_the_same_however_many_wait_and_however_many_tasks_ran() -> None:
    told = story(*[simple(f"s{number}") for number in range(30)], pull()).when(started())
    for number in range(29):
        told.when(completed(f"s{number}"))
    told.when(push("a"))
    loaded, written = told.records_loaded, told.bytes_written
    for number in range(100):
        told.when(push(f"{number:03}"))
    assert told.records_loaded == loaded
    core = len(told.core_bytes or b"")
    assert told.bytes_written - written < 100 * (core + 20)

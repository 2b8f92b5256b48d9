"""The checker finds every kind of broken promise in a forged log, and none in an honest one."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.crash.ledger import Ended, Entry, Journal, Limit, Run, at_once, check, entries_of, most_in_window, runs_of
from tests.crash.schedule import PAUSE_S, kills

LIMITS = {"ship": Limit(at_once=2, grants=3, window_ms=1_000)}


def entry(what: str, at: float, who: str = "worker-1.1", **fields: Any) -> Entry:
    return {"what": what, "at": at, "who": who, **fields}


def execution(
    task_id: str, start: float, end: float | None, *, who: str = "worker-1.1", delivery: int = 1, word: str = "OK"
) -> list[Entry]:
    """All that a worker notes of one task; without an end it was killed before it noted one."""
    fields = {"task_id": task_id, "task_type": "ship", "delivery": delivery}
    noted = [
        entry("claimed", start, who, task_id=task_id, task_type="ship", granted_ms=1_000 * start),
        entry("started", start, who, **fields, lease_end_s=start + 3),
    ]
    if end is not None:
        noted.append(entry("finished", end, who, **fields, lease_end_s=start + 3, status="COMPLETED"))
        noted.append(entry("reported", end, who, **fields, lease_end_s=start + 3, word=word))
    return noted


def honest() -> tuple[list[Entry], dict[str, Ended], list[tuple[str, str]]]:
    """Two workflows: the task of one was run again after its worker had been killed."""
    entries = [
        entry("acknowledged", 0.0, "client", workflow_id="w1"),
        entry("acknowledged", 0.1, "client", workflow_id="w2"),
        *execution("w1-a", 1.0, None),
        entry("killed", 1.5, "killer", process="worker-1.1", role="worker"),
        *execution("w1-a", 4.1, 4.5, who="worker-1.2", delivery=2),
        *execution("w2-a", 1.0, 1.4, who="worker-2.1"),
    ]
    workflows = {
        "w1": Ended("COMPLETED", [("w1-a", "ship", "COMPLETED")]),
        "w2": Ended("COMPLETED", [("w2-a", "ship", "COMPLETED")]),
    }
    return entries, workflows, [("key-1", "order-1"), ("key-2", "order-2")]


def kinds_of(entries: list[Entry], workflows: dict[str, Ended], charges: list[tuple[str, str]]) -> set[str]:
    entries = sorted(entries, key=lambda one: float(one["at"]))
    return {violation.kind for violation in check(entries, workflows, charges, LIMITS).violations}


def test_an_honest_log_has_no_violation_and_its_figures_are_told() -> None:
    entries, workflows, charges = honest()
    finding = check(sorted(entries, key=lambda one: float(one["at"])), workflows, charges, LIMITS)
    assert finding.violations == []
    assert finding.figures["kills"] == 1
    assert finding.figures["executions again"] == 1
    assert finding.figures["attempts"] == 2
    assert finding.figures["longest stall, s"] == 3.1


def test_an_acknowledged_workflow_that_does_not_exist_is_lost() -> None:
    entries, workflows, charges = honest()
    del workflows["w1"]
    assert "lost" in kinds_of(entries, workflows, charges)


def test_a_workflow_that_has_not_ended_is_lost() -> None:
    entries, workflows, charges = honest()
    workflows["w3"] = Ended("RUNNING")
    assert kinds_of(entries, workflows, charges) == {"lost"}


def test_an_order_that_a_crash_decided_is_found() -> None:
    entries, workflows, charges = honest()
    workflows["w1"] = workflows["w1"]._replace(status="TIMED_OUT", became="TIMED_OUT", expected="shipped")
    assert kinds_of(entries, workflows, charges) == {"other outcome"}


def test_two_taken_outcomes_of_one_task_are_found() -> None:
    entries, workflows, charges = honest()
    entries += execution("w2-a", 6.0, 6.1, delivery=2)
    assert kinds_of(entries, workflows, charges) == {"accepted twice"}


def test_a_second_outcome_that_was_refused_is_no_violation() -> None:
    entries, workflows, charges = honest()
    entries += execution("w2-a", 6.0, 6.1, delivery=2, word="DUP")
    assert kinds_of(entries, workflows, charges) == set()


def test_a_step_that_completed_under_two_task_ids_is_found() -> None:
    entries, workflows, charges = honest()
    workflows["w1"] = Ended("COMPLETED", [*workflows["w1"].outcomes, ("w1-b", "ship", "COMPLETED")])
    assert kinds_of(entries, workflows, charges) == {"accepted twice"}


@pytest.mark.parametrize("status", ["FAILED", "CANCELED", None])
def test_a_taken_outcome_that_is_not_in_the_history_is_found(status: str | None) -> None:
    entries, workflows, charges = honest()
    workflows["w2"] = Ended("FAILED", [("w2-a", "ship", status)] if status else [])
    assert kinds_of(entries, workflows, charges) == {"outcome lost"}


def test_an_order_that_was_charged_under_two_keys_is_found() -> None:
    entries, workflows, charges = honest()
    assert kinds_of(entries, workflows, [*charges, ("key-3", "order-1")]) == {"charged twice"}


def test_one_execution_too_many_at_once_is_found() -> None:
    entries, workflows, charges = honest()
    for number in range(3):
        entries += execution(f"w2-x{number}", 10.0, 10.5, who=f"worker-{number}.1", word="STALE")
    assert kinds_of(entries, workflows, charges) == {"too many at once"}


def test_code_that_outlives_its_lease_counts_until_the_lease_ended() -> None:
    entries, workflows, charges = honest()
    for number, start in enumerate((10.0, 10.1, 13.2)):  # the leases end at 13.0 and 13.1
        entries += execution(f"w2-x{number}", start, 20.0, who=f"worker-{number}.1", word="STALE")
    assert kinds_of(entries, workflows, charges) == set()


def test_one_grant_too_many_in_a_window_is_found() -> None:
    entries, workflows, charges = honest()
    for number in range(4):
        start = 10.0 + number * 0.33
        entries += execution(f"w2-x{number}", start, start + 0.1, word="STALE")
    assert kinds_of(entries, workflows, charges) == {"too many in a window"}


def test_one_task_at_two_places_under_valid_leases_is_found() -> None:
    entries, workflows, charges = honest()
    entries += execution("w2-a", 1.2, 1.6, who="worker-3.1", delivery=2, word="DUP")
    assert "ran at two places" in kinds_of(entries, workflows, charges)


def test_a_killed_execution_ends_with_its_process() -> None:
    entries, _, _ = honest()
    assert Run("w1-a", "ship", 1.0, 1.5) in runs_of(entries)


def test_an_execution_that_ends_when_the_next_begins_does_not_overlap_it() -> None:
    assert at_once([Run("a", "ship", 0.0, 1.0), Run("b", "ship", 1.0, 2.0)]) == 1


def test_a_window_is_open_at_its_end() -> None:
    assert most_in_window([0, 500, 1_000], 1_000) == 2
    assert most_in_window([0, 500, 999], 1_000) == 3


def test_an_entry_that_was_cut_short_by_a_kill_is_left_out(tmp_path: Path) -> None:
    journal = Journal(tmp_path, who="worker-1.1")
    journal.note("started", task_id="a")
    journal.close()
    [path] = tmp_path.iterdir()
    with path.open("ab") as file:
        file.write(b'{"what": "fini')
    assert [one["what"] for one in entries_of(tmp_path)] == ["started"]


def test_a_seed_decides_the_kills_and_the_store_dies_once_a_minute() -> None:
    victims = ["worker-1", "worker-2", "decider-1"]
    first, again = ([kill for kill, _ in zip(kills(7, victims, "redis"), range(100), strict=False)] for _ in range(2))
    assert first == again
    pauses = [later.at_s - earlier.at_s for earlier, later in pairwise(first)]
    assert min(pauses) >= PAUSE_S[0]
    assert max(pauses) <= PAUSE_S[1]
    minutes = int(first[-1].at_s // 60)
    assert minutes <= sum(kill.victim == "redis" for kill in first) <= minutes + 1
    assert {kill.victim for kill in first} == {*victims, "redis"}

"""Eight hundred seeds, the seeds that once failed, and that one seed always tells the same story."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from orchestrator.store.scripts import library
from tests.simulation.disk import Disk
from tests.simulation.faults import Fault
from tests.simulation.regressions import REGRESSIONS, Regression
from tests.simulation.runs import Server, run_seed
from tests.simulation.totals import TOTALS, Totals
from tests.simulation.trace import Trace
from tests.support.redis_server import ServerMissing

pytestmark = [pytest.mark.simulation, pytest.mark.timeout(240)]

SEEDS = 800
CHUNK = 100
HITS_PER_CHUNK = 1
"""At least so many actors are killed, or their replies lost, at every script in every chunk."""
HITS_PER_KIND = 20
"""At least so often each of these happens at every script in the whole run: crash before, crash after, reply lost."""

whole = Totals()

NOT_PART_OF_IT = {
    "delete_workflow",  # an operator's: removal, reads, an import
    "partition_stats",
    "queue_stats",
    "import_workflow",
    "put_rq_job",  # jobs at RQ: tests/systemtasks crashes their deliveries and kills their workers
    "claim_rq_jobs",
    "put_event_handler",  # events: tests/events kills their processes
    "sweep_readers",
    "claim_schedules",  # schedules: tests/service and tests/cli kill those who fire them
    "fired_schedule",
    "put_schedule",
    "read_schedule",
    "requeue_schedules",
    "archived",  # the archive: tests/archive kills its mover
    "begin_move",
    "take_request",  # a key's rate over HTTP: tests/api
    "note_polls",  # who polled last, for people to read
    "count_common",  # searches: tests/service and tests/archive
    "walk_index",
    "worker_beat",  # who lives and is told what: tests/workers and tests/cli kill and pause workers
    "tell_workers",
    "list_workers",
}
"""Scripts that no actor of the simulation calls."""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    try:
        own = Server()
    except ServerMissing as missing:
        if os.environ.get("CI"):
            pytest.fail(str(missing), pytrace=False)
        pytest.skip(str(missing))
    with own:
        yield own


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_no_rule_is_broken_whatever_fails(
    server: Server, first: int, record_property: Callable[[str, object], None]
) -> None:
    totals = Totals()
    for seed in range(first, first + CHUNK):
        broken = run_seed(server, seed, totals=totals)
        if broken is not None:
            pytest.fail(broken, pytrace=False)
    record_property(TOTALS, totals.to_json())
    spared = {name for name in library() if name not in NOT_PART_OF_IT and totals.hits(name) < HITS_PER_CHUNK}
    assert spared == set()
    whole.add(totals)


def test_every_script_met_every_kind_of_death_often_enough() -> None:
    if whole.seeds < SEEDS:
        pytest.skip("the seeds were not all run by this process")
    rare = {
        (name, str(kind)): whole.faults[name, str(kind)]
        for name in library()
        for kind in (Fault.CRASH_BEFORE, Fault.CRASH_AFTER, Fault.LOST)
        if name not in NOT_PART_OF_IT and whole.faults[name, str(kind)] < HITS_PER_KIND
    }
    assert rare == {}


@pytest.mark.parametrize("regression", REGRESSIONS, ids=lambda regression: str(regression.seed))
def test_a_seed_that_once_failed_does_not_fail_again(server: Server, regression: Regression) -> None:
    assert run_seed(server, regression.seed) is None, regression.found


def test_totals_of_several_processes_add_up(server: Server) -> None:
    one, both = Totals(), Totals()
    assert run_seed(server, 5, totals=one) is None
    both.add(Totals.from_json(one.to_json()))
    assert (both, both.text()) == (one, one.text())


@pytest.mark.parametrize("seed", [17, 22])
def test_a_seed_tells_the_same_story_every_time(server: Server, seed: int) -> None:
    stories = set()
    for _ in range(2):
        trace = Trace(reads=True)
        assert run_seed(server, seed, trace=trace) is None
        stories.add(trace.digest())
    assert len(stories) == 1


def test_the_disk_runs_scripts_that_the_server_has_forgotten(server: Server) -> None:
    disk = Disk(server.url)
    disk.ask([("SCRIPT", "FLUSH")])
    disk.close()
    assert run_seed(server, 3) is None

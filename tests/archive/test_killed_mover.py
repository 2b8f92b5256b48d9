"""Deciders that are killed while they move executions to the archive: nothing is lost, nothing counts twice."""

from __future__ import annotations

import signal
from datetime import UTC, datetime, timedelta
from random import Random

from orchestrator import Client, Workflow
from orchestrator.archive import database
from orchestrator.archive.mover import Mover
from orchestrator.model.wire import workflow_to_dict
from orchestrator.plan import Command as Step
from orchestrator.settings import Settings
from orchestrator.testing.clock import ManualClock
from tests.cli.conftest import Command, command
from tests.support.eventually import eventually

__all__ = ["command"]

COUNT, KILLS = 400, 3
FLOW = Workflow("kept").set(who="${workflow.input.who}")


def test_a_mover_that_is_killed_again_and_again_loses_and_doubles_nothing(
    command: Command, redis_url: str, archive_url: str
) -> None:
    archive = {"ORCHESTRATOR_ARCHIVE_URL": archive_url}
    words = ("--redis", redis_url, "decider", "--no-system-tasks")
    first = command(*words, environment=archive)
    settings = Settings(redis_url=redis_url, archive_url=archive_url, archive_after_s=0)
    with Client(settings=settings) as client:
        client.register(FLOW)
        ids = [client.start_workflow("kept", who=f"ada {number % 7}").id for number in range(COUNT)]
        eventually(lambda: client.search("status=COMPLETED", size=0).total == COUNT, timeout_s=30)
        first.send_signal(signal.SIGTERM)
        first.wait(20)
        before = [workflow_to_dict(client.workflow(one).describe()) for one in ids[::20]]
        keys = client.store.keys

        def in_redis() -> int:
            cards = [Step(("ZCARD", keys.by_status(number, "COMPLETED"))) for number in range(keys.partitions)]
            return sum(client.connection.sync().do(cards))

        def nothing_is_missing() -> None:
            assert sorted(line.workflow_id for line in client.search(size=1_000).items) == sorted(ids)
            assert client.search(free_text='"ada 3"', size=0).total == len(range(3, COUNT, 7))
            assert client.search("workflowType=kept AND status=COMPLETED", size=0).total == COUNT
            assert [workflow_to_dict(client.workflow(one).describe()) for one in ids[::20]] == before

        random, soon = Random(5), archive | {"ORCHESTRATOR_ARCHIVE_AFTER_S": "0"}
        for kill in range(KILLS):
            mover = command(*words, environment=soon)
            goal = 300 - 75 * kill + random.randrange(20)
            eventually(lambda goal=goal: in_redis() <= goal, timeout_s=30)  # type: ignore[misc]
            mover.kill()
            mover.wait(20)
            nothing_is_missing()
        assert in_redis() > 0, "they were all moved before the last was killed"
        chore = Mover(ManualClock(datetime.now(UTC) + timedelta(minutes=2), lambda _: None))
        for _ in range(5):  # what the dead have left under way is mended, the rest is moved
            client.run(chore.turn(client.store))
        assert in_redis() == 0
        nothing_is_missing()
    database.close_databases()

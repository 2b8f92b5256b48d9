"""Searches over many executions: how long they take in Redis and, once all have moved, in the archive.

One execution is run for real and written again under other ids, starts and correlation ids, so that a hundred thousand are
there within seconds.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

from orchestrator import Workflow
from orchestrator.archive import mover
from orchestrator.archive.mover import Mover
from orchestrator.archive.shelf import indexes_of
from orchestrator.client import Client
from orchestrator.model.records import decode_core, decode_meta, encode
from orchestrator.plan import Call, Command, Plan
from orchestrator.service import search
from orchestrator.settings import Settings
from orchestrator.store import transfer
from orchestrator.store.partition import load_definition
from orchestrator.testing import Environment
from orchestrator.testing.clock import START, ManualClock

COUNT, ARCHIVED = 100_000, 5_000
PER_PIPELINE, RUNS = 200, 30
QUERIES = {
    "the latest 20": "",
    "by status": "status=COMPLETED",
    "by workflow and status": "workflowType=search AND status=COMPLETED",
    "by workflow, status and half of the time": "workflowType=search AND status=COMPLETED AND startTime>{half}",
    "by correlation id": "correlationId=c-77",
    "by a hundred starts of them": "startTime BETWEEN {low} AND {high}",
    "by a field without index, in 1,000": "startTime BETWEEN {low} AND {thousand} AND priority=0",
}


class Latency(NamedTuple):
    """Milliseconds of one search."""

    p50_ms: float
    p99_ms: float


def measure(url: str, folder: Path) -> dict[str, Latency | float]:
    """Fill the store, search it, let a part move, search that."""
    settings = Settings(redis_url=url, archive_url=f"sqlite:///{folder}/archive.db", archive_after_s=0)
    found: dict[str, Latency | float] = {}
    with Client(settings=settings) as client:
        start_ms = _fill(client, COUNT)
        for name, query in _queries(start_ms).items():
            found[f"Redis, {name}"] = _timed(client, query)
        began = time.perf_counter()
        moved = _move(client, ARCHIVED)
        found["moved to the archive per second"] = moved / (time.perf_counter() - began)
        found["both, free text, in 1,000 and the archive"] = _timed(
            client, f"startTime BETWEEN {start_ms} AND {start_ms + 999}", free_text="ada"
        )
        for name, query in _queries(start_ms).items():
            found[f"both, {name}"] = _timed(client, query)
    return found


def _queries(start_ms: int) -> dict[str, str]:
    times = {
        "low": start_ms + 50_000,
        "high": start_ms + 50_099,
        "thousand": start_ms + 50_999,
        "half": start_ms + 50_000,
    }
    return {name: query.format(**times) for name, query in QUERIES.items()}


def _timed(client: Client, query: str, free_text: str | None = None) -> Latency:
    taken = []
    for _ in range(RUNS):
        began = time.perf_counter()
        client.run(search.search_workflows(client.store, query, free_text=free_text, size=20))
        taken.append((time.perf_counter() - began) * 1000)
    taken.sort()
    return Latency(taken[len(taken) // 2], taken[len(taken) * 99 // 100])


def _fill(client: Client, count: int) -> int:
    """Write executions that have ended, one a millisecond; gives the first start."""
    with Environment() as env:
        handle = env.client.start_workflow(Workflow("search").set(who="${workflow.input.who}"), who="Ada Lovelace")
        raw, body = env.client.run(_record(env, handle.id))
    client.run(_written(client, raw, body, count))
    start_ms: int = decode_core(raw.fields["c"]).created_ms
    return start_ms


def _record(env: Environment, workflow_id: str) -> Plan[tuple[transfer.RawWorkflow, bytes]]:
    keys = env.store.keys
    raw = yield from transfer.read_raw(keys, workflow_id)
    assert raw is not None
    digest = decode_meta(raw.fields["m"]).definition_hash
    return raw, (yield load_definition(keys, keys.partition_of(workflow_id), digest))


def _written(client: Client, raw: transfer.RawWorkflow, body: bytes, count: int) -> Plan[None]:
    calls: list[Call | Command] = []
    for number in range(count):
        calls += _one(client, raw, body, number)
        if len(calls) >= PER_PIPELINE:
            yield calls
            calls = []
    yield calls


def _one(client: Client, raw: transfer.RawWorkflow, body: bytes, number: int) -> Iterator[Call | Command]:
    store, workflow_id = client.store, f"found-{number:06}"
    keys, partition = store.keys, store.keys.partition_of(workflow_id)
    core, meta = decode_core(raw.fields["c"]), decode_meta(raw.fields["m"])
    core.created_ms += number
    core.ended_ms += number
    correlation_id = f"c-{number % 1_000}"
    packed = encode(
        type(meta)(meta.format, meta.name, meta.version, meta.definition_hash, correlation_id=correlation_id)
    )
    staged_as = f"bench-{number}"
    for piece in transfer.stage(keys, partition, staged_as, raw.tasks):
        yield from piece
    yield transfer.import_workflow(
        keys,
        partition,
        workflow_id,
        staged_as=staged_as,
        staged=len(raw.tasks),
        start_ms=core.created_ms,
        definition_hash=meta.definition_hash,
        definition_body=body,
        fields={**raw.fields, "c": encode(core), "m": packed},
        indexes=indexes_of(store, workflow_id, str(core.status), meta.name, correlation_id),
    )


def _move(client: Client, count: int) -> int:
    chore = Mover(ManualClock(START + timedelta(days=1), lambda _: None))
    turns = -(-count // (mover.EXECUTIONS_PER_MOVE * client.store.keys.partitions))
    for _ in range(turns):
        client.run(chore.turn(client.store))
    left = client.run(search.search_workflows(client.store, size=0)).total
    assert left == COUNT, f"{COUNT - left} executions got lost on their way"
    return turns * mover.EXECUTIONS_PER_MOVE * client.store.keys.partitions

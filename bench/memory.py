"""Bytes in the store: per queued task, per running and per finished workflow of one task."""

from __future__ import annotations

import redis

from bench import tasks
from bench.contender import wait_for
from bench.ours import Orchestrator

COUNT = 5_000


def measure(ours: Orchestrator, url: str) -> dict[str, float]:
    """Start workflows while no worker runs, look, add workers, look again. ``ours`` has no workers yet."""
    client = redis.Redis.from_url(url)
    resolved = ours.register(tasks.single())
    ours.start(resolved, 10)  # the definition and the queue's own keys are not what is measured
    keys = ours.store.keys
    ready, records = keys.ready(tasks.noop.name), keys.records(tasks.noop.name)
    wait_for(lambda: _length(client, ready), 10, "queued tasks")
    before = _used(client)
    ours.start(resolved, COUNT)
    wait_for(lambda: _length(client, ready), COUNT + 10, "queued tasks")
    queued = _used(client)
    entry = sum(client.memory_usage(key, samples=0) or 0 for key in (ready, records))
    ours.add_workers(2)
    wait_for(ours.completed, COUNT + 10, "finished workflows")
    finished = _used(client)
    client.close()
    return {
        "queue entry per task": entry / (COUNT + 10),
        "running workflow with one queued task": (queued - before) / COUNT,
        "finished workflow of one task": (finished - before) / COUNT,
    }


def _length(client: redis.Redis, key: str) -> int:
    return int(str(client.zcard(key)))


def _used(client: redis.Redis) -> int:
    info = client.info("memory")
    assert isinstance(info, dict)
    return int(info["used_memory"])

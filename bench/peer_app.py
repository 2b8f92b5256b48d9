"""The peer's worker: the same no-op bodies under SAQ. Runs in an environment of its own, which has no package of ours."""

from __future__ import annotations

import asyncio
import os
import struct
import time

import saq  # type: ignore[import-not-found]  # installed by `make bench` into the peer's environment only

CONCURRENCY = 50
queue = saq.Queue.from_url(os.environ["BENCH_REDIS_URL"], name="bench")
_stamps = os.open(os.environ["BENCH_STAMPS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def stamp(value: float = 0.0) -> None:
    """As ``bench.stamps.stamp``."""
    os.write(_stamps, struct.pack("dd", time.time(), value))


async def noop(context: object) -> int:
    """Nothing."""
    return 1


async def begin(context: object) -> int:
    """Nothing, but tell when it began."""
    stamp(1)
    return 1


async def step(context: object, v: int = 0, i: int = 0) -> int:
    """One of five: SAQ has no chains, so a step enqueues the next."""
    if i == 4:
        stamp(v + 1)
    else:
        await queue.enqueue("step", v=v + 1, i=i + 1)
    return v + 1


async def fan(context: object) -> int:
    """A hundred no-ops and their sum, gathered in this job's memory: SAQ has no durable join."""
    total: int = sum(await queue.map("noop", [{} for _ in range(100)], timeout=120))
    stamp(total)
    return total


async def main() -> None:
    """Run one worker until it is told to stop."""
    await saq.Worker(queue, [noop, begin, step, fan], concurrency=CONCURRENCY).start()


if __name__ == "__main__":
    try:
        import uvloop

        uvloop.run(main())
    except ImportError:
        asyncio.run(main())

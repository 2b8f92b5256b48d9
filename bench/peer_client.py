"""The peer's client: a helper process in the peer's environment that submits jobs when the harness asks on its stdin."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from peer_app import queue  # type: ignore[import-not-found]  # beside this file, in the peer's environment

BATCH = 50


async def enqueue(name: str, count: int, **arguments: Any) -> None:
    """``count`` jobs, ``BATCH`` at a time on the wire."""
    for start in range(0, count, BATCH):
        await asyncio.gather(*[queue.enqueue(name, **arguments) for _ in range(min(BATCH, count - start))])


async def main() -> None:
    """One command a line: ``name count``; answers ``ok``. ``pending`` answers how many jobs are not done."""
    await queue.connect()
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        name, count = line.split()
        if name == "pending":
            print(await queue.redis.zcard("saq:bench:incomplete"), flush=True)
            continue
        await enqueue(name, int(count), **({"timeout": 150} if name == "fan" else {}))
        print("ok", flush=True)


if __name__ == "__main__":
    asyncio.run(main())

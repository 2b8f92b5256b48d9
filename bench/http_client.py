"""Callers over HTTP as a process of their own: workers as Conductor's SDKs have them, executions that wait, idle polls.

Started by ``http``; one command a line on stdin, answered with one line. It speaks HTTP/1.1 on kept-alive connections
by hand, so that what is measured is the server and not a client library.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

WORKER = "bench-host"
IDLE_MS = 5_000  # the longest poll there is


class Connection:
    """One kept-alive connection to the server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, port: int) -> Connection:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """Send and receive JSON; None for an empty answer. Raises ``RuntimeError`` for an answer that is no success."""
        sent = b"" if body is None else json.dumps(body).encode()
        head = f"{method} /api{path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
        self._writer.write(f"{head}Content-Length: {len(sent)}\r\n\r\n".encode() + sent)
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = int(head.partition("content-length: ")[2].split("\r\n")[0] or 0)
        data = await self._reader.readexactly(length)
        if not head.startswith("http/1.1 2"):
            raise RuntimeError(f"{method} {path}: {head[:12]} {data[:200]!r}")
        return json.loads(data) if data else None

    def close(self) -> None:
        self._writer.close()


class Drain:
    """Workers of one task type that run what there is until so many tasks are done."""

    def __init__(self, task_type: str, count: int) -> None:
        self._poll = f"/tasks/poll/batch/{task_type}?workerid={WORKER}&count=1&timeout=100"
        self._left = count

    async def work(self, connection: Connection) -> None:
        """A batch poll when there is nothing to do, and from then on each report answers with the next task."""
        while self._left > 0:
            found = await connection.call("GET", self._poll)
            task = found[0] if found else None
            while task is not None:
                self._left -= 1
                task = await connection.call("POST", "/tasks/update-v2", _completed(task))


def _completed(task: dict[str, Any]) -> dict[str, Any]:
    return {
        "workflowInstanceId": task["workflowInstanceId"],
        "taskId": task["taskId"],
        "workerId": WORKER,
        "status": "COMPLETED",
        "outputData": {"v": 1},
    }


async def drain(port: int, task_type: str, count: int, workers: int) -> float:
    """Seconds in which that many workers ran that many tasks."""
    connections = [await Connection.open(port) for _ in range(workers)]
    job = Drain(task_type, count)
    begun = time.perf_counter()
    await asyncio.gather(*[job.work(one) for one in connections])
    taken = time.perf_counter() - begun
    for one in connections:
        one.close()
    return taken


async def execute(port: int, name: str, count: int) -> list[float]:
    """Seconds of each of so many executions that were waited for, one at a time."""
    connection = await Connection.open(port)
    times = []
    for _ in range(count):
        begun = time.perf_counter()
        answer = await connection.call("POST", f"/workflow/execute/{name}/1", {"name": name, "version": 1, "input": {}})
        times.append(time.perf_counter() - begun)
        if answer["status"] != "COMPLETED":
            raise RuntimeError(f"{name} was {answer['status']} when its execution was answered")
    connection.close()
    return times


async def idle(port: int, count: int) -> None:
    """Hold that many polls of queues in which nothing is, until this process ends."""
    poll = f"/tasks/poll/batch/bench_nothing_{{}}?workerid={WORKER}&count=1&timeout={IDLE_MS}"

    async def wait(number: int) -> None:
        connection = await Connection.open(port)
        while True:
            await connection.call("GET", poll.format(number % 10))

    waiting = [asyncio.ensure_future(wait(number)) for number in range(count)]
    await asyncio.sleep(IDLE_MS / 1000)  # by then every poll has come once
    print("ok", flush=True)
    await asyncio.gather(*waiting)


async def main(port: int) -> None:
    """``drain TYPE COUNT WORKERS``, ``execute NAME COUNT`` and ``idle COUNT``; each answer is JSON in a line."""
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        verb, *words = line.split()
        if verb == "drain":
            print(json.dumps(await drain(port, words[0], int(words[1]), int(words[2]))), flush=True)
        elif verb == "execute":
            print(json.dumps(await execute(port, words[0], int(words[1]))), flush=True)
        else:
            await idle(port, int(words[0]))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))

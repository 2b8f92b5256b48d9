"""SAQ as a contender: two worker processes, concurrency 50, uvloop; chains and joins by hand, since it has none.

Its jobs are durable, its chains and joins are not: what a step enqueues next, and what ``map`` gathers, lives in a worker's
memory. The figures are quoted with that.
"""

from __future__ import annotations

from pathlib import Path

from bench.contender import WrongResult, wait_for
from bench.processes import Processes
from bench.stamps import StampFile

HERE = Path(__file__).resolve().parent


class Saq:
    """The peer, driven through a helper process in its own environment."""

    name = "SAQ"

    def __init__(self, processes: Processes, python: str, stamps: StampFile, workers: int) -> None:
        self._stamps = stamps
        for _ in range(workers):
            processes.spawn([python, "peer_app.py"], cwd=HERE)
        self._client = processes.spawn([python, "peer_client.py"], talks=True, cwd=HERE)
        self._expect("ready")

    def noops(self, count: int) -> None:
        self._ask(f"noop {count}")
        wait_for(lambda: count - self._pending(), count, "SAQ no-ops")

    def chains(self, count: int) -> None:
        self._ask(f"step {count}")
        self._await_stamps(count, 5)

    def fans(self, count: int) -> None:
        self._ask(f"fan {count}")
        self._await_stamps(count, 100)

    def begun(self) -> None:
        self._ask("begin 1")
        self._await_stamps(1, 1)

    def _await_stamps(self, count: int, value: float) -> None:
        wait_for(self._stamps.count, count, "SAQ")
        values = {stamped for _, stamped in self._stamps.read()}
        if values != {value} or self._stamps.count() != count:
            raise WrongResult(f"SAQ stamped {values} {self._stamps.count()} times instead of {value} {count} times")

    def _pending(self) -> int:
        return int(self._talk("pending 0"))

    def _ask(self, line: str) -> None:
        answer = self._talk(line)
        if answer != "ok":
            raise WrongResult(f"SAQ's client answered {answer!r}")

    def _talk(self, line: str) -> str:
        assert self._client.stdin is not None
        self._client.stdin.write(line + "\n")
        self._client.stdin.flush()
        return self._line()

    def _expect(self, word: str) -> None:
        if self._line() != word:
            raise WrongResult("SAQ's client did not start")

    def _line(self) -> str:
        assert self._client.stdout is not None
        return self._client.stdout.readline().strip()

"""What a decider or worker is watched with: counters and a small port, when ``--metrics-port`` asks for them.

Without a port nothing is counted and nothing of Prometheus is loaded. Called by ``roles``.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from orchestrator.engine.witness import Witness
    from orchestrator.metrics import ProbePort

LOOP_TIMEOUT_S = 5.0


class WatchedDecider(NamedTuple):
    """What a decider is given; its port, as a context, is None when nobody asked."""

    port: AbstractContextManager[ProbePort | None]
    witness: Witness | None = None
    on_turn: Callable[[], None] | None = None


class WatchedWorker(NamedTuple):
    """What a worker is given. ``on_loop`` is to be called in its event loop."""

    port: AbstractContextManager[ProbePort | None]
    observer: Callable[[str, dict[str, Any]], None] | None
    on_loop: Callable[[], None]


def watch_decider(host: str, port: int | None) -> WatchedDecider:
    """Counters and probes of a decider: alive is one that goes on turning."""
    if port is None:
        return WatchedDecider(contextlib.nullcontext())
    from orchestrator.metrics import DeciderMetrics, ProbePort, Pulse

    metrics, pulse = DeciderMetrics(), Pulse()
    return WatchedDecider(ProbePort(host, port, metrics.registry, pulse.is_live), metrics, pulse.beat)


def watch_worker(host: str, port: int | None, slots: int) -> WatchedWorker:
    """Counters and probes of a worker of so many slots: alive is one whose event loop answers."""
    if port is None:
        return WatchedWorker(contextlib.nullcontext(), None, lambda: None)
    from orchestrator.metrics import ProbePort, WorkerMetrics

    metrics, loops = WorkerMetrics(slots), list[asyncio.AbstractEventLoop]()

    def is_live() -> bool:
        if not loops:
            return True
        answer = asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loops[0])
        with contextlib.suppress(TimeoutError):
            answer.result(LOOP_TIMEOUT_S)
        return answer.done()

    probes = ProbePort(host, port, metrics.registry, is_live)
    return WatchedWorker(probes, metrics.observe, lambda: loops.append(asyncio.get_running_loop()))

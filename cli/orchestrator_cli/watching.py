"""What a role is watched with: whether it goes on, for whoever started it, and counters on a small port when asked for.

Without ``--metrics-port`` nothing is counted and nothing of Prometheus is loaded. Called by the roles.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from orchestrator_cli.liveness import Liveness
from orchestrator_cli.notify import Notifier

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from orchestrator.engine.witness import Witness
    from orchestrator.metrics import ProbePort


@dataclass
class Watch:
    """One role's process. ``witness`` and ``observer`` are what it tells of its work, if anybody asked.

    Example: ``with watch.begin() as ready: run_decider(settings, on_ready=ready, on_turn=watch.pulse())``
    """

    host: str = ""
    port: int | None = None
    registry: CollectorRegistry | None = None
    witness: Witness | None = None
    observer: Callable[[str, dict[str, Any]], None] | None = None
    liveness: Liveness = field(default_factory=Liveness)

    def pulse(self) -> Callable[[], None]:
        """What one more loop of the process is to call at every turn."""
        return self.liveness.pulse()

    @contextlib.contextmanager
    def begin(self) -> Iterator[Callable[[], None]]:
        """Watch until the end of the context; what it gives is to be called when the role is ready."""
        with self._probes() as probes, Notifier(self.liveness.is_live) as notifier:

            def ready() -> None:
                if probes is not None:
                    probes.is_ready = True
                notifier.ready()

            yield ready

    def _probes(self) -> contextlib.AbstractContextManager[ProbePort | None]:
        if self.port is None or self.registry is None:
            return contextlib.nullcontext()
        from orchestrator.metrics import ProbePort

        return ProbePort(self.host, self.port, self.registry, self.liveness.is_live)


def watch_decider(host: str, port: int | None) -> Watch:
    """The watch of a decider."""
    if port is None:
        return Watch()
    from orchestrator.metrics import DeciderMetrics

    metrics = DeciderMetrics()
    return Watch(host, port, metrics.registry, witness=metrics)


def watch_worker(host: str, port: int | None, slots: int) -> Watch:
    """The watch of a worker of so many slots."""
    if port is None:
        return Watch()
    from orchestrator.metrics import WorkerMetrics

    metrics = WorkerMetrics(slots)
    return Watch(host, port, metrics.registry, observer=metrics.observe)

"""The roles of an installation: their command lines, ports, sizes and how long their end may take."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

GRACE_S = 30
"""How long an end may take: longer than the setting ``drain_timeout_s`` (20 s), so that running tasks can end."""

STARTUP_S = 60
WATCHDOG_S = 30
USER_ID = 10_001


@dataclass(frozen=True)
class Role:
    """One kind of process. ``arguments`` are those of ``orchestrator``; probes and metrics are answered at ``port``.

    ``cpu_m`` in thousandths of a core and ``memory_mib`` are what one process is given room for.
    """

    name: str
    title: str
    arguments: tuple[str, ...]
    port: int
    replicas: int
    cpu_m: int
    memory_mib: int

    def command(self, host: str, port: str) -> list[str]:
        """Its command line, with probes and metrics, or for the server everything, at that address."""
        where = ("--host", "--port") if self.name == "server" else ("--metrics-host", "--metrics-port")
        return [*self.arguments, where[0], host, where[1], port]


@dataclass(frozen=True)
class Installation:
    """All that differs from one installation to the next. Example: ``Installation(image="shop:7").workers[0].name``"""

    image: str = "redis-orchestrator:0.1.0"
    program: str = "/opt/orchestrator/bin/orchestrator"
    workers: tuple[Role, ...] = ()

    @property
    def roles(self) -> tuple[Role, ...]:
        """Every kind of process, workers last."""
        return (*ENGINE, *self.workers)


ENGINE = (
    Role("server", "HTTP API", ("server",), 8080, replicas=2, cpu_m=250, memory_mib=256),
    Role("decider", "decider", ("decider", "--no-system-tasks"), 9101, replicas=2, cpu_m=500, memory_mib=512),
    Role("system", "system tasks", ("system",), 9103, replicas=2, cpu_m=250, memory_mib=512),
)


def worker(name: str, modules: Sequence[str], concurrency: int = 20) -> Role:
    """A kind of worker. Example: ``worker("billing", ["shop.billing"]).arguments[1] == "shop.billing"``"""
    arguments = ("worker", *modules, "--concurrency", str(concurrency))
    return Role(f"worker-{name}", f"worker {name}", arguments, 9102, replicas=2, cpu_m=500, memory_mib=512)


EXAMPLE = Installation(workers=(worker("default", ["my_project.tasks"]),))
"""What the files in the repository are written from."""


def of(image: str | None, program: str | None, workers: Sequence[Role]) -> Installation:
    """The example's installation, but for what is given."""
    return dataclasses.replace(
        EXAMPLE,
        image=image or EXAMPLE.image,
        program=program or EXAMPLE.program,
        workers=tuple(workers) or EXAMPLE.workers,
    )

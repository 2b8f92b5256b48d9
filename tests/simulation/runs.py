"""Running seeds: a server of one's own, one world per seed, a message with the command that repeats a failure."""

from __future__ import annotations

import logging
from types import TracebackType
from typing import Self

from tests.simulation.disk import Disk
from tests.simulation.ledger import Violation
from tests.simulation.mutants import MUTANTS
from tests.simulation.totals import Totals
from tests.simulation.trace import Trace
from tests.simulation.world import World, failed_command
from tests.support.redis_server import Kind, RedisServer

_FATAL = {"definition_unusable", "event_garbled", "handoff_refused"}


class _Alarm(logging.Handler):
    """Turns log lines that no seed may cause into violations; swallows the rest."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage() in _FATAL:
            self.found.append(self.format(record) + f" {record.__dict__.get('reason', '')}")


class Server:
    """A server for worlds, in memory only, on a socket of its own."""

    def __init__(self, kind: Kind = "redis") -> None:
        self._server = RedisServer(kind, unix_socket=True, options={"appendonly": "no"})

    @property
    def url(self) -> str:
        """Where it listens."""
        return self._server.url

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._server.stop()


def run_seed(
    server: Server,
    seed: int,
    *,
    verbose: bool = False,
    mutant: str | None = None,
    totals: Totals | None = None,
    trace: Trace | None = None,
) -> str | None:
    """Run one seed; gives the broken rule with the command that shows it again, or None. Counts go into ``totals``."""
    damage = MUTANTS[mutant] if mutant else None
    disk = Disk(server.url, damage.scripts() if damage else None)
    trace = trace or Trace(prints=verbose)
    alarm = _Alarm()
    logger = logging.getLogger("orchestrator")
    propagates, logger.propagate = logger.propagate, False
    logger.addHandler(alarm)
    try:
        world = World(seed, disk, trace=trace, **({"decider": damage.decider()} if damage else {}))
        world.run()
        if alarm.found:
            raise Violation(f"L4: {alarm.found[0]}")
    except Violation as broken:
        options = ("--mutant", mutant) if mutant else ()
        return f"seed {seed}: {broken}\nrun it again: {failed_command(seed, options)}"
    finally:
        logger.removeHandler(alarm)
        logger.propagate = propagates
        disk.close()
        if verbose:
            print(f"trace {trace.digest()}")
    if totals is not None:
        totals.add(world.totals)
    return None

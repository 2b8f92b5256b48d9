"""One chaos run: start the example's workflows, kill processes by the seed's schedule until all have ended, then count.

The story, top to bottom: a Redis of its own, limits that make the load last, deciders and workers as processes, a thread
that starts workflows and notes what was acknowledged, the kills, the end, the checker. A start that got no answer is
repeated under its request id until it gets one. Called by ``python -m tests.crash`` and by test_chaos.py.
"""

from __future__ import annotations

import csv
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from examples.orders import services
from examples.orders.make_orders import FILE
from examples.orders.report import expected_outcome, outcome_of
from examples.orders.workflow import order, order_failed
from orchestrator.errors import StoreUnavailable, WorkflowNotFound
from orchestrator.model.definitions import TaskDef, WorkflowDef
from orchestrator.model.execution import StartWorkflowRequest
from orchestrator.model.status import is_terminal
from orchestrator.service import listing, metadata, starting, workflows
from orchestrator.settings import Settings
from orchestrator.store.connection import connect
from orchestrator.store.context import StoreContext
from tests.crash.ledger import Ended, Finding, Journal, Limit, check, entries_of
from tests.crash.processes import Estate
from tests.crash.roles import JOURNALS
from tests.crash.schedule import RESTART_AFTER_S, Kill, kills
from tests.support.redis_server import RedisServer

STARTS_AT_ONCE = 10
TICK_S = 0.02


@dataclass(frozen=True)
class Chaos:
    """What to run. ``ships`` per 2 s and ``ships_at_once`` pace the load, so that it outlives the kills wanted."""

    seed: int
    workflows: int = 2_000
    timeout_s: float = 600.0
    lease_ms: int = 3_000
    ownership_ms: int = 2_000
    ships: int = 16
    ships_at_once: int = 8
    ship_latency_s: float = 0.5

    @property
    def limits(self) -> dict[str, Limit]:
        """The limits in force, by task type."""
        return {
            "ship_parcel": Limit(self.ships_at_once, self.ships, 2_000),
            "charge_card": Limit(at_once=3),
        }

    @property
    def starts_span_s(self) -> float:
        """Over how many seconds the starts are spread: the first half of what the limits make the load last."""
        return self.workflows / self.ships

    @property
    def command(self) -> str:
        """The command line that repeats this run's schedule."""
        return (
            f"python -m tests.crash --seed {self.seed} --workflows {self.workflows} --lease-ms {self.lease_ms} "
            f"--ownership-ms {self.ownership_ms} --timeout-s {self.timeout_s:g} --ships {self.ships} "
            f"--ships-at-once {self.ships_at_once}"
        )


def run(chaos: Chaos, say: Callable[[str], None] = lambda line: None) -> Finding:
    """Do it and give what was found. Raises ``ServerMissing`` without a Redis; ``say`` is told the progress.

    Logs and journals are kept, and their folder is among the figures, when a promise was broken.
    """
    folder = Path(tempfile.mkdtemp(prefix="crash-"))
    os.environ["ORDERS_DATA"] = str(folder / "orders")
    with RedisServer("redis") as server:
        settings = {
            JOURNALS: str(folder),
            "ORDERS_CARRIER_LATENCY_S": str(chaos.ship_latency_s),
            "ORCHESTRATOR_LEASE_MS": str(chaos.lease_ms),
            "ORCHESTRATOR_OWNERSHIP_MS": str(chaos.ownership_ms),
        }
        load = Load(chaos, server.url, folder)
        load.register()
        with Estate(server, settings, folder) as estate:
            attack = Attack(chaos, estate, load, folder)
            attack.run(say)
            estate.stop()
        finding = check(entries_of(folder), load.ended(), _charges(), chaos.limits)
    finding.figures["starts that were repeated"] = load.repeated
    if len(load.acknowledged) < chaos.workflows:
        finding.add("not started", f"{len(load.acknowledged)} of {chaos.workflows} starts were acknowledged")
    for role in attack.crashed:
        finding.add("crashed by itself", role)
    if finding.violations:
        finding.figures["logs and journals"] = folder
    else:
        shutil.rmtree(folder)
    return finding


def _charges() -> list[tuple[str, str]]:
    return [(charge.key, charge.order_id) for charge in services.charges()]


# --- the load -------------------------------------------------------------------------------------------------------


def orders(count: int) -> Iterator[dict[str, Any]]:
    """So many orders: those of the example, again and again, each time under new ids."""
    with FILE.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for number in range(count):
        row, turn = rows[number % len(rows)], number // len(rows)
        numbers = {"quantity": int(row["quantity"]), "amount_cents": int(row["amount_cents"])}
        yield {**row, **numbers, "order_id": f"{row['order_id']}-{turn}"}


class Load:
    """The workflows: registers them, starts them, and knows which have ended."""

    def __init__(self, chaos: Chaos, url: str, journals: Path) -> None:
        self._chaos = chaos
        settings = Settings(redis_url=url)
        self._executor = connect(url, settings).sync()
        self._store = StoreContext(settings)
        self._journal = Journal(journals, "client")
        self.acknowledged: list[str] = []
        self.repeated = 0

    def register(self) -> None:
        """Write definitions and the limits of this run."""
        definitions: list[TaskDef | WorkflowDef] = []
        for task in order.tasks:
            limit = self._chaos.limits.get(task.name, Limit())
            definitions.append(
                replace(
                    task.definition(),
                    concurrent_exec_limit=limit.at_once or None,
                    rate_limit_per_frequency=limit.grants,
                    rate_limit_frequency_in_seconds=limit.window_ms // 1000,
                )
            )
        definitions += [order_failed.definition(), order.definition()]
        self._executor.run(metadata.apply(self._store, definitions))

    def start(self, stop: threading.Event) -> None:
        """Start every workflow; what got no answer is sent again."""
        pause_s = self._chaos.starts_span_s * STARTS_AT_ONCE / self._chaos.workflows
        launches = [
            starting.Launch(StartWorkflowRequest(name=order.name, input=row), request_id=f"start-{row['order_id']}")
            for row in orders(self._chaos.workflows)
        ]
        for at in range(0, len(launches), STARTS_AT_ONCE):
            part = launches[at : at + STARTS_AT_ONCE]
            while part and not stop.is_set():
                part = self._start_part(part)
                stop.wait(TICK_S if part else pause_s)

    def _start_part(self, part: list[starting.Launch]) -> list[starting.Launch]:
        """Start these; gives those that must be sent again."""
        try:
            answers = self._executor.run(starting.start_many(self._store, part))
        except StoreUnavailable:
            self.repeated += len(part)
            return part
        again = []
        for launch, answer in zip(part, answers, strict=True):
            if isinstance(answer, starting.StartedWorkflow):
                self.acknowledged.append(answer.workflow_id)
                self._journal.note("acknowledged", workflow_id=answer.workflow_id)
            elif isinstance(answer, StoreUnavailable):
                again.append(launch)
            else:
                raise answer
        self.repeated += len(again)
        return again

    def running(self) -> int | None:
        """How many are under way; None while the store does not say."""
        try:
            return self._executor.run(listing.list_workflows(self._store, status="RUNNING", size=0)).total
        except StoreUnavailable:
            return None

    def is_over(self) -> bool:
        """Whether every workflow has ended, and the failure workflows of those that failed as well."""
        if len(self.acknowledged) < self._chaos.workflows or self.running() != 0:
            return False
        try:
            return all(is_terminal(ended.status) for ended in self.ended().values())
        except StoreUnavailable:
            return False

    def ended(self) -> dict[str, Ended]:
        """How every workflow stands, with the failure workflows it started; absent: there is none of that id."""
        found: dict[str, Ended] = {}
        waiting = list(self.acknowledged)
        while waiting:
            workflow_id = waiting.pop()
            try:
                view = self._executor.run(workflows.get(self._store, workflow_id))
            except WorkflowNotFound:
                # The decider has said that it will start it, so it must be there in the end.
                found[workflow_id] = Ended("MISSING")
                continue
            outcomes = [(task.task_id, task.reference_task_name, str(task.status)) for task in view.tasks]
            is_order = view.workflow_definition is not None and view.workflow_definition.name == order.name
            became = outcome_of(view) if is_order else str(view.status)
            expected = expected_outcome(view.input) if is_order else "COMPLETED"
            found[workflow_id] = Ended(str(view.status), outcomes, view.reason_for_incompletion, became, expected)
            failure_id = view.output.get("conductor.failure_workflow")
            if failure_id is not None:
                waiting.append(str(failure_id))
        return found


# --- the attack -----------------------------------------------------------------------------------------------------


class Attack:
    """Kills and restarts until the load has ended or the time is up."""

    def __init__(self, chaos: Chaos, estate: Estate, load: Load, journals: Path) -> None:
        self._chaos = chaos
        self._estate = estate
        self._load = load
        self._journal = Journal(journals, "killer")
        self._schedule = kills(chaos.seed, [role.name for role in estate.roles], store="redis")
        self._revivals: list[tuple[float, str]] = []
        self._store_back_s = 0.0
        self.kills = 0
        self.crashed: list[str] = []

    def run(self, say: Callable[[str], None]) -> None:
        """Attack; returns when everything has ended, or at the time-out."""
        began, over = time.monotonic(), threading.Event()
        starter = threading.Thread(target=self._load.start, args=(over,), name="starter")
        starter.start()
        next_kill, next_look = next(self._schedule), 0.0
        try:
            while (passed := time.monotonic() - began) < self._chaos.timeout_s:
                if passed >= next_kill.at_s:
                    self._kill(next_kill)
                    next_kill = next(self._schedule)
                self._revive()
                if passed >= next_look:
                    next_look = passed + 1.0
                    say(self._progress(passed))
                    if self.crashed or self._load.is_over():
                        break
                over.wait(TICK_S)
        finally:
            over.set()
            starter.join()
            self._revive(everybody=True)

    def _kill(self, kill: Kill) -> None:
        victim = self._estate.victims[kill.victim]
        if any(name == kill.victim for _, name in self._revivals):
            return
        victim.kill()
        self._journal.note("killed", process=victim.life, role=victim.role)
        self.kills += 1
        self._revivals.append((time.monotonic() + RESTART_AFTER_S, kill.victim))

    def _revive(self, everybody: bool = False) -> None:
        now = time.monotonic()
        for at, name in list(self._revivals):
            if everybody or at <= now:
                self._revivals.remove((at, name))
                self._estate.victims[name].start()
                if name == "redis":
                    self._store_back_s = time.monotonic()
        for role in self._estate.roles:
            if role.has_crashed:
                # Without its store a role cannot start and says so; whoever supervises it starts it again.
                if not self._store_was_away():
                    self.crashed.append(f"{role.life}:\n{role.log_tail()}")
                role.start()

    def _store_was_away(self) -> bool:
        is_away = any(name == "redis" for _, name in self._revivals)
        return is_away or time.monotonic() - self._store_back_s < 5.0

    def _progress(self, passed: float) -> str:
        started, running = len(self._load.acknowledged), self._load.running()
        shown = "the store is away" if running is None else f"{running} under way"
        return f"{passed:5.0f} s  {started} started, {shown}, {self.kills} kills"

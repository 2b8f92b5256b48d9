"""What the demo shows at the end: orders by outcome, retries, limits, latencies, and whether every promise was kept.

Reads three sources that know nothing of each other and compares them: the executions (through the client), the books of
the payment service and the warehouse, and the carrier's own log of calls. Changes nothing. Called by demo.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from examples.orders import services
from examples.orders.make_orders import DECLINED_CARD, DISCONTINUED, UNSERVED_COUNTRY
from examples.orders.tasks import SHIP_AT_ONCE, SHIP_PER_SECOND
from orchestrator.model.execution import Workflow as Execution

OUTCOMES = ("shipped", "refunded", "declined", "rejected", "cancelled")
PAID_BACK = {"refunded", "cancelled"}


class Check(NamedTuple):
    """One promise: what was promised, whether it was kept, and by how much."""

    promise: str
    kept: bool
    seen: str


@dataclass(frozen=True)
class Report:
    """Everything about one run of the demo. ``executions`` are by order id, ``compensations`` by workflow id."""

    orders: Sequence[Mapping[str, Any]]
    executions: Mapping[str, Execution]
    compensations: Mapping[str, Execution]
    seconds: float

    # --- promises -------------------------------------------------------------------------------------------------

    def checks(self) -> list[Check]:
        """Every promise of the demo."""
        return [self._all_ended(), self._as_expected(), *self._money(), self._goods(), *self._limits()]

    def _all_ended(self) -> Check:
        everything = [*self.executions.values(), *self.compensations.values()]
        open_ = sum(str(execution.status) not in ("COMPLETED", "FAILED") for execution in everything)
        expected = len(self.orders)
        return Check(
            "every order has ended",
            not open_ and len(self.executions) == expected,
            f"{len(self.executions)} of {expected}, {open_} still open",
        )

    def _as_expected(self) -> Check:
        wrong = [
            f"{order['order_id']} is {outcome_of(self.executions[order['order_id']])}"
            for order in self.orders
            if outcome_of(self.executions[order["order_id"]]) != expected_outcome(order)
        ]
        good = len(self.orders) - len(wrong)
        return Check("each order ended the way it had to", not wrong, "; ".join(wrong[:3]) or f"{good} of {good}")

    def _money(self) -> Iterator[Check]:
        charged = Counter(charge.order_id for charge in services.charges())
        twice = [order_id for order_id, times in charged.items() if times > 1]
        asked = sum(charge.requests for charge in services.charges())
        seen = ", ".join(twice[:3]) or f"{len(charged)} payments, asked for {asked} times"
        yield Check("no order was charged twice", not twice, seen)
        returned = {order_id for order_id, _ in services.refunds()}
        outcomes = {order_id: outcome_of(execution) for order_id, execution in self.executions.items()}
        owed = {order_id for order_id in charged if outcomes[order_id] in PAID_BACK}
        paid = {order_id for order_id, outcome in outcomes.items() if outcome == "shipped"}
        yield Check(
            "who got no parcel got the money back",
            returned == owed and paid <= set(charged),
            f"{len(returned)} refunds, {len(owed)} owed",
        )

    def _goods(self) -> Check:
        shipped = {order_id for order_id, execution in self.executions.items() if outcome_of(execution) == "shipped"}
        kept = services.reserved_orders()
        return Check("goods are set aside for shipped orders only", kept == shipped, f"{len(kept)} orders")

    def _limits(self) -> Iterator[Check]:
        calls = services.carrier_calls()
        most = most_at_once(calls)
        yield Check("the carrier's limit of calls at a time", most <= SHIP_AT_ONCE, f"{most} of {SHIP_AT_ONCE}")
        fastest = most_per_second([start for start, _ in calls])
        yield Check(
            "the carrier's limit of calls per second", fastest <= SHIP_PER_SECOND, f"{fastest} of {SHIP_PER_SECOND}"
        )

    # --- the table ------------------------------------------------------------------------------------------------

    def lines(self) -> Iterator[str]:
        """The table, line by line."""
        counts = Counter(outcome_of(execution) for execution in self.executions.values())
        yield "Orders by outcome"
        for outcome in sorted(counts, key=lambda name: (name not in OUTCOMES, -counts[name])):
            yield f"  {outcome:<12}{counts[outcome]:>6}"
        yield ""
        yield "Work"
        tasks = [task for execution in self.executions.values() for task in execution.tasks if task.worker_id]
        retries = [task for task in tasks if task.retry_count]
        yield f"  {'tasks run':<32}{len(tasks):>6}"
        yield f"  {'of them retries':<32}{len(retries):>6}"
        yield f"  {'compensations of failed orders':<32}{len(self.compensations):>6}"
        yield f"  {'calls of the carrier':<32}{len(services.carrier_calls()):>6}"
        yield ""
        yield f"{'Latency':<34}{'p50':>9}{'p90':>9}{'p99':>9}{'max':>9}"
        whole = [execution.end_time - execution.create_time for execution in self.executions.values()]
        yield _percentiles("an order, start to end", whole)
        waits = [
            task.start_time - task.scheduled_time
            for task in tasks
            if task.task_def_name != "ship_parcel" and task.start_time and not task.retry_count
        ]
        yield _percentiles("a task without limits, in queue", waits)
        yield ""
        yield f"Promises, after {self.seconds:.1f} s"
        for check in self.checks():
            yield f"  {'kept  ' if check.kept else 'BROKEN'}  {check.promise:<44}{check.seen}"


def outcome_of(execution: Execution) -> str:
    """What became of an order: its outcome, ``cancelled`` when it failed and was compensated, else its status."""
    if str(execution.status) == "COMPLETED":
        return str(execution.output.get("outcome"))
    return "cancelled" if str(execution.status) == "FAILED" else str(execution.status)


def expected_outcome(order: Mapping[str, Any]) -> str:
    """What has to become of an order, judged by its data alone."""
    if "@" not in order["email"] or int(order["quantity"]) < 1:
        return "rejected"
    if order["card"] == DECLINED_CARD:
        return "declined"
    if order["sku"] == DISCONTINUED[0]:
        return "refunded"
    return "cancelled" if order["country"] == UNSERVED_COUNTRY else "shipped"


def most_at_once(calls: Sequence[tuple[float, float | None]]) -> int:
    """The most calls that overlapped; one without an end belongs to a process that was killed and counts to its start."""
    changes = sorted([(start, 1) for start, _ in calls] + [(start if end is None else end, -1) for start, end in calls])
    most = now = 0
    for _, change in changes:
        now += change
        most = max(most, now)
    return most


def most_per_second(starts: Sequence[float]) -> int:
    """The most starts in any window of one second."""
    ordered = sorted(starts)
    most = first = 0
    for last, start in enumerate(ordered):
        while start - ordered[first] >= 1.0:
            first += 1
        most = max(most, last - first + 1)
    return most


def _percentiles(title: str, milliseconds: Sequence[int]) -> str:
    ordered = sorted(milliseconds) or [0]
    shown = [ordered[min(len(ordered) - 1, int(len(ordered) * share))] for share in (0.5, 0.9, 0.99, 1.0)]
    return f"  {title:<32}" + "".join(f"{_duration(value):>9}" for value in shown)


def _duration(milliseconds: int) -> str:
    return f"{milliseconds} ms" if milliseconds < 1_000 else f"{milliseconds / 1_000:.2f} s"

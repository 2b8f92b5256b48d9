"""What a seed asks of the system: definitions, starts and operations on them, and how every task turns out.

All of it follows from the seed, so a task's outcome does not depend on who runs it. Limits and retry counts are kept
here in plain form for the rules, which must not ask the engine.
"""

from __future__ import annotations

import random
from typing import Any, NamedTuple

import msgspec

from orchestrator.engine.starts import Resolved, resolve_definition
from orchestrator.ids import new_workflow_id, partition_of_key
from orchestrator.model.definitions import (
    RetryLogic,
    TaskDef,
    TimeoutPolicy,
    WorkflowDef,
    WorkflowTask,
    WorkflowTimeoutPolicy,
)
from tests.simulation import families, gates, hooks, mailbox, rounds, servers, shares

TASK_TYPES = ("plain", "flaky", "limited", "rated")
DOMAIN = "west"
CLEANUP = "cleanup"


class Turn(NamedTuple):
    """How one delivery of a task goes.

    ``status`` HANG means that nobody ever hears of it again; ``is_silent`` that its worker lets the lease end meanwhile and
    reports nevertheless.
    """

    status: str
    lasts_ms: int
    callback_ms: int = 0
    is_silent: bool = False


class Order(NamedTuple):
    """One start and what its client does with the workflow afterwards: (delay ms, action)."""

    workflow_id: str
    request_id: str
    resolved: Resolved
    input: dict[str, Any]
    priority: int
    domain: bool
    idempotency_field: str
    begins_ms: int
    actions: tuple[tuple[int, str], ...]


class Workload:
    """The work of one seed."""

    def __init__(self, seed: int, partitions: int, began_ms: int) -> None:
        self._seed = seed
        rng = self._rng = random.Random(f"{seed} work")
        self.is_polled = servers.has_servers(seed)
        self.is_calm = False  # from then on tasks succeed and are quick
        self.uses_domain = rng.random() < 0.25
        self.rate = rng.choice((1, 2, 3))
        self.concurrency = rng.choice((1, 1, 2))
        self.task_defs = self._make_task_defs()
        self.cleanup = WorkflowDef(name=CLEANUP, tasks=[_simple("plain", "tidy")])
        self.registered = [self.cleanup]
        self.orders = self._make_orders(partitions, began_ms)
        if families.has_family(seed):
            self._add_families(partitions, began_ms)
        self.at_once = random.Random(f"{seed} limit").choice((1, 1, 2)) if gates.has_gate(seed) else 0
        if self.at_once:
            self._add_gated(partitions, began_ms)
        if mailbox.has_mailbox(seed):
            rng = random.Random(f"{seed} mailbox")
            self._add([(mailbox.definition(rng), mailbox.actions(rng))], rng, partitions, began_ms)
        if rounds.has_rounds(seed):
            rng = random.Random(f"{seed} rounds")
            self._add([(one, ()) for one in rounds.definitions(rng)], rng, partitions, began_ms)
        if shares.has_shares(seed):
            self._add_shared(partitions, began_ms)
        self.is_hooked = hooks.has_hooks(seed)
        if self.is_hooked:
            rng = random.Random(f"{seed} hooks")
            self.registered.append(hooks.greeted())
            self._add([(one, hooks.actions(rng)) for one in hooks.definitions(rng)], rng, partitions, began_ms)
        self.signals = {order.workflow_id for order in self.orders if order.resolved.name == "waiter"}

    def retry_limit(self, ref_name: str) -> int:
        """How many retries a task of this definition name has."""
        found = self.task_defs.get(ref_name)
        return found.retry_count if found is not None else 0

    def turn(self, task_id: str, ref: str, delivery: int) -> Turn:
        """How this delivery of a task goes."""
        rng = random.Random(f"{self._seed} {task_id} {delivery}")
        if self.is_calm:
            return Turn("COMPLETED", rng.randrange(5, 50))
        chance, lasts_ms = rng.random(), rng.choice((1, 20, 60, 150, 400, 900, 1600))
        if ref.startswith("doomed"):
            return Turn("FAILED", lasts_ms)
        if chance < (0.35 if ref.startswith("flaky") else 0.08):
            return Turn("FAILED", lasts_ms)
        if chance > 0.98:
            return Turn("FAILED_WITH_TERMINAL_ERROR", lasts_ms)
        if chance > 0.93:
            return Turn("IN_PROGRESS", lasts_ms, rng.choice((1, 300, 1200)))
        if chance > 0.9:
            return Turn("HANG", 0)
        if chance > 0.84:
            return Turn("COMPLETED", rng.randrange(1200, 4000), is_silent=True)
        return Turn("COMPLETED", lasts_ms)

    def _make_task_defs(self) -> dict[str, TaskDef]:
        rng = self._rng
        return {
            "plain": TaskDef(name="plain", retry_count=2, retry_delay_seconds=0, response_timeout_seconds=3600),
            "flaky": TaskDef(
                name="flaky",
                retry_count=3,
                retry_delay_seconds=rng.choice((0, 1)),
                retry_logic=rng.choice((RetryLogic.FIXED, RetryLogic.EXPONENTIAL_BACKOFF)),
                backoff_jitter_ms=200,
                response_timeout_seconds=rng.choice((1, 2)),
            ),
            "limited": TaskDef(
                name="limited",
                retry_count=2,
                retry_delay_seconds=0,
                concurrent_exec_limit=self.concurrency,
                timeout_seconds=rng.choice((0, 2)),
                timeout_policy=TimeoutPolicy.RETRY,
                poll_timeout_seconds=rng.choice((None, 1, 2)),
                response_timeout_seconds=2,
            ),
            "rated": TaskDef(
                name="rated",
                retry_count=1,
                retry_delay_seconds=0,
                rate_limit_per_frequency=self.rate,
                rate_limit_frequency_in_seconds=1,
                poll_timeout_seconds=rng.choice((None, 1, 1, 2)),
                timeout_policy=rng.choice((TimeoutPolicy.RETRY, TimeoutPolicy.TIME_OUT_WF)),
                response_timeout_seconds=0,
            ),
        }

    def _make_orders(self, partitions: int, began_ms: int) -> list[Order]:
        rng = self._rng
        makers = {
            "chain": _chain,
            "forked": _forked,
            "switched": _switched,
            "waiter": _waiter,
            "failing": _failing,
            "hasty": _hasty,
        }
        names = rng.sample(sorted(makers), rng.randrange(3, 6))
        orders: list[Order] = []
        for index, name in enumerate(names):
            resolved = resolve_definition(makers[name](rng))
            number = rng.randrange(partitions)
            key = f"key-{index}" if rng.random() < 0.4 else ""
            if key:
                number = partition_of_key(name, key, partitions)
            first = Order(
                workflow_id=new_workflow_id(number, began_ms + index, rng.randbytes(8)),
                request_id=f"request-{index}",
                resolved=resolved,
                input={"case": rng.choice(("left", "right", 3)), "index": index},
                priority=rng.choice((0, 0, 3, 9)),
                domain=self.uses_domain and rng.random() < 0.7,
                idempotency_field=f"{name}\n{key}" if key else "",
                begins_ms=rng.randrange(0, 400),
                actions=_actions(rng, name) + _revivals(random.Random(f"{self._seed} revivals {index}"), name),
            )
            orders.append(first)
            if key:  # another caller with the same key and an id of its own
                other = new_workflow_id(number, began_ms + 100 + index, rng.randbytes(8))
                orders.append(
                    first._replace(workflow_id=other, request_id=f"other-{index}", begins_ms=first.begins_ms + 3)
                )
            elif rng.random() < 0.4 and "remove" not in {action for _, action in first.actions}:
                # The very same start, sent by two at once; after a removal it would start the workflow once more.
                orders.append(first._replace(begins_ms=first.begins_ms + 2, actions=()))
        return orders

    def _add_families(self, partitions: int, began_ms: int) -> None:
        rng = random.Random(f"{self._seed} families")
        self.registered += families.children()
        self.task_defs[families.SUB] = families.task_def(rng)
        self._add([(one, families.actions(rng)) for one in families.parents(rng)], rng, partitions, began_ms)

    def _add(
        self,
        wanted: list[tuple[WorkflowDef, tuple[tuple[int, str], ...]]],
        rng: random.Random,
        partitions: int,
        began_ms: int,
    ) -> None:
        for index, (definition, actions) in enumerate(wanted, len(self.orders)):
            order = Order(
                workflow_id=new_workflow_id(rng.randrange(partitions), began_ms + index, rng.randbytes(8)),
                request_id=f"request-{index}",
                resolved=resolve_definition(definition),
                input={"index": index},
                priority=rng.choice((0, 3)),
                domain=False,
                idempotency_field="",
                begins_ms=rng.randrange(0, 400),
                actions=actions,
            )
            self.orders.append(order)

    def _add_shared(self, partitions: int, began_ms: int) -> None:
        rng = random.Random(f"{self._seed} shares")
        replace = msgspec.structs.replace
        self.task_defs[shares.SHARED] = replace(self.task_defs[shares.SHARED], fairness_key=shares.KEY)
        for name in shares.LIMITED if shares.has_key_limits(self._seed) else ():
            self.task_defs[name] = replace(self.task_defs[name], limit_key=shares.KEY)
        first = len(self.orders)
        self._add([(shares.definition(rng), shares.actions(rng)) for _ in range(3)], rng, partitions, began_ms)
        for index in range(first, len(self.orders)):
            self.orders[index] = self.orders[index]._replace(input={"owner": rng.choice(shares.OWNERS)})

    def _add_gated(self, partitions: int, began_ms: int) -> None:
        rng = random.Random(f"{self._seed} gates")
        resolved = resolve_definition(gates.definition(self.at_once))
        for index in range(len(self.orders), len(self.orders) + rng.randrange(4, 8)):
            order = Order(
                workflow_id=new_workflow_id(rng.randrange(partitions), began_ms + index, rng.randbytes(8)),
                request_id=f"request-{index}",
                resolved=resolved,
                input={"lane": rng.choice(gates.LANES), "index": index},
                priority=0,
                domain=False,
                idempotency_field="",
                begins_ms=rng.randrange(0, 400),
                actions=gates.actions(rng),
            )
            self.orders.append(order)


def _actions(rng: random.Random, name: str) -> tuple[tuple[int, str], ...]:
    if name == "waiter":
        return ((rng.randrange(100, 2500), "signal"),)
    chance = rng.random()
    if chance < 0.25:
        return ((rng.randrange(10, 600), "pause"), (rng.randrange(50, 900), "resume"))
    if chance < 0.4:
        return ((rng.randrange(10, 900), "terminate"),)
    if chance < 0.57:
        return ((rng.randrange(10, 900), "remove"),)
    if chance < 0.8:
        return ((rng.randrange(10, 900), "poison"),)
    return ((rng.randrange(10, 900), "look"),) if chance < 0.95 else ()


def _revivals(rng: random.Random, name: str) -> tuple[tuple[int, str], ...]:
    """What makes the workflow go on when it has ended; one that waits for a word would wait for ever."""
    found = [] if rng.random() < 0.2 else [(rng.randrange(10, 400), "hurry")]
    if name != "waiter" and rng.random() < 0.35:
        found += [
            (rng.randrange(300, 2500), rng.choice(("retry", "rerun", "restart"))) for _ in range(rng.choice((1, 1, 2)))
        ]
    return tuple(found)


def _simple(name: str, ref: str, **options: Any) -> WorkflowTask:
    return WorkflowTask(name=name, task_reference_name=ref, **options)


def _chain(rng: random.Random) -> WorkflowDef:
    return WorkflowDef(
        name="chain",
        tasks=[
            _simple("plain", "first", input_parameters={"index": "${workflow.input.index}"}),
            _simple(
                "flaky", "flaky_second", input_parameters={"by": "${first.output.by}"}, optional=rng.random() < 0.3
            ),
            _simple("limited", "third", start_delay=rng.choice((0, 0, 1))),
        ],
        output_parameters={"by": "${third.output.by}", "first": "${first.output}"},
    )


def _forked(rng: random.Random) -> WorkflowDef:
    return WorkflowDef(
        name="forked",
        tasks=[
            WorkflowTask(
                name="split",
                task_reference_name="split",
                type="FORK_JOIN",
                fork_tasks=[
                    [_simple("rated", "branch_a")],
                    [_simple("limited", "branch_b", optional=True)],
                    [_simple("flaky", "flaky_c", permissive=rng.random() < 0.5), _simple("plain", "branch_c2")],
                    [_simple("limited", "branch_d"), _simple("limited", "branch_d2")],
                ],
            ),
            WorkflowTask(
                name="together",
                task_reference_name="together",
                type="JOIN",
                join_on=["branch_a", "branch_b", "branch_c2", "branch_d2"],
            ),
            _simple("plain", "after", input_parameters={"all": "${together.output}"}),
        ],
        output_parameters={"all": "${together.output}"},
    )


def _switched(rng: random.Random) -> WorkflowDef:
    return WorkflowDef(
        name="switched",
        tasks=[
            _simple("plain", "opening"),
            WorkflowTask(
                name="choice",
                task_reference_name="choice",
                type="SWITCH",
                evaluator_type="value-param",
                expression="case",
                input_parameters={"case": "${workflow.input.case}"},
                decision_cases={"left": [_simple("limited", "on_left")], "3": [_simple("flaky", "flaky_three")]},
                default_case=[_simple("plain", "otherwise"), _simple("rated", "otherwise_2")],
            ),
            _simple("rated", "closing"),
        ],
    )


def _waiter(rng: random.Random) -> WorkflowDef:
    return WorkflowDef(
        name="waiter",
        tasks=[
            WorkflowTask(
                name="pause",
                task_reference_name="pause",
                type="WAIT",
                input_parameters={"duration": f"{rng.choice((1, 2))} seconds"},
            ),
            _simple("plain", "between"),
            WorkflowTask(name="word", task_reference_name="word", type="WAIT", input_parameters={"signal": "go"}),
            _simple("plain", "last", input_parameters={"said": "${word.output.said}"}),
        ],
    )


def _failing(rng: random.Random) -> WorkflowDef:
    return WorkflowDef(
        name="failing",
        tasks=[
            WorkflowTask(
                name="split",
                task_reference_name="split",
                type="FORK_JOIN",
                fork_tasks=[[_simple("flaky", "doomed")], [_simple("limited", "bystander"), _simple("plain", "idle")]],
            ),
            WorkflowTask(name="both", task_reference_name="both", type="JOIN", join_on=["doomed", "idle"]),
        ],
        failure_workflow=CLEANUP,
    )


def _hasty(rng: random.Random) -> WorkflowDef:
    return WorkflowDef(
        name="hasty",
        tasks=[_simple("limited", "one"), _simple("flaky", "flaky_two"), _simple("rated", "three")],
        timeout_seconds=rng.choice((1, 3, 6)),
        timeout_policy=WorkflowTimeoutPolicy.TIME_OUT_WF,
        failure_workflow=CLEANUP if rng.random() < 0.5 else None,
    )

"""Executions at random, and queries at random with what they mean told a second way: as functions of shown values.

Everything follows from the ``Random`` that is given. Used by the tests that compare searches with a filter over all.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple

from orchestrator import RetryPolicy, Workflow, task
from orchestrator.client import Client
from orchestrator.model.execution import Workflow as Execution
from orchestrator.testing import Environment

WORDS = ("red", "green", "Blue", "order-17", "größe", "a*b", "x AND y", "it's", "42", "")
WORKFLOWS = ("pay", "pay later", "ship", "kin")

Row = dict[str, Any]
Holds = Callable[[Row], bool]


@task(retry=RetryPolicy(limit=1, delay_s=0))
def work(word: str = "", fails: bool = False) -> dict[str, str]:
    if fails:
        raise ValueError(f"cannot {word}")
    return {"did": word}


def _flow(name: str, **more: Any) -> Workflow:
    return Workflow(name, **more).then(work, word="${workflow.input.word}", fails="${workflow.input.fails}")


PAY, LATER, SHIP = _flow("pay"), _flow("pay later").wait(signal="go"), _flow("ship", masked_fields=["secret"])
KIN = Workflow("kin").sub_workflow(SHIP, inline=True, word="${workflow.input.word}", secret="hidden", fails=False)


class Query(NamedTuple):
    """A query as text, and what it means as a function of the values that ``rows_of`` gives."""

    text: str
    holds: Holds


def populate(env: Environment, random: Random, count: int) -> list[str]:
    """Start executions, let them run, end some by hand; gives the ids of those that were started here."""
    ids = []
    for _ in range(count):
        env.clock.advance(random.choice((0, 0, 1, 60)))
        client = env.client.with_options(
            priority=random.randrange(3), correlation_id=random.choice(("c1", "c 2", None))
        )
        flow = random.choice((PAY, LATER, SHIP, KIN))
        handle = client.start_workflow(
            flow, word=random.choice(WORDS), fails=random.random() < 0.3, secret="hidden", note=random.choice(WORDS)
        )
        ids.append(handle.id)
        if random.random() < 0.8:
            env.run_until_quiet()
        if random.random() < 0.2 and not handle.status().endswith("ED"):
            handle.terminate(random.choice(WORDS) or "enough")
    return ids


def rows_of(executions: list[Execution]) -> list[Row]:
    """Executions as the values that queries compare."""
    return [
        {
            "workflowId": one.workflow_id,
            "workflowType": one.workflow_name,
            "status": str(one.status),
            "correlationId": one.correlation_id,
            "reasonForIncompletion": one.reason_for_incompletion,
            "parentWorkflowId": one.parent_workflow_id,
            "startTime": one.create_time,
            "endTime": one.end_time or None,
            "priority": one.priority,
            "version": one.workflow_version,
        }
        for one in executions
    ]


def random_query(random: Random, rows: list[Row], depth: int = 2) -> Query:
    """A query over the values of these rows."""
    if depth and random.random() < 0.5:
        parts = [random_query(random, rows, depth - 1) for _ in range(random.randrange(2, 4))]
        if random.random() < 0.6:
            return Query(" AND ".join(f"({p.text})" for p in parts), lambda row: all(p.holds(row) for p in parts))
        return Query("(" + " OR ".join(p.text for p in parts) + ")", lambda row: any(p.holds(row) for p in parts))
    row = random.choice(rows)
    if random.random() < 0.3:
        return _of_numbers(random, row)
    field = random.choice(("workflowType", "status", "correlationId", "reasonForIncompletion", "parentWorkflowId"))
    return _of_texts(random, field, row[field], random.choice(rows)[field])


def _of_numbers(random: Random, row: Row) -> Query:
    field = random.choice(("startTime", "endTime", "priority", "version"))
    value = row[field] or 0
    match random.randrange(4):
        case 0:
            return Query(f"{field} > {value}", lambda row: row[field] is not None and row[field] > value)
        case 1:
            return Query(f"{field}<={value}", lambda row: row[field] is not None and row[field] <= value)
        case 2:
            high = value + 60_000
            return Query(
                f"{field} BETWEEN {value} AND {high}",
                lambda row: row[field] is not None and value <= row[field] <= high,
            )
    return Query(f"{field}={value}", lambda row: row[field] == value)


def _of_texts(random: Random, field: str, value: str | None, other: str | None) -> Query:
    match random.randrange(6 if field != "status" else 4):
        case 0:
            return Query(f"{field}={_quoted(value)}", lambda row: row[field] == value)
        case 1:
            return Query(f"{field} != {_quoted(value)}", lambda row: row[field] != value)
        case 2:
            return Query(f"{field} IN ({_quoted(value)},{_quoted(other)})", lambda row: row[field] in (value, other))
        case 3:
            return Query(f"{field} IS NOT null", lambda row: row[field] is not None)
        case 4:
            beginning = (value or "x")[:2]
            return Query(
                f"{field} STARTS_WITH {_quoted(beginning)}", lambda row: (row[field] or "").startswith(beginning)
            )
    middle = (value or "x")[1:3] or "x"
    return Query(f'{field}="*{_quoted(middle)[1:-1]}*"', lambda row: middle in (row[field] or ""))


def _quoted(value: str | None) -> str:
    return '"' + (value or "").replace("\\", "\\\\").replace('"', '\\"').replace("*", "\\*") + '"'


def every(client: Client, ids: list[str]) -> list[Execution]:
    """Executions and, behind them, the children they have."""
    found, wanted = [], list(ids)
    for workflow_id in wanted:
        execution = client.workflow(workflow_id).describe()
        found.append(execution)
        wanted += [one.sub_workflow_id for one in execution.tasks if one.sub_workflow_id]
    return found

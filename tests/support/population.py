"""Executions at random, and queries at random with what they mean told a second way: as functions of shown values.

Everything follows from the ``Random`` that is given. Used by the tests that compare searches with a filter over all.
"""

from __future__ import annotations

import json
import re
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
            "updateTime": one.update_time or None,
            "executionTime": one.end_time - one.create_time if one.end_time else 0,
            "createdBy": one.created_by,
            "failedReferenceTaskNames": ",".join(one.failed_reference_task_names) or None,
            "words": _words(
                [
                    one.workflow_id,
                    one.workflow_name,
                    one.correlation_id,
                    one.reason_for_incompletion,
                    one.input,
                    one.output,
                ]
                + [[task.input_data, task.output_data, task.reason_for_incompletion] for task in one.tasks]
            ),
        }
        for one in executions
    ]


def task_rows_of(executions: list[Execution]) -> list[Row]:
    """Attempts of tasks as the values that queries compare."""
    return [
        {
            "taskId": task.task_id,
            "taskType": task.task_type,
            "taskDefName": task.task_def_name,
            "status": str(task.status),
            "workflowId": one.workflow_id,
            "workflowType": one.workflow_name,
            "correlationId": one.correlation_id,
            "reasonForIncompletion": task.reason_for_incompletion,
            "scheduledTime": task.scheduled_time or None,
            "startTime": task.start_time or None,
            "updateTime": task.update_time or None,
            "endTime": task.end_time or None,
            "executionTime": task.end_time - task.start_time if task.end_time and task.start_time else 0,
            "queueWaitTime": task.start_time - task.scheduled_time if task.start_time else 0,
            "workflowPriority": task.workflow_priority,
            "words": _words(
                [
                    task.task_id,
                    task.task_def_name,
                    task.reference_task_name,
                    task.worker_id,
                    task.reason_for_incompletion,
                    task.input_data,
                    task.output_data,
                ]
            ),
        }
        for one in executions
        for task in one.tasks
    ]


def _words(values: Any) -> str:
    """Every word, between blanks."""
    return " " + " ".join(re.findall(r"[^\W_]+", json.dumps(values, ensure_ascii=False).lower())) + " "


FREE_TEXTS = ("", "*", "red", "ORDER-17", '"order 17"', "größe", "blu*", "cannot 42", "gr* pay", "nowhere")


def has_words(text: str, row: Row) -> bool:
    """Whether free text finds a row; a phrase is words in a row, ``*`` ends one that goes on."""
    phrases = re.findall(r'"[^"]*"|\S+', text.lower().strip("* ") if text == "*" else text.lower())
    wanted = [
        " " + " ".join(re.findall(r"[^\W_]+", phrase)) + ("" if phrase.endswith("*") else " ") for phrase in phrases
    ]
    return all(phrase in row["words"] for phrase in wanted)


def random_sort(random: Random, rows: list[Row]) -> tuple[str | None, list[Row]]:
    """An order as text, none at times, and rows that are in the usual order in that one instead."""
    if random.random() < 0.3:
        return None, rows
    keys = random.sample([name for name in rows[0] if name != "words"], random.randrange(1, 4))
    directions = [random.choice(("ASC", "DESC")) for _ in keys]
    for key, direction in reversed(list(zip(keys, directions, strict=True))):
        is_down = direction == "DESC"
        rows = sorted(
            rows,
            key=lambda row: (row[key] is not None, row[key] or 0 if _is_number(key) else row[key] or ""),
            reverse=is_down,
        )
    return "|".join(f"{key}:{direction}" for key, direction in zip(keys, directions, strict=True)), rows


def _is_number(field: str) -> bool:
    return field.endswith("Time") or field in ("priority", "version", "workflowPriority")


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
    field = random.choice([name for name in row if name != "words" and not _is_number(name)])
    return _of_texts(random, field, row[field], random.choice(rows)[field])


def _of_numbers(random: Random, row: Row) -> Query:
    field = random.choice([name for name in row if _is_number(name)])
    value = row[field] or 0
    match random.randrange(8):
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
        case 3:
            return Query(f"{field} < {value}", lambda row: row[field] is not None and row[field] < value)
        case 4:
            return Query(f"{field}>={value}", lambda row: row[field] is not None and row[field] >= value)
        case 5:
            return Query(f"{field} NOT IN ({value},7)", lambda row: row[field] not in (value, 7))
        case 6:
            return Query(f"{field} IS null", lambda row: row[field] is None)
    return Query(f"{field}={value}", lambda row: row[field] == value)


def _of_texts(random: Random, field: str, value: str | None, other: str | None) -> Query:
    match random.randrange(10 if field != "status" else 6):
        case 0:
            return Query(f"{field}={_quoted(value)}", lambda row: row[field] == value)
        case 1:
            return Query(f"{field} != {_quoted(value)}", lambda row: row[field] != value)
        case 2:
            return Query(f"{field} IN ({_quoted(value)},{_quoted(other)})", lambda row: row[field] in (value, other))
        case 3:
            return Query(f"{field} IS NOT null", lambda row: row[field] is not None)
        case 4:
            return Query(f"{field} IS null", lambda row: row[field] is None)
        case 5:
            return Query(
                f"{field} NOT IN ({_quoted(value)},{_quoted(other)})", lambda row: row[field] not in (value, other)
            )
        case 6:
            return Query(
                f"{field} >= {_quoted(value)}" if value else f"{field} IS null",
                lambda row: row[field] is not None and row[field] >= value if value else row[field] is None,
            )
        case 7:
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

"""``orchestrator task``: one attempt of a task by its id - look at it, read its log, say how it ended.

By reference name a task is updated with ``workflow update-task``. Called by operators and by scripts.
"""

from __future__ import annotations

from typing import Any

import click

from orchestrator_cli.acts import REPORTED, given
from orchestrator_cli.command import Entry, LazyGroup, Leaf, choice, output_option
from orchestrator_cli.inputs import read_input
from orchestrator_cli.output import Column, moment, say, show, show_all
from orchestrator_cli.session import current_session

group = LazyGroup(
    "task",
    help="Tasks of executions, by the id that workflow get -o json shows.",
    entries={
        "get": Entry(__name__, "get", "Show one."),
        "logs": Entry(__name__, "logs", "Print the lines that it logged."),
        "search": Entry("orchestrator_cli.searching", "search_tasks", "Find tasks by a query or free text."),
        "update": Entry(__name__, "update", "Say from outside how it ended."),
    },
)

SHOWN = [
    Column("id", lambda row: row["taskId"]),
    Column("name", lambda row: row.get("referenceTaskName")),
    Column("type", lambda row: row.get("taskType")),
    Column("status", lambda row: row["status"]),
    Column("workflow", lambda row: row.get("workflowInstanceId")),
    Column("attempt", lambda row: row.get("retryCount", 0) + 1),
    Column("reason", lambda row: row.get("reasonForIncompletion")),
    Column("worker", lambda row: row.get("workerId")),
    Column("ended", lambda row: moment(row.get("endTime") or 0)),
    Column("input", lambda row: row.get("inputData")),
    Column("output", lambda row: row.get("outputData")),
]

LINES = [Column("at", lambda row: moment(row["createdTime"])), Column("log", lambda row: row["log"])]


@click.command(cls=Leaf, examples="orchestrator task get TASK_ID\norchestrator task get TASK_ID -o json")
@click.argument("task_id", metavar="TASK_ID")
@output_option()
def get(task_id: str, form: str) -> None:
    """Show one attempt of a task."""
    from orchestrator.model.wire import task_to_dict
    from orchestrator.service import tasks

    with current_session().store() as store:
        found = store.run(tasks.get_task, task_id)
    show(task_to_dict(found), form, SHOWN, name="taskId")


@click.command(cls=Leaf, examples="orchestrator task logs TASK_ID\norchestrator task logs TASK_ID -o jsonl")
@click.argument("task_id", metavar="TASK_ID")
@output_option()
def logs(task_id: str, form: str) -> None:
    """Print the lines that an attempt logged, the oldest first."""
    from orchestrator.service import tasks

    with current_session().store() as store:
        found = store.run(tasks.logs, task_id)
    show_all([{"createdTime": line.created_time, "log": line.log} for line in found], form, LINES, name="log")


@click.command(cls=Leaf, examples="orchestrator task update TASK_ID COMPLETED -i by=Ada")
@click.argument("task_id", metavar="TASK_ID")
@click.argument("status", type=choice(*REPORTED))
@click.option("--reason", help="Why it failed.")
@given("its output")
def update(task_id: str, status: Any, reason: str | None, pairs: tuple[str, ...], files: tuple[str, ...]) -> None:
    """Say how an attempt ended, or that it goes on; its output is replaced."""
    from orchestrator.model.execution import TaskResult
    from orchestrator.service import tasks

    with current_session().store() as store:
        found = store.run(tasks.get_task, task_id)
        result = TaskResult(
            workflow_instance_id=found.workflow_instance_id,
            task_id=task_id,
            status=status,
            reason_for_incompletion=reason,
            output_data=read_input(pairs, files),
        )
        told = store.run(tasks.update_task, result)
    click.echo(told.task_id)
    say(f"the task is {status}" if told.is_accepted else "the task had ended before, nothing was changed")

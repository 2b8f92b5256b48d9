"""``orchestrator task``: one attempt of a task by its id - look at it, read its log, say how it ended; or ask for one to do.

By reference name a task is updated with ``workflow update-task``. Called by operators and by scripts.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from orchestrator_cli.acts import REPORTED, TOLD, given
from orchestrator_cli.command import Entry, LazyGroup, Leaf, choice, output_option
from orchestrator_cli.completion import task_names
from orchestrator_cli.inputs import read_input
from orchestrator_cli.output import Column, moment, say, show, show_all
from orchestrator_cli.session import current_session

if TYPE_CHECKING:
    from orchestrator.model.execution import Task

group = LazyGroup(
    "task",
    help="Tasks of executions, by the id that workflow get -o json shows.",
    entries={
        "get": Entry(__name__, "get", "Show one."),
        "list": Entry(__name__, "list_", "List the open tasks of a type."),
        "logs": Entry(__name__, "logs", "Print the lines that it logged."),
        "log": Entry(__name__, "log", "Add a line to its log."),
        "poll": Entry(__name__, "poll", "Take tasks to do, as a worker does."),
        "polls": Entry(__name__, "polls", "Show who asked for tasks last."),
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

LISTED = [
    Column("id", lambda row: row["taskId"]),
    Column("name", lambda row: row.get("referenceTaskName")),
    Column("status", lambda row: row["status"]),
    Column("workflow", lambda row: row.get("workflowInstanceId")),
    Column("attempt", lambda row: row.get("retryCount", 0) + 1),
    Column("scheduled", lambda row: moment(row.get("scheduledTime") or 0)),
    Column("worker", lambda row: row.get("workerId")),
    Column("input", lambda row: row.get("inputData")),
]

POLLS = [
    Column("task", lambda row: row["queueName"]),
    Column("domain", lambda row: row["domain"]),
    Column("worker", lambda row: row["workerId"]),
    Column("at", lambda row: moment(row["lastPollTime"])),
]

POLL_EXAMPLES = """
orchestrator task poll charge
orchestrator task poll charge --count 10 -o jsonl
orchestrator task poll charge -o name | xargs -I ID orchestrator task update ID COMPLETED
"""

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


@click.command("list", cls=Leaf, examples="orchestrator task list charge\norchestrator task list charge -o name")
@click.argument("task_type", metavar="TYPE", shell_complete=task_names)
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
@click.option("--offset", type=click.IntRange(min=0), default=0, help="How many to leave out first.")
@output_option()
def list_(task_type: str, limit: int, offset: int, form: str) -> None:
    """List the tasks of a type that have not ended, those scheduled last first."""
    from orchestrator.service import search

    with current_session().store() as store:
        found = store.run(search.open_tasks, task_type, start=offset, size=limit)
    _show_tasks(found, form)


@click.command(cls=Leaf, examples="orchestrator task logs TASK_ID\norchestrator task logs TASK_ID -o jsonl")
@click.argument("task_id", metavar="TASK_ID")
@output_option()
def logs(task_id: str, form: str) -> None:
    """Print the lines that an attempt logged, the oldest first."""
    from orchestrator.service import tasks

    with current_session().store() as store:
        found = store.run(tasks.logs, task_id)
    show_all([{"createdTime": line.created_time, "log": line.log} for line in found], form, LINES, name="log")


@click.command(cls=Leaf, examples="orchestrator task log TASK_ID 'half of it is done'")
@click.argument("task_id", metavar="TASK_ID")
@click.argument("text")
def log(task_id: str, text: str) -> None:
    """Add a line to the log of an attempt, which may have ended."""
    from orchestrator.service import tasks

    with current_session().store() as store:
        store.run(tasks.add_log, task_id, text)
    click.echo(task_id)


@click.command(cls=Leaf, examples=POLL_EXAMPLES)
@click.argument("task_type", metavar="TYPE", shell_complete=task_names)
@click.option("--count", type=click.IntRange(1, 100), default=1, show_default=True, help="How many at most.")
@click.option("--domain", help="Only tasks of this domain.")
@click.option("--worker", default=platform.node(), show_default="this host", help="The name that is kept with them.")
@output_option("json")
def poll(task_type: str, count: int, domain: str | None, worker: str, form: str) -> None:
    """Take tasks that wait, without waiting for any; what is taken is this worker's until it says how it ended.

    A worker in a language without a library is a loop around this and task update. Nothing is heard of it in between: if it
    falls silent, the task's response time-out lets it be taken again.
    """
    from orchestrator.service import lending

    with current_session().store() as store:
        found = store.run(lending.poll, task_type, worker, domain=domain, count=count)
    _show_tasks(found, form)


@click.command(cls=Leaf, examples="orchestrator task polls\norchestrator task polls charge -o json")
@click.argument("task_type", metavar="TYPE", required=False, shell_complete=task_names)
@output_option()
def polls(task_type: str | None, form: str) -> None:
    """Show the last poll of every queue, or of those of one type: which worker asked, and when."""
    from orchestrator.service import poll_data

    with current_session().store() as store:
        found = store.run(poll_data.read, task_type)
    rows = [
        {
            "queueName": one.queue_name,
            "domain": one.domain,
            "workerId": one.worker_id,
            "lastPollTime": one.last_poll_time,
        }
        for one in found
    ]
    show_all(rows, form, POLLS, name="queueName")


def _show_tasks(found: Sequence[Task], form: str) -> None:
    from orchestrator.model.wire import task_to_dict

    show_all([task_to_dict(one) for one in found], form, LISTED, name="taskId")


@click.command(cls=Leaf, examples="orchestrator task update TASK_ID COMPLETED -i by=Ada")
@click.argument("task_id", metavar="TASK_ID")
@click.argument("status", type=choice(*REPORTED))
@click.option("--reason", help="Why it failed.")
@given("its output")
@output_option("name")
def update(
    task_id: str, status: Any, reason: str | None, pairs: tuple[str, ...], files: tuple[str, ...], form: str
) -> None:
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
    show({"taskId": told.task_id, "accepted": told.is_accepted}, form, TOLD, name="taskId")
    say(f"the task is {status}" if told.is_accepted else "the task had ended before, nothing was changed")

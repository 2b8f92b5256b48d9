"""``orchestrator workflow status``, ``tasks``, ``logs`` and ``graph``: parts of one execution, where ``get`` shows it whole.

Listed in the group of ``workflow``. Called by users and by scripts.
"""

from __future__ import annotations

import click

from orchestrator_cli.command import Leaf, choice, output_option
from orchestrator_cli.completion import workflow_ids
from orchestrator_cli.output import Column, moment, say, show, show_all
from orchestrator_cli.session import current_session

TASK_STATUSES = (
    "SCHEDULED",
    "IN_PROGRESS",
    "COMPLETED",
    "COMPLETED_WITH_ERRORS",
    "FAILED",
    "FAILED_WITH_TERMINAL_ERROR",
    "TIMED_OUT",
    "CANCELED",
    "SKIPPED",
)

STANDING = [
    Column("id", lambda row: row["workflowId"]),
    Column("status", lambda row: row["status"]),
    Column("reason", lambda row: row["reason"]),
    Column("output", lambda row: row["output"]),
]

TASKS = [
    Column("name", lambda row: row.get("referenceTaskName")),
    Column("id", lambda row: row["taskId"]),
    Column("type", lambda row: row.get("taskType")),
    Column("status", lambda row: row["status"]),
    Column("attempt", lambda row: row.get("retryCount", 0) + 1),
    Column("ended", lambda row: moment(row.get("endTime") or 0)),
    Column("worker", lambda row: row.get("workerId")),
    Column("reason", lambda row: row.get("reasonForIncompletion")),
]

LOGGED = [
    Column("at", lambda row: moment(row["createdTime"])),
    Column("task", lambda row: row["referenceTaskName"]),
    Column("log", lambda row: row["log"]),
]


@click.command(cls=Leaf, examples="orchestrator workflow status ID\norchestrator workflow status ID1 ID2 -o jsonl")
@click.argument("workflow_ids", metavar="ID...", nargs=-1, required=True, shell_complete=workflow_ids)
@output_option()
def status(workflow_ids: tuple[str, ...], form: str) -> None:
    """Say how executions stand, without their tasks."""
    from orchestrator.service import workflows

    with current_session().store() as store:
        found = [store.run(workflows.standing, one) for one in workflow_ids]
    rows = [
        {"workflowId": one.workflow_id, "status": str(one.status), "reason": one.reason, "output": one.output}
        for one in found
    ]
    if len(rows) == 1:
        show(rows[0], form, STANDING, name="workflowId")
    else:
        show_all(rows, form, STANDING, name="workflowId")


TASKS_EXAMPLES = """
orchestrator workflow tasks ID
orchestrator workflow tasks ID --status FAILED --status TIMED_OUT -o jsonl
"""


@click.command(cls=Leaf, examples=TASKS_EXAMPLES)
@click.argument("workflow_id", metavar="ID", shell_complete=workflow_ids)
@click.option("--status", "statuses", type=choice(*TASK_STATUSES), multiple=True, help="Only tasks in one of these.")
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True)
@click.option("--offset", type=click.IntRange(min=0), default=0, help="How many to leave out first.")
@output_option()
def tasks(workflow_id: str, statuses: tuple[str, ...], limit: int, offset: int, form: str) -> None:
    """List an execution's tasks in the order in which they were scheduled, every attempt by itself."""
    from orchestrator.model.wire import task_to_dict
    from orchestrator.service import workflows

    with current_session().store() as store:
        page = store.run(workflows.list_tasks, workflow_id, start=offset, size=limit, statuses=statuses)
    show_all([task_to_dict(one) for one in page.tasks], form, TASKS, name="taskId")
    if form == "table" and page.total > offset + len(page.tasks):
        say(f"{len(page.tasks)} of {page.total}; more with --offset {offset + len(page.tasks)}")


@click.command(cls=Leaf, examples="orchestrator workflow logs ID\norchestrator workflow logs ID charge -o jsonl")
@click.argument("workflow_id", metavar="ID", shell_complete=workflow_ids)
@click.argument("ref", required=False)
@output_option()
def logs(workflow_id: str, ref: str | None, form: str) -> None:
    """Print the lines that an execution's tasks logged, of every attempt, the oldest first; of one step with REF."""
    from orchestrator.service import tasks, workflows

    with current_session().store() as store:
        attempts = [
            one for one in store.run(workflows.get, workflow_id).tasks if ref in (None, one.reference_task_name)
        ]
        lines = [(line, one) for one in attempts for line in store.run(tasks.logs, one.task_id)]
    rows = [
        {
            "createdTime": line.created_time,
            "referenceTaskName": one.reference_task_name,
            "taskId": one.task_id,
            "log": line.log,
        }
        for line, one in sorted(lines, key=lambda pair: pair[0].created_time)
    ]
    show_all(rows, form, LOGGED, name="log")


@click.command(cls=Leaf, examples="orchestrator workflow graph ID\norchestrator workflow graph ID --format text")
@click.argument("workflow_id", metavar="ID", shell_complete=workflow_ids)
@click.option("--format", "form", type=choice("mermaid", "text"), default="mermaid", show_default=True)
def graph(workflow_id: str, form: str) -> None:
    """Draw the definition that an execution runs on, which may not be the registered one any more."""
    from orchestrator.errors import NotFound
    from orchestrator.graph import mermaid, text_tree
    from orchestrator.service import workflows

    with current_session().store() as store:
        definition = store.run(workflows.get, workflow_id, include_tasks=False).workflow_definition
    if definition is None:
        raise NotFound(f"the definition that workflow {workflow_id} ran on is not kept any more")
    click.echo((mermaid(definition) if form == "mermaid" else text_tree(definition)).rstrip("\n"))

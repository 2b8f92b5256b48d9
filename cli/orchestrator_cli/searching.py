"""``orchestrator workflow list``, ``workflow search`` and ``task search``: lines about many executions, or about their tasks.

The language of queries and free text is the service's own (docs/search.md). Called by users and by scripts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from orchestrator_cli.command import Leaf, choice, output_option
from orchestrator_cli.completion import workflow_names
from orchestrator_cli.output import Column, say, show_all, span
from orchestrator_cli.session import current_session

if TYPE_CHECKING:
    from orchestrator.service.search import SearchResult

STATUSES = ("RUNNING", "PAUSED", "COMPLETED", "FAILED", "TIMED_OUT", "TERMINATED")

LISTED = [
    Column("id", lambda row: row["workflowId"]),
    Column("workflow", lambda row: row["workflowType"]),
    Column("version", lambda row: row["version"]),
    Column("status", lambda row: row["status"]),
    Column("started", lambda row: row.get("startTime", "-")),
    Column("duration", lambda row: span(row["executionTime"]) if "endTime" in row else "-"),
    Column("reason", lambda row: row.get("reasonForIncompletion")),
]

TASKS = [
    Column("id", lambda row: row["taskId"]),
    Column("task", lambda row: row["taskDefName"]),
    Column("workflow", lambda row: row["workflowType"]),
    Column("status", lambda row: row["status"]),
    Column("scheduled", lambda row: row.get("scheduledTime", "-")),
    Column("duration", lambda row: span(row["executionTime"]) if "endTime" in row else "-"),
    Column("reason", lambda row: row.get("reasonForIncompletion")),
]

SEARCH_EXAMPLES = """
orchestrator workflow search "workflowType=order AND status IN (FAILED,TIMED_OUT)"
orchestrator workflow search --text "ada order-17" --sort endTime:DESC
orchestrator workflow search --by-tasks "taskDefName=charge AND status=FAILED"
orchestrator workflow search "startTime>1700000000000 AND correlationId STARTS_WITH shop-" -o name
"""

TASKS_EXAMPLES = """
orchestrator task search "taskDefName=charge AND status=FAILED"
orchestrator task search --text timeout -o jsonl
"""


def _page_options(command: Callable[..., Any]) -> Callable[..., Any]:
    limit = click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
    offset = click.option("--offset", type=click.IntRange(min=0), default=0, help="How many to leave out first.")
    return limit(offset(command))


def _search_options(command: Callable[..., Any]) -> Callable[..., Any]:
    text = click.option(
        "--text", "free_text", metavar="WORDS", help='Words, "phrases" or beginn* in what goes in and out.'
    )
    sort = click.option("--sort", metavar="FIELD:ASC|DESC", help="Order; several with | between.")
    return click.argument("query", required=False)(text(sort(_page_options(command))))


@click.command(
    "list", cls=Leaf, examples="orchestrator workflow list --status FAILED\norchestrator workflow list -o name"
)
@click.option("--status", type=choice(*STATUSES), help="Only those in this status.")
@click.option("--name", shell_complete=workflow_names, help="Only those of this workflow.")
@click.option("--correlation-id", help="Only those with this mark.")
@_page_options
@output_option()
def list_(status: Any, name: str | None, correlation_id: str | None, limit: int, offset: int, form: str) -> None:
    """List executions, the latest first."""
    from orchestrator.service import listing

    conditions = {"status": status, "name": name, "correlation_id": correlation_id}
    with current_session().store() as store:
        found = store.run(listing.list_workflows, start=offset, size=limit, **conditions)
    _show(found, offset, form, LISTED, "workflowId")


@click.command(cls=Leaf, examples=SEARCH_EXAMPLES)
@_search_options
@click.option("--top-level", is_flag=True, help="Leave out what other workflows started as their part.")
@click.option("--by-tasks", is_flag=True, help="The query is over fields of tasks: find whose tasks match.")
@output_option()
def search(
    query: str | None, limit: int, offset: int, form: str, top_level: bool, by_tasks: bool, **options: Any
) -> None:
    """Search executions by a query over their fields, by free text, or both; the latest first."""
    from orchestrator.service import search as searches

    if top_level and by_tasks:
        raise click.UsageError("--top-level is about executions, --by-tasks asks for tasks: give one of them")
    with current_session().store() as store:
        if by_tasks:
            found = store.run(searches.search_by_tasks, query, start=offset, size=limit, **options)
        else:
            options["top_level_only"] = top_level
            found = store.run(searches.search_workflows, query, start=offset, size=limit, **options)
    _show(found, offset, form, LISTED, "workflowId")


@click.command("search", cls=Leaf, examples=TASKS_EXAMPLES)
@_search_options
@output_option()
def search_tasks(query: str | None, limit: int, offset: int, form: str, **options: Any) -> None:
    """Search tasks by a query over their fields, by free text, or both; those scheduled last first."""
    from orchestrator.service import search as searches

    with current_session().store() as store:
        found = store.run(searches.search_tasks, query, start=offset, size=limit, **options)
    _show(found, offset, form, TASKS, "taskId")


def _show(found: SearchResult[Any], offset: int, form: str, columns: list[Column], name: str) -> None:
    from orchestrator.model.summaries import summary_to_dict

    show_all([summary_to_dict(line) for line in found.items], form, columns, name=name)
    shown = len(found.items)
    if form == "table" and found.total > offset + shown:
        say(f"{shown} of {found.total}; more with --offset {offset + shown}")

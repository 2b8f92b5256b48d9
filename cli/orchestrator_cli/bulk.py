"""``orchestrator bulk``: one action on many executions, which are named or found by a query.

What a query finds is collected first and acted on then, in parts of as many as the service takes at once, so what the
action changes does not change what is found. Called by operators and by scripts; asks nothing where nobody can answer.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any

import click

from orchestrator_cli.acts import given
from orchestrator_cli.command import Leaf, choice, output_option
from orchestrator_cli.inputs import read_input
from orchestrator_cli.output import Column, say, show_all
from orchestrator_cli.session import Store, current_session

ACTIONS = (
    "pause",
    "resume",
    "terminate",
    "restart",
    "retry",
    "rerun",
    "skip",
    "jump",
    "upgrade",
    "signal",
    "set-variables",
    "update-state",
    "reset-callbacks",
    "remove",
    "terminate-remove",
)
_CALLED = {"set-variables": "update_variables"}
"""What the service calls those that have another word on the command line."""

PAGE = 1_000

RESULTS = [
    Column("id", lambda row: row["workflowId"]),
    Column("result", lambda row: row["result"]),
    Column("reason", lambda row: row["reason"]),
]

EXAMPLES = """
orchestrator bulk retry --query "workflowType=order AND status=FAILED" --dry-run
orchestrator bulk terminate --query "workflowType=order AND status=RUNNING" -i reason="wrong price" --yes
orchestrator workflow list --status PAUSED -o name | orchestrator bulk resume -
orchestrator bulk jump ID1 ID2 -i ref=ship
"""


@click.command(cls=Leaf, examples=EXAMPLES)
@click.argument("action", type=choice(*ACTIONS))
@click.argument("workflow_ids", metavar="[ID|-]...", nargs=-1)
@click.option("--query", help="Those that it finds, in the language of workflow search.")
@click.option("--text", "free_text", metavar="WORDS", help="Those with these words in what goes in and out.")
@click.option("--dry-run", is_flag=True, help="Only say on which ones it would act.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask before acting on what a query found.")
@given("the action's arguments, by the names of the HTTP API's verbs in snake_case: reason, ref, version ...")
@output_option()
def bulk(
    action: str,
    workflow_ids: tuple[str, ...],
    query: str | None,
    free_text: str | None,
    dry_run: bool,
    yes: bool,
    pairs: tuple[str, ...],
    files: tuple[str, ...],
    form: str,
) -> int:
    """Do one thing to many executions; what one of them refuses happens to the others.

    The ids are given, read from standard input (-), or found by a query; what a query found is asked about first, and
    where nobody can be asked, --yes is needed. The exit status is 1 when any of them refused.
    """
    is_sought = query is not None or free_text is not None
    if is_sought == bool(workflow_ids):
        raise click.UsageError("name executions, or give --query or --text: one of both")
    arguments = read_input(pairs, files)
    with current_session().store() as store:
        ids = _found(store, query, free_text) if is_sought else list(_given(workflow_ids))
        if dry_run:
            rows = [_row(one, "would be done") for one in ids]
        elif is_sought and ids and not yes and not _agreed(action, len(ids)):
            raise click.Abort
        else:
            rows = list(_act(store, action, ids, arguments))
    show_all(rows, form, RESULTS, name="workflowId")
    failed = sum(row["result"] == "refused" for row in rows)
    say(f"{len(rows)} execution{'' if len(rows) == 1 else 's'}" + (f", {failed} refused" if failed else ""))
    return 1 if failed else 0


def _found(store: Store, query: str | None, free_text: str | None) -> list[str]:
    """The ids of all that match. Those that start meanwhile push others to a later page: each counts once."""
    from orchestrator.service import search

    ids: dict[str, None] = {}
    start = 0
    while True:
        page = store.run(search.search_workflows, query, free_text=free_text, start=start, size=PAGE)
        ids.update(dict.fromkeys(line.workflow_id for line in page.items))
        start += PAGE
        if start >= page.total:
            return list(ids)


def _given(workflow_ids: Sequence[str]) -> Iterator[str]:
    for one in workflow_ids:
        if one == "-":
            yield from sys.stdin.read().split()
        else:
            yield one


def _agreed(action: str, count: int) -> bool:
    if not sys.stdin.isatty():
        raise click.UsageError(f"{count} executions were found: give --yes to {action} them, or --dry-run to see them")
    return click.confirm(f"{action} {count} execution{'' if count == 1 else 's'}?", err=True)


def _act(store: Store, action: str, ids: list[str], arguments: dict[str, Any]) -> Iterator[dict[str, Any]]:
    from orchestrator.service import bulk

    called = _CALLED.get(action, action.replace("-", "_"))
    ids = list(dict.fromkeys(ids))
    for at in range(0, len(ids), bulk.IDS_MAX):
        part = ids[at : at + bulk.IDS_MAX]
        result = store.run(bulk.act_on_all, called, part, arguments)
        for one in part:
            yield _row(one, "refused" if one in result.failed else "done", result.failed.get(one))


def _row(workflow_id: str, result: str, reason: str | None = None) -> dict[str, Any]:
    return {"workflowId": workflow_id, "result": result, "reason": reason}

"""``orchestrator workflow why``: what exactly an execution waits for, in sentences or as data.

Shows what ``orchestrator.service.why`` found. Called by operators.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from orchestrator_cli.command import Leaf, output_option
from orchestrator_cli.completion import workflow_ids
from orchestrator_cli.output import show
from orchestrator_cli.session import current_session

if TYPE_CHECKING:
    from orchestrator.service.why import Explanation


@click.command(cls=Leaf, examples="orchestrator workflow why ID\norchestrator workflow why ID -o json")
@click.argument("workflow_id", metavar="ID", shell_complete=workflow_ids)
@output_option()
def why(workflow_id: str, form: str) -> None:
    """Say what an execution waits for.

    Task, queue, place in the queue, the limit that holds it up with its numbers, the next timer, the signal's name, the
    sub-workflow and what that waits for, a missing worker or decider.
    """
    from orchestrator.service.why import why as explain

    with current_session().store() as store:
        found = store.run(explain, workflow_id)
    if form == "table":
        for line in lines(found):
            click.echo(line)
    else:
        show(as_data(found), form, [], name="workflowId")


def lines(found: Explanation, indent: str = "") -> list[str]:
    """The explanation as text, children indented below their parent."""
    told = [f"{indent}{found.name} {found.workflow_id} is {found.status} and waits for"]
    told += [f"{indent}- {reason.text}" for reason in found.reasons]
    return told + [line for child in found.children for line in lines(child, indent + "  ")]


def as_data(found: Explanation) -> dict[str, Any]:
    """The explanation as JSON has it."""
    return {
        "workflowId": found.workflow_id,
        "workflowName": found.name,
        "status": found.status,
        "waitsFor": [
            {
                "kind": reason.kind,
                "text": reason.text,
                "referenceTaskName": reason.ref,
                "taskId": reason.task_id,
                **reason.facts,
            }
            for reason in found.reasons
        ],
        "children": [as_data(child) for child in found.children],
    }

"""``orchestrator workflow export`` and ``import``: executions as files.

The document and its rules are ``orchestrator.service.transfer``'s; here it is read and written. Called by operators.
"""

from __future__ import annotations

from pathlib import Path

import click

from orchestrator_cli.command import Leaf
from orchestrator_cli.completion import workflow_ids
from orchestrator_cli.inputs import read_document
from orchestrator_cli.output import as_json, say
from orchestrator_cli.session import current_session

EXPORT_EXAMPLES = """
orchestrator workflow export ID > run.json
orchestrator workflow export ID -f run.json
"""

IMPORT_EXAMPLES = """
orchestrator workflow import run.json
orchestrator workflow import run.json --new-id
"""


@click.command("export", cls=Leaf, examples=EXPORT_EXAMPLES)
@click.argument("workflow_id", metavar="ID", shell_complete=workflow_ids)
@click.option("-f", "--file", "path", metavar="FILE", help="Where to write it. Default: standard output.")
def export(workflow_id: str, path: str | None) -> None:
    """Write an execution with all its records as JSON: to look at, to import, to replay in a test.

    The records hold inputs and outputs as they are stored, also those that are masked for whoever looks.
    """
    from orchestrator.service.transfer import export_execution

    with current_session().store() as store:
        document = store.run(export_execution, workflow_id)
    if path is None:
        click.echo(as_json(document))
        return
    Path(path).write_text(as_json(document) + "\n", encoding="utf-8")
    say(f"workflow {workflow_id} written to {path}")


@click.command("import", cls=Leaf, examples=IMPORT_EXAMPLES)
@click.argument("path", metavar="FILE|-")
@click.option("--new-id", "is_new", is_flag=True, help="Store it under a fresh id.")
@click.option("--id", "workflow_id", help="Store it under this id.")
def import_(path: str, is_new: bool, workflow_id: str | None) -> None:
    """Store an exported execution that has ended, and print its id; it can be shown, restarted and so on from there."""
    from orchestrator.service.transfer import import_execution

    if is_new and workflow_id is not None:
        raise click.UsageError("--new-id and --id exclude each other")
    document = read_document(path)
    with current_session().store() as store:
        click.echo(store.run(import_execution, document, workflow_id=workflow_id, is_new=is_new))

"""``orchestrator workflow export`` and ``import``: executions as files.

The document and its rules are ``orchestrator.service.transfer``'s; here it is read and written. Called by operators.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from orchestrator_cli.command import Leaf
from orchestrator_cli.output import as_json, say
from orchestrator_cli.session import current_session

FILE_BYTES_MAX = 128 * 1024 * 1024

EXPORT_EXAMPLES = """
orchestrator workflow export ID > run.json
orchestrator workflow export ID -f run.json
"""

IMPORT_EXAMPLES = """
orchestrator workflow import run.json
orchestrator workflow import run.json --new-id
"""


@click.command("export", cls=Leaf, examples=EXPORT_EXAMPLES)
@click.argument("workflow_id", metavar="ID")
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
    document = _document(path)
    with current_session().store() as store:
        click.echo(store.run(import_execution, document, workflow_id=workflow_id, is_new=is_new))


def _document(path: str) -> dict[str, Any]:
    try:
        if path != "-" and Path(path).stat().st_size > FILE_BYTES_MAX:
            raise click.BadParameter(f"{path} is larger than {FILE_BYTES_MAX:,} bytes", param_hint="FILE")
        text = sys.stdin.read(FILE_BYTES_MAX + 1) if path == "-" else Path(path).read_text(encoding="utf-8")
        document = json.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise click.BadParameter(f"{path} cannot be read: {error}", param_hint="FILE") from None
    if not isinstance(document, dict):
        raise click.BadParameter(f"{path} is not a JSON object", param_hint="FILE")
    return document

"""``orchestrator apply`` and ``diff``: an installation as files in version control say it shall be.

A folder holds schemas, task and workflow definitions, event handlers and schedules as JSON or YAML. All of it is read and
judged before anything is stored. Holds no rule; the service compares. Called by users and their CI.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator_cli.command import Leaf, output_option
from orchestrator_cli.output import Column, as_json, show_all
from orchestrator_cli.session import current_session

if TYPE_CHECKING:
    from orchestrator.model.desired import Desired
    from orchestrator.service.desired import Difference

DIFFERENT = 1

COLUMNS = [
    Column("kind", lambda row: row["kind"]),
    Column("name", lambda row: row["name"]),
    Column("version", lambda row: row["version"]),
    Column("result", lambda row: row["change"]),
]

APPLY_EXAMPLES = """
orchestrator apply -f definitions/
orchestrator apply -f definitions/ --dry-run
kustomize build . | orchestrator apply -f -
"""
DIFF_EXAMPLES = """
orchestrator diff -f definitions/
orchestrator diff -f definitions/ --exit-code
"""


def files_option(command: Callable[..., None]) -> Callable[..., None]:
    """The option ``-f`` of both commands."""
    return click.option(
        "-f", "--file", "targets", multiple=True, required=True, metavar="FILE|DIR|-", help="JSON or YAML; repeatable."
    )(command)


@click.command(cls=Leaf, examples=APPLY_EXAMPLES)
@files_option
@click.option("--dry-run", is_flag=True, help="Judge everything and say what would change; store nothing.")
@output_option()
def apply(targets: tuple[str, ...], dry_run: bool, form: str) -> None:
    """Store what files say an installation shall have; nothing of it unless all of it can be stored.

    Schemas, definitions of tasks and workflows, event handlers and schedules. What is in no file is left alone, and
    workflows under way keep the version they started with.
    """
    from orchestrator.service import desired

    wanted = read(targets)
    with current_session().store() as store:
        found = store.run(desired.compare if dry_run else desired.apply, wanted)
    words = {"new": "new", "changed": "changed"} if dry_run else {"new": "stored", "changed": "replaced"}
    rows = [{**_row(one), "change": words.get(one.change, "unchanged")} for one in found]
    show_all(rows, form, COLUMNS, name="name")


@click.command(cls=Leaf, examples=DIFF_EXAMPLES)
@files_option
@click.option("--exit-code", is_flag=True, help="End with status 1 when anything differs, 0 when nothing does.")
@output_option("text", "text")
def diff(targets: tuple[str, ...], exit_code: bool, form: str) -> None:
    """Show what ``apply`` would change, line by line."""
    from orchestrator.service import desired

    wanted = read(targets)
    with current_session().store() as store:
        found = [one for one in store.run(desired.compare, wanted) if one.change != "same"]
    if form == "text":
        for one in found:
            click.echo("\n".join(_lines(one)))
    else:
        rows = [{**_row(one), "change": one.change, "before": one.before, "after": one.after} for one in found]
        show_all(rows, form, COLUMNS, name="name")
    if exit_code and found:
        sys.exit(DIFFERENT)


def read(targets: tuple[str, ...]) -> Desired:
    """Everything in the files and folders. Raises ``DefinitionInvalid`` for all that is wrong in all of them."""
    from orchestrator.errors import DefinitionInvalid, Problem
    from orchestrator.model.desired import Desired, parse_desired

    desired, problems = Desired.none(), []
    for name, content in _contents(targets):
        try:
            parse_desired(content, name, desired)
        except DefinitionInvalid as error:
            problems += [Problem(f"{name} {one.path}".rstrip(), one.message, one.value) for one in error.problems]
    if problems:
        raise DefinitionInvalid(", ".join(targets), problems)
    return desired


def _contents(targets: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    from orchestrator.errors import InvalidRequest
    from orchestrator_cli.sources import expanded

    for target in targets:
        for name in expanded(target):
            try:
                yield name, sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
            except OSError as error:
                raise InvalidRequest(f"cannot read {name}: {error.strerror}") from None


def _row(one: Difference) -> dict[str, Any]:
    return {"kind": one.kind, "name": one.name, "version": one.version}


def _lines(one: Difference) -> list[str]:
    title = f"{one.kind} {one.name}" + (f" version {one.version}" if one.version is not None else "")
    before = [] if one.before is None else as_json(one.before, indent=2).splitlines()
    after = as_json(one.after, indent=2).splitlines()
    origin = "(none)" if one.before is None else f"stored {title}"
    return list(difflib.unified_diff(before, after, origin, title, lineterm=""))

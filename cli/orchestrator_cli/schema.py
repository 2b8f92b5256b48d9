"""``orchestrator schema``: JSON Schemas that definitions name, kept by name and version.

Holds no rule; the service judges. Called by users and their CI.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from orchestrator_cli.command import Entry, LazyGroup, Leaf, output_option
from orchestrator_cli.output import Column, show, show_all
from orchestrator_cli.session import current_session

group = LazyGroup(
    "schema",
    help="JSON Schemas for inputs and outputs, kept by name and version.",
    entries={
        "apply": Entry(__name__, "apply", "Store a JSON Schema under a name."),
        "list": Entry(__name__, "list_", "List the latest version of every schema."),
        "get": Entry(__name__, "get", "Show one schema."),
        "delete": Entry(__name__, "delete", "Forget one version of a schema."),
    },
)

COLUMNS = [
    Column("name", lambda row: row["name"]),
    Column("version", lambda row: row["version"]),
    Column("title", lambda row: (row.get("data") or {}).get("title")),
]


@click.command(
    cls=Leaf,
    examples="orchestrator schema apply order-input order.schema.json\n"
    "orchestrator schema apply order-input order.schema.json --version 2 --create-only",
)
@click.argument("name")
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@click.option("--version", type=click.IntRange(min=1), default=1, show_default=True)
@click.option("--create-only", is_flag=True, help="Refuse to replace a stored version that differs.")
@output_option()
def apply(name: str, file: str, version: int, create_only: bool, form: str) -> None:
    """Store the JSON Schema of a file; definitions take it over when they are applied."""
    import msgspec

    from orchestrator.errors import InvalidRequest
    from orchestrator.model.definitions import SchemaDef
    from orchestrator.service import metadata

    try:
        data: dict[str, Any] = msgspec.json.decode(Path(file).read_bytes(), type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise InvalidRequest(f"{file} is no JSON Schema: {error}") from None
    schema = SchemaDef(name=name, version=version, data=data)
    with current_session().store() as store:
        (applied,) = store.run(metadata.apply, [schema], overwrite=not create_only)
    show_all(
        [applied._asdict()],
        form,
        [*COLUMNS[:2], Column("result", lambda row: "stored" if row["changed"] else "unchanged")],
        name="name",
    )


@click.command("list", cls=Leaf, examples="orchestrator schema list\norchestrator schema list -o name")
@output_option()
def list_(form: str) -> None:
    """List the latest version of every schema."""
    from orchestrator.model.wire import schema_def_to_dict
    from orchestrator.service import schemas

    with current_session().store() as store:
        found = store.run(schemas.list_all)
    show_all([schema_def_to_dict(one) for one in found], form, COLUMNS, name="name")


@click.command(
    cls=Leaf, examples="orchestrator schema get order-input\norchestrator schema get order-input --version 1"
)
@click.argument("name")
@click.option("--version", type=click.IntRange(min=1), help="Default: the latest.")
@output_option("json")
def get(name: str, version: int | None, form: str) -> None:
    """Show one schema."""
    from orchestrator.model.wire import schema_def_to_dict
    from orchestrator.service import schemas

    with current_session().store() as store:
        found = store.run(schemas.get, name, version)
    show(schema_def_to_dict(found), form, COLUMNS, name="name")


@click.command(
    cls=Leaf, examples="orchestrator schema delete order-input --version 1\norchestrator schema delete old --all"
)
@click.argument("name")
@click.option("--version", type=click.IntRange(min=1), help="Which one.")
@click.option("--all", "every", is_flag=True, help="Every version.")
def delete(name: str, version: int | None, every: bool) -> None:
    """Forget versions of a schema; definitions that took one over keep their copy."""
    from orchestrator.service import schemas

    if (version is None) != every:
        raise click.UsageError("give --version or --all: one of both")
    with current_session().store() as store:
        if version is None:
            store.run(schemas.delete_all, name)
        else:
            store.run(schemas.delete, name, version)

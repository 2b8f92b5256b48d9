"""``orchestrator def``: workflow definitions - put them into the catalog, look at them, check them, draw them.

Holds no rule: a definition is judged by the service, files are read by ``sources``. Called by users and their CI.
"""

from __future__ import annotations

from typing import Any

import click

from orchestrator_cli import sources
from orchestrator_cli.command import Entry, LazyGroup, Leaf, choice, output_option
from orchestrator_cli.completion import workflow_names, workflow_targets
from orchestrator_cli.output import Column, moment, say, show, show_all
from orchestrator_cli.session import current_session

group = LazyGroup(
    "def",
    help="Workflow definitions: JSON, YAML or Python, kept by name and version.",
    entries={
        "apply": Entry(__name__, "apply", "Store definitions of files, folders or Python modules."),
        "list": Entry(__name__, "list_", "List the latest version of every workflow."),
        "get": Entry(__name__, "get", "Show one definition."),
        "versions": Entry(__name__, "versions", "List all versions of one workflow."),
        "delete": Entry(__name__, "delete", "Forget one version of a workflow."),
        "limit": Entry(__name__, "limit", "Limit how many executions run at once."),
        "validate": Entry(__name__, "validate", "Check definitions without storing them."),
        "graph": Entry(__name__, "graph", "Draw a workflow as Mermaid or as a text tree."),
        "test": Entry("orchestrator_cli.trial", "test", "Run a workflow with mocked outcomes."),
    },
)

APPLIED = [
    Column("kind", lambda row: row["kind"]),
    Column("name", lambda row: row["name"]),
    Column("version", lambda row: row["version"]),
    Column("result", lambda row: "stored" if row["changed"] else "unchanged"),
]

LISTED = [
    Column("name", lambda row: row["name"]),
    Column("version", lambda row: row["version"]),
    Column("tasks", lambda row: len(row.get("tasks", ()))),
    Column("description", lambda row: row.get("description")),
]

SHOWN = [
    *LISTED[:2],
    Column("description", lambda row: row.get("description")),
    Column("owner", lambda row: row.get("ownerEmail")),
    Column("timeout", lambda row: f"{row['timeoutSeconds']} s" if row.get("timeoutSeconds") else "none"),
    Column("created", lambda row: moment(row.get("createTime") or 0)),
    Column("tasks", lambda row: ", ".join(task["taskReferenceName"] for task in row.get("tasks", ()))),
    Column("input", lambda row: ", ".join(row.get("inputParameters", ()))),
]

LIMIT = [
    Column("workflow", lambda row: row["name"]),
    Column("at once", lambda row: row["concurrentExecLimit"] or "any number"),
    Column("for each", lambda row: row["rateLimitKey"]),
    Column("others", lambda row: row["policy"]),
]

APPLY_EXAMPLES = """
orchestrator def apply order.json
orchestrator def apply definitions/ shop.yaml
orchestrator def apply shop.py my.workflows:order
cat order.json | orchestrator def apply -
"""


@click.command(cls=Leaf, examples=APPLY_EXAMPLES)
@click.argument("targets", nargs=-1, required=True, metavar="FILE|DIR|MODULE[:NAME]...")
@click.option("--create-only", is_flag=True, help="Refuse to replace a stored version that differs.")
@output_option()
def apply(targets: tuple[str, ...], create_only: bool, form: str) -> None:
    """Check everything, then store it: workflows and the task definitions beside them.

    A stored version of the same number is replaced; workflows under way keep the one they started with.
    """
    from orchestrator.service import metadata

    found = sources.find(targets)
    with current_session().store() as store:
        applied = store.run(metadata.apply, [*found.task_defs, *found.workflows], overwrite=not create_only)
    show_all([one._asdict() for one in applied], form, APPLIED, name="name")


@click.command("list", cls=Leaf, examples="orchestrator def list\norchestrator def list -o name")
@output_option()
def list_(form: str) -> None:
    """List the latest version of every workflow."""
    from orchestrator.model.wire import workflow_def_to_dict
    from orchestrator.service import metadata

    with current_session().store() as store:
        found = store.run(metadata.list_workflows)
    show_all([workflow_def_to_dict(one) for one in found], form, LISTED, name="name")


@click.command(cls=Leaf, examples="orchestrator def get order\norchestrator def get order --version 2 -o yaml")
@click.argument("name", shell_complete=workflow_names)
@click.option("--version", type=click.IntRange(min=1), help="Default: the latest.")
@output_option("json")
def get(name: str, version: int | None, form: str) -> None:
    """Show one definition; what -o json or yaml prints can be applied again."""
    from orchestrator.model.wire import workflow_def_to_dict
    from orchestrator.service import metadata

    with current_session().store() as store:
        found = store.run(metadata.get_workflow, name, version)
    show(workflow_def_to_dict(found), form, SHOWN, name="name")


@click.command(cls=Leaf, examples="orchestrator def versions order\norchestrator def versions order -o json")
@click.argument("name", shell_complete=workflow_names)
@output_option()
def versions(name: str, form: str) -> None:
    """List all versions of one workflow."""
    from orchestrator.model.wire import workflow_def_to_dict
    from orchestrator.service import metadata

    with current_session().store() as store:
        found = store.run(metadata.workflow_versions, name)
    show_all([workflow_def_to_dict(one) for one in found], form, LISTED, name="version")


@click.command(cls=Leaf, examples="orchestrator def delete order --version 2")
@click.argument("name", shell_complete=workflow_names)
@click.option("--version", type=click.IntRange(min=1), required=True)
def delete(name: str, version: int) -> None:
    """Forget one version of a workflow; executions keep their own."""
    from orchestrator.service import metadata

    with current_session().store() as store:
        store.run(metadata.delete_workflow, name, version)
    click.echo(f"{name} {version}")


LIMIT_EXAMPLES = """
orchestrator def limit order
orchestrator def limit order 5
orchestrator def limit order 2 --key '${workflow.input.tenant}'
orchestrator def limit order 0
"""


@click.command(cls=Leaf, examples=LIMIT_EXAMPLES)
@click.argument("name", shell_complete=workflow_names)
@click.argument("count", type=click.IntRange(min=0), required=False)
@click.option("--key", metavar="EXPRESSION", help="Count those apart for which it gives different values.")
@click.option("--policy", type=choice("QUEUE", "REJECT"), default="QUEUE", show_default=True, help="What others do.")
@output_option()
def limit(name: str, count: int | None, key: str | None, policy: Any, form: str) -> None:
    """Let at most COUNT executions of a workflow run at once, of all versions; 0 lifts the limit, none shows it."""
    from orchestrator.model.definitions import RateLimitConfig, RateLimitPolicy
    from orchestrator.service import metadata

    if count is None and key is not None:
        raise click.UsageError("--key goes with COUNT: how many may run at once for each of its values")
    with current_session().store() as store:
        if count is not None:
            wanted = RateLimitConfig(
                rate_limit_key=key, concurrent_exec_limit=count, policy=RateLimitPolicy(str(policy))
            )
            store.run(metadata.limit_executions, name, wanted if count else None)
        found = store.run(metadata.get_workflow, name, None).rate_limit_config
    row = {
        "name": name,
        "concurrentExecLimit": found.concurrent_exec_limit if found else 0,
        "rateLimitKey": found.rate_limit_key if found else None,
        "policy": str(found.policy) if found else None,
    }
    show(row, form, LIMIT, name="name")


@click.command(
    cls=Leaf, examples="orchestrator def validate order.json\norchestrator def validate definitions/ shop.py"
)
@click.argument("targets", nargs=-1, required=True, metavar="FILE|DIR|MODULE[:NAME]...")
@output_option()
def validate(targets: tuple[str, ...], form: str) -> None:
    """Check definitions without storing them or asking Redis; the exit status is 7 when one is not valid.

    Task definitions are found among the targets; what is registered already is not looked at.
    """
    from orchestrator.engine.starts import check_runnable
    from orchestrator.errors import DefinitionInvalid

    found = sources.find(targets)
    task_defs = {one.name: one for one in found.task_defs}
    rows: list[dict[str, Any]] = [{"kind": "task", "name": one.name, "version": None} for one in found.task_defs]
    for workflow in found.workflows:
        problems = check_runnable(workflow, find_task_def=task_defs.get)
        if problems:
            raise DefinitionInvalid(f"workflow {workflow.name!r}", problems)
        rows.append({"kind": "workflow", "name": workflow.name, "version": workflow.version})
    show_all(rows, form, [*APPLIED[:3], Column("result", lambda _: "valid")], name="name")


GRAPH_EXAMPLES = """
orchestrator def graph order --format text
orchestrator def graph order.json > order.mmd
orchestrator def graph shop.py:order
"""


@click.command(cls=Leaf, examples=GRAPH_EXAMPLES)
@click.argument("target", metavar="NAME|FILE|MODULE:NAME", shell_complete=workflow_targets)
@click.option("--version", type=click.IntRange(min=1), help="Of a stored workflow. Default: the latest.")
@click.option("--format", "form", type=choice("mermaid", "text"), default="mermaid", show_default=True)
def graph(target: str, version: int | None, form: str) -> None:
    """Draw a workflow: a Mermaid flowchart, or an indented tree for a terminal."""
    from orchestrator.graph import mermaid, text_tree
    from orchestrator.service import metadata

    if sources.is_source(target):
        if version is not None:
            say(f"--version is for stored workflows; {target} is drawn as it is")
        definition, _ = sources.find_one(target)
    else:
        with current_session().store() as store:
            definition = store.run(metadata.get_workflow, target, version)
    click.echo((mermaid(definition) if form == "mermaid" else text_tree(definition)).rstrip("\n"))

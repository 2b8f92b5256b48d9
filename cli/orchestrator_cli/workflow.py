"""``orchestrator workflow``: start executions, look at them, wait for them; what acts on them is in ``acts``.

Every command is one verb of the service. What starts one takes its input from ``inputs``, what waits for one shows it
with ``progress``; the exit status of both is that of the execution's end. Called by users and by scripts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from orchestrator_cli.command import Entry, LazyGroup, Leaf, choice, output_option
from orchestrator_cli.completion import workflow_ids, workflow_names, workflow_targets
from orchestrator_cli.inputs import read_input
from orchestrator_cli.output import Column, moment, say, show, show_document, table
from orchestrator_cli.session import Store, current_session

if TYPE_CHECKING:
    from orchestrator.service.starting import Launch

_LOOKING = "orchestrator_cli.looking"
_ACTS = "orchestrator_cli.acts"
_HALTS = "orchestrator_cli.halts"
_SEARCHING = "orchestrator_cli.searching"

group = LazyGroup(
    "workflow",
    help="Executions of workflows.",
    entries={
        "start": Entry(__name__, "start", "Start one and print its id."),
        "run": Entry(__name__, "run", "Start one, show its progress, print its output."),
        "get": Entry(__name__, "get", "Show one with its tasks."),
        "status": Entry(_LOOKING, "status", "Say how some stand."),
        "tasks": Entry(_LOOKING, "tasks", "List its tasks."),
        "logs": Entry(_LOOKING, "logs", "Print the lines that its tasks logged."),
        "graph": Entry(_LOOKING, "graph", "Draw the definition that it runs on."),
        "list": Entry(_SEARCHING, "list_", "List executions, the latest first."),
        "search": Entry(_SEARCHING, "search", "Find executions by a query or free text."),
        "correlated": Entry(__name__, "correlated", "List the ids under correlation ids."),
        "watch": Entry(__name__, "watch", "Follow one to its end."),
        "why": Entry("orchestrator_cli.why", "why", "Say what one waits for."),
        "export": Entry("orchestrator_cli.transfer", "export", "Write one with all its records as JSON."),
        "import": Entry("orchestrator_cli.transfer", "import_", "Store an exported one."),
        "replay": Entry("orchestrator_cli.trial", "replay", "Feed an exported one to today's definition."),
        "pause": Entry(_ACTS, "pause", "Schedule nothing more until it is resumed."),
        "resume": Entry(_ACTS, "resume", "Go on after a pause."),
        "terminate": Entry(_ACTS, "terminate", "End one now."),
        "execute": Entry(_HALTS, "execute", "Start one and wait until it halts."),
        "signal": Entry(_HALTS, "signal", "Give a waiting one what it waits for."),
        "message": Entry("orchestrator_cli.messages", "group", "Messages to a running one: push."),
        "restart": Entry(_ACTS, "restart", "Let an ended one start over."),
        "retry": Entry(_ACTS, "retry", "Let an ended one go on where it failed."),
        "rerun": Entry(_ACTS, "rerun", "Let an ended one go on from one of its tasks."),
        "jump": Entry(_ACTS, "jump", "Let one go on at another of its steps."),
        "skip": Entry(_ACTS, "skip", "Pass over a step when its turn comes."),
        "upgrade": Entry(_ACTS, "upgrade", "Let one go on by another version of its workflow."),
        "set-variables": Entry(_ACTS, "set_variables", "Change its variables."),
        "update-state": Entry(_ACTS, "update_state", "Change variables and end a task, both or neither."),
        "update-task": Entry(_ACTS, "update_task", "Say from outside how a task ended."),
        "reset-callbacks": Entry(_ACTS, "reset_callbacks", "Let delayed tasks run now."),
        "remove": Entry(_ACTS, "remove", "Delete those that have ended."),
        "unpark": Entry(_ACTS, "unpark", "Let a quarantined one go on."),
    },
)

SHOWN = [
    Column("id", lambda row: row["workflowId"]),
    Column("workflow", lambda row: f"{row.get('workflowName')} version {row.get('workflowVersion')}"),
    Column("status", lambda row: row["status"]),
    Column("reason", lambda row: row.get("reasonForIncompletion")),
    Column("started", lambda row: moment(row.get("createTime") or 0)),
    Column("ended", lambda row: moment(row.get("endTime") or 0)),
    Column("correlation id", lambda row: row.get("correlationId")),
    Column("input", lambda row: row.get("input")),
    Column("output", lambda row: row.get("output")),
]

PARENT = Column("parent", lambda row: row.get("parentWorkflowId"))

START_EXAMPLES = """
orchestrator workflow start order -i sku=book -i count:=3
orchestrator workflow start order --input-file order.json --priority 5
orchestrator workflow start order.yaml --idempotency-key 4711
"""

RUN_EXAMPLES = """
orchestrator workflow run hello -i name=Ada
orchestrator workflow run hello.py:hello -i name=Ada
orchestrator workflow run order --input-file order.json --timeout 60
"""


# --- start ------------------------------------------------------------------------------------------------------------


def start_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The target and the options of everything that starts a workflow."""
    strategy = choice("FAIL", "RETURN_EXISTING", "FAIL_ON_RUNNING")
    options = [
        click.argument("target", metavar="NAME|FILE|MODULE:NAME", shell_complete=workflow_targets),
        click.option(
            "-i", "--input", "pairs", multiple=True, metavar="KEY=TEXT|KEY:=JSON", help="One key of its input."
        ),
        click.option(
            "--input-file", "files", multiple=True, metavar="FILE", help="Its input as a JSON object; - is stdin."
        ),
        click.option("--version", type=click.IntRange(min=1), help="Of the definition. Default: the latest."),
        click.option("--id", "workflow_id", help="Its id. Default: a new one."),
        click.option("--correlation-id", help="Your own mark, to find it by."),
        click.option("--idempotency-key", help="A second start with this key does not start another."),
        click.option("--idempotency-strategy", type=strategy, help="What such a second start does. Default: FAIL."),
        click.option("--priority", type=click.IntRange(0, 99), default=0, help="0 to 99; larger is more urgent."),
        click.option("--created-by", help="A name to keep with it."),
        click.option("--request-id", help="Repeated under the same one it is started once."),
        click.option("--domain", "domains", multiple=True, metavar="TASK=DOMAIN", help="Where a task runs; * for all."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@click.command(cls=Leaf, examples=START_EXAMPLES)
@start_options
@output_option("name")
def start(form: str, **options: Any) -> None:
    """Start a workflow and print its id.

    NAME is a registered workflow. A FILE's definition travels with the start and is not registered.
    """
    with current_session().store() as store:
        workflow_id, existed = _started(store, **options)
    if existed:
        say("It exists already under this idempotency key.")
    show({"workflowId": workflow_id, "existed": existed}, form, SHOWN[:1], name="workflowId")


@click.command(cls=Leaf, examples=RUN_EXAMPLES)
@start_options
@click.option("--timeout", "timeout_s", type=click.FloatRange(min=0), metavar="SECONDS", help="How long to wait.")
@output_option("json")
def run(timeout_s: float | None, form: str, **options: Any) -> None:
    """Start a workflow, show how it goes, and print its output, as JSON unless another form is wanted.

    Exit status: 0 COMPLETED, 10 FAILED, 11 TERMINATED, 12 TIMED_OUT, 8 when it is still running after --timeout.
    Ctrl-C stops watching; the workflow goes on.
    """
    with current_session().store() as store:
        workflow_id, _ = _started(store, **options)
        say(f"workflow {workflow_id}")
        _follow(store, workflow_id, timeout_s, form)


def _started(store: Store, **options: Any) -> tuple[str, bool]:
    from orchestrator.service import starting

    started = store.run(starting.start, launch(store, **options))
    return started.workflow_id, started.existed


def launch(
    store: Store,
    target: str,
    pairs: tuple[str, ...],
    files: tuple[str, ...],
    domains: tuple[str, ...],
    workflow_id: str | None,
    idempotency_strategy: Any,
    version: int | None,
    request_id: str | None,
    **options: Any,
) -> Launch:
    """What to start, by the options of ``start_options``; the task definitions of a source are stored where none are."""
    from orchestrator.model.definitions import IdempotencyStrategy
    from orchestrator.model.execution import StartWorkflowRequest
    from orchestrator.service.metadata import introduce
    from orchestrator.service.starting import Launch
    from orchestrator_cli import sources

    strategy = IdempotencyStrategy(idempotency_strategy) if idempotency_strategy else None
    request = StartWorkflowRequest(
        name=target,
        version=version,
        input=read_input(pairs, files),
        task_to_domain=dict(_assigned(pair) for pair in domains),
        idempotency_strategy=strategy,
        **options,
    )
    if sources.is_source(target):
        if version is not None:
            raise click.UsageError(f"--version is for registered workflows; {target} has the version it says")
        request.workflow_def, task_defs = sources.find_one(target)
        request.name = request.workflow_def.name
        if task_defs:
            store.run(introduce, task_defs)
    return Launch(request, workflow_id, request_id)


def _assigned(pair: str) -> tuple[str, str]:
    task, separator, domain = pair.partition("=")
    if not separator or not task:
        raise click.BadParameter(f"{pair!r} is not TASK=DOMAIN, as in --domain charge=eu", param_hint="'--domain'")
    return task, domain


# --- look and wait ----------------------------------------------------------------------------------------------------


@click.command(cls=Leaf, examples="orchestrator workflow correlated order C-1 C-2 --closed")
@click.argument("name", shell_complete=workflow_names)
@click.argument("correlation_ids", metavar="CORRELATION_ID...", nargs=-1, required=True)
@click.option("--closed", is_flag=True, help="Also those that have ended.")
@output_option("json")
def correlated(name: str, correlation_ids: tuple[str, ...], closed: bool, form: str) -> None:
    """Print the ids of a workflow's executions under each correlation id, the latest first."""
    from orchestrator.service import listing

    with current_session().store() as store:
        found = store.run(listing.correlated, name, correlation_ids, include_closed=closed)
    show_document(found, form, name="\n".join(one for ids in found.values() for one in ids))


@click.command(cls=Leaf, examples="orchestrator workflow get ID\norchestrator workflow get ID -o json")
@click.argument("workflow_id", metavar="ID", shell_complete=workflow_ids)
@click.option("--no-tasks", is_flag=True, help="Leave the tasks out.")
@output_option()
def get(workflow_id: str, no_tasks: bool, form: str) -> None:
    """Show one execution with its tasks, and with the ids of the workflows that are its children."""
    from orchestrator.model.wire import workflow_to_dict
    from orchestrator.service import workflows
    from orchestrator_cli.progress import TITLES, task_cells

    with current_session().store() as store:
        found = store.run(workflows.get, workflow_id, include_tasks=not no_tasks)
    columns = [*SHOWN, PARENT] if found.parent_workflow_id else SHOWN
    show(workflow_to_dict(found), form, columns, name="workflowId")
    if form == "table" and found.tasks:
        click.echo()
        has_children = any(task.sub_workflow_id for task in found.tasks)
        rows = [
            [*task_cells(task, found.update_time), *([task.sub_workflow_id or ""] if has_children else [])]
            for task in found.tasks
        ]
        table((*TITLES, "child") if has_children else TITLES, rows)


@click.command(cls=Leaf, examples="orchestrator workflow watch ID\norchestrator workflow watch ID --timeout 60")
@click.argument("workflow_id", metavar="ID", shell_complete=workflow_ids)
@click.option("--timeout", "timeout_s", type=click.FloatRange(min=0), metavar="SECONDS", help="How long to wait.")
@output_option("json")
def watch(workflow_id: str, timeout_s: float | None, form: str) -> None:
    """Follow an execution to its end and print its output; exit status as for run."""
    with current_session().store() as store:
        _follow(store, workflow_id, timeout_s, form)


def _follow(store: Store, workflow_id: str, timeout_s: float | None, form: str) -> None:
    from orchestrator.service import workflows
    from orchestrator_cli.progress import follow

    follow(store, workflow_id, timeout_s)
    show_document(store.run(workflows.result, workflow_id, 0), form, name=workflow_id)

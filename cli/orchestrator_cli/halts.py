"""``orchestrator workflow execute`` and ``signal``: the commands that may answer when an execution halts.

A halt is its end, a WAIT that waits for a signal, or the end of a task that was named. Called by users and by scripts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from orchestrator_cli.acts import act, given
from orchestrator_cli.command import Leaf, choice, output_option
from orchestrator_cli.completion import workflow_ids
from orchestrator_cli.inputs import read_input
from orchestrator_cli.output import say, show_document
from orchestrator_cli.session import current_session
from orchestrator_cli.workflow import launch, start_options

if TYPE_CHECKING:
    from orchestrator.service.halts import Halt

EXECUTE_EXAMPLES = """
orchestrator workflow execute order -i sku=book
orchestrator workflow execute order -i sku=book --until charge --return BLOCKING_TASK_INPUT --timeout 30
"""


def _halt_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say what is a halt and what of it is wanted."""
    strategies = choice("TARGET_WORKFLOW", "BLOCKING_WORKFLOW", "BLOCKING_TASK", "BLOCKING_TASK_INPUT")
    wanted = click.option("--return", "return_strategy", type=strategies, default="TARGET_WORKFLOW", show_default=True)
    refs = click.option(
        "--until", "wait_until_refs", multiple=True, metavar="REF", help="A task whose end is a halt, too."
    )
    return wanted(refs(command))


@click.command(cls=Leaf, examples=EXECUTE_EXAMPLES)
@start_options
@_halt_options
@click.option("--timeout", "timeout_s", type=click.FloatRange(0, 600), default=10, show_default=True, metavar="SECONDS")
@output_option("json")
def execute(
    wait_until_refs: tuple[str, ...], return_strategy: str, timeout_s: float, form: str, **options: Any
) -> None:
    """Start a workflow and wait until it halts: it has ended, or waits for a signal.

    The output of what --return names is printed. When the time is over that of this moment is, and it goes on.
    """
    from orchestrator.service import halts

    wanted: dict[str, Any] = {"return_strategy": return_strategy, "wait_until_refs": wait_until_refs}
    with current_session().store() as store:
        _show(store.run(halts.execute, launch(store, **options), timeout_s=timeout_s, **wanted), form)


@click.command(cls=Leaf, examples="orchestrator workflow signal ID approved -i by=Ada\norchestrator workflow signal ID")
@click.argument("workflow_id", metavar="ID", shell_complete=workflow_ids)
@click.argument("name", required=False)
@click.option("--wait", "wait_s", type=click.FloatRange(0, 600), metavar="SECONDS", help="Until it halts again.")
@_halt_options
@given("what it is given")
@output_option("name")
def signal(
    workflow_id: str,
    name: str | None,
    wait_s: float | None,
    wait_until_refs: tuple[str, ...],
    return_strategy: str,
    pairs: tuple[str, ...],
    files: tuple[str, ...],
    form: str,
) -> None:
    """End the WAIT task that waits for NAME (its signal or its reference); without NAME the first that waits.

    It may be a task of a sub-workflow. With --wait the output of the halt that --return names is printed, as JSON unless
    another form is wanted.
    """
    from orchestrator.service import halts

    payload = read_input(pairs, files)
    if wait_s is None:
        act(workflow_id, halts.signal, form, name=name, payload=payload)
        return
    wanted: dict[str, Any] = {"return_strategy": return_strategy, "wait_until_refs": wait_until_refs}
    with current_session().store() as store:
        halt = store.run(halts.signal_and_wait, workflow_id, name, payload, timeout_s=wait_s, **wanted)
    _show(halt, "json" if form == "name" else form)


def _show(halt: Halt, form: str) -> None:
    show_document(halt.output, form, name=halt.target.workflow_id)
    at = f", at {halt.task.reference_task_name}" if halt.task else ""
    going = " and goes on" if halt.timed_out else ""
    say(f"workflow {halt.target.workflow_id} is {halt.target.status}{at}{going}")

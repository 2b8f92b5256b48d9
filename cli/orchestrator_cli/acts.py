"""``orchestrator workflow pause``, ``restart``, ``signal`` ...: the commands that act on executions.

Each is one verb of the service, prints the id it acted on and says on standard error how the execution stands. They are
listed in the group of ``workflow``. Called by users and by scripts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from orchestrator_cli.command import Leaf, choice
from orchestrator_cli.inputs import read_input
from orchestrator_cli.output import say
from orchestrator_cli.session import current_session

REPORTED = ("COMPLETED", "FAILED", "FAILED_WITH_TERMINAL_ERROR", "CANCELED", "IN_PROGRESS")


def _given(what: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The options by which a command takes a map of values."""
    pairs = click.option(
        "-i", "--input", "pairs", multiple=True, metavar="KEY=TEXT|KEY:=JSON", help=f"One key of {what}."
    )
    files = click.option(
        "--input-file", "files", multiple=True, metavar="FILE", help=f"All of {what} as a JSON object; - is stdin."
    )
    return lambda command: pairs(files(command))


@click.command(cls=Leaf, examples="orchestrator workflow pause ID")
@click.argument("workflow_id", metavar="ID")
def pause(workflow_id: str) -> None:
    """Schedule nothing more until it is resumed; tasks that are running go on."""
    from orchestrator.service import actions

    _act(workflow_id, actions.pause)


@click.command(cls=Leaf, examples="orchestrator workflow resume ID")
@click.argument("workflow_id", metavar="ID")
def resume(workflow_id: str) -> None:
    """Go on after a pause."""
    from orchestrator.service import actions

    _act(workflow_id, actions.resume)


@click.command(cls=Leaf, examples="orchestrator workflow terminate ID --reason 'ordered twice'")
@click.argument("workflow_id", metavar="ID")
@click.option("--reason", help="Kept with the execution.")
@click.option("--failure-workflow", is_flag=True, help="Start its failure workflow as well.")
def terminate(workflow_id: str, reason: str | None, failure_workflow: bool) -> None:
    """End an execution now; its open tasks are cancelled."""
    from orchestrator.service import actions

    _act(workflow_id, actions.terminate, reason=reason, trigger_failure_workflow=failure_workflow)


@click.command(cls=Leaf, examples="orchestrator workflow signal ID approved -i by=Ada\norchestrator workflow signal ID")
@click.argument("workflow_id", metavar="ID")
@click.argument("name", required=False)
@_given("what it is given")
def signal(workflow_id: str, name: str | None, pairs: tuple[str, ...], files: tuple[str, ...]) -> None:
    """End the WAIT task that waits for NAME (its signal or its reference); without NAME the first that waits."""
    from orchestrator.service import halts

    _act(workflow_id, halts.signal, name=name, payload=read_input(pairs, files))


@click.command(cls=Leaf, examples="orchestrator workflow restart ID\norchestrator workflow restart ID --latest")
@click.argument("workflow_id", metavar="ID")
@click.option("--latest", is_flag=True, help="By the latest registered version of its workflow.")
def restart(workflow_id: str, latest: bool) -> None:
    """Let an ended execution start over under its id; nothing of its former run is left."""
    from orchestrator.service import actions

    _act(workflow_id, actions.restart, use_latest_definitions=latest)


@click.command(cls=Leaf, examples="orchestrator workflow retry ID\norchestrator workflow retry ID --resume")
@click.argument("workflow_id", metavar="ID")
@click.option("--resume", is_flag=True, help="Let a failed sub-workflow go on instead of starting another.")
def retry(workflow_id: str, resume: bool) -> None:
    """Let an ended execution go on where it failed: what failed and what was cancelled gets one more attempt."""
    from orchestrator.service import actions

    _act(workflow_id, actions.retry, resume_subworkflow_tasks=resume)


@click.command(cls=Leaf, examples="orchestrator workflow rerun ID charge\norchestrator workflow rerun ID -i amount:=3")
@click.argument("workflow_id", metavar="ID")
@click.argument("ref", required=False)
@click.option("--task-id", help="A task by its id instead, which may be one of a sub-workflow.")
@click.option("--correlation-id", help="The mark of the execution from now on.")
@_given("its input: the task's, or without a task the execution's")
def rerun(
    workflow_id: str,
    ref: str | None,
    task_id: str | None,
    correlation_id: str | None,
    pairs: tuple[str, ...],
    files: tuple[str, ...],
) -> None:
    """Let an ended execution go on from its task REF, which is done anew with all that came after it.

    Without REF it begins anew. What ran beside the task stays as it is.
    """
    from orchestrator.service import actions

    given = read_input(pairs, files) if pairs or files else None
    which = "task_input" if ref or task_id else "workflow_input"
    options = {"from_ref": ref, "from_task_id": task_id, "correlation_id": correlation_id, which: given}
    _act(workflow_id, actions.rerun, **options)


@click.command(cls=Leaf, examples="orchestrator workflow skip ID charge -i receipt='by hand'")
@click.argument("workflow_id", metavar="ID")
@click.argument("ref")
@_given("its output")
def skip(workflow_id: str, ref: str, pairs: tuple[str, ...], files: tuple[str, ...]) -> None:
    """Pass over the step REF, which has not begun yet, when its turn comes."""
    from orchestrator.service import actions

    _act(workflow_id, actions.skip, ref=ref, output=read_input(pairs, files))


@click.command("set-variables", cls=Leaf, examples="orchestrator workflow set-variables ID -i limit:=5 -i region=eu")
@click.argument("workflow_id", metavar="ID")
@_given("the variables")
def set_variables(workflow_id: str, pairs: tuple[str, ...], files: tuple[str, ...]) -> None:
    """Lay these variables over those of an execution that has not ended."""
    from orchestrator.service import actions

    _act(workflow_id, actions.update_variables, variables=read_input(pairs, files))


@click.command("update-task", cls=Leaf, examples="orchestrator workflow update-task ID approval COMPLETED -i by=Ada")
@click.argument("workflow_id", metavar="ID")
@click.argument("ref")
@click.argument("status", type=choice(*REPORTED))
@click.option("--reason", help="Why it failed.")
@_given("its output")
def update_task(
    workflow_id: str, ref: str, status: Any, reason: str | None, pairs: tuple[str, ...], files: tuple[str, ...]
) -> None:
    """Say how the open task REF ended; the output given is laid over what the task has."""
    from orchestrator.service import tasks

    with current_session().store() as store:
        update = store.run(tasks.update_task_by_ref, workflow_id, ref, status, read_input(pairs, files), reason=reason)
    click.echo(update.task_id)
    say(f"task {ref} is {status}" if update.is_accepted else f"task {ref} had ended before, nothing was changed")


@click.command("reset-callbacks", cls=Leaf, examples="orchestrator workflow reset-callbacks ID")
@click.argument("workflow_id", metavar="ID")
def reset_callbacks(workflow_id: str) -> None:
    """Let its tasks that wait for a delay or a retry be claimed at once."""
    from orchestrator.service import actions

    _act(workflow_id, actions.reset_callbacks)


@click.command(cls=Leaf, examples="orchestrator workflow unpark ID")
@click.argument("workflow_id", metavar="ID")
def unpark(workflow_id: str) -> None:
    """Let a quarantined execution go on: what was put aside is replayed in order."""
    from orchestrator.service import workflows

    with current_session().store() as store:
        moved = store.run(workflows.unpark, workflow_id)
    click.echo(workflow_id)
    say(f"{moved} event{'' if moved == 1 else 's'} put back; see: orchestrator workflow get {workflow_id}")


def _act(workflow_id: str, verb: Callable[..., Any], **arguments: Any) -> None:
    with current_session().store() as store:
        answer = store.run(verb, workflow_id, **arguments)
    click.echo(workflow_id)
    say(f"workflow {workflow_id} is {answer.get('status', 'unchanged')}")

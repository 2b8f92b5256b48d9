"""``orchestrator workflow pause``, ``restart``, ``skip`` ...: the commands that act on executions.

Each is one verb of the service, prints the id it acted on and says on standard error how the execution stands. They are
listed in the group of ``workflow``. Called by users and by scripts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from orchestrator_cli.command import Leaf, choice, output_option
from orchestrator_cli.completion import workflow_ids
from orchestrator_cli.inputs import read_input
from orchestrator_cli.output import Column, say, show, show_all
from orchestrator_cli.session import current_session

if TYPE_CHECKING:
    from orchestrator.service.bulk import BulkResult

DONE = [Column("id", lambda row: row["workflowId"]), Column("status", lambda row: row["status"])]
TOLD = [Column("task", lambda row: row["taskId"]), Column("accepted", lambda row: row["accepted"])]
REPORTED = ("COMPLETED", "FAILED", "FAILED_WITH_TERMINAL_ERROR", "CANCELED", "IN_PROGRESS")


def given(what: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The options by which a command takes a map of values."""
    pairs = click.option(
        "-i", "--input", "pairs", multiple=True, metavar="KEY=TEXT|KEY:=JSON", help=f"One key of {what}."
    )
    files = click.option(
        "--input-file", "files", multiple=True, metavar="FILE", help=f"All of {what} as a JSON object; - is stdin."
    )
    return lambda command: pairs(files(command))


@click.command(cls=Leaf, examples="orchestrator workflow pause ID")
@click.argument("workflow_ids", metavar="ID...", nargs=-1, required=True, shell_complete=workflow_ids)
@output_option("name")
def pause(workflow_ids: tuple[str, ...], form: str) -> None:
    """Schedule nothing more until it is resumed; tasks that are running go on."""
    _act_on_all("pause", workflow_ids, form)


@click.command(cls=Leaf, examples="orchestrator workflow resume ID")
@click.argument("workflow_ids", metavar="ID...", nargs=-1, required=True, shell_complete=workflow_ids)
@output_option("name")
def resume(workflow_ids: tuple[str, ...], form: str) -> None:
    """Go on after a pause."""
    _act_on_all("resume", workflow_ids, form)


@click.command(cls=Leaf, examples="orchestrator workflow terminate ID --reason 'ordered twice'")
@click.argument("workflow_ids", metavar="ID...", nargs=-1, required=True, shell_complete=workflow_ids)
@click.option("--reason", help="Kept with the execution.")
@click.option("--failure-workflow", is_flag=True, help="Start its failure workflow as well.")
@output_option("name")
def terminate(workflow_ids: tuple[str, ...], reason: str | None, failure_workflow: bool, form: str) -> None:
    """End an execution now; its open tasks are cancelled."""
    _act_on_all("terminate", workflow_ids, form, reason=reason, trigger_failure_workflow=failure_workflow)


@click.command(cls=Leaf, examples="orchestrator workflow restart ID\norchestrator workflow restart ID --latest")
@click.argument("workflow_ids", metavar="ID...", nargs=-1, required=True, shell_complete=workflow_ids)
@click.option("--latest", is_flag=True, help="By the latest registered version of its workflow.")
@output_option("name")
def restart(workflow_ids: tuple[str, ...], latest: bool, form: str) -> None:
    """Let an ended execution start over under its id; nothing of its former run is left."""
    _act_on_all("restart", workflow_ids, form, use_latest_definitions=latest)


@click.command(cls=Leaf, examples="orchestrator workflow retry ID\norchestrator workflow retry ID --resume")
@click.argument("workflow_ids", metavar="ID...", nargs=-1, required=True, shell_complete=workflow_ids)
@click.option("--resume", is_flag=True, help="Let a failed sub-workflow go on instead of starting another.")
@output_option("name")
def retry(workflow_ids: tuple[str, ...], resume: bool, form: str) -> None:
    """Let an ended execution go on where it failed: what failed and what was cancelled gets one more attempt."""
    _act_on_all("retry", workflow_ids, form, resume_subworkflow_tasks=resume)


@click.command(cls=Leaf, examples="orchestrator workflow rerun ID charge\norchestrator workflow rerun ID -i amount:=3")
@click.argument("workflow_id", metavar="ID", shell_complete=workflow_ids)
@click.argument("ref", required=False)
@click.option("--task-id", help="A task by its id instead, which may be one of a sub-workflow.")
@click.option("--correlation-id", help="The mark of the execution from now on.")
@given("its input: the task's, or without a task the execution's")
@output_option("name")
def rerun(
    workflow_id: str,
    ref: str | None,
    task_id: str | None,
    correlation_id: str | None,
    pairs: tuple[str, ...],
    files: tuple[str, ...],
    form: str,
) -> None:
    """Let an ended execution go on from its task REF, which is done anew with all that came after it.

    Without REF it begins anew. What ran beside the task stays as it is.
    """
    from orchestrator.service import actions

    replaced = read_input(pairs, files) if pairs or files else None
    which = "task_input" if ref or task_id else "workflow_input"
    options = {"from_ref": ref, "from_task_id": task_id, "correlation_id": correlation_id, which: replaced}
    act(workflow_id, actions.rerun, form, **options)


@click.command(cls=Leaf, examples="orchestrator workflow skip ID charge -i receipt='by hand'")
@click.argument("workflow_id", metavar="ID", shell_complete=workflow_ids)
@click.argument("ref")
@click.option("--task-input", "inputs", multiple=True, metavar="KEY=TEXT|KEY:=JSON", help="One key of its input.")
@given("its output")
@output_option("name")
def skip(
    workflow_id: str, ref: str, inputs: tuple[str, ...], pairs: tuple[str, ...], files: tuple[str, ...], form: str
) -> None:
    """Pass over the step REF, which has not begun yet, when its turn comes."""
    from orchestrator.service import actions

    act(workflow_id, actions.skip, form, ref=ref, input=read_input(inputs, ()), output=read_input(pairs, files))


@click.command(cls=Leaf, examples="orchestrator workflow jump ID ship -i by=courier")
@click.argument("workflow_id", metavar="ID", shell_complete=workflow_ids)
@click.argument("ref")
@given("the input of the step")
@output_option("name")
def jump(workflow_id: str, ref: str, pairs: tuple[str, ...], files: tuple[str, ...], form: str) -> None:
    """Let an execution go on at the step REF now; what is open is cancelled."""
    from orchestrator.service import actions

    act(workflow_id, actions.jump, form, ref=ref, task_input=read_input(pairs, files) if pairs or files else None)


@click.command(cls=Leaf, examples="orchestrator workflow upgrade ID --version 3 -i check:='{\"ok\": true}'")
@click.argument("workflow_id", metavar="ID", shell_complete=workflow_ids)
@click.option("--version", type=int, help="The version to go on by; the latest if it is left out.")
@click.option("--set", "inputs", multiple=True, metavar="KEY=TEXT|KEY:=JSON", help="One key of the execution's input.")
@given("outputs of steps that are passed over, by their names")
@output_option("name")
def upgrade(
    workflow_id: str,
    version: int | None,
    inputs: tuple[str, ...],
    pairs: tuple[str, ...],
    files: tuple[str, ...],
    form: str,
) -> None:
    """Let an execution go on by another version of its workflow; steps it has before what is open are passed over."""
    from orchestrator.service import actions

    task_output = read_input(pairs, files)
    act(
        workflow_id,
        actions.upgrade,
        form,
        version=version,
        task_output=task_output,
        workflow_input=read_input(inputs, ()),
    )


@click.command(cls=Leaf, examples="orchestrator workflow remove ID\norchestrator workflow remove ID1 ID2 --terminate")
@click.argument("workflow_ids", metavar="ID...", nargs=-1, required=True, shell_complete=workflow_ids)
@click.option("--terminate", is_flag=True, help="End it first.")
@click.option("--force", is_flag=True, help="Whatever it is doing; its sub-workflows are left alone.")
@output_option("name")
def remove(workflow_ids: tuple[str, ...], terminate: bool, force: bool, form: str) -> None:
    """Delete executions that have ended, for good."""
    from orchestrator.service import bulk, workflows

    with current_session().store() as store:
        if force or (len(workflow_ids) == 1 and not terminate):
            for workflow_id in workflow_ids:
                store.run(workflows.remove, workflow_id, force=force)
            result = bulk.BulkResult([*workflow_ids], {})
        else:
            result = store.run(bulk.act_on_all, "terminate_remove" if terminate else "remove", workflow_ids)
    _tell_all(result, form)


@click.command("set-variables", cls=Leaf, examples="orchestrator workflow set-variables ID -i limit:=5 -i region=eu")
@click.argument("workflow_id", metavar="ID", shell_complete=workflow_ids)
@given("the variables")
@output_option("name")
def set_variables(workflow_id: str, pairs: tuple[str, ...], files: tuple[str, ...], form: str) -> None:
    """Lay these variables over those of an execution that has not ended."""
    from orchestrator.service import actions

    act(workflow_id, actions.update_variables, form, variables=read_input(pairs, files))


@click.command(
    "update-state",
    cls=Leaf,
    examples="orchestrator workflow update-state ID payment COMPLETED --set paid:=true -i receipt=7\n"
    "orchestrator workflow update-state ID --set paid:=true",
)
@click.argument("workflow_id", metavar="ID", shell_complete=workflow_ids)
@click.argument("ref", required=False)
@click.argument("status", type=choice(*REPORTED), default="COMPLETED")
@click.option("--set", "variables", multiple=True, metavar="KEY=TEXT|KEY:=JSON", help="One variable.")
@click.option("--reason", help="Why the task failed.")
@given("the task's output")
@output_option("name")
def update_state(
    workflow_id: str,
    ref: str | None,
    status: Any,
    variables: tuple[str, ...],
    reason: str | None,
    pairs: tuple[str, ...],
    files: tuple[str, ...],
    form: str,
) -> None:
    """Change variables and say how the open task REF ended, in one step: both or neither."""
    from orchestrator.service import actions

    told = {"ref": ref, "status": status, "output": read_input(pairs, files), "reason": reason}
    act(workflow_id, actions.update_state, form, variables=read_input(variables, ()), **told)


@click.command("update-task", cls=Leaf, examples="orchestrator workflow update-task ID approval COMPLETED -i by=Ada")
@click.argument("workflow_id", metavar="ID", shell_complete=workflow_ids)
@click.argument("ref")
@click.argument("status", type=choice(*REPORTED))
@click.option("--reason", help="Why it failed.")
@given("its output")
@output_option("name")
def update_task(
    workflow_id: str,
    ref: str,
    status: Any,
    reason: str | None,
    pairs: tuple[str, ...],
    files: tuple[str, ...],
    form: str,
) -> None:
    """Say how the open task REF ended; the output given is laid over what the task has."""
    from orchestrator.service import tasks

    with current_session().store() as store:
        update = store.run(tasks.update_task_by_ref, workflow_id, ref, status, read_input(pairs, files), reason=reason)
    show({"taskId": update.task_id, "accepted": update.is_accepted}, form, TOLD, name="taskId")
    say(f"task {ref} is {status}" if update.is_accepted else f"task {ref} had ended before, nothing was changed")


@click.command("reset-callbacks", cls=Leaf, examples="orchestrator workflow reset-callbacks ID")
@click.argument("workflow_ids", metavar="ID...", nargs=-1, required=True, shell_complete=workflow_ids)
@output_option("name")
def reset_callbacks(workflow_ids: tuple[str, ...], form: str) -> None:
    """Let its tasks that wait for a delay or a retry be claimed at once."""
    _act_on_all("reset_callbacks", workflow_ids, form)


@click.command(cls=Leaf, examples="orchestrator workflow unpark ID")
@click.argument("workflow_id", metavar="ID", shell_complete=workflow_ids)
@output_option("name")
def unpark(workflow_id: str, form: str) -> None:
    """Let a quarantined execution go on: what was put aside is replayed in order."""
    from orchestrator.service import workflows

    with current_session().store() as store:
        moved = store.run(workflows.unpark, workflow_id)
    show({"workflowId": workflow_id, "eventsPutBack": moved}, form, DONE[:1], name="workflowId")
    say(f"{moved} event{'' if moved == 1 else 's'} put back; see: orchestrator workflow get {workflow_id}")


def _act_on_all(action: str, workflow_ids: tuple[str, ...], form: str, **arguments: Any) -> None:
    """One execution like any command; of several, those that refused are named and the others printed."""
    from orchestrator.service import actions, bulk

    if len(workflow_ids) == 1:
        act(workflow_ids[0], getattr(actions, action), form, **arguments)
        return
    with current_session().store() as store:
        result = store.run(bulk.act_on_all, action, workflow_ids, arguments)
    _tell_all(result, form)


def _tell_all(result: BulkResult, form: str) -> None:
    show_all([{"workflowId": one} for one in result.succeeded], form, DONE[:1], name="workflowId")
    for message in result.failed.values():
        say(message)
    if result.failed:
        raise SystemExit(1)


def act(workflow_id: str, verb: Callable[..., Any], form: str, **arguments: Any) -> None:
    """Do one verb of the service to an execution, print its id and say how it stands."""
    with current_session().store() as store:
        answer = store.run(verb, workflow_id, **arguments)
    status = answer.get("status")
    show({"workflowId": workflow_id, "status": status}, form, DONE, name="workflowId")
    say(f"workflow {workflow_id} is {status or 'unchanged'}")

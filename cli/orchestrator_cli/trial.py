"""``orchestrator def test`` and ``workflow replay``: workflows run in this process, and nothing real happens.

What runs them is ``orchestrator.testing``; here mocks and recordings are read and the outcome is shown. Called by users and
by their CI: the exit status is that of the run's end, or 1 when a replay differs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from orchestrator_cli import sources
from orchestrator_cli.command import Leaf, output_option
from orchestrator_cli.inputs import read_document, read_input
from orchestrator_cli.output import say, show_document
from orchestrator_cli.session import current_session

if TYPE_CHECKING:
    from orchestrator.model.definitions import TaskDef, WorkflowDef

TEST_EXAMPLES = """
orchestrator def test order -i sku=book --mocks mocks.json
orchestrator def test order.json --mocks request.json
orchestrator def test shop.py:order --mocks mocks.json --with shop.py
"""

REPLAY_EXAMPLES = """
orchestrator workflow replay run.json
orchestrator workflow replay run.json shop.py:order --with shop.py
"""


ENDS = {"COMPLETED": 0, "FAILED": 10, "TERMINATED": 11, "TIMED_OUT": 12}
STILL_OPEN = 8


def _companions(command: Any) -> Any:
    return click.option(
        "--with", "others", multiple=True, metavar="FILE|DIR|MODULE", help="Definitions that it needs beside its own."
    )(command)


@click.command(cls=Leaf, examples=TEST_EXAMPLES)
@click.argument("target", metavar="NAME|FILE|MODULE:NAME")
@click.option("--mocks", "mocks_file", metavar="FILE", required=True, help="Outcomes by reference name, as JSON.")
@click.option("--version", type=click.IntRange(min=1), help="Of a stored workflow. Default: the latest.")
@click.option("-i", "--input", "pairs", multiple=True, metavar="KEY=TEXT|KEY:=JSON", help="One key of its input.")
@click.option("--input-file", "files", multiple=True, metavar="FILE", help="Its input as a JSON object; - is stdin.")
@_companions
@output_option("json")
def test(
    target: str,
    mocks_file: str,
    version: int | None,
    pairs: tuple[str, ...],
    files: tuple[str, ...],
    others: tuple[str, ...],
    form: str,
) -> None:
    """Run a workflow on a clock of its own with mocked outcomes; no task's code runs and nothing is stored.

    The mocks are {"REF": [{"status": "FAILED"}, {"output": {...}}]}, one for each attempt, or a request of Conductor's test
    endpoint, whose input counts too. Steps without a mock stay open. The timeline and the output are printed.
    """
    from orchestrator import testing

    document = read_document(mocks_file)
    is_request = not document.keys().isdisjoint(("taskRefToMockOutput", "subWorkflowTestRequest"))
    request = document if is_request else {"taskRefToMockOutput": document}
    workflow, companions = _definition(target, version)
    beside = sources.find(others)
    given = {**(request.get("input") or {}), **read_input(pairs, files)}
    needed = [*companions, *beside.workflows, *beside.task_defs]
    result = testing.run(workflow, given, mocks=testing.mocks_of_request(request), others=needed)
    say(result.timeline())
    show_document(result.output, form, name=target)
    raise SystemExit(ENDS.get(result.status, STILL_OPEN))


@click.command(cls=Leaf, examples=REPLAY_EXAMPLES)
@click.argument("path", metavar="FILE|-")
@click.argument("target", metavar="[NAME|FILE|MODULE:NAME]", required=False)
@click.option("--version", type=click.IntRange(min=1), help="Of a stored workflow. Default: the latest.")
@_companions
def replay(path: str, target: str | None, version: int | None, others: tuple[str, ...]) -> None:
    """Feed the outcomes of an exported execution to a definition and to the engine of today, and say what differs.

    Without a target it is the definition that the execution ran on. No task's code runs. Exit status 1: something differs.
    """
    from orchestrator import testing

    recorded, beside = read_document(path), sources.find(others)
    needed: list[WorkflowDef | TaskDef] = [*beside.workflows, *beside.task_defs]
    workflow = None
    if target is not None:
        workflow, companions = _definition(target, version)
        needed = [*companions, *needed]
    played = testing.replay(recorded, workflow, others=needed)
    for line in played.differences:
        click.echo(line)
    say(played.result.timeline())
    if played.differences:
        raise SystemExit(1)
    say("nothing differs")


def _definition(target: str, version: int | None) -> tuple[WorkflowDef, list[WorkflowDef | TaskDef]]:
    """What a target names, and the definitions beside it: a file's own, or those that the installation has for it."""
    from orchestrator.service.companions import company_of

    if sources.is_source(target):
        workflow, task_defs = sources.find_one(target)
        return workflow, [*task_defs]
    with current_session().store() as store:
        found = store.run(company_of, target, version)
    return found.workflow, [*found.others, *found.task_defs]

"""``orchestrator schedule``: workflows that are started at set times.

A schedule is stored whole, from a file or from options, and fired by the deciders. Holds no rule; the service judges.
Called by users and their CI.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator_cli.command import Entry, LazyGroup, Leaf, choice, output_option
from orchestrator_cli.completion import schedule_names, workflow_names
from orchestrator_cli.inputs import read_input
from orchestrator_cli.moments import DURATION, MOMENT
from orchestrator_cli.output import Column, moment, show, show_all, span
from orchestrator_cli.session import current_session

if TYPE_CHECKING:
    from orchestrator.model.schedules import Schedule, ScheduleExecution

group = LazyGroup(
    "schedule",
    help="Schedules: start workflows at set times.",
    entries={
        "create": Entry(__name__, "create", "Store a schedule for a workflow."),
        "apply": Entry(__name__, "apply", "Store the schedules of files."),
        "list": Entry(__name__, "list_", "List schedules with their next time."),
        "get": Entry(__name__, "get", "Show one schedule."),
        "pause": Entry(__name__, "pause", "Start nothing more until resumed."),
        "resume": Entry(__name__, "resume", "Go on from now."),
        "pause-all": Entry("orchestrator_cli.firing", "pause_all", "Start nothing at all until resumed."),
        "resume-all": Entry("orchestrator_cli.firing", "resume_all", "Go on with all schedules."),
        "requeue-all": Entry("orchestrator_cli.firing", "requeue_all", "Have all schedules looked at again."),
        "delete": Entry(__name__, "delete", "Forget schedules."),
        "run-now": Entry(__name__, "run_now", "Start the workflow of schedules at once."),
        "backfill": Entry(__name__, "backfill", "Start it for due times that have passed."),
        "next": Entry(__name__, "next_", "Say when a cron expression comes next."),
        "executions": Entry(__name__, "executions", "Show what became of due times, the latest first."),
    },
)

SCHEDULES = [
    Column("name", lambda row: row["name"]),
    Column("workflow", lambda row: row["startWorkflowRequest"]["name"]),
    Column("comes", lambda row: _comes(row)),
    Column("zone", lambda row: ", ".join(dict.fromkeys(one["zoneId"] for one in _crons(row)))),
    Column("paused", lambda row: row["paused"]),
    Column("next", lambda row: moment(row.get("nextRunTime", 0))),
]
EXECUTIONS = [
    Column("schedule", lambda row: row["scheduleName"]),
    Column("due", lambda row: moment(row["scheduledTime"])),
    Column("state", lambda row: row["state"]),
    Column("workflow id", lambda row: row.get("workflowId")),
    Column("reason", lambda row: row.get("reason")),
]


def _crons(row: dict[str, Any]) -> list[dict[str, Any]]:
    return row["cronSchedules"] or [{"cronExpression": row.get("cronExpression"), "zoneId": row["zoneId"]}]


def _comes(row: dict[str, Any]) -> str:
    if row.get("runAt") is not None:
        return f"once, {moment(row['runAt'])}"
    if row.get("intervalSeconds") is not None:
        return f"every {span(row['intervalSeconds'] * 1000)}"
    return ", ".join(one["cronExpression"] for one in _crons(row))


# --- storing ----------------------------------------------------------------------------------------------------------

CREATE_EXAMPLES = """
orchestrator schedule create nightly report --cron "0 0 2 * * ?"
orchestrator schedule create weekly report --cron "0 30 8 ? * MON" --zone Europe/Berlin -i kind=weekly --catch-up
orchestrator schedule create poll fetch --every 5m --overlap SKIP --jitter 30s
orchestrator schedule create launch mailing --at "2030-01-01 09:00 Europe/Berlin"
"""


@click.command(cls=Leaf, examples=CREATE_EXAMPLES)
@click.argument("name", shell_complete=schedule_names)
@click.argument("workflow", shell_complete=workflow_names)
@click.option("--cron", help="Second minute hour day month weekday; or @daily and the like.")
@click.option("--every", type=DURATION, metavar="TIME", help="Every so long instead: 90s, 5m, 1h 30m.")
@click.option("--at", type=MOMENT, metavar="TIME", help="Once, at that time, e.g. '2030-01-01 09:00 Europe/Berlin'.")
@click.option("--zone", default="UTC", show_default=True, help="The zone the expression is meant in.")
@click.option("--version", type=int, help="Version of the workflow. Default: the latest at each due time.")
@click.option("-i", "--input", "pairs", multiple=True, metavar="KEY=TEXT|KEY:=JSON", help="A key of the input.")
@click.option("--input-file", "files", multiple=True, metavar="FILE|-", help="JSON with the input.")
@click.option("--correlation-id", help="Correlation id of every execution.")
@click.option("--catch-up", is_flag=True, help="After an outage start it for every due time that was missed.")
@click.option(
    "--overlap",
    type=choice("ALLOW", "SKIP", "BUFFER", "TERMINATE"),
    default="ALLOW",
    show_default=True,
    help="While the last one still runs: start another, leave it out, wait for its end, or end it.",
)
@click.option("--jitter", type=DURATION, default="0s", metavar="TIME", help="Start each late by up to so long.")
@click.option("--description", help="What it is for.")
@output_option()
def create(
    name: str,
    workflow: str,
    cron: str | None,
    every: int | None,
    at: int | None,
    zone: str,
    version: int | None,
    pairs: tuple[str, ...],
    files: tuple[str, ...],
    correlation_id: str | None,
    catch_up: bool,
    overlap: str,
    jitter: int,
    description: str | None,
    form: str,
) -> None:
    """Store a schedule that starts WORKFLOW, replacing the one of the same name."""
    from orchestrator.model.execution import StartWorkflowRequest
    from orchestrator.model.schedules import OverlapPolicy, Schedule

    given = read_input(pairs, files)
    schedule = Schedule(
        name=name,
        start_workflow_request=StartWorkflowRequest(
            name=workflow, version=version, correlation_id=correlation_id, input=given
        ),
        cron_expression=cron,
        interval_seconds=None if every is None else every // 1000,
        run_at=at,
        zone_id=zone,
        overlap_policy=OverlapPolicy(overlap),
        jitter_seconds=jitter // 1000,
        run_catchup_schedule_instances=catch_up,
        description=description,
    )
    _save([schedule], form)


@click.command(cls=Leaf, examples="orchestrator schedule apply nightly.json\norchestrator schedule apply - < all.yaml")
@click.argument("files", nargs=-1, required=True, metavar="FILE|-...")
@output_option()
def apply(files: tuple[str, ...], form: str) -> None:
    """Store the schedules of JSON or YAML files, each one or a list of them; nothing is stored unless all are valid."""
    from orchestrator.errors import InvalidRequest
    from orchestrator.model.documents import load_documents
    from orchestrator.model.schedules import schedule_from_dict

    found = []
    for file in files:
        try:
            content = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        except OSError as error:
            raise InvalidRequest(f"cannot read {file}: {error.strerror}") from None
        for document in load_documents(content, file):
            found += [schedule_from_dict(item) for item in (document if isinstance(document, list) else [document])]
    _save(found, form)


def _save(found: list[Schedule], form: str) -> None:
    from orchestrator.model.schedules import schedule_to_dict
    from orchestrator.service import schedules

    with current_session().store() as store:
        saved = [store.run(schedules.save, one) for one in found]
    show_all([schedule_to_dict(one) for one in saved], form, SCHEDULES, name="name")


@click.command(cls=Leaf, examples="orchestrator schedule pause nightly --reason 'new prices'")
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=schedule_names)
@click.option("--reason", help="Why; shown with the schedule.")
def pause(names: tuple[str, ...], reason: str | None) -> None:
    """Start nothing more by these schedules until they are resumed."""
    from orchestrator.service import schedules

    with current_session().store() as store:
        for name in names:
            store.run(schedules.pause, name, reason)


@click.command(cls=Leaf, examples="orchestrator schedule resume nightly")
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=schedule_names)
def resume(names: tuple[str, ...]) -> None:
    """Go on from now; what came due during the pause is left out."""
    from orchestrator.service import schedules

    with current_session().store() as store:
        for name in names:
            store.run(schedules.resume, name)


@click.command(cls=Leaf, examples="orchestrator schedule delete nightly")
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=schedule_names)
def delete(names: tuple[str, ...]) -> None:
    """Forget schedules and what became of their due times; what they have started goes on."""
    from orchestrator.service import schedules

    with current_session().store() as store:
        for name in names:
            store.run(schedules.remove, name)


@click.command("run-now", cls=Leaf, examples="orchestrator schedule run-now nightly")
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=schedule_names)
@output_option()
def run_now(names: tuple[str, ...], form: str) -> None:
    """Start the workflow of each schedule at once, paused or not; its times stay as they are."""
    from orchestrator.service import backfill

    with current_session().store() as store:
        _show_executions([store.run(backfill.run_now, name) for name in names], form)


BACKFILL_EXAMPLES = """
orchestrator schedule backfill nightly --from 2030-01-01 --to 2030-01-07
orchestrator schedule backfill nightly --from "2030-01-01 00:00 Europe/Berlin" --to "2030-01-01 12:00 Europe/Berlin"
"""


@click.command(cls=Leaf, examples=BACKFILL_EXAMPLES)
@click.argument("name", shell_complete=schedule_names)
@click.option(
    "--from", "start_ms", type=MOMENT, required=True, metavar="TIME", help="The first due time; UTC or a zone."
)
@click.option("--to", "end_ms", type=MOMENT, required=True, metavar="TIME", help="The last due time.")
@output_option()
def backfill(name: str, start_ms: int, end_ms: int, form: str) -> None:
    """Start the workflow of a schedule for every due time of a past while; one that has been fired is not doubled."""
    from orchestrator.service import backfill

    with current_session().store() as store:
        found = store.run(backfill.backfill, name, start_ms, end_ms)
    _show_executions(found, form)


# --- looking ----------------------------------------------------------------------------------------------------------


@click.command("list", cls=Leaf, examples="orchestrator schedule list\norchestrator schedule list --workflow report")
@click.option("--workflow", shell_complete=workflow_names, help="Only those that start this workflow.")
@click.option("--paused/--active", default=None, help="Only those that are paused, or are not.")
@output_option()
def list_(workflow: str | None, paused: bool | None, form: str) -> None:
    """List schedules by name, with the next time of each."""
    from orchestrator.model.schedules import schedule_to_dict
    from orchestrator.service import schedules

    with current_session().store() as store:
        found = store.run(schedules.search, workflow_name=workflow, paused=paused, size=None)
    show_all([schedule_to_dict(one) for one in found.items], form, SCHEDULES, name="name")


@click.command(cls=Leaf, examples="orchestrator schedule get nightly\norchestrator schedule get nightly -o yaml")
@click.argument("name", shell_complete=schedule_names)
@output_option("json")
def get(name: str, form: str) -> None:
    """Show one schedule; what -o json or yaml prints can be applied again."""
    from orchestrator.model.schedules import schedule_to_dict
    from orchestrator.service import schedules

    with current_session().store() as store:
        found = store.run(schedules.get, name)
    show(schedule_to_dict(found), form, SCHEDULES, name="name")


@click.command("next", cls=Leaf, examples='orchestrator schedule next "0 30 2 * * ?" --zone Europe/Berlin')
@click.argument("cron")
@click.option("--zone", default="UTC", show_default=True, help="The zone the expression is meant in.")
@click.option("--limit", type=click.IntRange(1, 5), default=5, show_default=True, help="How many times.")
@output_option("name")
def next_(cron: str, zone: str, limit: int, form: str) -> None:
    """Print the next times of a cron expression, each as a date in its zone."""
    from datetime import datetime
    from zoneinfo import ZoneInfo

    from orchestrator.model.schedules import CronSchedule
    from orchestrator.service import schedules

    crons = [CronSchedule(cron_expression=cron, zone_id=zone)]
    with current_session().store() as store:
        times = store.run(schedules.next_times, crons, limit=limit)
    rows = [{"at": datetime.fromtimestamp(one / 1000, ZoneInfo(zone)).isoformat(), "epochMs": one} for one in times]
    show_all(rows, form, [Column("at", lambda row: row["at"])], name="at")


@click.command(cls=Leaf, examples="orchestrator schedule executions nightly --state FAILED")
@click.argument("name", required=False, shell_complete=schedule_names)
@click.option("--state", type=choice("POLLED", "FAILED", "EXECUTED"), help="Only those in this state.")
@click.option("--size", type=click.IntRange(1, 1000), default=50, show_default=True, help="How many at most.")
@output_option()
def executions(name: str | None, state: str | None, size: int, form: str) -> None:
    """Show what became of due times, the latest first."""
    from orchestrator.service import schedules

    with current_session().store() as store:
        found = store.run(schedules.executions, name, size=size)
    _show_executions([one for one in found if state in (None, str(one.state))], form)


def _show_executions(found: list[ScheduleExecution], form: str) -> None:
    from orchestrator.model.schedules import schedule_execution_to_dict

    show_all([schedule_execution_to_dict(one) for one in found], form, EXECUTIONS, name="executionId")

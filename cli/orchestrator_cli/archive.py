"""``orchestrator archive``: where executions are that have ended and left Redis, and how they move there and back.

The deciders move by themselves; ``run`` does it now, for a drill or before a backup. Called by operators.
"""

from __future__ import annotations

import click

from orchestrator_cli.command import Entry, LazyGroup, Leaf, output_option
from orchestrator_cli.output import Column, say, show
from orchestrator_cli.session import current_session

group = LazyGroup(
    "archive",
    help="Executions that have ended and left Redis.",
    entries={
        "info": Entry(__name__, "info", "Say where the archive is."),
        "run": Entry(__name__, "run", "Move what is due now."),
        "restore": Entry(__name__, "restore", "Bring executions back to Redis."),
    },
)

SHOWN = [
    Column("archive", lambda row: row["url"] or "none: ended executions stay in Redis until they are removed"),
    Column("moved after", lambda row: f"{row['afterSeconds']:g} s"),
    Column("or above", lambda row: f"{row['memoryPercent']} % of Redis' memory"),
]


@click.command(cls=Leaf, examples="orchestrator archive info\norchestrator archive info -o json")
@output_option()
def info(form: str) -> None:
    """Say where the archive is, and after which time executions that have ended move there by these settings."""
    from orchestrator.archive import shelf

    session = current_session()
    with session.store() as store:
        url = store.run(shelf.where)
    row = {
        "url": None if url is None else without_password(url),
        "afterSeconds": session.settings.archive_after_s,
        "memoryPercent": session.settings.archive_memory_percent,
    }
    show(row, form, SHOWN, name="url")


@click.command(cls=Leaf, examples="ORCHESTRATOR_ARCHIVE_AFTER_S=0 orchestrator archive run")
def run() -> None:
    """Move what is due to the archive and end when nothing more is; deciders may do the same meanwhile."""
    from orchestrator.archive import shelf
    from orchestrator.archive.mover import BUSY_REST_MS, Mover
    from orchestrator.clock import SystemClock
    from orchestrator.errors import InvalidRequest

    mover, turns = Mover(SystemClock()), 1
    with current_session().store() as store:
        if not store.run(shelf.join):
            raise InvalidRequest("this installation has no archive: name one with ORCHESTRATOR_ARCHIVE_URL")
        while store.run(mover.turn) == BUSY_REST_MS:
            turns += 1
    say(f"nothing more is due after {turns} turn{'' if turns == 1 else 's'}")


@click.command(cls=Leaf, examples="orchestrator archive restore ID1 ID2")
@click.argument("workflow_ids", metavar="ID...", nargs=-1, required=True)
def restore(workflow_ids: tuple[str, ...]) -> None:
    """Bring archived executions back to Redis, each with its sub-workflows and parents.

    Those that act on executions, as workflow retry does, bring them back by themselves. When nothing is done with one, it
    moves to the archive again.
    """
    from orchestrator.archive import shelf

    with current_session().store() as store:
        count = store.run(shelf.bring_back, workflow_ids)
    say(f"{count} execution{'' if count == 1 else 's'} came back")


def without_password(url: str) -> str:
    """An archive's URL as it may be shown. Example: ``without_password("postgresql://me:x@db/a") == "postgresql://db/a"``"""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"

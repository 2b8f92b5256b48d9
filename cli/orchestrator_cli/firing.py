"""``orchestrator schedule pause-all``, ``resume-all``, ``requeue-all``: the firing of all schedules at once.

Each schedule stays as it is; listed in the group of ``schedule``. Called by operators, for a maintenance window.
"""

from __future__ import annotations

import click

from orchestrator_cli.command import Leaf
from orchestrator_cli.output import say
from orchestrator_cli.session import current_session


@click.command("pause-all", cls=Leaf, examples="orchestrator schedule pause-all")
def pause_all() -> None:
    """Start nothing at all by schedules until resume-all."""
    from orchestrator.service import schedules

    with current_session().store() as store:
        store.run(schedules.pause_all)
    say("no schedule starts anything until: orchestrator schedule resume-all")


@click.command("resume-all", cls=Leaf, examples="orchestrator schedule resume-all")
def resume_all() -> None:
    """Go on; what came due meanwhile is made up for by the schedules that catch up."""
    from orchestrator.service import schedules

    with current_session().store() as store:
        store.run(schedules.resume_all)
    say("schedules start workflows again")


@click.command("requeue-all", cls=Leaf, examples="orchestrator schedule requeue-all")
def requeue_all() -> None:
    """Have every schedule looked at when it is due, whoever may be at work on it."""
    from orchestrator.service import schedules

    with current_session().store() as store:
        waiting = store.run(schedules.requeue_all)
    say(f"{waiting} schedule{' waits' if waiting == 1 else 's wait'} for the next due time")

"""``orchestrator limit``: how many tasks of a type at once and in a time, for whom, who holds a slot and who waits.

Limits are those of the registered task definition; ``set`` changes them there. Called by operators.
"""

from __future__ import annotations

import click

from orchestrator_cli.command import Entry, LazyGroup, Leaf, output_option
from orchestrator_cli.output import show_all
from orchestrator_cli.queue import LISTED, queue_row
from orchestrator_cli.queue_care import count_option, show_tasks, type_argument
from orchestrator_cli.session import current_session

group = LazyGroup(
    "limit",
    help="Limits of task types: how many at once, how many in a time, for whom.",
    entries={
        "set": Entry(__name__, "set_", "Change the limits of a type from now on."),
        "show": Entry(__name__, "show", "Show the limits of a type and what they hold up."),
        "holders": Entry(__name__, "holders", "Show who has a slot."),
        "waiters": Entry(__name__, "waiters", "Show who waits, the next ones first."),
    },
)

SET_EXAMPLES = """
orchestrator limit set charge --concurrency 5
orchestrator limit set charge --rate 100 --per 60 --key '${workflow.input.tenant}'
orchestrator limit set charge --concurrency 0
"""


@click.command("set", cls=Leaf, examples=SET_EXAMPLES)
@type_argument
@click.option("--concurrency", type=click.IntRange(0), help="So many at once; 0 is no limit.")
@click.option("--rate", type=click.IntRange(0), help="So many in the time of --per; 0 is no limit.")
@click.option("--per", "per_s", type=click.IntRange(1), metavar="SECONDS", help="The window of --rate.")
@click.option("--key", "limit_key", metavar="EXPRESSION", help="The limits hold for each of its values; '' for none.")
@click.option("--fairness-key", metavar="EXPRESSION", help="Its values take turns; '' for none.")
def set_(
    task_type: str,
    concurrency: int | None,
    rate: int | None,
    per_s: int | None,
    limit_key: str | None,
    fairness_key: str | None,
) -> None:
    """Change the limits of a task type from now on; what is not named stays."""
    from orchestrator.service import queue_care

    if all(value is None for value in (concurrency, rate, per_s, limit_key, fairness_key)):
        raise click.UsageError("name what is to change: --concurrency, --rate, --per, --key or --fairness-key")
    with current_session().store() as store:
        store.run(
            queue_care.set_limits,
            task_type,
            concurrency=concurrency,
            rate=rate,
            per_s=per_s,
            limit_key=limit_key,
            fairness_key=fairness_key,
        )


@click.command(cls=Leaf, examples="orchestrator limit show charge\norchestrator limit show charge -o json")
@type_argument
@output_option()
def show(task_type: str, form: str) -> None:
    """Show the limits of a type and what is in its queue."""
    from orchestrator.service import queue_care

    with current_session().store() as store:
        found = store.run(queue_care.show, task_type)
    show_all([queue_row(task_type, found)], form, LISTED, name="name")


@click.command(cls=Leaf, examples="orchestrator limit holders charge\norchestrator limit holders charge -o json")
@type_argument
@count_option
@output_option()
def holders(task_type: str, count: int, form: str) -> None:
    """Show the tasks that have a slot, with a worker, postponed or lent, and who has them."""
    from orchestrator.service import queue_care

    with current_session().store() as store:
        show_tasks(store.run(queue_care.holders, task_type, count), form)


@click.command(cls=Leaf, examples="orchestrator limit waiters charge\norchestrator limit waiters charge -o json")
@type_argument
@count_option
@output_option()
def waiters(task_type: str, count: int, form: str) -> None:
    """Show the tasks that wait, as the next ones to go: in line, kept back by the limit of their key, or for their time."""
    from orchestrator.service import queue_care

    with current_session().store() as store:
        show_tasks(store.run(queue_care.waiters, task_type, count), form)

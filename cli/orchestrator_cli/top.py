"""``orchestrator top``: what an installation is doing, drawn anew every few seconds until Ctrl-C.

What is shown and how is in ``panes``; this looks, waits and draws. A terminal gets its screen back at the end; anywhere
else one look follows the other. Called by operators; ``--once`` for scripts.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
import time
from collections.abc import Iterator

import click

from orchestrator.errors import Unavailable
from orchestrator_cli import panes
from orchestrator_cli.command import Leaf, output_option
from orchestrator_cli.output import say, show
from orchestrator_cli.session import Session, current_session

ENTER, LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
"""To a screen of our own without a cursor, and back."""

HOME, REST_OF_LINE, REST = "\x1b[H", "\x1b[K", "\x1b[J"

EXAMPLES = """
orchestrator top
orchestrator top --interval 0.5
orchestrator top --once -o json
orchestrator top --interval 10 -o jsonl >> load.jsonl
"""


@click.command(cls=Leaf, examples=EXAMPLES)
@click.option("--once", is_flag=True, help="Look once and end; there are no rates then.")
@click.option(
    "--interval", "interval_s", type=click.FloatRange(0.1, 3600), default=2.0, show_default=True, metavar="SECONDS"
)
@output_option()
def top(once: bool, interval_s: float, form: str) -> None:
    """Show executions, queues, deciders, workers and the server, with rates, until Ctrl-C.

    When the installation does not answer it says so and goes on looking.
    """
    session = current_session()
    is_drawn = form == "table" and not once and sys.stdout.isatty()
    with _screen() if is_drawn else contextlib.nullcontext(), session.store() as store:
        before: panes.Look | None = None
        while True:
            try:
                now = panes.look(store)
            except Unavailable as error:
                if once:
                    raise
                before = None
                _tell(f"{session.shown_url}: {error}", is_drawn=is_drawn)
            else:
                _show(panes.page_of(now, before), session, form, is_drawn=is_drawn)
                before = now
            if once:
                return
            time.sleep(interval_s)


@contextlib.contextmanager
def _screen() -> Iterator[None]:
    """A screen of our own; Ctrl-C is how it is left."""
    click.echo(ENTER, nl=False)
    try:
        yield
    except KeyboardInterrupt:
        pass
    finally:
        click.echo(LEAVE, nl=False)


def _show(page: panes.Page, session: Session, form: str, *, is_drawn: bool) -> None:
    head = session.settings.server_url if session.is_remote else session.shown_url
    if form != "table":
        show(page, form, [], name="at")
    elif is_drawn:
        columns, lines = shutil.get_terminal_size()
        _draw([line[:columns] for line in panes.lines_of(page, head, lines - 1)])
    else:
        click.echo("\n".join(panes.lines_of(page, head)))


def _draw(lines: list[str]) -> None:
    click.echo(HOME + "".join(f"{line}{REST_OF_LINE}\n" for line in lines) + REST, nl=False)


def _tell(message: str, *, is_drawn: bool) -> None:
    if is_drawn:
        _draw(message.splitlines())
    else:
        say(message)

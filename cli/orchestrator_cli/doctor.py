"""``orchestrator doctor``: is this Redis fit, is the installation alive, does anything stand still?

Each check is a line with what was found and, when it is not well, what to do. The facts are read here and judged in
``findings``. The exit status is 1 when something failed; a warning does not fail. Called by operators and by CI.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import click

from orchestrator.errors import OrchestratorError
from orchestrator_cli import findings
from orchestrator_cli.command import Leaf, output_option
from orchestrator_cli.findings import Finding
from orchestrator_cli.output import Column, say, show_all
from orchestrator_cli.session import Session, Store, current_session

COLUMNS = [
    Column("check", lambda row: row["check"]),
    Column("result", lambda row: row["result"]),
    Column("found", lambda row: row["found"]),
    Column("fix", lambda row: row["fix"]),
]

EXAMPLES = """
orchestrator doctor
orchestrator doctor --redis redis://db:6379/0 -o json
orchestrator doctor --server https://flows.example.com
orchestrator doctor -o jsonl | grep '"fail"'
"""


@click.command(cls=Leaf, examples=EXAMPLES)
@output_option()
def doctor(form: str) -> int:
    """Check Redis, the installation in it and this machine; every finding comes with its fix.

    A server that is asked in place of Redis says how the installation is; the connection to Redis is then its own.
    """
    found = list(examine(current_session()))
    show_all([one._asdict() for one in found], form, COLUMNS, name="check")
    failed = sum(one.result == "fail" for one in found)
    if failed:
        say(f"{failed} check{'' if failed == 1 else 's'} failed")
    return 1 if failed else 0


def examine(session: Session) -> Iterator[Finding]:
    """Every check in order; when the installation cannot be asked, those that need it are left out."""
    from orchestrator.service import operations, poll_data, workers

    yield from findings.of_profile(session)
    try:
        with session.store(is_checked=False) as store:
            way = list(_way(session, store))
            diagnosis = store.run(operations.diagnose)
            queues, polls = store.run(operations.queues), store.run(poll_data.read)
            known = store.run(workers.list_workers)
    except OrchestratorError as error:
        yield findings.of_failure(error, session)
    else:
        yield from way
        yield from findings.of_server(diagnosis)
        yield from findings.of_engine(diagnosis)
        yield from findings.of_workers(known)
        yield from findings.of_queues(queues, polls)
    yield from findings.of_machine()


def _way(session: Session, store: Store) -> Iterator[Finding]:
    """How the installation is reached; beside Redis also what only somebody there can say."""
    from orchestrator.archive import shelf

    if session.is_remote:
        yield Finding("http", "ok", session.settings.server_url)
        return
    store.connection.check()  # refuses what no process of ours would run on; the rest is judged of the server's facts
    yield Finding("redis", "ok", f"{session.shown_url} (from {session.found})")
    yield findings.of_clock(_skew_ms(store))
    yield findings.of_archive(store.run(shelf.where))


def _skew_ms(store: Store) -> int:
    """How far the server's clock is ahead of ours, less half of the way there and back."""
    from orchestrator.plan import Command

    before_ms = time.time_ns() // 1_000_000
    reply: Any = store.connection.sync().do(Command(("TIME",)))
    after_ms = time.time_ns() // 1_000_000
    return int(reply[0]) * 1000 + int(reply[1]) // 1000 - (before_ms + after_ms) // 2

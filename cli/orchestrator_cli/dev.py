"""``orchestrator dev``: everything in one terminal: a store of its own, a decider, the HTTP API, a worker that follows
the code.

What runs is kept in a folder, so that starting again resumes every unfinished workflow, also after a kill. Other
commands in the same folder find it without being told. Composes the parts; the supervisor runs them.
"""

from __future__ import annotations

import importlib.util
import os
import socket
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from orchestrator.errors import Conflict
from orchestrator_cli import changes
from orchestrator_cli import folder as folders
from orchestrator_cli.command import Leaf
from orchestrator_cli.output import say
from orchestrator_cli.server import address, listen
from orchestrator_cli.session import Session, current_session

EXAMPLES = """
orchestrator dev hello.py
orchestrator dev my.tasks my.workflows
orchestrator dev --data ~/orchestrator-data
orchestrator dev hello.py --redis redis://localhost:6379/0
"""

HOST, PORT = "127.0.0.1", 8080
DRAIN_S = 3
_ROLE = (sys.executable, "-P", "-m", "orchestrator_cli.main")


@click.command(cls=Leaf, examples=EXAMPLES)
@click.argument("modules", nargs=-1, metavar="[MODULE_OR_FILE]...")
@click.option("--data", metavar="DIR", default=folders.DEFAULT, show_default=True, help="Where everything is kept.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help=f"Of the HTTP API. Default: {PORT}, or one that is free if it is taken.",
)
@click.option("--concurrency", type=click.IntRange(min=1), default=20, show_default=True, help="Tasks at a time.")
@click.option("--no-reload", is_flag=True, help="Do not restart the worker when the code changes.")
def dev(modules: tuple[str, ...], data: str, port: int | None, concurrency: int, no_reload: bool) -> int:
    """Run store, decider, HTTP API and worker together, restarting the worker when the code changes.

    The modules' workflows are registered, their tasks run. Without a module the engine runs alone. Ctrl-C stops
    everything in order, a second Ctrl-C at once; starting again goes on where it stopped.
    """
    import asyncio

    session = current_session(is_new=True)
    folder = folders.Folder(Path(data))
    folder.take()
    try:
        with _listening(port) as door:
            return asyncio.run(_run(session, folder, modules, door, concurrency, reloads=not no_reload))
    finally:
        folder.leave()


async def _run(
    session: Session,
    folder: folders.Folder,
    modules: Sequence[str],
    door: socket.socket,
    concurrency: int,
    *,
    reloads: bool,
) -> int:
    from orchestrator_cli.child import Role
    from orchestrator_cli.supervisor import Supervisor

    roles = []
    if session.is_named:
        url = session.settings.redis_url
        with session.store():  # refuse now what every child would refuse
            say(f"store    {session.shown_url} (from {session.found})")
    else:
        from orchestrator_cli.embedded import EmbeddedValkey

        valkey = EmbeddedValkey(folder.path)
        url = valkey.url
        roles.append(Role("store", valkey.command, asks=valkey.answers, log_path=valkey.log_path))
    roles.append(Role("decider", lambda: [*_ROLE, "decider"]))
    serving = [*_ROLE, "server", "--fd", str(door.fileno())]
    roles.append(Role("server", lambda: serving, passes=(door.fileno(),), grace_s=DRAIN_S + 5))
    if modules:
        command = [*_ROLE, "worker", *modules, "--concurrency", str(concurrency), "--dev"]
        roles.append(Role("worker", lambda: command, reloads=True, grace_s=DRAIN_S + 5))
    supervisor = Supervisor(
        roles,
        _environment(session, url, folder.path),
        publish=lambda children: folder.write(url, door.getsockname()[1], children),
        announce=lambda told: _announce(told.get("worker", {}), folder, url, address(door), session.is_named),
        changes=_changes(modules, folder.path) if modules and reloads else None,
    )
    return await supervisor.run()


def _environment(session: Session, url: str, folder: Path) -> dict[str, str]:
    """The children's: our own with the Redis and the options of this command line; what the user set stands."""
    chosen = {
        "ORCHESTRATOR_REDIS_URL": url,
        "ORCHESTRATOR_NAMESPACE": session.settings.namespace,
    }
    if session.verbosity:
        chosen["ORCHESTRATOR_LOG_LEVEL"] = "INFO" if session.verbosity == 1 else "DEBUG"
    defaults = {
        "ORCHESTRATOR_LOG_LEVEL": "WARNING",
        "ORCHESTRATOR_DRAIN_TIMEOUT_S": str(DRAIN_S),
        "ORCHESTRATOR_OWNERSHIP_MS": "2000",  # so that after a kill the next dev goes on at once
        "PYTHONUNBUFFERED": "1",  # so that what a task prints is seen when it prints it
    }
    if not session.is_named and importlib.util.find_spec("sqlalchemy") is not None:
        defaults["ORCHESTRATOR_ARCHIVE_URL"] = f"sqlite:///{folder.absolute()}/archive.db"
    return {**defaults, **os.environ, **chosen}


def _listening(port: int | None) -> socket.socket:
    """The socket of the HTTP API; it is ours, so that a server which starts anew is found at the same place."""
    if port is not None:
        return listen(HOST, port)
    try:
        return listen(HOST, PORT)
    except Conflict:
        return listen(HOST, 0)


def _announce(worker: Mapping[str, Any], folder: folders.Folder, url: str, http: str, is_named: bool) -> None:
    say("")
    if not is_named:
        say(f"Redis    {url}   kept in {folder.path}")
    say(f"HTTP     {http}/api   described at {http}/docs")
    is_found = folder.path == Path(folders.DEFAULT).absolute()  # by commands in the current folder
    say("\nTry next, in another terminal" + (" in this folder:" if is_found else ":"))
    if not is_found and not is_named:
        say(f"  export ORCHESTRATOR_REDIS_URL={url}")
    name, keys = next(iter(worker.get("workflows", {}).items()), ("", []))
    if name:
        say("  " + " ".join(["orchestrator workflow run", name, *(f"-i {key}=..." for key in keys)]))
    else:
        say("  orchestrator def apply definition.json")
    say("  orchestrator workflow list")


def _changes(modules: Sequence[str], data: Path) -> AsyncIterator[Any] | None:
    """Yields when Python files near the modules change; None without the package that watches."""
    if not changes.can_watch():
        say("worker   does not follow changes of the code; for that: pip install 'redis-orchestrator[dev]'")
        return None
    return changes.changes_of(modules, [data])

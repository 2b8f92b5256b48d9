"""Shell completion: the script a shell loads, and the names that stand for arguments, asked of the installation.

Whoever presses Tab waits for the answer, so an installation that is not there within a moment completes to nothing; no error
is shown for the same reason. Called by click, for the arguments that name one of these.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable

import click
from click.shell_completion import CompletionItem, get_completion_class

from orchestrator_cli.command import Leaf, choice
from orchestrator_cli.session import Session, Store

WAIT_S = 1.0
"""How long Tab may take at most, with everything that has to be loaded."""

IDS_MAX = 50
VARIABLE = "_ORCHESTRATOR_COMPLETE"

Complete = Callable[[click.Context, click.Parameter, str], list[str]]

EXAMPLES = """
orchestrator completion bash > ~/.local/share/bash-completion/completions/orchestrator
orchestrator completion zsh > ~/.zfunc/_orchestrator
orchestrator completion fish > ~/.config/fish/completions/orchestrator.fish
source <(orchestrator completion bash)
"""


@click.command(cls=Leaf, examples=EXAMPLES)
@click.argument("shell", type=choice("bash", "zsh", "fish"))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script that makes Tab complete commands, options, and names of workflows, tasks, schedules and profiles."""
    kind = get_completion_class(shell)
    assert kind is not None, f"click completes for {shell}"
    click.echo(kind(ctx.find_root().command, {}, "orchestrator", VARIABLE).source())


def _asking(ask: Callable[[Store], Iterable[str]]) -> Complete:
    """What completes to names that the installation knows, or to nothing when it does not say in time."""

    def complete(ctx: click.Context, parameter: click.Parameter, begun: str) -> list[str]:
        found: list[str] = []

        def work() -> None:
            with contextlib.suppress(Exception), Session(dict(given)).store(is_checked=False) as store:
                found.extend(ask(store))

        given = ctx.find_root().ensure_object(dict)
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        thread.join(WAIT_S)
        return sorted({name for name in list(found) if name.startswith(begun)})

    return complete


def _workflows(store: Store) -> Iterable[str]:
    from orchestrator.service import metadata

    return store.run(metadata.workflow_names)


def _tasks(store: Store) -> Iterable[str]:
    from orchestrator.service import metadata, operations

    return [*(one.name for one in store.run(metadata.list_task_defs)), *store.run(operations.queues)]


def _schedules(store: Store) -> Iterable[str]:
    from orchestrator.service import schedules

    return [one.name for one in store.run(schedules.list_schedules)]


def _ids(store: Store) -> Iterable[str]:
    from orchestrator.service import listing

    return [one.workflow_id for one in store.run(listing.list_workflows, size=IDS_MAX).items]


workflow_names = _asking(_workflows)
task_names = _asking(_tasks)
schedule_names = _asking(_schedules)
workflow_ids = _asking(_ids)


def workflow_targets(ctx: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """Names of workflows, or files where no name begins like that."""
    found = workflow_names(ctx, parameter, begun)
    return [CompletionItem(name) for name in found] or [CompletionItem(begun, type="file")]


def profile_names(ctx: click.Context, parameter: click.Parameter, begun: str) -> list[str]:
    """Names of profiles."""
    from orchestrator_cli import profiles

    return [name for name in profiles.names() if name.startswith(begun)]

"""The ``orchestrator`` command: its tree, and what happens to errors.

Every command's errors end here: one of ours becomes its message and its exit status, click's become usage errors, and
an unexpected one becomes a single line, unless ``ORCHESTRATOR_DEBUG`` asks for the traceback. Holds no command. Called
by the console script, by ``python -m orchestrator_cli.main`` and by tests.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import Any, NoReturn

import click

import orchestrator
from orchestrator.errors import OrchestratorError, StoreRefused, StoreUnavailable
from orchestrator_cli.command import Entry, LazyGroup, shared_options

COMMANDS = {
    "dev": Entry(
        "orchestrator_cli.dev", "dev", "Run everything here: store, decider, server, worker; restarts on changes."
    ),
    "server": Entry("orchestrator_cli.server", "server", "Serve the HTTP API until a signal ends it."),
    "decider": Entry("orchestrator_cli.roles", "decider", "Run a decider until a signal ends it."),
    "system": Entry("orchestrator_cli.roles", "system", "Carry out HTTP calls and other system tasks until a signal."),
    "worker": Entry("orchestrator_cli.roles", "worker", "Run the tasks of modules until a signal ends it."),
    "def": Entry("orchestrator_cli.definition", "group", "Workflow definitions: apply, list, get, test, graph, ..."),
    "apply": Entry("orchestrator_cli.desired", "apply", "Store what files say an installation shall have."),
    "diff": Entry("orchestrator_cli.desired", "diff", "Show what apply would change, line by line."),
    "key": Entry(
        "orchestrator_cli.key", "group", "Keys of the HTTP API: create, list, revoke, token; what was changed."
    ),
    "secret": Entry("orchestrator_cli.secret", "group", "Secrets that tasks are handed: set, list, delete, key."),
    "env": Entry("orchestrator_cli.env", "group", "Values for ${workflow.env.NAME}: set, list, get, delete."),
    "schema": Entry(
        "orchestrator_cli.schema", "group", "JSON Schemas of inputs and outputs: apply, list, get, delete."
    ),
    "taskdef": Entry("orchestrator_cli.taskdef", "group", "Task definitions: apply, list, get, delete."),
    "tag": Entry("orchestrator_cli.tag", "group", "Tags of workflows, tasks, secrets, ...: list, add, remove."),
    "workflow": Entry("orchestrator_cli.workflow", "group", "Executions: start, run, watch, pause, signal, ..."),
    "bulk": Entry("orchestrator_cli.bulk", "bulk", "Do one thing to many executions, named or found by a query."),
    "task": Entry("orchestrator_cli.task", "group", "Tasks of executions by their id: get, logs, update, poll, ..."),
    "event": Entry(
        "orchestrator_cli.event", "group", "Events: handlers, publish a message, what was done for messages."
    ),
    "webhook": Entry("orchestrator_cli.webhook", "group", "Webhooks: apply, list, get, delete, deliveries."),
    "schedule": Entry(
        "orchestrator_cli.schedule", "group", "Schedules: start workflows at set times; create, list, pause, next."
    ),
    "archive": Entry("orchestrator_cli.archive", "group", "Executions that have left Redis: info, run, restore."),
    "store": Entry("orchestrator_cli.store", "group", "The server and the partitions as they are: info, partitions."),
    "expr": Entry("orchestrator_cli.expr", "group", "Expressions and scripts: say what one gives."),
    "queue": Entry("orchestrator_cli.queue", "group", "Task queues: list, peek, pause, resume, drain, purge."),
    "limit": Entry("orchestrator_cli.limit", "group", "Limits of task types: set, show, who holds a slot, who waits."),
    "top": Entry("orchestrator_cli.top", "top", "Watch queues, deciders, workers and rates."),
    "workers": Entry("orchestrator_cli.workers", "group", "Workers that live: list, get, pause, resume, drain."),
    "doctor": Entry("orchestrator_cli.doctor", "doctor", "Check Redis and the installation; a fix for every finding."),
    "metrics": Entry("orchestrator_cli.metrics", "metrics", "Print the metrics of the installation for Prometheus."),
    "config": Entry(
        "orchestrator_cli.config", "group", "The settings of commands run here, each with its source: show."
    ),
    "profile": Entry(
        "orchestrator_cli.profile", "group", "Connection settings kept under names: list, show, use, set."
    ),
    "completion": Entry("orchestrator_cli.completion", "completion", "Print the script for Tab: bash, zsh, fish."),
    "deploy": Entry("orchestrator_cli.deploy", "group", "Files to run an installation with: render."),
    "version": Entry("orchestrator_cli.version", "version", "Print the version."),
}

EXIT_ERROR, EXIT_SIGINT, EXIT_SIGTERM = 1, 130, 143

EXIT_STATUSES = {
    0: "done",
    1: "an error; or the answer is no: diff --exit-code, doctor, replay, some of many refused",
    2: "the command line or a setting is wrong, or something is not installed",
    3: "not found",
    4: "it exists already, or its state does not allow it",
    5: "Redis, the server or the archive cannot be used",
    6: "no right to do it, or the key or password is wrong",
    7: "a definition or a payload is not valid",
    8: "the time to wait was over",
    10: "the execution FAILED (run, watch, test)",
    11: "the execution was TERMINATED",
    12: "the execution TIMED_OUT",
    EXIT_SIGINT: "Ctrl-C",
    EXIT_SIGTERM: "SIGTERM",
}
"""What every status of every command means."""


class Root(LazyGroup):
    """The root of the tree; ``main`` is the one place where errors become messages and exit statuses."""

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run a command line and end the process with the command's exit status."""
        run: Any = super().main
        given: dict[str, Any] = extra.setdefault("obj", {})
        if os.environ.get("NO_COLOR"):
            extra.setdefault("color", False)
        try:
            result = run(*args, **{**extra, "standalone_mode": False})
        except Exception as error:
            sys.exit(_told(error, given))
        sys.exit(result if isinstance(result, int) else 0)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what the exit statuses mean, and where to begin."""
        with formatter.section("Exit status"):
            formatter.write_dl([(str(status), meaning) for status, meaning in EXIT_STATUSES.items()])
        super().format_epilog(ctx, formatter)


_version_option = click.Option(
    ["--version"],
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=lambda ctx, _, wanted: _print_version(ctx) if wanted else None,
    help="Print the version and exit.",
)

root = Root(
    "orchestrator",
    entries=COMMANDS,
    params=[*shared_options(), _version_option],
    help="Durable workflows on the Redis you already run.",
    epilog="Start here: orchestrator dev hello.py",
)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line of this process and exit with its status. Example: ``main(["version"])``"""
    signal.signal(signal.SIGTERM, _terminated)
    root.main(args=None if arguments is None else list(arguments), prog_name="orchestrator")
    raise AssertionError("unreachable: standalone mode exits")


def exit_status(error: BaseException) -> int:
    """The exit status an error stands for. Example: ``exit_status(WorkflowNotFound("x")) == 3``"""
    if isinstance(error, click.Abort):
        return EXIT_SIGINT
    if isinstance(error, click.ClickException):
        return error.exit_code
    return error.exit_code if isinstance(error, OrchestratorError) else EXIT_ERROR


def _told(error: Exception, given: dict[str, Any]) -> int:
    """Write what went wrong to standard error; the exit status."""
    if os.environ.get("ORCHESTRATOR_DEBUG"):
        raise error
    if isinstance(error, click.Abort):  # Ctrl-C
        return exit_status(error)
    if isinstance(error, click.ClickException):
        error.show()
        return exit_status(error)
    if isinstance(error, OrchestratorError):
        _complain(f"{error}{_hint(error, given)}")
        return exit_status(error)
    _complain(f"unexpected {type(error).__name__}: {error}\nSet ORCHESTRATOR_DEBUG=1 to see where it comes from.")
    return EXIT_ERROR


def _print_version(ctx: click.Context) -> None:
    click.echo(orchestrator.__version__)
    ctx.exit()


def _hint(error: OrchestratorError, given: dict[str, Any]) -> str:
    session = given.get("session")
    if session is None or not isinstance(error, StoreUnavailable | StoreRefused):
        return ""
    return f"\n{session.hint if isinstance(error, StoreUnavailable) else session.origin}"


def _complain(text: str) -> None:
    click.echo(f"{click.style('Error:', fg='red')} {text}", err=True, color=False if "NO_COLOR" in os.environ else None)


def _terminated(number: int, frame: FrameType | None) -> None:
    sys.exit(EXIT_SIGTERM)


if __name__ == "__main__":
    main()

"""What every command has in common: lazy groups, the shared options, examples first in the help, "did you mean".

A group knows its commands as text (module, attribute, one line of help) and imports one only when it is run, so that
``orchestrator --help`` loads no Redis client and no table printer. Holds no command itself. Called by all of them.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import click

FORMS = {
    "table": "columns for people: drawn on a terminal, elsewhere aligned text, complete and never cut",
    "json": "one JSON document",
    "jsonl": "one JSON object a line",
    "yaml": "one YAML document (needs PyYAML)",
    "name": "bare ids or names, one a line, for other commands",
}
"""The forms of output, each with what it is."""


class Entry(NamedTuple):
    """Where a command lives, and its line in the list of commands."""

    module: str
    attribute: str
    help: str


class LazyGroup(click.Group):
    """A group whose commands are imported when they are used.

    Example: ``LazyGroup("def", entries={"list": Entry("orchestrator_cli.definition", "list_", "List them.")})``
    """

    def __init__(self, name: str | None = None, *, entries: Mapping[str, Entry], **attributes: Any) -> None:
        attributes.setdefault("context_settings", {"help_option_names": ["-h", "--help"]})
        super().__init__(name, **attributes)
        self._entries = entries

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of its commands, in the order of the table."""
        return list(self._entries)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import the command ``name``; None when there is none."""
        entry = self._entries.get(name)
        if entry is None:
            return None
        command: click.Command = getattr(importlib.import_module(entry.module), entry.attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click's; an unknown name is answered with the names that are like it."""
        if args[0] not in self._entries and not args[0].startswith("-") and not ctx.resilient_parsing:
            ctx.fail(f"there is no command {args[0]!r}.{_did_you_mean(args[0], self._entries)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands from the table alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in self._entries.items()])


class Leaf(click.Command):
    """A command that does something: it takes the shared options and shows its ``examples`` before anything else.

    Example: ``@click.command(cls=Leaf, examples="orchestrator queue list -o json")``
    """

    def __init__(self, *args: Any, examples: str, **attributes: Any) -> None:
        attributes.setdefault("context_settings", {"help_option_names": ["-h", "--help"]})
        super().__init__(*args, **attributes)
        self.examples = examples
        self.params = [*self.params, *shared_options()]

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples, then the usage line."""
        with formatter.section("Examples"):
            for line in self.examples.strip().splitlines():
                formatter.write(f"{'':>{formatter.current_indent}}{line.strip()}\n")
        formatter.write_paragraph()
        super().format_usage(ctx, formatter)


def shared_options() -> list[click.Parameter]:
    """The options that may stand before or behind every command; their values are kept in the root's ``obj``."""
    return [
        _shared("--redis", metavar="URL", help="Redis or Valkey to use; or ORCHESTRATOR_REDIS_URL."),
        _shared("--server", metavar="URL", help="Server to ask instead; or ORCHESTRATOR_SERVER_URL."),
        _shared(
            "--profile",
            metavar="NAME",
            shell_complete=_profiles,
            help="Settings kept under a name; or ORCHESTRATOR_PROFILE.",
        ),
        _shared("--namespace", metavar="NAME", help="Installation within that Redis (orc); or ORCHESTRATOR_NAMESPACE."),
        _shared("-v", "--verbose", count=True, help="Log to standard error; twice for more."),
    ]


def _profiles(ctx: click.Context, parameter: click.Parameter, begun: str) -> list[str]:
    from orchestrator_cli.completion import profile_names

    return profile_names(ctx, parameter, begun)


def _shared(*names: str, **attributes: Any) -> click.Option:
    return click.Option(names, expose_value=False, callback=_remember, **attributes)


def _remember(ctx: click.Context, parameter: click.Parameter, value: Any) -> None:
    if value and parameter.name is not None:
        ctx.find_root().ensure_object(dict)[parameter.name] = value


def _did_you_mean(name: str, known: Mapping[str, Any]) -> str:
    similar = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    return f" Did you mean {' or '.join(similar)}?" if similar else f" There are: {', '.join(known)}."


def choice(*values: str) -> Any:
    """An option's type with these values, written as they are in Conductor, read in any case."""
    return click.Choice(values, case_sensitive=False)


def output_option(default: str = "table", *more: str) -> Callable[[Any], Any]:
    """The option ``-o`` of everything that prints data; ``more`` are forms that only this command has."""
    forms = choice(*more, *FORMS)
    return click.option(
        "-o", "--output", "form", type=forms, default=default, show_default=True, help="Form of output."
    )

"""The page of the documentation that says what every command takes: Markdown from the commands themselves.

``make reference`` writes ``docs/cli.md`` with it, and a test compares. Nothing is run; only help texts are read.
"""

from __future__ import annotations

from collections.abc import Iterator

import click

from orchestrator_cli.command import FORMS, Leaf, shared_options
from orchestrator_cli.main import COMMANDS, EXIT_STATUSES, root
from orchestrator_cli.session import PRECEDENCE

INTRODUCTION = """\
# Command line

Everything that `orchestrator` does. This page is written by `make reference` from the commands themselves; `--help` behind
any of them says the same.

Data goes to standard output and nothing else does; prose, progress and questions go to standard error. Nothing is asked
where there is no terminal. `NO_COLOR` is honoured, `ORCHESTRATOR_DEBUG=1` shows where an error comes from.
"""

PROFILES = """\
A profile is a file of its owner's in `~/.config/orchestrator/profiles/` (`$XDG_CONFIG_HOME`), made with
[`profile set`](#orchestrator-profile-set). It counts as a whole: an address in the environment goes before all of a profile
that is merely in use. `orchestrator config show` says what a command would go by, and why.
"""


def page() -> str:
    """The whole page. Example: ``Path("docs/cli.md").write_text(page())``"""
    return "\n".join(_parts())


def _parts() -> Iterator[str]:
    context = click.Context(root, info_name="orchestrator")
    yield INTRODUCTION
    yield "## What is asked\n"
    yield "In this order, the first that names something:\n"
    yield "".join(f"{number}. {text}\n" for number, text in enumerate(PRECEDENCE, 1))
    yield PROFILES
    yield "These options may stand before or behind every command:\n"
    yield _options(shared_options(), context)
    yield "## What is printed\n"
    yield _table(("`-o`", "what it prints"), [(f"`{name}`", meaning) for name, meaning in FORMS.items()])
    yield "## Exit statuses\n"
    yield _table(("status", "meaning"), [(str(status), meaning) for status, meaning in EXIT_STATUSES.items()])
    yield "## Commands\n"
    rows = [(f"[`{name}`](#orchestrator-{name})", entry.help) for name, entry in COMMANDS.items()]
    yield _table(("command", "what it does"), rows)
    yield from _commands(root, context)


def _commands(group: click.Group, context: click.Context) -> Iterator[str]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None:
            continue
        inner = click.Context(command, parent=context, info_name=name)
        level = "##" if context.parent is None else "###"
        yield f"{level} {inner.command_path}\n"
        if isinstance(command, click.Group):
            yield f"{command.help}\n"
            yield from _commands(command, inner)
        else:
            yield from _command(command, inner)


def _command(command: click.Command, context: click.Context) -> Iterator[str]:
    yield "\n".join(line.strip() for line in (command.help or "").splitlines()).strip() + "\n"
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    lines = [usage]
    if isinstance(command, Leaf):
        lines += ["", *(line.strip() for line in command.examples.strip().splitlines())]
    yield "\n".join(["```text", *lines, "```\n"])
    shared = {option.name for option in shared_options()}
    own = [one for one in command.params if isinstance(one, click.Option) and one.name not in shared]
    if own:
        yield _options(own, context)


def _options(options: list[click.Parameter] | list[click.Option], context: click.Context) -> str:
    records = [option.get_help_record(context) for option in options]
    return _table(("option", "meaning"), [(f"`{record[0]}`", record[1]) for record in records if record is not None])


def _table(titles: tuple[str, str], rows: list[tuple[str, str]]) -> str:
    lines = [titles, ("---", "---"), *rows]
    return "".join("| {} | {} |\n".format(*(cell.replace("|", "\\|") for cell in line)) for line in lines)


if __name__ == "__main__":
    click.echo(page(), nl=False)

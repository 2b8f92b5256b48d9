"""What holds for every command: its page in the documentation, its forms of output, its help without weight."""

from __future__ import annotations

import inspect
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from orchestrator import errors
from orchestrator_cli.command import FORMS, Leaf
from orchestrator_cli.main import EXIT_STATUSES, root
from orchestrator_cli.reference import page
from tests.cli.conftest import PATHS, ROOT

ROLES = ("dev", "server", "decider", "system", "worker")
OWN_FORMS = (
    "def graph",
    "workflow graph",
    "workflow export",
    "metrics",
    "completion",
    "deploy render",
    "workflow replay",
)
"""What these print is a form by itself: a drawing, a document to import, Prometheus' text, a script, files, differences."""
ACTS = (
    *(
        "def delete",
        "taskdef delete",
        "schema delete",
        "secret set",
        "secret delete",
        "secret key",
        "env set",
        "env delete",
    ),
    *("key revoke", "tag add", "tag remove", "event handler delete", "event queue set", "event queue delete"),
    *("webhook delete", "schedule pause", "schedule resume", "schedule delete", "schedule pause-all"),
    *("schedule resume-all", "schedule requeue-all", "archive run", "archive restore", "workflow import", "task log"),
    *("profile use", "profile set", "profile delete", "workers pause", "workers resume", "workers drain"),
    *("limit set", "queue pause", "queue resume", "queue drain", "queue purge"),
)
"""These change something that they were told the name of; at most they repeat it, a line each."""

HEAVY = {
    "redis",
    "fakeredis",
    "rich",
    "yaml",
    "msgspec",
    "msgpack",
    "asyncio",
    "ssl",
    "http",
    "httpx2",
    "starlette",
    "uvicorn",
}
HEAVY |= {"sqlalchemy", "prometheus_client", "cryptography", "concurrent", "multiprocessing", "rq", "quickjs", "jq"}


def commands(group: click.Group = root, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, with its words."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


ALL = dict(commands())


def test_the_page_of_the_documentation_is_what_the_commands_say() -> None:
    assert (ROOT / "docs/cli.md").read_text("utf-8") == page(), "a command has changed: run make reference"


def test_every_command_that_prints_data_has_every_form_of_output() -> None:
    without = []
    for name, command in ALL.items():
        option = next((one for one in command.params if "-o" in one.opts), None)
        if option is None:
            without.append(name)
        else:
            assert isinstance(option.type, click.Choice)
            assert {*FORMS} <= {*option.type.choices}, name
    assert sorted(without) == sorted((*ROLES, *OWN_FORMS, *ACTS))


@pytest.mark.parametrize("name", sorted(ALL))
def test_every_command_shows_examples_of_itself_first(name: str) -> None:
    command = ALL[name]
    assert isinstance(command, Leaf)
    lines = command.examples.strip().splitlines()
    assert all(f"orchestrator {name}" in line for line in lines), lines
    shown = CliRunner().invoke(root, [*name.split(), "--help"], prog_name="orchestrator").stdout.splitlines()
    assert shown[: len(lines) + 1] == ["Examples:", *(f"  {line.strip()}" for line in lines)]


@pytest.mark.parametrize("name", sorted(ALL))
def test_every_example_is_understood_by_its_command(name: str, tmp_path: Path) -> None:
    """Nothing is done: the words are given to the command's parser, as a shell would split them."""
    command = ALL[name]
    assert isinstance(command, Leaf)
    (tmp_path / "order.schema.json").touch()
    for line in command.examples.strip().splitlines():
        words = words_of(line, ["orchestrator", *name.split()])
        with click.Context(root, info_name="orchestrator", obj={}) as parent:
            command.make_context(name, words[1 + len(name.split()) :], parent=parent).close()


def words_of(line: str, command: list[str]) -> list[str]:
    """What a shell gives to a command in a line, without the pipes and redirections around it."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|<>()")
    lexer.whitespace_split = True
    words = list(lexer)
    at = next(at for at in range(len(words)) if words[at : at + len(command)] == command)
    begun = words[at:]
    end = next((at for at, word in enumerate(begun) if set(word) <= set("|<>()")), len(begun))
    return begun[:end]


def test_no_help_loads_what_only_work_needs() -> None:
    code = """
import sys
from orchestrator_cli.main import root
heavy = set(sys.argv[1].split(","))
for line in ["", *sys.argv[2:]]:
    try: root.main([*line.split(), "--help"], prog_name="orchestrator")
    except SystemExit: pass
    loaded = heavy & {name.partition(".")[0] for name in sys.modules}
    if loaded: sys.exit(f"{line or 'orchestrator'} --help loads {', '.join(sorted(loaded))}")
"""
    done = subprocess.run(
        [sys.executable, "-c", code, ",".join(HEAVY), *ALL],
        env={**os.environ, "PYTHONPATH": PATHS},
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_every_exit_status_of_an_error_is_explained() -> None:
    raised = {
        one.exit_code
        for _, one in inspect.getmembers(errors, inspect.isclass)
        if issubclass(one, errors.OrchestratorError)
    }
    assert raised <= EXIT_STATUSES.keys()
    told = CliRunner().invoke(root, ["--help"]).stdout
    assert all(f"\n  {status} " in told for status in EXIT_STATUSES)

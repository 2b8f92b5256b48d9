"""The commands that pages name in their sentences are commands, and have the options that are named with them."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from orchestrator_cli.main import root
from tests.docs.blocks import FENCE, name_of, pages

NAMED = re.compile(r"`orchestrator ([^`]+)`")
PLACEHOLDERS = {"VERB", "ROLE", "COMMAND"}
"""Words that stand for any command."""


def mistakes(line: str) -> list[str]:
    """What of a command line there is not."""
    command: click.Command = root
    words = [word for part in line.split() for word in re.split(r"[=|]", part)[:1]]
    for word in [word for word in words if not word.startswith(("-", "["))]:
        if not isinstance(command, click.Group) or word in PLACEHOLDERS:
            break
        found = command.get_command(click.Context(command), word)
        if found is None:
            return [f"there is no {word} in: {line}"]
        command = found
    known = {option for one in (command, root) for parameter in one.params for option in parameter.opts}
    known |= {option for parameter in command.params for option in parameter.secondary_opts}
    given = [word.strip("[]") for word in words if word.startswith(("-", "[-"))]
    return [f"there is no {option} in: {line}" for option in given if option not in known]


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_commands_that_a_page_names_are_there(page: Path) -> None:
    found = NAMED.findall(FENCE.sub("", page.read_text()).replace("\n", " "))
    assert [mistake for line in found for mistake in mistakes(line)] == []


def test_a_command_or_option_that_is_not_there_is_noticed() -> None:
    assert mistakes("workflow why ID") == []
    assert mistakes("decider --no-system-tasks") == []
    assert mistakes("workflow wy ID") == ["there is no wy in: workflow wy ID"]
    assert mistakes("workflow why ID --loud") == ["there is no --loud in: workflow why ID --loud"]

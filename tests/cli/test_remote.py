"""Commands that ask a server: the same words, and a clear one where only the Redis will do."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from click.testing import CliRunner, Result

from orchestrator.api import create_app
from orchestrator.settings import Settings
from orchestrator_cli.main import root
from tests.cli.conftest import SHOP, Invoke
from tests.support.served import Served


@pytest.fixture
def ask(fakeredis_url: str, engine: None) -> Iterator[Invoke]:
    """Run a command line that asks a server before the engine's store."""
    with Served(create_app(settings=Settings(redis_url=fakeredis_url))) as served:

        def run(*arguments: str) -> Result:
            return CliRunner().invoke(root, ["--server", served.url, *arguments], prog_name="orchestrator")

        yield run


def test_a_workflow_is_applied_run_and_looked_at_through_a_server(ask: Invoke) -> None:
    assert ask("def", "apply", SHOP).exit_code == 0
    names = [found["name"] for found in json.loads(ask("def", "list", "-o", "json").stdout)]
    assert "hello" in names
    started = ask("workflow", "run", "hello", "-i", "name=Ada")
    assert started.exit_code == 0, started.output
    (line,) = json.loads(ask("workflow", "list", "-o", "json").stdout)
    assert (line["workflowType"], line["status"]) == ("hello", "COMPLETED")
    shown = json.loads(ask("workflow", "get", line["workflowId"], "-o", "json").stdout)
    assert [task["status"] for task in shown["tasks"]] == ["COMPLETED"] * len(shown["tasks"])
    assert ask("queue", "list", "-o", "json").exit_code == 0


def test_errors_of_a_server_have_the_exit_status_of_the_store_s(ask: Invoke) -> None:
    assert ask("workflow", "get", "nobody").exit_code == 3
    assert ask("workflow", "start", "nobody").exit_code == 3


@pytest.mark.parametrize("arguments", [("key", "list"), ("archive", "info")])
def test_a_command_that_needs_redis_says_so(ask: Invoke, arguments: tuple[str, ...]) -> None:
    refused = ask(*arguments)
    assert refused.exit_code != 0
    assert "redis://" in refused.output

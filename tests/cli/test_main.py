"""The root command: help without weight, names that are nearly right, and errors that become exit statuses."""

from __future__ import annotations

import os
import subprocess
import sys

import click
import pytest
import redis
from click.testing import CliRunner

import orchestrator
from orchestrator import errors
from orchestrator_cli.main import COMMANDS, exit_status, root
from orchestrator_cli.session import Session
from tests.cli.conftest import PATHS, Command, Invoke, finished
from tests.support.redis_server import RedisServer


def run_python(code: str) -> str:
    environment = {**os.environ, "PYTHONPATH": PATHS}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_help_lists_every_command_without_loading_what_commands_need() -> None:
    shown = run_python(
        "import sys; from orchestrator_cli.main import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print('loaded:', *sorted({'redis', 'rich', 'yaml', 'asyncio', 'msgspec'} & set(sys.modules)))"
    )
    assert all(f"\n  {name} " in shown for name in COMMANDS)
    assert shown.splitlines()[-1] == "loaded:"


@pytest.mark.parametrize("name", [*COMMANDS])
def test_every_command_has_help_that_begins_with_examples_or_lists_commands(name: str) -> None:
    result = CliRunner().invoke(root, [name, "--help"])
    assert result.exit_code == 0
    first = result.stdout.splitlines()[0]
    assert first == "Examples:" or ("Commands:" in result.stdout and first.startswith("Usage:"))


@pytest.mark.parametrize(
    ("arguments", "meant"), [(["workflw"], "workflow"), (["workflow", "strat"], "start"), (["def", "aply"], "apply")]
)
def test_an_unknown_command_is_answered_with_what_was_meant(arguments: list[str], meant: str) -> None:
    result = CliRunner().invoke(root, arguments)
    assert result.exit_code == 2
    assert f"Did you mean {meant}" in result.stderr


def test_a_name_like_no_other_is_answered_with_all_there_are() -> None:
    result = CliRunner().invoke(root, ["archive", "zzzzzz"])
    assert result.exit_code == 2
    assert "There are: info, run, restore." in result.stderr


def test_version_is_printed_by_command_and_by_option(invoke: Invoke) -> None:
    assert invoke("version").stdout.strip() == orchestrator.__version__
    assert invoke("--version").stdout.strip() == orchestrator.__version__
    assert '"redis": "' in invoke("version", "-o", "json").stdout
    assert '"core": "interpreted"' in invoke("version", "-o", "json").stdout


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.InvalidRequest("x"), 2),
        (errors.WorkflowNotFound("x"), 3),
        (errors.Conflict("x"), 4),
        (errors.StoreUnavailable("x"), 5),
        (errors.StoreForbidden("Redis asks for a password: put it in the URL"), 6),
        (errors.StoreRefused("too old"), 5),
        (errors.DefinitionInvalid("x", []), 7),
        (errors.WaitTimeout("x"), 8),
        (errors.WorkflowFailed("id", "reason"), 10),
        (errors.WorkflowTerminated("id", "reason"), 11),
        (errors.WorkflowTimedOut("id", "reason"), 12),
        (click.Abort(), 130),
        (click.UsageError("x"), 2),
        (RuntimeError("x"), 1),
    ],
)
def test_each_kind_of_error_has_its_exit_status(error: Exception, status: int) -> None:
    assert exit_status(error) == status


def test_an_unexpected_error_is_one_line_and_says_how_to_see_more(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(*_: object) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr("orchestrator_cli.version._installed", explode)
    result = invoke("version")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        "Error: unexpected RuntimeError: boom\nSet ORCHESTRATOR_DEBUG=1 to see where it comes from.\n"
    )
    monkeypatch.setenv("ORCHESTRATOR_DEBUG", "1")
    assert isinstance(invoke("version").exception, RuntimeError)


def test_a_store_that_does_not_answer_is_told_with_where_its_url_came_from(invoke: Invoke) -> None:
    result = invoke("workflow", "list", url="redis://127.0.0.1:1/0")
    assert result.exit_code == 5
    assert "127.0.0.1:1" in result.stderr
    assert "came from --redis" in result.stderr
    assert "Traceback" not in result.stderr


def test_without_any_redis_the_advice_is_to_start_a_dev() -> None:
    session = Session({})
    assert session.found == "default"
    assert not session.is_named
    assert "Start one with: orchestrator dev" in session.hint


def test_an_option_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_REDIS_URL", "redis://user:secret@here:1/0")
    session = Session({})
    assert (session.found, session.is_named) == ("ORCHESTRATOR_REDIS_URL", True)
    assert session.shown_url == "redis://here:1/0"
    assert Session({"redis": "redis://there:2/0"}).settings.redis_url == "redis://there:2/0"


@pytest.mark.parametrize("url", ["localhost:6379", "http://localhost:8080", "redis+cluster://"])
def test_a_url_that_is_none_is_a_usage_error(invoke: Invoke, url: str) -> None:
    result = invoke("queue", "list", url=url)
    assert result.exit_code == 2
    assert "redis_url" in result.stderr


def test_a_redis_that_may_evict_is_refused_with_the_remedy(invoke: Invoke) -> None:
    with RedisServer("redis", options={"maxmemory-policy": "allkeys-lru"}) as server:
        result = invoke("workflow", "list", url=server.url)
    assert result.exit_code == 5
    assert "CONFIG SET maxmemory-policy noeviction" in result.stderr


def test_a_redis_that_wants_a_password_ends_with_the_status_for_rights(invoke: Invoke) -> None:
    # The server's own fixture could not speak to it any more, so the password is set while it runs.
    with RedisServer("redis") as server:
        with redis.Redis.from_url(server.url) as client:
            client.config_set("requirepass", "secret")
        refused = invoke("workflow", "list", url=server.url)
        wrong = invoke("workflow", "list", url=server.url.replace("redis://", "redis://:wrong@"))
    assert (refused.exit_code, wrong.exit_code) == (6, 6)
    assert "password" in refused.stderr
    assert "wrong@" not in wrong.stderr


def test_colours_are_left_out_where_no_color_is_set(command: Command) -> None:
    status, stdout, stderr = finished(command("def", "get", "x", "--redis", "foo", environment={"NO_COLOR": "1"}))
    assert (status, stdout) == (2, "")
    assert "\x1b" not in stderr

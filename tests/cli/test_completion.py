"""completion: scripts for the shells, names of the installation, and nothing when it keeps silent."""

from __future__ import annotations

import threading
from collections.abc import Iterable

import pytest
from click.shell_completion import ShellComplete

from orchestrator_cli import completion, profiles
from orchestrator_cli.main import root
from orchestrator_cli.session import Store
from tests.cli.conftest import SHOP, Invoke
from tests.support.eventually import eventually


def completed(url: str, *words: str, begun: str = "") -> list[str]:
    """What Tab offers behind ``orchestrator --redis URL WORDS``."""
    shell = ShellComplete(root, {}, "orchestrator", completion.VARIABLE)
    return [item.value for item in shell.get_completions(["--redis", url, *words], begun)]


@pytest.fixture
def url(invoke: Invoke, fakeredis_url: str) -> str:
    """An installation with the shop's definitions and a schedule."""
    assert invoke("def", "apply", SHOP).exit_code == 0
    assert invoke("schedule", "create", "nightly", "hello", "--cron", "0 0 9 * * ?").exit_code == 0
    return fakeredis_url


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_script(invoke: Invoke, shell: str) -> None:
    script = invoke("completion", shell)
    assert script.exit_code == 0
    assert completion.VARIABLE in script.stdout
    assert f"{shell}_complete" in script.stdout


def test_names_of_the_installation_are_offered_where_they_are_asked_for(invoke: Invoke, engine: None, url: str) -> None:
    assert completed(url, "workflow", "start") == ["hello", "patient", "refused"]
    assert completed(url, "def", "get", begun="he") == ["hello"]
    assert completed(url, "task", "list", begun="gr") == ["greet"]
    assert completed(url, "schedule", "pause") == ["nightly"]
    workflow_id = invoke("workflow", "start", "patient").stdout.strip()
    eventually(lambda: completed(url, "workflow", "get") == [workflow_id])
    assert completed(url, "workflow", "pause", workflow_id, begun=workflow_id[:3]) == [workflow_id]


def test_commands_and_options_are_offered_without_asking_anybody() -> None:
    assert {"pause", "push"} & set(completed("redis://127.0.0.1:1/0", "workflow", begun="pau")) == {"pause"}
    assert completed("redis://127.0.0.1:1/0", "queue", "list", begun="--out") == ["--output"]


def test_profiles_are_offered(url: str) -> None:
    profiles.put("prod", {"redis_url": "redis://db/0"})
    assert completed(url, "profile", "use") == ["prod"]
    assert completed(url, "queue", "list", "--profile") == ["prod"]
    assert completed(url, "workflow", "list", "--name", begun="p") == ["patient"]


def test_an_installation_that_is_not_there_offers_nothing_and_no_error() -> None:
    assert completed("redis://127.0.0.1:1/0", "schedule", "pause") == []


def test_a_name_that_no_workflow_has_may_be_a_file(url: str) -> None:
    shell = ShellComplete(root, {}, "orchestrator", completion.VARIABLE)
    offered = shell.get_completions(["--redis", url, "workflow", "start"], "zzz")
    assert [(item.value, item.type) for item in offered] == [("zzz", "file")]


def test_an_installation_that_keeps_silent_is_not_waited_for(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ever, asked = threading.Event(), threading.Event()

    def silent(store: Store) -> Iterable[str]:
        asked.set()
        ever.wait(50)
        return ["late"]

    monkeypatch.setattr(completion, "WAIT_S", 0.5)
    complete = completion._asking(silent)
    with root.make_context("orchestrator", ["--redis", url, "schedule", "list"]) as ctx:
        assert complete(ctx, root.params[0], "") == []
    assert asked.is_set()
    ever.set()

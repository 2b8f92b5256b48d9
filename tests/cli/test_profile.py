"""profile and config: kept connection settings, what goes before what, and nothing secret on the screen."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner

from orchestrator.errors import NotFound, SettingsInvalid
from orchestrator_cli import profiles
from orchestrator_cli.main import root
from orchestrator_cli.session import Session
from tests.cli.conftest import Invoke, write

SECRET = "open-sesame"


@pytest.fixture(autouse=True)
def kept(invoke: Invoke) -> None:
    """Two profiles: one is a Redis, one a server."""
    assert invoke("profile", "set", "prod", f"redis_url=redis://me:{SECRET}@db:6379/0", "namespace=shop").exit_code == 0
    server = ("server_url=https://flows.example", "auth_key=ops", "auth_secret=-")
    assert invoke("profile", "set", "staging", *server, stdin=f"{SECRET}\n").exit_code == 0


def test_profiles_are_listed_chosen_and_forgotten(invoke: Invoke) -> None:
    assert invoke("profile", "list", "-o", "name").stdout == "prod\nstaging\n"
    assert invoke("profile", "use", "staging").exit_code == 0
    rows = json.loads(invoke("profile", "list", "-o", "json").stdout)
    assert {row["name"]: row["inUse"] for row in rows} == {"prod": False, "staging": True}
    assert invoke("profile", "delete", "staging").stdout == "staging\n"
    assert Session({}).found == "default"
    assert invoke("profile", "use", "staging").exit_code == 3
    assert invoke("profile", "use", "--none").exit_code == 0
    assert invoke("profile", "use").exit_code == 2
    assert invoke("profile", "show").exit_code == 2


def test_a_value_is_added_replaced_and_taken_away(invoke: Invoke) -> None:
    assert invoke("profile", "set", "prod", "namespace=").exit_code == 0
    assert "namespace" not in profiles.read("prod")
    assert profiles.read("prod")["redis_url"] == f"redis://me:{SECRET}@db:6379/0"
    assert invoke("profile", "set", "prod", 'namespace=a"\\ß').exit_code == 0
    assert profiles.read("prod")["namespace"] == 'a"\\ß'


def test_secrets_are_in_no_output_and_in_files_of_their_owner_alone(invoke: Invoke) -> None:
    shown = [
        invoke("profile", command, *rest, "-o", form)
        for form in ("table", "json", "jsonl", "yaml")
        for command, *rest in (("list",), ("show", "prod"), ("show", "staging"))
    ]
    told = invoke("--profile", "staging", "config", "show", "-o", "json")
    assert all(result.exit_code == 0 for result in (*shown, told))
    assert not any(SECRET in result.output for result in (*shown, told))
    assert json.loads(invoke("profile", "show", "prod", "-o", "json").stdout)["redis_url"] == "redis://db:6379/0"
    assert json.loads(invoke("profile", "show", "staging", "-o", "json").stdout)["auth_secret"] == "(set)"
    assert {stat.S_IMODE(path.stat().st_mode) for path in (profiles.folder() / "profiles").iterdir()} == {0o600}


def test_a_profile_brings_all_its_settings_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    session = Session({"profile": "prod"})
    assert (session.settings.namespace, session.is_remote, session.is_named) == ("shop", False, True)
    assert session.found == "profile prod"
    assert "came from profile prod" in session.hint
    assert SECRET not in session.shown_url
    remote = Session({"profile": "staging"})
    assert (remote.is_remote, remote.settings.auth_key, remote.settings.auth_secret) == (True, "ops", SECRET)
    assert remote.settings.source("server_url") == "profile staging"


def test_an_option_goes_first_then_a_named_profile_then_the_environment_then_the_one_in_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    profiles.use("prod")
    assert Session({}).found == "profile prod"
    assert not Session({}, is_new=True).is_named  # a dev does not begin in production because that was looked at
    monkeypatch.setenv("ORCHESTRATOR_PROFILE", "staging")
    assert Session({}).found == "profile staging"
    assert Session({}).is_remote
    monkeypatch.setenv("ORCHESTRATOR_REDIS_URL", "redis://near:1/0")
    monkeypatch.setenv("ORCHESTRATOR_NAMESPACE", "mine")
    assert (Session({}).found, Session({}).settings.namespace) == ("ORCHESTRATOR_REDIS_URL", "mine")
    assert not Session({}).is_remote
    assert Session({"profile": "staging"}).is_remote
    asked_for = Session({"profile": "prod"})
    assert (asked_for.found, asked_for.settings.namespace) == ("profile prod", "shop")
    assert Session({"profile": "prod", "namespace": "other"}).settings.namespace == "other"
    assert Session({"profile": "prod", "redis": "redis://there:2/0"}).settings.redis_url == "redis://there:2/0"


def test_values_are_read_from_files_where_a_profile_says_so(tmp_path: Path) -> None:
    where = write(tmp_path, "url", "redis://:pw@db/1\n")
    profiles.put("mounted", {"redis_url_file": where})
    assert Session({"profile": "mounted"}).settings.redis_url == "redis://:pw@db/1"
    Path(where).unlink()
    with pytest.raises(SettingsInvalid, match="redis_url_file"):
        Session({"profile": "mounted"})


@pytest.mark.parametrize(
    "content",
    ["redis_url = ", 'other = "x"', "redis_url = 7", 'redis_url = "a"\nserver_url = "b"', 'namespace = "x"', b"\xff"],
)
def test_a_file_that_is_no_profile_is_refused_with_its_name(content: str | bytes) -> None:
    path = profiles.folder() / "profiles" / "broken.toml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(SettingsInvalid, match="broken"):
        Session({"profile": "broken"})


def test_what_is_no_name_or_no_profile_is_refused(invoke: Invoke) -> None:
    assert invoke("profile", "set", "../up", "redis_url=redis://a/0").exit_code == 2
    assert invoke("profile", "set", "prod", "redis_url").exit_code == 2
    assert invoke("profile", "set", "prod", "colour=red").exit_code == 2
    with pytest.raises(NotFound, match="there are: prod, staging"):
        Session({"profile": "nobody"})


def test_every_setting_is_shown_with_its_source(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_LEASE_MS", "20000")
    rows = {row["name"]: row for row in json.loads(invoke("config", "show", "-o", "json").stdout)}
    assert (rows["lease_ms"]["value"], rows["lease_ms"]["source"]) == (20000, "ORCHESTRATOR_LEASE_MS")
    assert rows["redis_url"]["source"] == "--redis"
    assert rows["partitions"]["source"] == "default"
    assert invoke("config", "show", "--set", "-o", "name").stdout == "redis_url\nlease_ms\n"
    told = CliRunner().invoke(
        root, ["--profile", "staging", "--namespace", "a", "config", "show", "--set", "-o", "json"]
    )
    assert {row["name"]: row["source"] for row in json.loads(told.stdout)} == {
        "server_url": "profile staging",
        "auth_key": "profile staging",
        "auth_secret": "profile staging",
        "namespace": "--namespace",
        "lease_ms": "ORCHESTRATOR_LEASE_MS",
    }

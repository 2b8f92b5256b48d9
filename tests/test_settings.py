"""Settings: where a value comes from, and that a bad one is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.errors import SettingsInvalid
from orchestrator.settings import Settings, load_settings


def test_defaults_need_no_environment() -> None:
    settings = load_settings({})
    assert settings == Settings()
    assert settings.source("lease_ms") == "default"


def test_an_argument_beats_the_environment_which_beats_the_default() -> None:
    environ = {"ORCHESTRATOR_LEASE_MS": "20000", "ORCHESTRATOR_PARTITIONS": "8", "ORCHESTRATOR_ALLOW_EVICTION": "Yes"}
    settings = load_settings(environ, partitions=4, namespace=None)
    assert (settings.lease_ms, settings.partitions, settings.allow_eviction) == (20_000, 4, True)
    sources = [settings.source(name) for name in ("lease_ms", "partitions", "namespace")]
    assert sources == ["ORCHESTRATOR_LEASE_MS", "argument", "default"]


def test_the_url_may_come_from_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "url"
    secret.write_text("redis://:secret@db:6379/0\n")
    settings = load_settings({"ORCHESTRATOR_REDIS_URL_FILE": str(secret)})
    assert settings.redis_url == "redis://:secret@db:6379/0"
    assert settings.source("redis_url").startswith("ORCHESTRATOR_REDIS_URL_FILE=")


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"ORCHESTRATOR_LEASE_MS": "soon"}, r"lease_ms \(from ORCHESTRATOR_LEASE_MS\): 'soon' is not a number"),
        ({"ORCHESTRATOR_LEASE_MS": "1"}, r"lease_ms .*outside"),
        ({"ORCHESTRATOR_DURABILITY": "always"}, "durability .*none, fsync, replicas"),
        ({"ORCHESTRATOR_ALLOW_EVICTION": "maybe"}, "allow_eviction .*not true or false"),
        ({"ORCHESTRATOR_LOG_LEVEL": "loud"}, "log_level"),
        ({"ORCHESTRATOR_REDIS_URL_FILE": "/nowhere/url"}, "cannot read /nowhere/url"),
    ],
)
def test_a_bad_value_is_named_with_its_source(environ: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsInvalid, match=message):
        load_settings(environ)


def test_a_value_given_directly_is_checked_too() -> None:
    with pytest.raises(SettingsInvalid, match="partitions"):
        Settings(partitions=0)
    assert Settings(partitions=4).source("partitions") == "argument"


def test_text_in_the_environment_becomes_the_type_of_the_setting() -> None:
    settings = load_settings({"ORCHESTRATOR_DRAIN_TIMEOUT_S": "1.5", "ORCHESTRATOR_LOG_LEVEL": "debug"})
    assert (settings.drain_timeout_s, settings.log_level) == (1.5, "DEBUG")

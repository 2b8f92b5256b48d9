"""tag: words hung on what is registered, read back and taken away; through Redis and through a server."""

from __future__ import annotations

import json

from tests.cli.conftest import SHOP, Invoke


def tags(ask: Invoke, *arguments: str) -> dict[str, object]:
    found = ask("tag", "list", *arguments, "-o", "json")
    assert found.exit_code == 0, found.stderr
    return {row["key"]: row["value"] for row in json.loads(found.stdout)}


def test_tags_of_a_workflow_are_hung_listed_and_taken_away(ask: Invoke) -> None:
    assert ask("def", "apply", SHOP).exit_code == 0
    assert ask("tag", "add", "workflow", "hello", "team=payments", "tier=1", "public").exit_code == 0
    assert tags(ask, "workflow", "hello") == {"team": "payments", "tier": 1, "public": None}
    assert ask("tag", "remove", "workflow", "hello", "team=others", "tier=1").exit_code == 0
    assert tags(ask) == {"team": "payments", "public": None}
    assert ask("tag", "remove", "workflow", "hello", "team", "public").exit_code == 0
    assert tags(ask) == {}
    assert ask("tag", "add", "workflow", "nobody", "a=b").exit_code == 3
    assert ask("tag", "list", "workflow").exit_code == 2


def test_the_tag_that_limits_a_workflow_limits_it(ask: Invoke) -> None:
    assert ask("def", "apply", SHOP).exit_code == 0
    assert ask("tag", "add", "workflow", "hello", "limit=4", "--type", "RATE_LIMIT").exit_code == 0
    assert json.loads(ask("def", "limit", "hello", "-o", "json").stdout)["concurrentExecLimit"] == 4


def test_tags_of_a_schedule_are_kept_with_it(ask: Invoke) -> None:
    assert ask("schedule", "create", "nightly", "report", "--cron", "0 0 9 * * ?").exit_code == 0
    assert ask("tag", "add", "schedule", "nightly", "team=billing", "late").exit_code == 0
    assert tags(ask, "schedule", "nightly") == {"team": "billing", "late": ""}
    assert ask("tag", "remove", "schedule", "nightly", "late").exit_code == 0
    assert tags(ask, "schedule", "nightly") == {"team": "billing"}

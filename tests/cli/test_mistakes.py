"""What users get wrong with executions: told in words, with the right exit status, and never with a traceback."""

from __future__ import annotations

import pytest

from tests.cli.conftest import SHOP, Invoke


@pytest.fixture(autouse=True)
def _shop_is_registered(invoke: Invoke) -> None:
    assert invoke("def", "apply", SHOP).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("start", "unknown"), 3, "unknown"),
        (("start", "hello", "--version", "7"), 3, "7"),
        (("start", "hello", "-i", "name"), 2, "neither key=text nor key:=json"),
        (("start", "hello", "-i", "n:=18446744073709551616"), 7, "input"),
        (("start", "hello", "--domain", "eu"), 2, "TASK=DOMAIN"),
        (("start", "hello", "--priority", "100"), 2, "priority"),
        (("start", "hello", "--id", "a", "--idempotency-key", "b"), 2, "not both"),
        (("get", "nothing"), 3, "nothing"),
        (("watch", "nothing"), 3, "nothing"),
        (("pause", "nothing"), 3, "nothing"),
        (("terminate", "nothing"), 3, "nothing"),
        (("signal", "nothing", "x"), 3, "nothing"),
        (("unpark", "nothing"), 3, "nothing"),
        (("list", "--status", "GONE"), 2, "GONE"),
        (("list", "--limit", "0"), 2, "limit"),
    ],
)
def test_a_mistake_is_told_in_words_with_its_exit_status(
    invoke: Invoke, arguments: tuple[str, ...], status: int, message: str
) -> None:
    result = invoke("workflow", *arguments)
    assert (result.exit_code, result.stdout) == (status, "")
    assert message in result.stderr
    assert "Traceback" not in result.stderr

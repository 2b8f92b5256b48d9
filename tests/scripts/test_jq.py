"""JQ for definitions: all results of a query, with Conductor's numbers; the limits are its process's."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.scripts.jq import check_syntax, evaluate
from orchestrator.scripts.limits import ScriptFailed


@pytest.mark.parametrize(
    ("query", "results"),
    [
        (".a", [1]),
        (".b[]", [1, 2]),
        ("empty", []),
        ("3.0, 1e3, 1.5, 1e30", [3, 1000, 1.5, 1e30]),
        ("{x: (.b | length), y: [.b[] * 2.0]}", [{"x": 2, "y": [2, 4]}]),
        (".missing", [None]),
    ],
)
def test_a_query_gives_all_its_results(query: str, results: list[Any]) -> None:
    found = evaluate(query, '{"a": 1, "b": [1, 2]}')
    assert found == results
    assert [type(each) for each in found] == [type(each) for each in results]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (".a[0]", "Cannot index number with number"),
        ('error("no stock")', "no stock"),
        (".a |", "syntax error"),
        ("input", "No more inputs"),
        ('import "x" as x; 1', "module not found"),
    ],
)
def test_a_query_that_fails_says_why(query: str, message: str) -> None:
    with pytest.raises(ScriptFailed, match=message):
        evaluate(query, '{"a": 1}')


def test_a_query_that_cannot_be_read_is_found_without_running_it() -> None:
    assert check_syntax("[range(1; infinite)]") is None
    assert "syntax error" in (check_syntax(".[") or "")

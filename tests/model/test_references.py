"""Finding the expressions in a text and the task each of them names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.model.references import expressions, has_expression, is_whole_expression, root_of, text_values


@pytest.mark.parametrize(
    ("text", "bodies"),
    [
        ("plain", []),
        ("${a.b}", ["a.b"]),
        ("x ${a.b} y ${c} z", ["a.b", "c"]),
        ("${a\n.b}", ["a\n.b"]),
        ("${m.b[${i}]}", ["m.b[${i}]", "i"]),
        ("${a[?(@.b == '{x}')]}", ["a[?(@.b == '{x}')]"]),
        ("$${a.b}", []),
        ("$${a ${b} } ${c}", ["c"]),
        ("${a.b", []),
        ("${a ${b}", ["b"]),
        ("} ${a}", ["a"]),
        ("{${a}}", ["a"]),
        ("${}", [""]),
    ],
)
def test_expressions_have_balanced_braces_and_escapes_are_skipped(text: str, bodies: list[str]) -> None:
    assert list(expressions(text)) == bodies


@pytest.mark.parametrize(
    ("body", "root"),
    [
        ("charge.output.amount", "charge"),
        (" charge.output ", "charge"),
        ("charge", "charge"),
        ("$.charge.output", "charge"),
        ("charge[0].x", "charge"),
        ("['my task'].output", "my task"),
        ('$["my task"].output', "my task"),
        ("workflow.input.x", "workflow"),
        ("my-task/1.output", "my-task/1"),
        ("recordIds[${i}]", "recordIds"),
        ("", None),
        ("*", None),
        ("$..x", None),
        ("${a.b}.output", None),
        ("task_${a.b}.output", None),
    ],
)
def test_the_root_of_an_expression_is_its_first_step(body: str, root: str | None) -> None:
    assert root_of(body) == root


def test_only_values_hold_expressions_not_keys() -> None:
    value = {"${key}": ["${a}", {"x": "${b}", "n": 3, "none": None}]}
    assert list(text_values(value)) == ["${a}", "${b}"]


@pytest.mark.parametrize(("text", "whole"), [("${a}", True), (" ${a}", False), ("${a}${b}", False), ("a", False)])
def test_a_whole_expression_has_nothing_around_it(text: str, *, whole: bool) -> None:
    assert is_whole_expression(text) == whole


def test_only_text_can_have_an_expression() -> None:
    assert has_expression("x ${a}")
    assert not has_expression("x")
    assert not has_expression(["${a}"])


def test_a_text_of_nothing_but_openings_is_scanned_in_one_pass() -> None:
    assert list(expressions("${" * 200_000)) == []
    assert len(list(expressions("${" * 50_000 + "}" * 50_000))) == 20


@given(st.text(alphabet="${}a.[]'"))
def test_scanning_never_fails(text: str) -> None:
    for body in expressions(text):
        root_of(body)
        assert f"${{{body}}}" in text

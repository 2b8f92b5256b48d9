"""References render to expressions and refuse to pretend that they have a value."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from enum import Enum
from typing import Any

import pytest

from orchestrator.errors import InvalidPayload, InvalidRequest
from orchestrator.references import Reference, Step, case_text, duration_text, render, until_text

ROOT = Reference("workflow.input")


@pytest.mark.parametrize(
    ("reference", "text"),
    [
        (ROOT, "${workflow.input}"),
        (ROOT.amount, "${workflow.input.amount}"),
        (ROOT["amount"], "${workflow.input.amount}"),
        (ROOT.lines[0].sku, "${workflow.input.lines[0].sku}"),
        (ROOT.lines[-1], "${workflow.input.lines[-1]}"),
        (ROOT["unit price"], "${workflow.input['unit price']}"),
        (ROOT["it's"], r"${workflow.input['it\'s']}"),
        (ROOT["_hidden"], "${workflow.input._hidden}"),
        (ROOT["a-b"], "${workflow.input.a-b}"),
        (ROOT["2"], "${workflow.input['2']}"),
    ],
)
def test_a_reference_reads_as_its_expression(reference: Reference, text: str) -> None:
    assert str(reference) == text
    assert f"{reference}" == text


def test_references_with_one_path_are_equal_and_others_are_not() -> None:
    assert ROOT.a == ROOT["a"]
    assert ROOT.a != ROOT.b
    assert ROOT.a != "${workflow.input.a}"
    assert len({ROOT.a, ROOT["a"], ROOT.b}) == 2
    assert copy.copy(ROOT.a) == ROOT.a


def test_a_reference_cannot_be_tested_iterated_searched_or_formatted() -> None:
    with pytest.raises(TypeError, match=r"use \.switch"):
        bool(ROOT.amount)
    with pytest.raises(TypeError):
        list(ROOT.lines)  # type: ignore[call-overload] # refused by the type checker, too
    with pytest.raises(TypeError):
        _ = "a" in ROOT.lines  # type: ignore[misc] # likewise
    with pytest.raises(TypeError, match=r"\.2f"):
        format(ROOT.amount, ".2f")
    with pytest.raises(AttributeError):
        _ = ROOT._private


@dataclass
class Parcel:
    weight: float


class Colour(Enum):
    RED = "red"


def test_rendering_replaces_references_and_steps_at_any_depth() -> None:
    step = Step("charge", stem="charge", fixed=True)
    given = {"a": [ROOT.x, {"b": step}], "c": (1, None, True), "d": f"id {step.output.id}", "e": step.status}
    assert render(given) == {
        "a": ["${workflow.input.x}", {"b": "${charge.output}"}],
        "c": [1, None, True],
        "d": "id ${charge.output.id}",
        "e": "${charge.status}",
    }


def test_rendering_turns_python_values_into_json() -> None:
    given = {"parcel": Parcel(1.5), "colour": Colour.RED, "day": date(2030, 1, 31)}
    assert render(given) == {"parcel": {"weight": 1.5}, "colour": "red", "day": "2030-01-31"}


@pytest.mark.parametrize(
    ("value", "path"),
    [({"a": [1, object()]}, "a[1]"), ({"a": {"b": float("nan")}}, "a.b"), ({"a": {1: 2}}, "a"), ({"a": 2**70}, "a")],
)
def test_what_json_cannot_say_is_refused_with_its_path(value: Any, path: str) -> None:
    with pytest.raises(InvalidPayload) as caught:
        render(value)
    assert caught.value.path == path


@pytest.mark.parametrize(
    ("case", "text"),
    [
        ("a", "a"),
        (True, "true"),
        (False, "false"),
        (None, "null"),
        (3, "3"),
        (3.0, "3"),
        (1.5, "1.5"),
        (Colour.RED, "red"),
    ],
)
def test_a_case_is_written_as_the_text_its_value_will_have(case: object, text: str) -> None:
    assert case_text(case) == text


def test_a_length_of_time_is_written_in_seconds() -> None:
    assert duration_text(90) == "90s"
    assert duration_text(timedelta(minutes=2)) == "120s"
    assert duration_text(ROOT.delay) == "${workflow.input.delay}s"
    for bad in (-1, timedelta(milliseconds=1500)):
        with pytest.raises(InvalidRequest, match="whole number of seconds"):
            duration_text(bad)


def test_a_moment_is_written_in_utc_and_never_earlier_than_asked() -> None:
    assert until_text(datetime(2030, 1, 31, 20, 0, tzinfo=timezone(timedelta(hours=2)))) == "2030-01-31 18:00 UTC"
    assert until_text(datetime(2030, 1, 31, 18, 0, 5, tzinfo=UTC)) == "2030-01-31 18:00:05 UTC"
    assert until_text(datetime(2030, 1, 31, 18, 0, 59, 1, tzinfo=UTC)) == "2030-01-31 18:01 UTC"
    assert until_text(date(2030, 1, 31)) == "2030-01-31"
    assert until_text(ROOT.due) == "${workflow.input.due}"
    assert until_text("2030-01-31 18:00 Europe/Berlin") == "2030-01-31 18:00 Europe/Berlin"
    with pytest.raises(InvalidRequest, match="time zone"):
        until_text(datetime(2030, 1, 31))  # noqa: DTZ001 - the missing zone is the point

"""Stored inputs become arguments by type hint, outputs become objects, and misfits are named."""

from __future__ import annotations

import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any
from uuid import UUID

import msgspec
import pydantic
import pytest

from orchestrator.binding import Binding, encode_output
from orchestrator.context import TaskContext
from orchestrator.errors import InvalidPayload, InvalidRequest

if typing.TYPE_CHECKING:
    from fractions import Fraction

CONTEXT = TaskContext("task-1", "workflow-1", "order", "charge", "charge")


class Colour(Enum):
    RED = "red"


@dataclass
class Line:
    sku: str
    count: int = 1


class Address(msgspec.Struct):
    street: str


class Customer(pydantic.BaseModel):
    name: str
    age: int


def one(value_type: Any) -> Callable[..., Any]:
    """A function with one parameter, ``x``, of that type."""

    def function(x: Any) -> Any:
        return x

    function.__annotations__["x"] = value_type
    return function


@pytest.mark.parametrize(
    ("value_type", "given", "expected"),
    [
        (Any, {"a": 1}, {"a": 1}),
        (object, [1], [1]),
        (str, "a", "a"),
        (int, 3, 3),
        (int, 3.0, 3),
        (float, 3, 3.0),
        (bool, True, True),
        (dict, {"a": 1}, {"a": 1}),
        (dict[str, Any], {"a": 1}, {"a": 1}),
        (list, [1], [1]),
        (list[int], [1, 2], [1, 2]),
        (tuple[int, str], [1, "a"], (1, "a")),
        (set[str], ["a"], {"a"}),
        (str | None, None, None),
        (int | str, "a", "a"),
        (Colour, "red", Colour.RED),
        (typing.Literal["a", "b"], "b", "b"),
        (datetime, "2030-01-31T18:00:00Z", datetime(2030, 1, 31, 18, tzinfo=UTC)),
        (date, "2030-01-31", date(2030, 1, 31)),
        (UUID, "00000000-0000-0000-0000-000000000001", UUID(int=1)),
        (Decimal, "1.50", Decimal("1.50")),
        (bytes, "AAE=", b"\x00\x01"),
        (Line, {"sku": "a", "more": 1}, Line("a")),
        (list[Line], [{"sku": "a", "count": 2}], [Line("a", 2)]),
        (Address | None, {"street": "Main"}, Address("Main")),
        (Customer, {"name": "Ada", "age": 36}, Customer(name="Ada", age=36)),
        (Customer | None, None, None),
        (Customer | None, {"name": "Ada", "age": 36}, Customer(name="Ada", age=36)),
        (dict[str, Customer], {"a": {"name": "Ada", "age": 36}}, {"a": Customer(name="Ada", age=36)}),
        (Annotated[int, msgspec.Meta(gt=0)], 1, 1),
    ],
)
def test_an_input_becomes_what_its_parameter_is_annotated_as(value_type: Any, given: Any, expected: Any) -> None:
    args, kwargs = Binding("t", one(value_type))({"x": given}, None)
    assert args == ()
    assert kwargs == {"x": expected}
    if value_type not in (Any, object):
        assert type(kwargs["x"]) is type(expected)


@pytest.mark.parametrize(
    ("value_type", "given", "says"),
    [
        (str, 1, "Expected `str`, got `int`"),
        (str, None, "Expected `str`, got `null`"),
        (int, "1", "Expected `int`, got `str`"),
        (int, 1.5, "Expected `int`, got `float`"),
        (int, True, "Expected `int`, got `bool`"),
        (list[Line], [{"sku": "a"}, {"count": 1}], r"missing required field `sku` - at `\$\[1\]`"),
        (Customer, {"name": "Ada", "age": "old"}, "age"),
        (list[Customer], [{"name": "Ada"}], "age"),
        (Colour, "blue", "Invalid enum value 'blue'"),
        (datetime, "yesterday", "RFC3339"),
        (Annotated[int, msgspec.Meta(gt=0)], 0, ">= 1"),
    ],
)
def test_an_input_of_another_type_is_refused_with_task_parameter_and_type(
    value_type: Any, given: Any, says: str
) -> None:
    with pytest.raises(InvalidPayload, match=says) as caught:
        Binding("charge", one(value_type))({"x": given}, None)
    assert caught.value.path == "x"
    assert "task charge cannot take input 'x'" in str(caught.value)


def test_a_missing_required_input_is_named_together_with_what_was_given() -> None:
    def charge(amount: int, currency: str = "EUR") -> None: ...

    with pytest.raises(InvalidPayload) as caught:
        Binding("charge", charge)({"amuont": 1, "a": 2}, None)
    assert str(caught.value) == "amount: task charge needs input 'amount' (int); it was given: a, amuont"
    with pytest.raises(InvalidPayload, match="it was given: nothing"):
        Binding("charge", charge)({}, None)


def test_absent_inputs_take_their_defaults_and_unknown_ones_are_ignored() -> None:
    def charge(amount: int, currency: str = "EUR") -> None: ...

    assert Binding("charge", charge)({"amount": 1, "other": 2}, None) == ((), {"amount": 1})


def test_a_null_counts_as_absent_where_there_is_a_default_that_is_not_null() -> None:
    def charge(amount: int = 5, note: str | None = "n", free: Any = 1) -> None: ...

    given = {"amount": None, "note": None, "free": None}
    assert Binding("charge", charge)(given, None) == ((), {"note": None, "free": None})


def test_the_context_is_injected_by_annotation_and_never_taken_from_the_input() -> None:
    def charge(ctx: TaskContext, other: TaskContext | None = None, **rest: Any) -> None: ...

    args, kwargs = Binding("charge", charge)({"ctx": "forged", "a": 1}, CONTEXT)
    assert args == ()
    assert kwargs == {"ctx": CONTEXT, "other": CONTEXT, "a": 1}


@pytest.mark.parametrize("annotation", [dict, dict[str, Any], Mapping[str, Any]])
def test_a_dict_called_input_receives_the_whole_input(annotation: Any) -> None:
    def charge(amount: int, input: Any) -> None: ...

    charge.__annotations__["input"] = annotation
    given = {"amount": 1, "input": 2}
    _, kwargs = Binding("charge", charge)(given, None)
    assert kwargs == {"amount": 1, "input": given}
    assert kwargs["input"] is not given


def test_a_parameter_called_input_of_another_type_is_an_ordinary_one() -> None:
    def shout(input: str) -> None: ...

    assert Binding("shout", shout)({"input": "a"}, None) == ((), {"input": "a"})


def test_double_star_receives_what_no_parameter_took() -> None:
    def tag(name: str, **labels: Any) -> None: ...

    assert Binding("tag", tag)({"name": "a", "x": 1, "y": 2}, None) == ((), {"name": "a", "x": 1, "y": 2})


def test_positional_only_parameters_are_passed_by_position_with_their_defaults() -> None:
    def move(a: int, ctx: TaskContext, b: int = 7, /, c: int = 8, *, d: int = 9) -> tuple[int, ...]:
        return a, b, c, d

    args, kwargs = Binding("move", move)({"a": 1, "d": 4}, CONTEXT)
    assert args == (1, CONTEXT, 7)
    assert kwargs == {"d": 4}
    assert move(*args, **kwargs) == (1, 7, 8, 4)


def test_unnamed_inputs_are_refused_when_the_binding_is_made() -> None:
    def add(*numbers: int) -> None: ...

    with pytest.raises(InvalidRequest, match=r"add takes \*numbers, but inputs are named"):
        Binding("add", add)


@pytest.mark.parametrize("value_type", [Path, Line | Address, Callable[[], None]])
def test_a_type_that_json_cannot_fill_is_refused_when_the_binding_is_made(value_type: Any) -> None:
    with pytest.raises(InvalidRequest, match=r"task t: parameter 'x' of type .* cannot be filled from JSON"):
        Binding("t", one(value_type))


def test_a_type_that_exists_for_the_type_checker_only_is_refused_with_the_way_out() -> None:
    def halve(x: Fraction) -> None: ...

    with pytest.raises(InvalidRequest, match="not under TYPE_CHECKING"):
        Binding("halve", halve)


def test_a_return_type_for_the_type_checker_only_is_no_obstacle() -> None:
    def halve(x: int) -> Fraction:
        raise NotImplementedError

    assert Binding("halve", halve)({"x": 1}, None) == ((), {"x": 1})


@dataclass
class Receipt:
    id: int
    lines: list[Line] = field(default_factory=list)
    paid: datetime = datetime(2030, 1, 31, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "output"),
    [
        (None, {}),
        ({}, {}),
        ({"a": [1, None]}, {"a": [1, None]}),
        (MappingProxyType({"a": 1}), {"a": 1}),
        (3, {"result": 3}),
        ("a", {"result": "a"}),
        (False, {"result": False}),
        ([1, Line("a")], {"result": [1, {"sku": "a", "count": 1}]}),
        (Colour.RED, {"result": "red"}),
        (UUID(int=1), {"result": "00000000-0000-0000-0000-000000000001"}),
        (Receipt(1, [Line("a")]), {"id": 1, "lines": [{"sku": "a", "count": 1}], "paid": "2030-01-31T00:00:00Z"}),
        (Address("Main"), {"street": "Main"}),
        (Customer(name="Ada", age=36), {"name": "Ada", "age": 36}),
        ({"c": [Customer(name="Ada", age=36)]}, {"c": [{"name": "Ada", "age": 36}]}),
    ],
)
def test_an_output_is_stored_as_an_object(value: Any, output: dict[str, Any]) -> None:
    assert encode_output(value) == output


class Text(str):
    """A str subclass, as web frameworks return them."""


def test_subclasses_of_plain_types_are_stored_as_plain() -> None:
    stored = encode_output({"a": Text("b")})
    assert type(stored["a"]) is str
    assert stored == {"a": "b"}


@pytest.mark.parametrize(
    ("value", "path", "kind"),
    [
        ({"a": [1, {"b": object()}]}, "a[1].b", "object"),
        ([1, 2j], "[1]", "complex"),
        (Path("x"), "result", "PosixPath"),
    ],
)
def test_an_output_json_cannot_say_is_refused_with_its_path(value: Any, path: str, kind: str) -> None:
    with pytest.raises(InvalidPayload, match=f"a value of type {kind} is not JSON") as caught:
        encode_output(value)
    assert caught.value.path == path


def test_an_output_that_contains_itself_is_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(InvalidPayload, match="contains itself"):
        encode_output({"loop": loop})

"""The ``${...}`` language: one row for each sentence of its grammar, and what compiling tells about a template."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.expressions import Template, check_expression, compile_template, expressions_in, render_text

ITEMS = [{"id": "x", "price": 2}, {"id": "k", "price": 5}]
DOCUMENTS: dict[str, Any] = {
    "workflow": {
        "input": {
            "n": 3,
            "f": 1.5,
            "yes": True,
            "none": None,
            "text": "hello",
            "map": {"a": 1, "b": [True, None, "é"]},
            "list": [1, "x"],
            "index": 1,
            "key": "k",
            "escape": "$${x}",
            "again": "${workflow.input.n}",
            "json": '{"inner": 1}',
            "path": "workflow.input.n",
            "secret": "workflow.secrets.KEY",
        },
        "workflowId": "wf-1",
        "variables": {"v": [10, 20]},
    },
    "charge": {"output": {"amount": 12, "items": ITEMS, "x y": 1}, "status": "COMPLETED"},
    "my-task/1": {"output": {"ok": True}},
    "nulls": {"output": {"null": "found"}},
}


class Documents:
    """A scope over plain documents that knows two constants and three environment names."""

    def field(self, root: str, name: str) -> object:
        document = DOCUMENTS.get(root)
        return document.get(name) if document else None

    def document(self, root: str) -> object:
        return DOCUMENTS.get(root)

    def constant(self, name: str) -> str | None:
        return {"CPEWF_TASK_ID": "task-1", "REGION": "eu"}.get(name)

    def env(self, name: str) -> str | None:
        return {"CONF": '{"a": {"b": [1, 2]}}', "PLAIN": "hello", "BAD": '{"a": NaN}'}.get(name)


class Unreadable:
    """A scope that must not be asked anything."""

    def field(self, root: str, name: str) -> object:
        raise AssertionError((root, name))

    def document(self, root: str) -> object:
        raise AssertionError(root)

    def constant(self, name: str) -> str | None:
        raise AssertionError(name)

    def env(self, name: str) -> str | None:
        raise AssertionError(name)


def render(value: Any) -> Any:
    return compile_template(value).render(Documents())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${workflow.input.n}", 3),
        ("${workflow.input.f}", 1.5),
        ("${workflow.input.yes}", True),
        ("${workflow.input.none}", None),
        ("${workflow.input.map}", {"a": 1, "b": [True, None, "é"]}),
        ("${workflow.input.list}", [1, "x"]),
        ("${workflow.workflowId}", "wf-1"),
        ("${workflow.variables.v[1]}", 20),
        ("${$.workflow.variables.v[-1]}", 20),
        ("${ workflow.input.n\n}", 3),
        ("${charge.status}", "COMPLETED"),
        ("${charge.output.items[0].id}", "x"),
        ("${charge['output']['x y']}", 1),
        ("${['charge'].output.amount}", 12),
        ("${my-task/1.output.ok}", True),
        ("${charge.output.items.length()}", 2),
        ("${charge.output.items[*].price}", [2, 5]),
        ("${charge.output.items[*].price.sum()}", 7.0),
        ("${charge.output.items[?(@.id == 'k')].price}", [5]),
        ("${charge.output.items[?(@.id == $.workflow.input.key)].price}", [5]),
        ("${charge.output.items[?(@.price > $.absent.output.x)]}", []),
        ("${charge.output['amount', 'x y']}", {"amount": 12, "x y": 1}),
        ("${charge}", DOCUMENTS["charge"]),
        ("${charge.*}", [DOCUMENTS["charge"]["output"], "COMPLETED"]),
    ],
)
def test_a_text_that_is_one_expression_becomes_the_raw_value(text: str, expected: Any) -> None:
    assert render(text) == expected
    assert type(render(text)) is type(expected)


@pytest.mark.parametrize(
    "text",
    [
        "${absent}",
        "${absent.output.x}",
        "${absent[0]}",
        "${charge[0].x}",
        "${charge.absent.x}",
        "${charge.output.amount.more}",
        "${charge.output.items[7].id}",
        "${workflow.name}",
        "${workflow.input.json.inner}",
        "${PATH}",
        "${workflow.input[}",
        "${workflow input}",
        "${charge.output.nofunction()}",
        "${$}",
        "${$.length()}",
        "${[0].x}",
    ],
)
def test_what_is_missing_or_no_path_is_null(text: str) -> None:
    assert render(text) is None
    assert render(f"<{text}>") == "<null>"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" ${workflow.input.n}", " 3"),
        ("${workflow.input.n} ", "3 "),
        ("${workflow.input.n}${workflow.input.n}", "33"),
        ("a ${workflow.input.text} b", "a hello b"),
        ("${workflow.input.n} of ${workflow.input.f}", "3 of 1.5"),
        ("is ${workflow.input.yes}", "is true"),
        ("is ${workflow.input.none}", "is null"),
        ("is ${workflow.input.map}", 'is {"a":1,"b":[true,null,"é"]}'),
        ("is ${workflow.input.list}", 'is [1,"x"]'),
        ("$ {x} ${workflow.input.n} }", "$ {x} 3 }"),
        ("line\n${workflow.input.n}\nline", "line\n3\nline"),
    ],
)
def test_an_expression_inside_a_text_is_filled_in_as_text(text: str, expected: str) -> None:
    assert render(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$${workflow.input.n}", "${workflow.input.n}"),
        ("a $${x} ${workflow.input.n}", "a ${x} 3"),
        ("$$${workflow.input.n}", "$${workflow.input.n}"),
        ("$${a ${workflow.input.n}}", "${a 3}"),
        ("in ${workflow.input.escape}", "in ${x}"),
        ("${workflow.input.escape}", "$${x}"),
        ("$${", "${"),
    ],
)
def test_two_dollars_escape_an_expression(text: str, expected: str) -> None:
    assert render(text) == expected


def test_what_was_filled_in_is_not_evaluated_again() -> None:
    assert render("${workflow.input.again}") == "${workflow.input.n}"
    assert render("is ${workflow.input.again}") == "is ${workflow.input.n}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${workflow.input.n", "${workflow.input.n"),
        ("${", "${"),
        ("}${", "}${"),
        ("${a ${workflow.input.n}", "${a 3"),
        ("${a {${workflow.input.n}", "${a {3"),
        ("${workflow.input.n}}", "3}"),
    ],
)
def test_an_unbalanced_brace_is_literal_text(text: str, expected: str) -> None:
    assert render(text) == expected


def test_braces_inside_an_expression_balance() -> None:
    assert render('${charge.output.items[?(@ == {"id": "k", "price": 5})].price}') == [5]


@pytest.mark.parametrize(("text", "expected"), [("${}", ""), ("${   }", ""), ("a${ \n }b", "ab")])
def test_a_blank_path_is_an_empty_text(text: str, expected: str) -> None:
    assert render(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${charge.output.items[${workflow.input.index}].id}", "k"),
        ("${workflow.input.${workflow.input.key}}", None),
        ("${charge.output.items[?(@.id == '${workflow.input.key}')].price}", [5]),
        ("${charge.output.items[?(@.price > ${workflow.variables.v[${workflow.input.index}]})]}", []),
        ("${${workflow.input.path}}", 3),
        ("${workflow.input.${workflow.input.none}}", None),
        ("${workflow.input.${absent.output.x}e}", None),
        ("n = ${${workflow.input.path}}", "n = 3"),
        ("${workflow.input[${workflow.input.map}]}", None),
        ("${${}}", ""),
        ("${${workflow.input.secret}}", "${workflow.secrets.KEY}"),
    ],
)
def test_inner_expressions_are_substituted_first_as_text(text: str, expected: Any) -> None:
    assert render(text) == expected


def test_an_inner_null_is_the_word_null() -> None:
    assert render("${nulls.output.${workflow.input.none}}") == "found"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${CPEWF_TASK_ID}", "task-1"),
        ("id ${CPEWF_TASK_ID}", "id task-1"),
        ("${REGION}", "eu"),
        ("${HOME}", None),
        ("${workflow.env.CONF}", '{"a": {"b": [1, 2]}}'),
        ("${workflow.env.CONF.a.b[1]}", 2),
        ("${workflow.env.CONF['a'].b.sum()}", 3.0),
        ("${workflow.env.CONF.a.absent}", None),
        ("${workflow.env.PLAIN}", "hello"),
        ("${workflow.env.PLAIN.a}", None),
        ("${workflow.env.BAD.a}", None),
        ("${workflow.env.HOME}", None),
        ("${workflow.env.HOME.a}", None),
        ("${workflow.env.}", None),
        ("in ${workflow.env.PLAIN} ${workflow.env.HOME}", "in hello null"),
    ],
)
def test_only_names_the_scope_allows_come_from_the_environment(text: str, expected: Any) -> None:
    assert render(text) == expected


@pytest.mark.parametrize(
    "text",
    ["${workflow.secrets.KEY}", "Bearer ${workflow.secrets.KEY.token}", "${ workflow.secrets.KEY }"],
)
def test_a_secret_stays_as_it_is_written(text: str) -> None:
    assert compile_template(text).render(Unreadable()) == text
    assert compile_template(text).is_constant


def test_a_secret_stays_literal_next_to_other_expressions() -> None:
    assert render("${workflow.secrets.KEY} ${workflow.input.n}") == "${workflow.secrets.KEY} 3"
    assert render("${workflow.secrets.${workflow.input.key}}") == "${workflow.secrets.k}"


def test_only_values_are_substituted_and_the_order_of_keys_stays() -> None:
    value = {
        "${workflow.input.n}": "${workflow.input.n}",
        "z": [1, "${workflow.input.text}", {"deep": ["${charge.output.amount}", None, True]}],
        "a": 1.5,
    }
    rendered = render(value)
    assert rendered == {"${workflow.input.n}": 3, "z": [1, "hello", {"deep": [12, None, True]}], "a": 1.5}
    assert list(rendered) == list(value)


def test_rendering_changes_neither_the_definition_nor_the_documents() -> None:
    value = {"a": ["${workflow.input.map}", "$${x}"], "b": {"c": "${charge.output.items.append(1)}"}}
    before, documents = copy.deepcopy(value), copy.deepcopy(DOCUMENTS)
    template = compile_template(value)
    first = template.render(Documents())
    first["a"].append("changed by the caller")
    first["b"]["c"].append("changed by the caller")
    assert template.render(Documents()) == {
        "a": [{"a": 1, "b": [True, None, "é"]}, "${x}"],
        "b": {"c": [*ITEMS, 1]},
    }
    assert value == before
    assert documents == DOCUMENTS


def test_a_template_without_expressions_renders_to_itself() -> None:
    value = {"a": [1, "text", {"b": None}], "$": "{}"}
    template = compile_template(value)
    assert template.is_constant
    assert template.reads == frozenset()
    assert template.render(Unreadable()) is value


def test_a_template_with_an_escape_is_not_constant_but_asks_for_nothing() -> None:
    template = compile_template(["$${x}"])
    assert not template.is_constant
    assert template.render(Unreadable()) == ["${x}"]


@pytest.mark.parametrize(
    ("value", "reads"),
    [
        ("${charge.output.amount}", {("charge", "output", "amount")}),
        ("${charge.output.amount.deep[0]}", {("charge", "output", "amount")}),
        ("${charge.output['x y']}", {("charge", "output", "x y")}),
        ("${charge.output}", {("charge", "output", None)}),
        ("${charge.output[0]}", {("charge", "output", None)}),
        ("${charge.output.length()}", {("charge", "output", None)}),
        ("${charge.output[*].x}", {("charge", "output", None)}),
        ("${charge.output['a','b']}", {("charge", "output", None)}),
        ("${charge}", {("charge", None, None)}),
        ("${charge[0].x}", {("charge", None, None)}),
        ("${charge..x}", {("charge", None, None)}),
        ("${a.output.x} ${b.status}", {("a", "output", "x"), ("b", "status", None)}),
        ({"k": ["${a.output.x}"], "${b.output.y}": 1}, {("a", "output", "x")}),
        ("${a.output.x[?(@.y == $.b.output.z)]}", {("a", "output", "x"), ("b", "output", "z")}),
        ("${CPEWF_TASK_ID}", set()),
        ("${workflow.env.A} ${workflow.secrets.B.c} ${} $${a.b}", set()),
        ("${a[}", set()),
        ("${..x}", set()),
    ],
)
def test_reads_name_what_rendering_asks_for(value: Any, reads: set[tuple[str, str | None, str | None]]) -> None:
    template = compile_template(value)
    assert template.reads == reads
    assert not template.dynamic


@pytest.mark.parametrize(
    ("value", "reads"),
    [
        ("${a.output.x[${b.output.i}].y}", {("a", "output", "x"), ("b", "output", "i")}),
        ("${a.output.${b.output.k}}", {("a", "output", None), ("b", "output", "k")}),
        ("${a.output.x[?(@.y.z == ${b.output.k})]}", {("a", "output", "x"), ("b", "output", "k")}),
        ("${a${b.output.k}.output}", {("b", "output", "k")}),
        ("${${b.output.k}}", {("b", "output", "k")}),
    ],
)
def test_a_path_with_inner_expressions_is_dynamic(value: Any, reads: set[tuple[str, str | None, str | None]]) -> None:
    template = compile_template(value)
    assert template.dynamic
    assert template.reads == reads


def test_a_field_is_asked_for_and_not_the_whole_document() -> None:
    asked: list[tuple[str, str]] = []

    class Fields(Unreadable):
        def field(self, root: str, name: str) -> object:
            asked.append((root, name))
            return {"items": ITEMS}

    for text in ("${charge.output.items[0].id}", "${charge.output.items[*].id}", "${charge.output.items.length()}"):
        compile_template(text).render(Fields())
    assert asked == [("charge", "output")] * 3


def test_render_text_substitutes_one_text() -> None:
    assert render_text("orders-${workflow.input.text}", Documents()) == "orders-hello"
    assert render_text("${workflow.input.n}", Documents()) == 3


def test_expressions_are_listed_with_their_places() -> None:
    value = {
        "url": "http://${a.output.host}/${ b.output.path }",
        "body": [1, {"x": "${c.output.x[${d.output.i}]}"}],
        "none": "$${e} ${f",
    }
    assert list(expressions_in(value)) == [
        ("url", "a.output.host"),
        ("url", " b.output.path "),
        ("body[1].x", "c.output.x[${d.output.i}]"),
    ]
    assert list(expressions_in("${a}")) == [("", "a")]


@pytest.mark.parametrize(
    "body",
    ["charge.output.x", "", " ", "workflow.secrets.A[", "workflow.env.A.b", "CPEWF_TASK_ID", "a[${b.c}]", "a['x y']"],
)
def test_a_readable_expression_has_no_complaint(body: str) -> None:
    assert check_expression(body) is None


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("charge.output[", "never closed"),
        ("charge output", "brackets and quotes"),
        ("charge.output.nofunction()", "no function 'nofunction'"),
        ("workflow.env.", "needs the name"),
        ("workflow.env.A[", "never closed"),
        ("a.output[${b.output[}]", "never closed"),
        ("$..x", "begins with"),
        ("[0].x", "begins with"),
        ("*", "begins with"),
    ],
)
def test_an_unreadable_expression_is_explained(body: str, reason: str) -> None:
    assert reason in str(check_expression(body))


def _nested(depth: int) -> Any:
    value: Any = "${charge.output.amount}"
    for _ in range(depth):
        value = {"inner": value}
    return value


def test_a_template_may_nest_a_hundred_deep() -> None:
    rendered = compile_template(_nested(100)).render(Documents())
    for _ in range(100):
        rendered = rendered["inner"]
    assert rendered == 12
    assert len(list(expressions_in(_nested(100)))) == 1


@pytest.mark.parametrize(
    "value", [_nested(101), _nested(5000), "${" * 150 + "}" * 150, [["${" * 100 + "x" + "}" * 100] * 2]]
)
def test_a_template_that_nests_deeper_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="deep"):
        compile_template(value)


def test_places_deeper_than_a_template_may_nest_are_refused() -> None:
    with pytest.raises(ValueError, match="deep"):
        list(expressions_in(_nested(101)))
    assert "deep" in str(check_expression("${" * 5000 + "}" * 5000))


def test_a_text_of_many_unbalanced_braces_is_cut_in_one_pass() -> None:
    text = "${" * 100_000
    assert render(text) == text


@given(st.text().filter(lambda text: "${" not in text))
def test_a_text_without_an_expression_renders_to_itself(text: str) -> None:
    assert compile_template(text).render(Unreadable()) == text


ROOTS = ["workflow", "charge", "workflow.input.n", "workflow.env.CONF", "workflow.secrets.", "CPEWF_TASK_ID"]
PIECES = st.sampled_from(
    [*ROOTS, "${", "$${", ".output", ".items", "[0]", "[*]", "[?(@.id)]", ".length()", *"{}$[]' x"]
)


@given(st.lists(PIECES, max_size=15).map("".join))
def test_rendering_never_raises_and_gives_json(text: str) -> None:
    template: Template = compile_template({"key": text})
    json.dumps(template.render(Documents()))
    assert isinstance(render(f" {text}"), str)
    for _, body in expressions_in(text):
        check_expression(body)

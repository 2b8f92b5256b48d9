"""Text to plain values: what JSON and YAML mean here, and what is refused before it can do harm."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import DefinitionInvalid, MissingExtra, Problem
from orchestrator.model import documents
from orchestrator.model.documents import DEPTH_MAX, TEXT_BYTES_MAX, load_documents

YAML_TAG = "tag:yaml.org,2002:"
NO_ANCHOR = "the alias *x refers to nothing before it, or to what contains it"


def read_yaml(text: str) -> Any:
    (value,) = load_documents(text, "a.yaml")
    return value


def refusals(text: str | bytes, filename: str = "a.yaml") -> list[Problem]:
    with pytest.raises(DefinitionInvalid) as caught:
        load_documents(text, filename)
    return caught.value.problems


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("text", "text"),
        ("two words", "two words"),
        ("'5'", "5"),
        ('"true"', "true"),
        ("5", 5),
        ("-5", -5),
        ("0", 0),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1.5e+3", 1500.0),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("2030-01-31", "2030-01-31"),
        ("2030-01-31 18:00:00", "2030-01-31 18:00:00"),
        ("12:30", "12:30"),
        ("1.2.3", "1.2.3"),
        ("y", "y"),
        ("=", "="),
        ("!!str 5", "5"),
        ("!!int '5'", 5),
        ("!!float 5", 5.0),
        ("'<<'", "<<"),
        ("|\n  a\n  b\n", "a\nb\n"),
        ("[1, [2]]", [1, [2]]),
        ("{a: {b: 1}}", {"a": {"b": 1}}),
    ],
)
def test_a_yaml_value_is_what_json_would_say(written: str, value: Any) -> None:
    found = read_yaml(f"key: {written}")["key"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "written",
    ["yes", "No", "ON", "off", "010", "0x1F", "0o17", "0b1", "1_000", "1e3", "1.5e3", "-1.e3", ".inf", "-.INF", ".nan"],
)
def test_what_versions_of_yaml_read_differently_must_be_quoted(written: str) -> None:
    (problem,) = refusals(f"a:\n  - b: {written}")
    assert problem.path == "a[0].b"
    assert problem.message.startswith(f"line 2, column 8: {written} means different things")
    assert read_yaml(f"b: '{written}'") == {"b": written}


@pytest.mark.parametrize(
    ("text", "path", "message"),
    [
        ("a: {1: x}", "a", "line 1, column 5: the key 1 is not text for YAML; put it in quotes"),
        ("a: {true: x}", "a", "line 1, column 5: the key true is not text for YAML; put it in quotes"),
        ("a: {~: x}", "a", "line 1, column 5: the key ~ is not text for YAML; put it in quotes"),
        ("a: 1\nb: 2\na: 3", "", "line 3, column 1: the key 'a' is given twice; the first one would be lost"),
        ("? [1, {x: 2}]\n: 3", "", "line 1, column 3: a map or list cannot be a key; use text"),
        ("a: !Ref x", "a", "line 1, column 4: x with the tag !Ref is not understood; remove the tag"),
        ("a: !!int x", "a", f"line 1, column 4: x with the tag {YAML_TAG}int is not understood; remove the tag"),
        (
            "a: !!binary aGk=",
            "a",
            f"line 1, column 4: aGk= with the tag {YAML_TAG}binary is not understood; remove the tag",
        ),
        ("a: !!set {x: 1}", "a", f"line 1, column 4: the tag {YAML_TAG}set is not understood; remove it"),
        ("a: &x [*x]", "a[0]", f"line 1, column 8: {NO_ANCHOR}"),
        ("a: *x", "a", f"line 1, column 4: {NO_ANCHOR}"),
        ("a: &x 1\n---\nb: *x", "b", f"line 3, column 4: {NO_ANCHOR}"),
        ("<<: 5", "", "line 1, column 5: << takes a map or a list of maps"),
        ("a: 99999999999999999999999", "a", "line 1, column 4: integer of more than 64 bits; put it in quotes"),
    ],
)
def test_what_yaml_could_lose_or_misread_is_refused_with_its_place(text: str, path: str, message: str) -> None:
    assert refusals(text) == [Problem(path, message)]


def test_all_problems_of_a_yaml_file_are_reported() -> None:
    found = refusals("- {a: yes, 1: 2}\n- b: {c: 010}\n")
    assert [problem.path for problem in found] == ["[0].a", "[0]", "[1].b.c"]


def test_words_that_mean_booleans_elsewhere_are_text_as_keys() -> None:
    assert read_yaml("on: {no: 1}") == {"on": {"no": 1}}


def test_anchors_and_merges_are_understood() -> None:
    text = """
base: &base {retries: 1, limit: &limit 5}
other: &other {retries: 2, extra: 3}
one: {<<: *base, retries: 9}
two: {<<: [*base, *other]}
three: [*limit, *limit]
"""
    found = read_yaml(text)
    assert found["one"] == {"retries": 9, "limit": 5}
    assert found["two"] == {"retries": 1, "limit": 5, "extra": 3}
    assert found["three"] == [5, 5]


def test_a_chain_of_doubling_aliases_is_refused() -> None:
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40)]
    (problem,) = refusals("\n".join(lines))
    assert "more than 500,000 values" in problem.message


@pytest.mark.parametrize("text", ["[" * 100_000, "- " * 100_000 + "a", "{a: " * 100_000, "[" * (DEPTH_MAX + 1)])
def test_a_bottomless_yaml_file_is_refused_instead_of_crashing_the_process(text: str) -> None:
    (problem,) = refusals(text)
    assert f"nested deeper than {DEPTH_MAX} levels" in problem.message


@pytest.mark.parametrize("text", ["a: [1", "a: b: c", "\x00", "a: %", "{a", "\t- a", "a: 'x"])
def test_broken_yaml_is_refused(text: str) -> None:
    assert len(refusals(text)) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1,\n "b": }', "line 2, column 7: JSON is malformed"),
        ('{"a": NaN}', "line 1, column 7: JSON is malformed"),
        ('{"a": 1', "truncated"),
        ('{"a": 1e999}', "out of range"),
        ("[" * 100_000, "nested too deep"),
    ],
)
def test_broken_json_is_refused_with_its_place(text: str, message: str) -> None:
    (problem,) = refusals(text, "a.json")
    assert message in problem.message


def test_the_form_follows_the_ending_and_else_the_first_character() -> None:
    assert load_documents('{"a": 1}', "a.JSON") == [{"a": 1}]
    assert load_documents(' {"a": 1}', "-") == [{"a": 1}]
    assert load_documents("a: 1", "-") == [{"a": 1}]
    assert load_documents("{a: 1}", "a.yml") == [{"a": 1}]


def test_a_byte_order_mark_is_skipped() -> None:
    assert load_documents(b"\xef\xbb\xbf" + b'{"a": 1}', "a.json") == [{"a": 1}]
    assert load_documents("\ufeffa: 1", "a.yaml") == [{"a": 1}]


@pytest.mark.parametrize("text", [b"\xff\xfe", "\ud800"])
def test_what_is_not_utf_8_is_refused(text: str | bytes) -> None:
    (problem,) = refusals(text)
    assert "is not UTF-8 text" in problem.message


@pytest.mark.parametrize("unit", [b" ", "ü"])
def test_a_file_of_more_than_five_mebibytes_is_refused_and_one_just_as_large_is_not(unit: str | bytes) -> None:
    size = len(unit) if isinstance(unit, bytes) else len(unit.encode())
    (problem,) = refusals(unit * (TEXT_BYTES_MAX // size + 1))
    assert "5,242,880" in problem.message
    assert load_documents(b" " * TEXT_BYTES_MAX, "a.yaml") == []


def test_without_the_yaml_library_the_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    documents._yaml.cache_clear()
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(MissingExtra, match=r"pip install 'redis-orchestrator\[cli\]'"):
        load_documents("a: 1", "a.yaml")
    assert load_documents('{"a": 1}', "a.json") == [{"a": 1}]


def test_yaml_is_read_without_its_c_library_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(yaml, "CSafeLoader")
    assert load_documents("a: [1, 'b']\n---\nc: 2", "a.yaml") == [{"a": [1, "b"]}, {"c": 2}]
    assert f"nested deeper than {DEPTH_MAX} levels" in refusals("[" * 5000)[0].message


@given(st.text(), st.sampled_from(["a.yaml", "a.json", "-"]))
def test_any_text_is_read_or_refused(text: str, filename: str) -> None:
    with suppress(DefinitionInvalid):
        assert None not in load_documents(text, filename)

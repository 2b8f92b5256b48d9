"""Output: the same rows as table, JSON, JSON lines, YAML and names; nothing but data on standard output."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
import yaml

from orchestrator.errors import MissingExtra
from orchestrator_cli.output import Column, moment, show, show_all, show_document, span, text

ROWS: list[dict[str, Any]] = [{"name": "größe", "count": 1}, {"name": "b", "count": None}]
COLUMNS = [Column("name", lambda row: row["name"]), Column("count", lambda row: row["count"])]


def shown(capsys: pytest.CaptureFixture[str], form: str) -> str:
    show_all(ROWS, form, COLUMNS, name="name")
    return capsys.readouterr().out


def test_a_list_in_every_form(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, "table") == "NAME   COUNT\ngröße  1\nb      -\n"
    assert json.loads(shown(capsys, "json")) == ROWS
    assert [json.loads(line) for line in shown(capsys, "jsonl").splitlines()] == ROWS
    assert yaml.safe_load(shown(capsys, "yaml")) == ROWS
    assert shown(capsys, "name") == "größe\nb\n"


def test_one_thing_in_every_form(capsys: pytest.CaptureFixture[str]) -> None:
    for form, expected in (("table", "NAME   größe\nCOUNT  1\n"), ("name", "größe\n")):
        show(ROWS[0], form, COLUMNS, name="name")
        assert capsys.readouterr().out == expected
    for form in ("json", "yaml", "jsonl"):
        show(ROWS[0], form, COLUMNS, name="name")
        assert yaml.safe_load(capsys.readouterr().out) == ROWS[0]


def test_a_document_in_every_form(capsys: pytest.CaptureFixture[str]) -> None:
    output = {"total": 3, "who": {"name": "Ada"}}
    for form in ("json", "jsonl", "yaml"):
        show_document(output, form, name="id-1")
        assert yaml.safe_load(capsys.readouterr().out) == output
    show_document(output, "table", name="id-1")
    assert capsys.readouterr().out == 'KEY    VALUE\ntotal  3\nwho    {"name": "Ada"}\n'
    show_document([1, 2], "table", name="id-1")
    show_document(output, "name", name="id-1")
    assert capsys.readouterr().out == "[1, 2]\nid-1\n"


def test_an_empty_list_is_a_header_or_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    for form, expected in (("table", "NAME  COUNT\n"), ("json", "[]\n"), ("jsonl", ""), ("name", "")):
        show_all([], form, COLUMNS, name="name")
        assert capsys.readouterr().out == expected


def test_tables_need_no_rich_and_yaml_names_its_package(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("rich", "rich.console", "rich.table", "rich.text", "yaml"):
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert shown(capsys, "table").startswith("NAME")
    with pytest.raises(MissingExtra, match=r"redis-orchestrator\[cli\]"):
        shown(capsys, "yaml")


def test_a_terminal_gets_a_drawn_table_with_everything_in_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "dumb")
    lines = shown(capsys, "table").splitlines()
    assert [line.split() for line in lines] == [["NAME", "COUNT"], ["größe", "1"], ["b", "-"]]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "-"),
        ("", "-"),
        (True, "yes"),
        (False, "no"),
        ({"a": [1]}, '{"a": [1]}'),
        ("a\nb\x1b[2J", "a b [2J"),
        (0, "0"),
    ],
)
def test_a_cell_is_one_line_whatever_it_holds(value: object, expected: str) -> None:
    assert text(value) == expected


@pytest.mark.parametrize(
    ("ms", "expected"),
    [(-5, "0ms"), (999, "999ms"), (1_000, "1.0s"), (59_900, "59.9s"), (61_000, "1m 1s"), (3_661_000, "1h 1m")],
)
def test_durations_are_as_precise_as_people_need(ms: int, expected: str) -> None:
    assert span(ms) == expected


def test_a_time_that_has_not_come_is_a_dash() -> None:
    assert moment(0) == "-"
    assert moment(1_700_000_000_000).startswith("2023-11-1")

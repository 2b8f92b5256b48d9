"""Inputs from the command line: text, JSON, files, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from orchestrator_cli.inputs import read_input
from tests.cli.conftest import write


def test_text_stays_text_and_json_becomes_a_value() -> None:
    assert read_input(["name=Ada", "n:=3", "tags:=[1, null]", "empty=", "url=a=b"], []) == {
        "name": "Ada",
        "n": 3,
        "tags": [1, None],
        "empty": "",
        "url": "a=b",
    }


def test_single_keys_win_over_files_and_later_files_over_earlier_ones(tmp_path: Path) -> None:
    first = write(tmp_path, "first.json", '{"a": 1, "b": 1, "c": 1}')
    second = write(tmp_path, "second.json", '{"b": 2, "c": 2}')
    assert read_input(["c=3"], [first, second]) == {"a": 1, "b": 2, "c": "3"}


@pytest.mark.parametrize(
    ("pairs", "content", "message"),
    [
        (["name"], None, "neither key=text nor key:=json"),
        (["=x"], None, "neither key=text nor key:=json"),
        ([":=3"], None, "neither key=text nor key:=json"),
        (["n:=three"], None, "-i n:= is not JSON"),
        (["n:=NaN"], None, "NaN is not a JSON number"),
        ([], "{", "is not JSON"),
        ([], "[1]", "holds a list; an input is a JSON object"),
        ([], "null", "holds null"),
        ([], "7", "holds a number"),
    ],
)
def test_a_malformed_input_is_a_usage_error_that_names_the_option(
    tmp_path: Path, pairs: list[str], content: str | None, message: str
) -> None:
    files = [write(tmp_path, "input.json", content)] if content is not None else []
    with pytest.raises(click.BadParameter) as caught:
        read_input(pairs, files)
    assert message in caught.value.message


def test_a_file_that_cannot_be_read_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "latin.json").write_bytes(b'{"a": "\xe9"}')
    for name, message in (("missing.json", "No such file"), ("latin.json", "not text in UTF-8")):
        with pytest.raises(click.BadParameter, match=message):
            read_input([], [str(tmp_path / name)])

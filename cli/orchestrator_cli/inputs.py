"""From the command line to a workflow's input: ``-i key=text``, ``-i key:=json``, ``--input-file``; and JSON documents.

Later ones win over earlier ones, single keys over files. Faults are usage errors that name the option and what was
wrong with it; whether a workflow likes its input is not judged here. Called by ``workflow start``, ``run``, ``signal``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

FILE_BYTES_MAX = 128 * 1024 * 1024


def read_input(pairs: Sequence[str], files: Sequence[str]) -> dict[str, Any]:
    """One input of all its parts.

    Raises ``click.BadParameter`` for what cannot be read. Example: ``read_input(["n:=3", "name=Ada"], [])["n"] == 3``
    """
    merged: dict[str, Any] = {}
    for file in files:
        merged |= _object_of(_content(file), f"--input-file {file}")
    for pair in pairs:
        key, value = _pair(pair)
        merged[key] = value
    return merged


def read_document(path: str) -> dict[str, Any]:
    """The JSON object of a file, or of standard input for ``-``. Raises ``click.BadParameter`` for what is none."""
    try:
        if path != "-" and Path(path).stat().st_size > FILE_BYTES_MAX:
            raise click.BadParameter(f"{path} is larger than {FILE_BYTES_MAX:,} bytes", param_hint="FILE")
        text = sys.stdin.read(FILE_BYTES_MAX + 1) if path == "-" else Path(path).read_text(encoding="utf-8")
        document = json.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise click.BadParameter(f"{path} cannot be read: {error}", param_hint="FILE") from None
    if not isinstance(document, dict):
        raise click.BadParameter(f"{path} is not a JSON object", param_hint="FILE")
    return document


def _pair(pair: str) -> tuple[str, Any]:
    key, separator, value = pair.partition("=")
    if not separator or not key.rstrip(":"):
        raise click.BadParameter(
            f"{pair!r} is neither key=text nor key:=json. For text write -i name=Ada, for JSON -i count:=3",
            param_hint="'-i'",
        )
    if not key.endswith(":"):
        return key, value
    return key[:-1], _json(value, f"-i {key[:-1]}:=")


def _object_of(content: str, place: str) -> dict[str, Any]:
    value = _json(content, place)
    if not isinstance(value, dict):
        raise click.BadParameter(f"{place} holds {_kind(value)}; an input is a JSON object, {{...}}")
    return value


def _json(content: str, place: str) -> Any:
    try:
        return json.loads(content, parse_constant=_no_constant)
    except ValueError as error:
        raise click.BadParameter(f"{place} is not JSON: {error}. Text needs quotes there, or -i key=text") from None


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")


def _content(file: str) -> str:
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text("utf-8")
    except OSError as error:
        raise click.BadParameter(f"cannot read {file}: {error.strerror}", param_hint="'--input-file'") from None
    except UnicodeDecodeError:
        raise click.BadParameter(f"{file} is not text in UTF-8", param_hint="'--input-file'") from None


def _kind(value: Any) -> str:
    names = {list: "a list", str: "a text", bool: "true or false", int: "a number", float: "a number"}
    return names.get(type(value), "null")

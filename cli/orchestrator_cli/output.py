"""How results are written: a table for people, JSON, JSON lines, YAML or bare names for programs.

Data goes to standard output and nothing else does; ``say`` is for prose, on standard error. On a terminal, tables are
drawn with rich where it is installed; in a pipe they are aligned text without colours, complete and never cut.
Called by every command that lists or shows something.
"""

from __future__ import annotations

import datetime
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import click

from orchestrator.errors import MissingExtra

Row = Mapping[str, Any]

COLOURS = {
    "COMPLETED": "green",
    "COMPLETED_WITH_ERRORS": "yellow",
    "RUNNING": "cyan",
    "IN_PROGRESS": "cyan",
    "PAUSED": "yellow",
    "FAILED": "red",
    "FAILED_WITH_TERMINAL_ERROR": "red",
    "TIMED_OUT": "red",
    "TERMINATED": "magenta",
    "ok": "green",
    "warn": "yellow",
    "fail": "red",
}


class Column(NamedTuple):
    """A column of a table: its title, and what it shows of a row."""

    title: str
    value: Callable[[Any], Any]


def show_all(rows: Sequence[Row], form: str, columns: Sequence[Column], *, name: str) -> None:
    """Write a list; ``name`` is the field that ``-o name`` prints, one a line.

    Raises ``MissingExtra`` for YAML without PyYAML. Example: ``show_all(rows, "jsonl", COLUMNS, name="workflowId")``
    """
    if form == "table":
        table([column.title for column in columns], [[column.value(row) for column in columns] for row in rows])
    elif form == "name":
        for row in rows:
            click.echo(row[name])
    elif form == "jsonl":
        for row in rows:
            click.echo(as_json(row, indent=None))
    else:
        click.echo(_document(list(rows), form))


def show(row: Row, form: str, columns: Sequence[Column], *, name: str) -> None:
    """Write one thing; its table has a line for each column. Raises as ``show_all``."""
    if form == "table":
        width = max((len(column.title) for column in columns), default=0)
        for column in columns:
            click.echo(f"{column.title.upper():<{width}}  {text(column.value(row))}")
    elif form in ("json", "yaml"):
        click.echo(_document(row, form))
    else:
        show_all([row], form, columns, name=name)


def show_document(value: Any, form: str, *, name: str) -> None:
    """Write a document that is a user's own, as an output is; ``name`` is what ``-o name`` prints.

    Its table has a line for each key. Raises as ``show_all``. Example: ``show_document({"a": 1}, "json", name=workflow_id)``
    """
    if form == "name":
        click.echo(name)
    elif form == "jsonl":
        click.echo(as_json(value, indent=None))
    elif form != "table":
        click.echo(_document(value, form))
    elif isinstance(value, dict):
        table(("key", "value"), list(value.items()))
    else:
        click.echo(text(value))


def table(titles: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Write a table to standard output. Example: ``table(["ID", "STATUS"], [["7", "RUNNING"]])``"""
    if sys.stdout.isatty():
        cells = [[text(value) for value in row] for row in rows]
        if _draw([title.upper() for title in titles], cells):
            return
    for line in aligned(titles, rows):
        click.echo(line)


def aligned(titles: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    """A table as lines of text. Example: ``aligned(["ID"], [["7"]]) == ["ID", "7"]``"""
    lines = [[title.upper() for title in titles], *([text(value) for value in row] for row in rows)]
    widths = [max(len(line[index]) for line in lines) for index in range(len(titles))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]


def _draw(titles: Sequence[str], cells: Sequence[Sequence[str]]) -> bool:
    """Whether rich was there to draw the table."""
    try:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text
    except ImportError:
        return False
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for title in titles:
        drawn.add_column(title, overflow="fold")
    for line in cells:
        drawn.add_row(*(Text(cell, style=COLOURS.get(cell, "")) for cell in line))
    Console().print(drawn)
    return True


def as_json(value: Any, indent: int | None = 2) -> str:
    """JSON text as people read it: other alphabets stay as they are."""
    return json.dumps(value, indent=indent, ensure_ascii=False)


def _document(value: Any, form: str) -> str:
    if form in ("json", "jsonl"):
        return as_json(value)
    try:
        import yaml
    except ImportError:
        raise MissingExtra("YAML output", "cli") from None
    # Through JSON, so that an enum or a mapping of another kind is plain text and a plain map.
    written: str = yaml.safe_dump(json.loads(as_json(value)), sort_keys=False, allow_unicode=True)
    return written.rstrip("\n")


def say(message: str) -> None:
    """Write prose to standard error."""
    click.echo(message, err=True, color=False if "NO_COLOR" in os.environ else None)


def text(value: Any) -> str:
    """A table's cell: nothing is ``-``, and what would break the line is made visible."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict | list):
        return as_json(value, indent=None)
    return "".join(character if character.isprintable() else " " for character in str(value))


def moment(epoch_ms: int) -> str:
    """A time as local text, ``-`` for none yet. Example: ``moment(0) == "-"``"""
    if not epoch_ms:
        return "-"
    return datetime.datetime.fromtimestamp(epoch_ms / 1000).astimezone().isoformat(" ", "seconds")


def span(duration_ms: int) -> str:
    """A duration as text. Example: ``span(61_000) == "1m 1s"``"""
    if duration_ms < 1_000:
        return f"{max(duration_ms, 0)}ms"
    seconds = duration_ms / 1000
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes}m" if hours else f"{minutes}m {seconds}s"

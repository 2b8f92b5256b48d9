"""The trees of ``model.query`` as SQL: the same answers as its evaluator, by the database's indexes.

A comparison with an absent value is never true in SQL, and ``!=`` and NOT IN ask for absence beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Table, Text, and_, cast, false, literal_column, not_, or_, text, true
from sqlalchemy.dialects.postgresql import ARRAY

from orchestrator.archive.schema import plain_phrase
from orchestrator.model.query import AllOf, AnyOf, Condition, Is, Like, Order, Phrase, SortKey, phrase_text


def where(table: Table, condition: Condition, dialect: str) -> ColumnElement[bool]:
    """What a row must fulfil."""
    match condition:
        case AllOf(parts):
            return and_(true(), *(where(table, part, dialect) for part in parts))
        case AnyOf(parts):
            return or_(false(), *(where(table, part, dialect) for part in parts))
        case Is(field, values, is_not):
            column = table.c[field.attribute]
            given = [value for value in values if value is not None]
            if is_not:
                others = or_(column.is_(None), column.not_in(given)) if given else true()
                return and_(others, column.is_not(None)) if None in values else others
            among = column.in_(given) if given else false()
            return or_(among, column.is_(None)) if None in values else among
        case Like(field, parts, is_not):
            column = table.c[field.attribute]
            alike = _like(column, parts, dialect)
            return or_(column.is_(None), not_(alike)) if is_not else alike
        case Order(field, sign, value):
            compared: ColumnElement[bool] = table.c[field.attribute].op(sign, is_comparison=True)(value)
            return compared


def _like(column: ColumnElement[Any], parts: Sequence[str], dialect: str) -> ColumnElement[bool]:
    if dialect == "sqlite":  # LIKE takes capitals for small letters there
        pattern = "*".join("".join(f"[{letter}]" if letter in "*?[" else letter for letter in part) for part in parts)
        matched: ColumnElement[bool] = column.op("GLOB", is_comparison=True)(pattern)
        return matched
    escaped = [part.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") for part in parts]
    return column.like("%".join(escaped), escape="\\")


def has_words(table: Table, phrases: Sequence[Phrase], dialect: str) -> ColumnElement[bool]:
    """Whether a row's words hold all phrases."""
    found: list[ColumnElement[bool]] = [true()]
    for number, phrase in enumerate(map(plain_phrase, phrases)):
        if dialect == "sqlite":
            name = f"{table.name}_words"
            wanted = f'"{" ".join(phrase.words)}"{"*" if phrase.is_open else ""}'
            inner = text(f"{table.name}.number IN (SELECT rowid FROM {name} WHERE {name} MATCH :words{number})")
            found.append(inner.bindparams(**{f"words{number}": wanted}))  # type: ignore[arg-type]
            continue
        whole = phrase.words[:-1] if phrase.is_open else phrase.words
        if whole:  # the index finds the rows that have the words, the text says whether they follow each other
            listed: ColumnElement[Any] = literal_column(f"string_to_array({table.name}.words, ' ')")
            found.append(listed.op("@>", is_comparison=True)(_array(whole)))
        if len(phrase.words) > 1 or phrase.is_open:
            found.append(table.c.words.like(f"%{phrase_text(phrase)}%"))
    return and_(*found)


def _array(words: Sequence[str]) -> ColumnElement[Any]:
    return cast(list(words), ARRAY(Text))


def order_by(table: Table, keys: Sequence[SortKey]) -> list[ColumnElement[Any]]:
    """An order in which absent values are the smallest."""
    return [
        table.c[key.field.attribute].desc().nulls_last()
        if key.is_descending
        else table.c[key.field.attribute].asc().nulls_first()
        for key in keys
    ]

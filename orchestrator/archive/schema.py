"""The tables of the archive, and what free text looks at, in the two kinds of SQL.

Every field that a query may name is a column; the line, and the records an execution had in Redis, are kept packed. Words
are stored as a text of plain letters, so that no database splits them in its own way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, LargeBinary, MetaData, Table, Text
from sqlalchemy.dialects import postgresql

from orchestrator.model.query import Phrase
from orchestrator.model.summaries import TASK_FIELDS, WORKFLOW_FIELDS, Field, Kind

# Compared by code points everywhere, as the evaluator does.
TEXT = Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
NUMBER = BigInteger().with_variant(Integer(), "sqlite")

metadata = MetaData()


def _columns(fields: Mapping[str, Field]) -> list[Column[Any]]:
    texts = (Kind.TEXT, Kind.STATUS)
    return [Column(field.attribute, TEXT if field.kind in texts else NUMBER) for field in fields.values()]


executions = Table(
    "execution",
    metadata,
    Column("number", NUMBER, primary_key=True, autoincrement=True),
    Column("move", NUMBER, nullable=False),
    Column("stored_version", NUMBER, nullable=False),
    Column("definition_hash", TEXT, nullable=False),
    Column("records", LargeBinary, nullable=False),
    Column("line", LargeBinary, nullable=False),
    Column("words", TEXT, nullable=False),
    *_columns(WORKFLOW_FIELDS),
)
tasks = Table(
    "task",
    metadata,
    Column("number", NUMBER, primary_key=True, autoincrement=True),
    Column("execution", NUMBER, ForeignKey("execution.number", ondelete="CASCADE"), nullable=False),
    Column("line", LargeBinary, nullable=False),
    Column("words", TEXT, nullable=False),
    *_columns(TASK_FIELDS),
)
definitions = Table("definition", metadata, Column("hash", TEXT, primary_key=True), Column("body", LargeBinary))
facts = Table("fact", metadata, Column("name", TEXT, primary_key=True), Column("value", TEXT))

Index("execution_id", executions.c.workflow_id, unique=True)
Index("execution_move", executions.c.move)
for _name in ("start_time", "workflow_type", "status", "correlation_id", "parent_workflow_id", "end_time"):
    Index(f"execution_{_name}", executions.c[_name])
for _name in ("execution", "task_id", "scheduled_time", "task_def_name", "status"):
    Index(f"task_{_name}", tasks.c[_name])

WORDED = (executions, tasks)
SQLITE_WORDS = tuple(
    statement
    for table in ("execution", "task")
    for statement in (
        f"CREATE VIRTUAL TABLE {table}_words USING fts5(words, content='{table}', content_rowid='number')",
        f"CREATE TRIGGER {table}_in AFTER INSERT ON {table} BEGIN"
        f" INSERT INTO {table}_words(rowid, words) VALUES (new.number, new.words); END",
        f"CREATE TRIGGER {table}_out AFTER DELETE ON {table} BEGIN INSERT INTO {table}_words({table}_words, rowid, words)"
        f" VALUES ('delete', old.number, old.words); END",
    )
)
POSTGRES_WORDS = tuple(
    f"CREATE INDEX {table}_words ON {table} USING gin (string_to_array(words, ' '))" for table in ("execution", "task")
)


def plain(word: str) -> str:
    """A word in letters that no database takes apart; the beginning of a word is the beginning of its plain form.

    Example: ``plain("größe") == "gr" + "z0000f6" + "z0000df" + "e"``
    """
    return "".join("zz" if letter == "z" else letter if letter.isascii() else f"z{ord(letter):06x}" for letter in word)


def plain_text(words: Sequence[str]) -> str:
    """Words as the text that is stored, a blank around each."""
    return f" {' '.join(map(plain, words))} "


def plain_phrase(phrase: Phrase) -> Phrase:
    """A phrase in the same letters."""
    return Phrase(tuple(map(plain, phrase.words)), phrase.is_open)

"""The archive's database: every statement there is, each one transaction; blocking, so plans call it through ``Outside``.

Nothing is decided here. A row belongs to the move that wrote it, and only that move may take it back. Raises
``ArchiveUnavailable`` when the database does not answer.
"""

from __future__ import annotations

import contextlib
import os
import threading
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from orchestrator.archive import schema
from orchestrator.archive.conditions import has_words, order_by, where
from orchestrator.errors import ArchiveUnavailable, MissingExtra, SettingsInvalid, StoreRefused
from orchestrator.model.query import Condition, Phrase, SortKey
from orchestrator.model.summaries import TASK_FIELDS, WORKFLOW_FIELDS, Field, Summary, TaskSummary, WorkflowSummary

try:
    import sqlalchemy as sa
    from sqlalchemy.exc import SQLAlchemyError
except ImportError as error:
    raise MissingExtra("the archive", "archive") from error

BUSY_TIMEOUT_S = 30
IDS_PER_STATEMENT = 500
POSTGRES_LINE = (
    "an archive in SQLite is for one host. For more, use PostgreSQL: pip install 'redis-orchestrator[postgres]' and "
    "ORCHESTRATOR_ARCHIVE_URL=postgresql://user:password@host/name"
)

_E, _T, _D, _F = schema.executions, schema.tasks, schema.definitions, schema.facts


class Shelved(NamedTuple):
    """An execution as the archive keeps it: its records as Redis had them, its line and words, those of its tasks."""

    workflow_id: str
    version: int
    definition_hash: str
    definition: bytes
    fields: Mapping[str, bytes]
    tasks: Mapping[str, bytes]
    line: WorkflowSummary
    words: Sequence[str]
    task_lines: Sequence[tuple[TaskSummary, Sequence[str]]]


class Kept(NamedTuple):
    """What comes back of it."""

    workflow_id: str
    version: int
    definition_hash: str
    definition: bytes
    fields: dict[str, bytes]
    tasks: dict[str, bytes]


class Matches(NamedTuple):
    """``total`` and the first ``lines`` of what is here only; ``unsure`` are those that Redis may have as well."""

    total: int
    lines: list[Any]
    unsure: list[Any]


class Database:
    """One archive. Example: ``Database("sqlite:////var/lib/orchestrator/archive.db").find(["w-1"])``"""

    def __init__(self, url: str) -> None:
        self._path: Path | None = None
        options: dict[str, Any] = {}
        if url.startswith("sqlite:///"):
            self._path = Path(url.removeprefix("sqlite:///"))
            options = {"connect_args": {"timeout": BUSY_TIMEOUT_S}}
        elif url.startswith(("postgresql://", "postgres://")):
            url = "postgresql+psycopg://" + url.partition("://")[2]
            options = {"pool_pre_ping": True}
        else:
            raise SettingsInvalid("archive_url: it is neither sqlite:////a/file.db nor postgresql://host/name")
        try:
            self._engine = sa.create_engine(url, **options)
        except ImportError:
            raise MissingExtra("an archive in PostgreSQL", "postgres") from None
        self._dialect = self._engine.dialect.name
        if self._dialect == "sqlite":
            sa.event.listen(self._engine, "connect", _tune)

    # --- making and finding it ----------------------------------------------------------------------------------------

    def identity(self) -> str | None:
        """The archive's own id; ``None`` where there is no archive. Makes nothing."""
        if self._path is not None and not self._path.exists():
            return None
        with self._transaction() as run:
            if not sa.inspect(run).has_table("fact"):
                return None
            found: str | None = run.scalar(sa.select(_F.c.value).where(_F.c.name == "id"))
            return found

    def create(self) -> str:
        """Make the tables where there are none; gives the archive's own id."""
        known = self.identity()
        if known is not None:
            return known
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        own = os.urandom(12).hex()
        with self._transaction() as run:
            schema.metadata.create_all(run)
            for statement in schema.SQLITE_WORDS if self._dialect == "sqlite" else schema.POSTGRES_WORDS:
                run.exec_driver_sql(statement)
            run.execute(_F.insert().values(name="id", value=own))
        return own

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    # --- moving -------------------------------------------------------------------------------------------------------

    def write(self, move: int, items: Sequence[Shelved]) -> None:
        """Keep executions, each in place of what was here under its id."""
        with self._transaction() as run:
            for digest, body in {item.definition_hash: item.definition for item in items}.items():
                if run.scalar(sa.select(_D.c.hash).where(_D.c.hash == digest)) is None:
                    run.execute(_D.insert().values(hash=digest, body=body))
            _delete(run, _E.c.workflow_id.in_([item.workflow_id for item in items]))
            for item in items:
                records = zlib.compress(msgspec.msgpack.encode((dict(item.fields), dict(item.tasks))), 1)
                row = _row(item.line, item.words, WORKFLOW_FIELDS)
                row |= {"move": move, "stored_version": item.version, "definition_hash": item.definition_hash}
                number = run.scalar(_E.insert().values(**row, records=records).returning(_E.c.number))
                rows = [{**_row(line, words, TASK_FIELDS), "execution": number} for line, words in item.task_lines]
                if rows:
                    run.execute(_T.insert(), rows)

    def moved(self, move: int) -> dict[str, int]:
        """The executions that belong to a move, with their versions."""
        with self._transaction() as run:
            rows = run.execute(sa.select(_E.c.workflow_id, _E.c.stored_version).where(_E.c.move == move))
            return {row.workflow_id: row.stored_version for row in rows}

    def take_over(self, workflow_ids: Sequence[str], move: int) -> list[Kept]:
        """Make executions belong to this move, and give them; those that are not here are left out."""
        with self._transaction() as run:
            run.execute(_E.update().where(_E.c.workflow_id.in_(workflow_ids)).values(move=move))
            return _kept(run, _E.c.move == move)

    def pass_on(self, old: int, move: int) -> None:
        """Let what belongs to a move that died belong to another."""
        with self._transaction() as run:
            run.execute(_E.update().where(_E.c.move == old).values(move=move))

    def drop(self, workflow_ids: Sequence[str], move: int) -> int:
        """Forget executions if they belong to this move; gives how many."""
        with self._transaction() as run:
            return _delete(run, sa.and_(_E.c.workflow_id.in_(workflow_ids), _E.c.move == move))

    def remove(self, workflow_id: str) -> bool:
        """Forget an execution, whoever it belongs to; whether it was here."""
        with self._transaction() as run:
            return _delete(run, _E.c.workflow_id == workflow_id) > 0

    # --- reading ------------------------------------------------------------------------------------------------------

    def find(self, workflow_ids: Sequence[str]) -> list[Kept]:
        """Executions by id; those that are not here are left out."""
        found: list[Kept] = []
        with self._transaction() as run:
            for at in range(0, len(workflow_ids), IDS_PER_STATEMENT):
                found += _kept(run, _E.c.workflow_id.in_(workflow_ids[at : at + IDS_PER_STATEMENT]))
        return found

    def lines(self, workflow_ids: Sequence[str]) -> list[WorkflowSummary]:
        """The lines of executions by id."""
        found: list[WorkflowSummary] = []
        with self._transaction() as run:
            for at in range(0, len(workflow_ids), IDS_PER_STATEMENT):
                part = workflow_ids[at : at + IDS_PER_STATEMENT]
                found += _lines(run.execute(sa.select(_E.c.line).where(_E.c.workflow_id.in_(part))), WorkflowSummary)
        return found

    def family(self, workflow_ids: Sequence[str]) -> list[str]:
        """The ids that are here of these executions, of those they are part of, and of those that are part of them."""
        found: dict[str, None] = {}
        with self._transaction() as run:
            up, down = list(workflow_ids), list(workflow_ids)
            while up:
                rows = run.execute(
                    sa.select(_E.c.workflow_id, _E.c.parent_workflow_id).where(_E.c.workflow_id.in_(up))
                ).all()
                found |= dict.fromkeys(row.workflow_id for row in rows)
                up = [row.parent_workflow_id for row in rows if row.parent_workflow_id]
            while down:
                children = run.scalars(sa.select(_E.c.workflow_id).where(_E.c.parent_workflow_id.in_(down))).all()
                down = [child for child in children if child not in found]
                found |= dict.fromkeys(children)
        return list(found)

    def search(
        self,
        condition: Condition,
        phrases: Sequence[Phrase],
        keys: Sequence[SortKey],
        count: int,
        first_unsure: int,
    ) -> Matches:
        """Executions that match; those of moves before ``first_unsure`` are certainly not in Redis."""
        matching = sa.and_(where(_E, condition, self._dialect), has_words(_E, phrases, self._dialect))
        return self._matches(_E, matching, keys, count, first_unsure, WorkflowSummary)

    def search_tasks(
        self,
        condition: Condition,
        phrases: Sequence[Phrase],
        keys: Sequence[SortKey],
        count: int,
        first_unsure: int,
    ) -> Matches:
        """Attempts of tasks likewise."""
        matching = sa.and_(where(_T, condition, self._dialect), has_words(_T, phrases, self._dialect))
        return self._matches(_T, matching, keys, count, first_unsure, TaskSummary)

    def _matches(
        self,
        table: sa.Table,
        matching: sa.ColumnElement[bool],
        keys: Sequence[SortKey],
        count: int,
        first_unsure: int,
        kind: type[Any],
    ) -> Matches:
        source = table if table is _E else table.join(_E, _E.c.number == _T.c.execution)
        sure = sa.and_(matching, _E.c.move < first_unsure)
        with self._transaction() as run:
            total = run.scalar(sa.select(sa.func.count()).select_from(source).where(sure)) or 0
            first = (
                sa.select(table.c.line).select_from(source).where(sure).order_by(*order_by(table, keys)).limit(count)
            )
            unsure = sa.select(table.c.line).select_from(source).where(matching, _E.c.move >= first_unsure)
            return Matches(total, _lines(run.execute(first), kind), _lines(run.execute(unsure), kind))

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        try:
            with self._engine.begin() as run:
                yield run
        except SQLAlchemyError as error:
            reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
            raise ArchiveUnavailable(f"the archive does not answer ({reason}); repeat later") from error


def _tune(connection: Any, _: Any) -> None:
    """Readers do not wait for the writer, and a commit is on disk before the copy in Redis goes."""
    for pragma in ("journal_mode=WAL", "synchronous=FULL"):
        connection.execute(f"PRAGMA {pragma}")


def _row(line: Summary, words: Sequence[str], fields: Mapping[str, Field]) -> dict[str, Any]:
    row: dict[str, Any] = {"line": msgspec.msgpack.encode(line), "words": schema.plain_text(words)}
    for field in fields.values():
        value = field.value(line)
        row[field.attribute] = value.replace("\0", "\ufffd") if isinstance(value, str) else value
    return row


def _delete(run: sa.Connection, which: sa.ColumnElement[bool]) -> int:
    run.execute(_T.delete().where(_T.c.execution.in_(sa.select(_E.c.number).where(which))))
    return int(run.execute(_E.delete().where(which)).rowcount)


def _kept(run: sa.Connection, which: sa.ColumnElement[bool]) -> list[Kept]:
    columns = (_E.c.workflow_id, _E.c.stored_version, _E.c.definition_hash, _D.c.body, _E.c.records)
    rows = run.execute(sa.select(*columns).join(_D, _D.c.hash == _E.c.definition_hash).where(which))
    return [
        Kept(row[0], row[1], row[2], row[3], *msgspec.msgpack.decode(zlib.decompress(row[4]), type=_RECORDS))
        for row in rows
    ]


def _lines(rows: Any, kind: type[Any]) -> list[Any]:
    return [msgspec.msgpack.decode(row[0], type=kind) for row in rows]


_RECORDS = tuple[dict[str, bytes], dict[str, bytes]]

# --- one for each process ---------------------------------------------------------------------------------------------

_opened: dict[tuple[int, str], Database] = {}
_seen: set[tuple[int, str, str]] = set()
_opening = threading.Lock()


def database(url: str) -> Database:
    """The database under a URL, opened once in each process."""
    with _opening:
        key = (os.getpid(), url)
        if key not in _opened:
            _opened[key] = Database(url)
        return _opened[key]


def known_database(url: str, archive_id: str) -> Database:
    """The database of an installation, if this process can see it.

    Raises ``StoreRefused`` where there is another or none: on a second host, for one in SQLite.
    """
    found = database(url)
    if (os.getpid(), url, archive_id) not in _seen:
        if found.identity() != archive_id:
            advice = POSTGRES_LINE if url.startswith("sqlite") else "is it the same server?"
            raise StoreRefused("the archive of this installation is not to be found here", advice)
        _seen.add((os.getpid(), url, archive_id))
    return found


def close_databases() -> None:
    """Close what this process has opened; the next use opens it anew."""
    with _opening:
        for found in _opened.values():
            found.close()
        _opened.clear()
        _seen.clear()

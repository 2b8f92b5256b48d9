"""Archives of both kinds: SQLite in a file, PostgreSQL on a server of the tests' own."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.support.postgres_server import postgres


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A database that all tests of a process share; ``archive_url`` empties it."""
    with tempfile.TemporaryDirectory(prefix="pg") as folder, postgres(Path(folder)) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgres"])
def archive_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where an empty archive is."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/archive.db"
    url: str = request.getfixturevalue("postgres_url")
    engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as run:
        run.exec_driver_sql("DROP SCHEMA public CASCADE")
        run.exec_driver_sql("CREATE SCHEMA public")
    engine.dispose()
    return url

"""Fixtures of the examples' tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.shop import Shop


@pytest.fixture
def shop(tmp_path: Path, redis_url: str) -> Iterator[Shop]:
    """What docs/applications.md shows, beside an empty Redis."""
    shop = Shop(tmp_path, redis_url)
    yield shop
    shop.client.close()

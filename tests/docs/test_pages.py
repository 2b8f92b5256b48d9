"""Every block of every page is done as it stands, unless it is marked with the reason why not."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from orchestrator import Client, set_default_client
from tests.cli.conftest import PATHS
from tests.docs.blocks import ROOT, blocks_of, name_of, pages
from tests.docs.desk import Desk, engine
from tests.docs.prepared import PREPARED, SERVED
from tests.docs.reader import Reader
from tests.docs.terminal import Terminal

ELSEWHERE = {
    "README.md": "tests/docs/test_wheel.py",
    "docs/quickstart.md": "tests/docs/test_wheel.py",
    "docs/applications.md": "tests/examples/test_applications.py",
    "docs/cli.md": "tests/cli/test_reference.py",
}
"""Pages of which other tests do each block."""
PAGES = [page for page in pages() if blocks_of(page) and name_of(page) not in ELSEWHERE]
NOT_RUN_MAX = 8
INDENTED = re.compile(r"(?:^|\n)\n {4,}(?![-*0-9])\S")


@pytest.fixture
def desk(tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """A desk with an empty Redis."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in os.environ if name.startswith("ORCHESTRATOR_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("ORCHESTRATOR_REDIS_URL", redis_url)
    monkeypatch.setenv("PYTHONPATH", PATHS)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    module = ModuleType("page")
    monkeypatch.setitem(sys.modules, "page", module)  # dataclasses look for the module that they are written in
    addresses = {"redis://redis:6379/0": redis_url, "https://flows.example.com": "http://localhost:8080"}
    with Client(redis_url) as client, Terminal(tmp_path, dict(os.environ), addresses) as terminal:
        before = set_default_client(client)
        yield Desk(terminal, client, module)
        set_default_client(before)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_page_does_what_it_says(page: Path, desk: Desk, redis_url: str) -> None:
    blocks, prepare = blocks_of(page), PREPARED.get(name_of(page))
    needs_engine = prepare is not None or any(block.language == "sh" for block in blocks)
    with engine(redis_url, SERVED.get(name_of(page), ())) if needs_engine else contextlib.nullcontext():
        if prepare is not None:
            prepare(desk)
        Reader(desk.terminal, desk.python, desk.judge).read(blocks)


def test_every_block_is_one_that_is_done_or_says_why_not() -> None:
    fences = {name_of(page): len(re.findall(r"^\s*```", page.read_text(), re.MULTILINE)) for page in pages()}
    found = {name_of(page): 2 * len(blocks_of(page)) for page in pages()}
    assert {name: (count, found[name]) for name, count in fences.items() if count != found[name]} == {}
    assert [name_of(page) for page in pages() if INDENTED.search(page.read_text())] == []
    not_run = [block for page in pages() for block in blocks_of(page) if block.reason]
    assert len(not_run) <= NOT_RUN_MAX, "\n".join(f"{block}: {block.reason}" for block in not_run)


def test_the_pages_that_others_do_are_there() -> None:
    assert {name for name in ELSEWHERE if not (ROOT / name).exists()} == set()
    assert {name for name in PREPARED if not (ROOT / name).exists()} == set()
    assert {test for name, test in ELSEWHERE.items() if name.split("/")[-1] not in (ROOT / test).read_text()} == set()

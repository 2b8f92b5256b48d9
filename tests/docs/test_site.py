"""The site of the documentation: it builds without a warning, needs nothing from elsewhere, and leaves nothing out."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import orchestrator
from orchestrator import testing
from orchestrator.core.kinds import DISPATCH, SYSTEM_TASK_TYPES
from tests.docs.blocks import ROOT, blocks_of

LOADED = re.compile(r'<(?:script|link|img|iframe)[^>]+(?:src|href)="((?:https?:)?//[^"]+)"')


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as ``make docs`` builds it."""
    folder = tmp_path_factory.mktemp("site")
    subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        check=True,
        timeout=50,
    )
    return folder


def test_the_site_is_built_and_its_pages_load_nothing_from_elsewhere(site: Path) -> None:
    pages = {page: page.read_text() for page in site.rglob("*.html")}
    assert len(pages) > 50
    assert {page: found for page, text in pages.items() if (found := LOADED.findall(text))} == {}


def test_every_operator_and_system_task_has_a_page_in_three_forms() -> None:
    engine_s_own, older_names = {"SCRIPT"}, {"FORK"}
    types = {*DISPATCH, *SYSTEM_TASK_TYPES, "SIMPLE", "DYNAMIC"} - engine_s_own - older_names
    pages = {
        page.stem.upper(): blocks_of(page) for page in (ROOT / "docs/operators").glob("*.md") if page.stem != "README"
    }
    assert set(pages) == types
    missing = {
        name: {"python", "json", "yaml"} - {block.language for block in blocks} for name, blocks in pages.items()
    }
    assert {name for name, languages in missing.items() if languages} == set()


def test_every_public_name_is_described_from_its_docstring(site: Path) -> None:
    described = set(
        re.findall(r'id="(orchestrator[.\w]+)"', "".join(p.read_text() for p in (site / "docs/api").rglob("*.html")))
    )
    names = {name for name in orchestrator.__all__ if name != "__version__"}
    assert {
        name for name in names if not described & {f"orchestrator{room}.{name}" for room in ("", ".errors", ".task")}
    } == set()
    names = set(testing.__all__)
    assert {
        name for name in names if not described & {f"orchestrator.testing{room}.{name}" for room in ("", f".{name}")}
    } == set()

"""The wheel, installed where nothing of ours was before, does what the first page and the quickstart say, word for word.

Only where a reader's own things stand, others are put: the address of his Redis, his module of tasks, his definitions.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT, Block, blocks_of
from tests.docs.reader import Reader
from tests.docs.terminal import Terminal

README = ROOT / "README.md"
QUICKSTART = ROOT / "docs/quickstart.md"
REDIS = "redis://redis:6379/0"  # of the page on production
TASKS = "from orchestrator import task\n\n\n@task\ndef pack(parcel: str) -> str:\n    return f'packed {parcel}'\n"
DEFINITION = {
    "name": "parcel",
    "tasks": [{"name": "pack", "taskReferenceName": "pack", "inputParameters": {"parcel": "7"}}],
}
PLACES = """
import sys, orchestrator, orchestrator_cli, orchestrator_workers
print(sys.prefix, orchestrator.__file__, orchestrator_cli.__file__, orchestrator_workers.__file__)
"""

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(sys.platform == "win32", reason="there is no embedded store for Windows"),
]


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheels")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(folder)]
    subprocess.run([*command, str(ROOT)], check=True, timeout=120)
    return folder


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with nothing in it; every page begins with what installs into it."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=120)
    return folder


@pytest.fixture
def newcomer(wheels: Path, environment: Path, tmp_path: Path, redis_url: str) -> Iterator[Terminal]:
    """A terminal in an empty folder, with that environment, for which pip finds the wheel."""
    variables = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("ORCHESTRATOR_", "PYTHON"))},
        "PATH": f"{environment}/bin:/usr/bin:/bin",
        "PIP_FIND_LINKS": str(wheels),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    with Terminal(tmp_path, variables, {REDIS: redis_url}) as terminal:
        yield terminal


@pytest.fixture
def reader(newcomer: Terminal) -> Reader:
    """Reads the pages with the programs of that environment; each program follows those before it."""
    programs: list[str] = []

    def python(block: Block) -> str:
        printed = newcomer.run(f"python - <<'END OF THE PROGRAM'\n{''.join(programs)}{block.text}END OF THE PROGRAM\n")
        if "print(" not in block.text:
            programs.append(block.text)
        return printed

    return Reader(newcomer, python)


def sections(page: Path) -> dict[str, list[Block]]:
    """The blocks of a page by heading."""
    found: dict[str, list[Block]] = {}
    for block in blocks_of(page):
        found.setdefault(block.section, []).append(block)
    return found


def test_the_first_page_does_what_it_says(newcomer: Terminal, reader: Reader) -> None:
    page = sections(README)
    (production,) = page.pop("In production")
    for blocks in page.values():
        reader.read(blocks)
    prefix, *modules = newcomer.run(f"python -c '{PLACES}'").split()
    assert [module.startswith(prefix) for module in modules] == [True, True, True]
    assert not prefix.startswith(sys.prefix)

    newcomer.end_roles()
    for name, content in {"my_project/tasks.py": TASKS, "definitions/parcel.json": json.dumps(DEFINITION)}.items():
        (newcomer.folder / name).parent.mkdir(exist_ok=True)
        (newcomer.folder / name).write_text(content)
    reader.read([production])
    assert json.loads(newcomer.run("orchestrator workflow run parcel")) == {"result": "packed 7"}


def test_the_quickstart_does_what_it_says(reader: Reader) -> None:
    reader.read(blocks_of(QUICKSTART))

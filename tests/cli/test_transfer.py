"""workflow export and import on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import SHOP, Invoke


@pytest.fixture(autouse=True)
def _shop(invoke: Invoke, engine: None) -> None:
    assert invoke("def", "apply", SHOP).exit_code == 0


def test_an_execution_goes_out_to_a_file_and_comes_back_under_a_new_id(invoke: Invoke, tmp_path: Path) -> None:
    assert invoke("workflow", "run", "hello", "-i", "name=Ada").exit_code == 0
    workflow_id = invoke("workflow", "list", "-o", "name").stdout.strip()
    file = str(tmp_path / "run.json")
    assert invoke("workflow", "export", workflow_id, "-f", file).exit_code == 0
    document = json.loads(Path(file).read_text())
    assert document["workflow"]["output"] == {"result": "Hello, Ada"}
    assert json.loads(invoke("workflow", "export", workflow_id).stdout) == document
    assert invoke("workflow", "import", file).exit_code == 4
    copy = invoke("workflow", "import", file, "--new-id").stdout.strip()
    assert copy != workflow_id
    assert json.loads(invoke("workflow", "get", copy, "-o", "json").stdout)["output"] == {"result": "Hello, Ada"}
    named = invoke("workflow", "import", "-", "--id", "mine", stdin=json.dumps(document))
    assert (named.exit_code, named.stdout.strip()) == (0, "mine")


def test_what_cannot_be_imported_is_said(invoke: Invoke, tmp_path: Path) -> None:
    assert invoke("workflow", "export", "gone").exit_code == 3
    assert "cannot be read" in invoke("workflow", "import", str(tmp_path / "none.json")).stderr
    assert "is not a JSON object" in invoke("workflow", "import", "-", stdin="[]").stderr
    assert "no exported execution" in invoke("workflow", "import", "-", stdin="{}").stderr
    assert invoke("workflow", "import", "-", "--id", "a", "--new-id", stdin="{}").exit_code == 2

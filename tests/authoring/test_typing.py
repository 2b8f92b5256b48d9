"""What a type checker sees through ``@task``: the function's own signature."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
from orchestrator.task import RetryPolicy, task
from orchestrator.workflow import Workflow

@task
async def greet(name: str) -> str:
    return name

@task(retry=RetryPolicy(limit=1))
def add(a: int, b: int = 1) -> int:
    return a + b

async def use() -> None:
    text: str = await greet("Ada")
    number: int = add(1, b=2)
    Workflow("w").then(greet, name="Ada").fork([add], add).output(a=1)
    add("one")
    wrong: str = add(1)
"""


@pytest.mark.timeout(180)
def test_a_type_checker_sees_the_functions_own_signature(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    (tmp_path / "program.py").write_text(PROGRAM)
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--follow-imports=silent"]
    command += ["--config-file=", f"--cache-dir={tmp_path / 'cache'}", str(tmp_path / "program.py")]
    answer = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    errors = [line.split("program.py:")[1] for line in answer.stdout.splitlines() if "program.py:" in line]
    assert [error.split(":")[0] for error in errors] == ["17", "18"], answer.stdout + answer.stderr
    assert 'has incompatible type "str"; expected "int"' in errors[0]
    assert 'expression has type "int", variable has type "str"' in errors[1]

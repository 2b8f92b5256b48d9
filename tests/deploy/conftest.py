"""Fixtures of the deployment's tests: the tools, which a laptop may lack and CI may not, and the files themselves."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import command

__all__ = ["command"]

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"


def tool(name: str, advice: str) -> str:
    """The path of a program; without it the test is skipped, in CI it fails."""
    places = os.pathsep.join((str(ROOT / ".venv-deploy" / "bin"), os.environ["PATH"]))
    found = shutil.which(name, path=places)
    if found is None:
        told = f"there is no {name} on this machine: {advice}"
        if os.environ.get("CI"):
            pytest.fail(told, pytrace=False)
        pytest.skip(told)
    return found

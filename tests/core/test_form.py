"""The pure part has two forms that differ in nothing but speed; `make compiled` runs these tests against the compiled one.

The variable FORM says which form is to be under test. Both are one list of modules, the one in pyproject.toml.
"""

from __future__ import annotations

import os
import tomllib
import traceback
from importlib.util import find_spec
from pathlib import Path

import pytest
from msgspec import Raw

from orchestrator.codec import EMPTY_MAP
from orchestrator.core import form, invariants
from orchestrator.core.decide import decide
from orchestrator.core.invariants import InvariantBroken
from orchestrator.core.state import WorkflowState
from orchestrator.model.events import Continued
from orchestrator.model.records import FORMAT, Meta
from tests.support.build import noop, workflow_def
from tests.support.happenings import started
from tests.support.story import ID, Story

FORM = os.environ.get("FORM", "interpreted")
PROJECT = tomllib.loads((Path(__file__).resolve().parents[2] / "pyproject.toml").read_text("utf-8"))
COMPILED = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]["custom"]["modules"]


def test_the_form_under_test_is_the_one_that_was_asked_for() -> None:
    assert form() == FORM


@pytest.mark.parametrize("file", COMPILED)
def test_each_module_of_the_list_has_that_form(file: str) -> None:
    spec = find_spec(file.removesuffix(".py").removesuffix("/__init__").replace("/", "."))
    assert spec is not None
    assert spec.origin is not None
    assert spec.origin.endswith(".py") is (FORM == "interpreted")


def test_a_traceback_names_file_line_and_function() -> None:
    story = Story(workflow_def(noop("a"))).when(started())
    state = WorkflowState(ID, Meta(format=FORMAT, name="flow", version=1, definition_hash="h"), Raw(EMPTY_MAP))
    with pytest.raises(InvariantBroken) as caught:
        decide(state, [Continued(at_ms=1)], story.program, story.facts)
    last = traceback.extract_tb(caught.tb)[-1]
    file = Path(invariants.__file__).parent / "invariants.py"
    assert file.parts[-3:] == Path(last.filename).parts[-3:]
    assert last.name == "check_beginning"
    assert last.lineno is not None
    assert "raise InvariantBroken" in file.read_text("utf-8").splitlines()[last.lineno - 1]

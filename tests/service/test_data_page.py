"""What docs/data.md shows can be run as it stands."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path

import pytest

from orchestrator.errors import SchemaViolation
from tests.support.served import MakeEnvironment

PAGE = Path(__file__).parents[2] / "docs" / "data.md"


def test_the_schemas_of_the_page_do_what_it_says(environment: MakeEnvironment, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    shown = types.ModuleType("data_page")
    monkeypatch.setitem(sys.modules, "data_page", shown)
    exec(compile(code, str(PAGE), "exec"), shown.__dict__)
    with environment([shown.charge]) as env:
        assert env.client.execute_workflow(shown.paying, sku="x", amount=3) == {"result": "charged 3"}
        with pytest.raises(SchemaViolation, match=r"input\.amount: must be of type integer, not string"):
            env.client.start_workflow(shown.paying, sku="x", amount="three")

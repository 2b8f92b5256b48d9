"""Nothing of the SDK is forgotten: the methods that came back with a value while all other tests ran are those that the
SDK has, but for those that cannot work in the SDK itself.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.conformance.python.calls import Calls
from tests.conformance.python.conftest import asks_of_others, version_of
from tests.conformance.python.hand import Sdk
from tests.conformance.python.test_traps import BROKEN

pytestmark = [pytest.mark.slow, pytest.mark.alone]

HERE = Path(__file__).parent
CLIENTS = ("workflow", "task", "metadata", "scheduler", "secret", "schema", "executor", "event")


@pytest.fixture
def others(request: pytest.FixtureRequest) -> list[str]:
    """The other tests of this version; of a part of them nothing follows."""
    items = [item for item in request.session.items if item.path.parent == HERE]
    chosen = {(item.path.name, item.originalname) for item in items if isinstance(item, pytest.Function)}
    if written() - chosen:
        pytest.skip("only a run of the whole folder tells what is driven")
    version = version_of(request.node)
    return [item.nodeid for item in items if version_of(item) == version and not asks_of_others(item)]


def written() -> set[tuple[str, str]]:
    """The tests that stand in the files of this folder."""
    return {
        (path.name, node.name)
        for path in HERE.glob("test_*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


@pytest.mark.parametrize("client", CLIENTS)
def test_every_public_method_of_a_client_has_been_called(
    sdk: Sdk, calls: Calls, others: list[str], client: str
) -> None:
    calls.wait_for(others)
    methods, _ = sdk.surface()
    assert sorted(methods) == sorted(CLIENTS)
    wanted = {f"{client}.{method}" for method in methods[client]}
    returned = {name for name in calls.noted("returned") if name.startswith(f"{client}.")}
    assert sorted(wanted ^ returned) == sorted(BROKEN & wanted)
    assert calls.noted("raised") >= BROKEN & wanted

"""Nothing of the SDK is forgotten: the lists of its methods and of its classes of tasks are made from the SDK itself.

What the tests of this folder drive is read from their text: every ``sdk.CLIENT.METHOD(...)``.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.conformance.python.hand import Sdk

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
CLIENTS = ("workflow", "task", "metadata", "scheduler", "secret", "schema", "executor", "event")


def driven(client: str) -> set[str]:
    """The methods of a client that the tests call."""
    nodes = [node for path in HERE.glob("test_*.py") for node in ast.walk(ast.parse(path.read_text()))]
    called = [node.func for node in nodes if isinstance(node, ast.Call)]
    prefix = f"sdk.{client}."
    return {name.removeprefix(prefix) for name in map(ast.unparse, called) if name.startswith(prefix)}


@pytest.mark.parametrize("client", CLIENTS)
def test_every_public_method_of_a_client_is_driven(sdk: Sdk, client: str) -> None:
    methods, _ = sdk.surface()
    assert sorted(methods) == sorted(CLIENTS)
    assert sorted(set(methods[client]) - driven(client)) == []
    assert sorted(driven(client) - set(methods[client])) == []

"""The smallest example does what it says."""

from __future__ import annotations

from examples.hello.hello import hello
from orchestrator import testing


def test_hello_greets() -> None:
    result = testing.run(hello, input={"name": "Ada"})
    result.assert_completed()
    assert result.output == {"result": "Hello, Ada"}

"""Compiled definitions are shared, and the cache is bounded."""

from __future__ import annotations

import pytest

from orchestrator.engine.programs import Programs
from orchestrator.engine.starts import resolve_definition
from tests.engine.stage import flow, step


def test_a_program_is_compiled_once_and_found_by_hash() -> None:
    programs = Programs()
    resolved = resolve_definition(flow(step("a")))
    program = programs.compile(resolved.hash, resolved.body)
    assert programs.get(resolved.hash) is program
    assert programs.get("other") is None


def test_the_longest_unused_program_leaves() -> None:
    programs = Programs(limit=2)
    body = resolve_definition(flow(step("a"))).body
    for name in ("one", "two"):
        programs.compile(name, body)
    programs.get("one")
    programs.compile("three", body)
    assert [name for name in ("one", "two", "three") if programs.get(name)] == ["one", "three"]


def test_text_that_is_no_definition_is_refused() -> None:
    with pytest.raises(ValueError, match="truncated"):
        Programs().compile("h", b"{")

"""JavaScript for definitions: Conductor's contract of values and errors, a still clock, and nothing of the host."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.scripts.javascript import Realm, check_syntax
from orchestrator.scripts.limits import FULL, IN_DECISION, Limits, MemoryExceeded, ScriptFailed, TimeExceeded
from orchestrator.scripts.messages import value_of

NOW_MS = 1_700_000_000_123


def value(script: str, input_text: str = '{"x": 41, "xs": [1, 2]}', *, seed: str = "s", limits: Limits = FULL) -> Any:
    return value_of(Realm().evaluate(script, input_text, NOW_MS, seed, limits))


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("$.x + 1", 42),
        ("$.x > 3 ? 'many' : 'few'", "many"),
        ("(function(){ return $.xs.length })()", 2),
        ("function f(){ return $.x } f();", 41),
        ("var a = 1; a + 1", 2),
        ("const a = 1; let b = 2; a + b", 3),
        ("undefined", None),
        ("null", None),
        ("true", True),
        ("6 / 2", 3),
        ("3 / 2", 1.5),
        ("2 ** 53", 2**53),
        ("1e20", 1e20),
        ("12345678901234567890n", 12345678901234567000.0),
        ("NaN", None),
        ("[1, , 'x']", [1, None, "x"]),
        ("({a: undefined, b: 1, c: () => 2})", {"b": 1}),
        ("(function(){})", None),
        ("$.missing", None),
        ("$.xs.map(v => v * 2)", [2, 4]),
        ("", None),
        ("'x'.repeat(5000) + 'y'.repeat(5000) + $.x", "x" * 5000 + "y" * 5000 + "41"),
    ],
)
def test_the_last_expression_is_the_value(script: str, expected: Any) -> None:
    found = value(script)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("1;\ny.z", "Error evaluating the script `ReferenceError: y is not defined` at line 2"),
        ("return 1", "Error evaluating the script `SyntaxError: return not in a function` at line 1"),
        ("throw new Error('no stock')", "Error evaluating the script `Error: no stock` at line 1"),
        ("throw {code: 7}", 'Error evaluating the script `{"code":7}`'),
        (f"throw '{'p' * 9000}' + '{'q' * 9000}'", f"Error evaluating the script `{'p' * 9000}{'q' * 9000}`"),
        ("throw 'plain'", "Error evaluating the script `plain`"),
        ("var a = {}; a.a = a; a", "Error evaluating the script `TypeError: circular reference`"),
        ("throw {toJSON(){ throw 1 }}", "Error evaluating the script `something that cannot be shown`"),
    ],
)
def test_what_a_script_throws_is_told_with_its_line(script: str, message: str) -> None:
    with pytest.raises(ScriptFailed) as caught:
        value(script)
    assert str(caught.value) == message


def test_endless_recursion_is_an_error_of_the_script() -> None:
    with pytest.raises(ScriptFailed, match="Maximum call stack size exceeded"):
        value("(function f(){ return f() + 1 })()")


def test_the_input_is_a_copy_and_a_script_leaves_nothing_for_the_next() -> None:
    assert value("$.xs.push(9); Array.prototype.map = null; globalThis.left = 1; $.xs") == [1, 2, 9]
    assert value("[typeof left, $.xs.map(v => v)]") == ["undefined", [1, 2]]


@pytest.mark.parametrize(
    "name", ["process", "require", "std", "os", "console", "print", "load", "fetch", "performance"]
)
def test_there_is_no_host(name: str) -> None:
    assert value(f"typeof {name}") == "undefined"


def test_modules_cannot_be_imported() -> None:
    assert value("import('fs').constructor.name") == "Promise"
    with pytest.raises(ScriptFailed, match="SyntaxError"):
        value("import fs from 'fs'")


@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("Date.now()", NOW_MS),
        ("new Date().getTime()", NOW_MS),
        ("new Date().getHours()", 22),
        ("new Date().getTimezoneOffset()", 0),
        ("Date()", "Tue, 14 Nov 2023 22:13:20 GMT"),
        ("'' + new Date(2020, 0, 2, 3)", "Thu, 02 Jan 2020 03:00:00 GMT"),
        ("new Date('2020-01-02T03:04').toISOString()", "2020-01-02T03:04:00.000Z"),
        ("new Date('2020-01-02').toISOString()", "2020-01-02T00:00:00.000Z"),
        ("new Date('2020-01-02T03:04+02:00').toISOString()", "2020-01-02T01:04:00.000Z"),
        ("Date.parse('Thu, 01 Jan 1970 00:00:00 GMT')", 0),
        ("new Date(NaN) + ''", "Invalid Date"),
        ("new Date(new Date(5)) - 0", 5),
        ("new Date() instanceof Date && new Date().constructor === Date", True),
        ("class Day extends Date {}; new Day().getTime()", NOW_MS),
        ("[new Date()]", ["2023-11-14T22:13:20.123Z"]),
        ("var d = new Date(0); d.setHours(5); d.toISOString()", "1970-01-01T05:00:00.000Z"),
        ("var Date = 3; Date", 3),
    ],
)
def test_the_clock_stands_still_in_utc(script: str, expected: Any, zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", zone)
    assert value(script) == expected


def test_randomness_follows_from_the_seed() -> None:
    script = "[Math.random(), Math.random(), Math.random()]"
    first = value(script, seed="a")
    assert first == value(script, seed="a") != value(script, seed="b")
    assert len(set(first)) == 3
    many = value("Array.from({length: 2000}, () => Math.random())", seed="c")
    assert all(0 <= each < 1 for each in many)
    assert 0.45 < sum(many) / len(many) < 0.55


def test_a_loop_without_end_is_stopped_even_one_that_catches() -> None:
    for script in (
        "while (true);",
        "for (;;) { try { while (true); } catch (e) {} }",
        "/(a+)+$/.test('a'.repeat(40)+'b')",
    ):
        with pytest.raises(TimeExceeded):
            value(script, limits=IN_DECISION)


@pytest.mark.parametrize(
    "script",
    [
        "var a = []; for (;;) a.push('x'.repeat(1000) + a.length)",
        "'x'.padEnd(2 ** 29)",
        "new Uint8Array(70e6)",
        "var o = {}; for (var i = 0;; i++) o['k' + i] = i",
    ],
)
def test_a_script_that_wants_too_much_memory_is_stopped(script: str) -> None:
    with pytest.raises(MemoryExceeded):
        value(script)


@pytest.mark.parametrize("script", ["1 +", "return 1", "let x = ;", "function f(){", "a\nb\n)"])
def test_a_script_that_cannot_be_read_is_found_without_running_it(script: str) -> None:
    assert "SyntaxError" in (check_syntax(script) or "")


def test_the_line_of_a_syntax_error_is_that_of_the_script() -> None:
    assert (check_syntax("1;\n\n)") or "").endswith("at line 3")


@pytest.mark.parametrize(
    "script", ["$.x", "while (true);", "throw 1", "const parsed = 1", "'use strict'; 1", "undefined.x"]
)
def test_a_script_that_can_be_read_is_not_run_to_check_it(script: str) -> None:
    assert check_syntax(script) is None

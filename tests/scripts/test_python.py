"""Python for definitions: a small language over the input's names, with every step counted and nothing behind it."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.scripts.limits import MemoryExceeded, ScriptFailed, TimeExceeded
from orchestrator.scripts.python import check_syntax, evaluate
from orchestrator.scripts.python_values import Meter

GIVEN = {"x": 41, "xs": [3, 1, 2], "d": {"a": 1}, "name": "Ada", "nothing": None}
MEGABYTES_8 = 8 * 2**20


def value(script: str, *, steps: int = 10_000, given: dict[str, Any] = GIVEN) -> Any:
    return evaluate(script, given, Meter(steps, MEGABYTES_8))


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("x > 3", True),
        ("return x + 1", 42),
        ("if x > 3:\n    return 'many'\nelse:\n    return 'few'", "many"),
        ("  x = 1\n  return x", 1),
        ("total = 0\nfor v in xs:\n    total += v\nreturn total", 6),
        ("n = 0\nwhile True:\n    n += 1\n    if n > 5: break\nreturn n", 6),
        ("for v in xs:\n    if v == 1: continue\n    last = v\nreturn last", 2),
        ("for v in xs: pass\nelse:\n    return 'done'", "done"),
        ("a, (b, c) = 1, (2, 3)\nreturn [a, b, c]", [1, 2, 3]),
        ("d['b'] = 2\nreturn d", {"a": 1, "b": 2}),
        ("del d['a']\nreturn d", {}),
        ("sorted(xs, key=lambda v: -v)", [3, 2, 1]),
        ("max(xs, default=0), min(xs)", [3, 1]),
        ("[v * 2 for v in xs if v > 1]", [6, 4]),
        ("{k: v + 1 for k, v in d.items()}", {"a": 2}),
        ("any(v > 2 for v in xs) and not all(v > 2 for v in xs)", True),
        ("{'k': (1, 2), **d}", {"k": [1, 2], "a": 1}),
        ("[*xs, 9][-1]", 9),
        ("xs[::-1]", [2, 1, 3]),
        ("name.lower().replace('a', 'o') + f'{x:>4}|{name!r}'", "odo  41|'Ada'"),
        ("1 < x < 50 and 'a' in d and nothing is None", True),
        ("'yes' if d.get('z') else 'no'", "no"),
        ("isinstance(x, (int, str)) and not isinstance(x, list)", True),
        ("round(2.567, 2), abs(-3), int('7'), float('1.5'), str(3.0), len(name)", [2.57, 3, 7, 1.5, "3.0", 3]),
        ("7 // 2, 7 % 4, 2 ** 10, 6 / 4, 5 & 3, ~1", [3, 3, 1024, 1.5, 1, -2]),
        ("(y := 3) + y", 6),
        ("{3, 1, 3}", [1, 3]),
        ("list(range(3)), list(zip(xs, xs))[0], dict(a=1)", [[0, 1, 2], [3, 3], {"a": 1}]),
        ("'-'.join(map(str, xs)), list(filter(None, [0, 1]))", ["3-1-2", [1]]),
        ("xs.sort()\nreturn xs", [1, 2, 3]),
        ("'a'\n'b'", None),
        ("pass", None),
        ("return", None),
        ("", None),
    ],
)
def test_a_body_returns_its_value_and_an_expression_is_its_own(script: str, expected: Any) -> None:
    assert check_syntax(script) is None
    assert value(script) == expected


def test_the_input_is_not_changed() -> None:
    given = {"xs": [1], "d": {"a": [2]}}
    assert value("xs.append(2)\nd['a'].append(3)\nreturn [xs, d]", given=given) == [[1, 2], {"a": [2, 3]}]
    assert given == {"xs": [1], "d": {"a": [2]}}


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("x +", "SyntaxError: invalid syntax at line 1"),
        ("y = 1\nreturn z", "NameError: name 'z' is not defined at line 2"),
        ("1 / 0", "ZeroDivisionError: division by zero at line 1"),
        ("xs[9]", "IndexError: list index out of range at line 1"),
        ("name + 1", 'TypeError: can only concatenate str (not "int") to str at line 1'),
        ("break", "break and continue belong in a loop"),
        ("{1: 2}", "the keys of a map are texts, not int"),
        ("len", "a script returns values, not functions"),
        ("a, b = xs", "3 values for 2 names at line 1"),
        ("d.a", "'a' is no attribute here; the value under a key is read with ['a'] at line 1"),
        ("name.format(x)", "str has no method format here"),
        ("'%d' % x", "% does not format texts here; use an f-string"),
        ("x()", "only functions and lambdas can be called"),
        ("(lambda a: a)(1, 2)", "the lambda takes 1 arguments, 2 were given"),
        ("2 ** 5000", "the number is too large"),
        ("(-8) ** 0.5", "complex numbers do not exist here"),
        ("f'{x:99999}'", "a format is at most 1000 wide"),
        ("sum(items=xs)", "sum takes items by its place, not by its name"),
        ("a = []\na.append(a)\nreturn a", "the result nests deeper than 120 levels"),
        ("(lambda f: f(f))(lambda f: f(f))", "the script nests deeper than 120 levels"),
        ("'x' * 70000 + '" + "y" * 70000 + "'", "the script is longer than 65536 characters"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(script: str, message: str) -> None:
    with pytest.raises(ScriptFailed) as caught:
        value(script)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "script",
    [
        "import os",
        "from os import path",
        "def f(): return 1",
        "class A: pass",
        "async def f(): pass",
        "try:\n    x\nexcept Exception: pass",
        "with x: pass",
        "raise x",
        "global x",
        "x.real",
        "().__class__.__mro__",
        "(yield)",
        "b'bytes'[0] if [await_ for await_ in []] else x.y",
        "match x:\n    case 1: pass",
        "assert x",
    ],
)
def test_what_leads_to_the_host_is_refused_before_it_runs(script: str) -> None:
    assert "at line 1" in (check_syntax(script) or "")
    with pytest.raises(ScriptFailed):
        value(script)


@pytest.mark.parametrize(
    "script", ["__import__('os')", "eval('1')", "open('f')", "getattr(x, 'real')", "globals()", "type(x)", "print(1)"]
)
def test_no_builtin_leads_to_the_host(script: str) -> None:
    with pytest.raises(ScriptFailed, match="NameError"):
        value(script)


@pytest.mark.parametrize(
    "script",
    [
        "while True: pass",
        "[i for i in range(10 ** 9)]",
        "sum(range(10 ** 9))",
        "max(range(10 ** 9))",
        "','.join(range(10 ** 9))",
        "{1}.union(range(10 ** 9))",
        "a = [1]\nfor i in range(60): a = [a, a]\nreturn a",
        "a = [1]\nfor i in range(60): a = [a, a]\nreturn a == a",
        "a = [1]\nfor i in range(60): a = [a, a]\nreturn str(a)",
        "a = [1]\nfor i in range(60): a = [a, a]\nreturn f'{a}'",
        "a = []\na.append(a)\nreturn a == a or str(a)",
        "for i in xs: xs.append(i)",
    ],
)
def test_work_without_end_is_stopped_after_its_steps(script: str) -> None:
    with pytest.raises((TimeExceeded, MemoryExceeded)):
        value(script)


@pytest.mark.parametrize(
    "script",
    [
        "'x' * 10 ** 9",
        "[0] * 10 ** 9",
        "'x'.zfill(10 ** 9)",
        "'x'.center(10 ** 9)",
        "a = 'x'\nwhile True: a = a + a",
        "'x'.join(['y' * 1000000] * 10)",
        "name.replace('A', 'y' * 5000000)",
        "list(range(100000))",
    ],
)
def test_memory_is_paid_before_it_is_taken(script: str) -> None:
    with pytest.raises((MemoryExceeded, TimeExceeded)):
        value(script, steps=200_000)


@pytest.mark.parametrize("script", ["-" * 5000 + "1", "(" * 300 + "1" + ")" * 300, "x\0", "[" * 9000])
def test_a_text_that_no_parser_can_read_is_refused_and_harms_nothing(script: str) -> None:
    assert check_syntax(script) is not None
    with pytest.raises(ScriptFailed):
        value(script)


def test_the_clock_stops_a_script_that_counts_no_steps() -> None:
    times = iter(range(1000))
    meter = Meter(None, MEGABYTES_8, now_s=lambda: float(next(times)), stop_s=3.0)
    with pytest.raises(TimeExceeded):
        evaluate("while True: pass", {}, meter)
    assert meter.steps < 10_000

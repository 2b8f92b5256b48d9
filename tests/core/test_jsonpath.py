"""The JSONPath dialect: what each notation reads, and that reading neither raises nor changes anything."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonpath import JSONPathEnvironment

from orchestrator.core.jsonpath import PathInvalid, compile_path

ANN: dict[str, Any] = {"name": "ann", "qty": 2, "tags": ["a", "b"], "vip": True, "id": "7"}
BOB: dict[str, Any] = {"name": "bob", "qty": 10, "tags": [], "note": None, "id": 8}
EVE: dict[str, Any] = {"name": "Eve", "tags": ["c"]}
DOCUMENT: dict[str, Any] = {
    "shop": {"orders": [ANN, BOB, EVE], "open": True, "limit": 5},
    "text": '{"inner": 1}',
    "numbers": [3, 1.5, "x", True, 4],
    "words": ["a", "b", 1],
    "with space": {"a.b": 1, "it's": 2, "ü": 3},
    "odd-name:1/x": {"2": "two"},
    "empty": [],
    "nothing": None,
    "tree": {"p": 1, "left": {"p": 2, "deep": {"p": 3}}, "right": {"p": 4}},
    "matrix": [[1, 2], [3, 4]],
}


def read(path: str) -> Any:
    return compile_path(path).read(DOCUMENT)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("shop.limit", 5),
        ("$.shop.limit", 5),
        ("  shop.limit ", 5),
        ("$['shop']['limit']", 5),
        ("['shop'].limit", 5),
        ('shop["limit"]', 5),
        ("shop.['limit']", 5),
        ("shop.orders[0].name", "ann"),
        ("shop.orders[-1].name", "Eve"),
        ("['with space']['a.b']", 1),
        ("['with space']['it\\'s']", 2),
        ("['with space']['\\u00fc']", 3),
        ("['with space'].ü", 3),
        ("odd-name:1/x.2", "two"),
        ("odd-name:1/x['2']", "two"),
        ("matrix[1][0]", 3),
        ("nothing", None),
        ("$", DOCUMENT),
    ],
)
def test_a_definite_path_gives_its_value(path: str, expected: Any) -> None:
    assert read(path) == expected
    assert compile_path(path).definite


@pytest.mark.parametrize(
    "path",
    [
        "absent",
        "absent.deeper.still",
        "shop.absent.name",
        "shop.orders[3]",
        "shop.orders[-4]",
        "shop.orders.name",
        "shop.orders.0",
        "shop[0]",
        "shop.limit.more",
        "nothing.more",
        "text.inner",
        "text[0]",
        "empty[0]",
        "empty.first()",
        "text.max()",
        "shop.limit.length()",
        "numbers.index(9)",
        "numbers.index()",
        "numbers.index('1')",
        "numbers.keys()",
        "absent.length()",
        "absent.sum()",
        "absent['a','b']",
        "text.concat()",
    ],
)
def test_a_definite_path_that_leads_nowhere_is_none(path: str) -> None:
    assert read(path) is None
    assert compile_path(path).definite


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("shop.orders[*].name", ["ann", "bob", "Eve"]),
        ("shop.orders.*.name", ["ann", "bob", "Eve"]),
        ("shop.orders[0,2].name", ["ann", "Eve"]),
        ("shop.orders[2,0].name", ["Eve", "ann"]),
        ("shop.orders[0,9].name", ["ann"]),
        ("shop.orders[1:].name", ["bob", "Eve"]),
        ("shop.orders[:1].name", ["ann"]),
        ("shop.orders[-2:].name", ["bob", "Eve"]),
        ("shop.orders[0:2].name", ["ann", "bob"]),
        ("shop.orders[*].qty", [2, 10]),
        ("shop.orders[*].tags[0]", ["a", "c"]),
        ("tree..p", [1, 2, 3, 4]),
        ("tree..['p']", [1, 2, 3, 4]),
        ("tree.left..p", [2, 3]),
        ("$..limit", [5]),
        ("matrix..[0]", [[1, 2], 1, 3]),
        ("tree.right.*", [4]),
        ("tree['left','right'].p", [2, 4]),
        ("shop.orders[?(@.qty > 2)].name", ["bob"]),
        ("tree..[?(@.p > 1)].p", [2, 3, 4]),
        ("shop.orders[?(@.vip)]['name','qty']", [{"name": "ann", "qty": 2}]),
        ("shop.orders[*].tags.length()", [2, 0, 1]),
        ("matrix[*].sum()", [3.0, 7.0]),
        ("matrix[*].first()", [1, 3]),
        ("absent[*]", []),
        ("shop.orders[7:9]", []),
        ("text..inner", []),
        ("text[*]", []),
        ("text[1:]", []),
        ("tree..[0:1]", []),
        ("numbers[::2]", [3, "x", 4]),
        ("numbers[::-1]", [4, True, "x", 1.5, 3]),
        ("absent[?(@.x)]", []),
        ("shop.limit[?(@ > 1)]", []),
    ],
)
def test_an_indefinite_path_gives_the_list_of_its_matches(path: str, expected: list[Any]) -> None:
    assert read(path) == expected
    assert not compile_path(path).definite


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("shop.orders.length()", 3),
        ("shop.orders.size()", 3),
        ("shop.length()", 3),
        ("text.length()", 12),
        ("$.length($.shop.orders)", 3),
        ("tree.keys()", ["p", "left", "right"]),
        ("tree.keys().length()", 3),
        ("numbers.min()", 1.5),
        ("numbers.max()", 4.0),
        ("numbers.max(9, $.shop.limit)", 9.0),
        ("numbers.sum()", 8.5),
        ("numbers.sum($.matrix[0])", 11.5),
        ("numbers.sum($.tree..p)", 18.5),
        ("matrix[1].avg()", 3.5),
        ("matrix[1].stddev()", 0.5),
        ("numbers.first()", 3),
        ("numbers.last()", 4),
        ("numbers.index(1)", 1.5),
        ("numbers.index(-2)", True),
        ("shop.orders.first().name", "ann"),
        ("words.concat()", "ab"),
        ("words.concat('-', \"c\", 5, $.words)", "ab-c5ab1"),
        ("$.concat($.text, '!')", '{"inner": 1}!'),
        ("words.append(2)", ["a", "b", 1, 2]),
        ("words.append($.matrix[0], 'z')", ["a", "b", 1, [1, 2], "z"]),
        ("shop.limit.append(1)", 5),
        ("tree['p','left','absent']", {"p": 1, "left": {"p": 2, "deep": {"p": 3}}}),
    ],
)
def test_a_function_gives_one_value(path: str, expected: Any) -> None:
    assert read(path) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("shop.orders[*].qty.sum()", 12.0),
        ("shop.orders[*].qty.max()", 10.0),
        ("tree..p.avg()", 2.5),
        ("shop.orders[?(@.qty > 2)].first().name", "bob"),
        ("shop.orders[*].name.concat()", "annbobEve"),
        ("shop.orders[?(@.qty > 99)].qty.sum()", None),
    ],
)
def test_a_summary_of_matches_that_are_no_lists_works_on_all_of_them(path: str, expected: Any) -> None:
    assert read(path) == expected


@pytest.mark.parametrize(
    ("condition", "names"),
    [
        ("@.qty == 2", ["ann"]),
        ("@.qty==2", ["ann"]),
        ("2 == @.qty", ["ann"]),
        ("@.qty != 2", ["bob", "Eve"]),
        ("@.qty < 10", ["ann"]),
        ("@.qty <= 10", ["ann", "bob"]),
        ("@.qty > 2", ["bob"]),
        ("@.qty >= 2.0", ["ann", "bob"]),
        ("@.name > 'ann'", ["bob"]),
        ("@.name == 'ann'", ["ann"]),
        ('@.name == "ann"', ["ann"]),
        ("@.id == 7", ["ann"]),
        ("@.id == '8'", ["bob"]),
        ("@.id === '8'", []),
        ("@.id !== '8'", ["ann", "bob", "Eve"]),
        ("@.vip == true", ["ann"]),
        ("@.vip == 1", []),
        ("@.vip == 'true'", []),
        ("@.note == null", ["bob"]),
        ("@.absent == @.missing", []),
        ("@.vip > 0", []),
        ("@.tags == ['c']", ["Eve"]),
        ("@.id > 65", ["ann"]),
        ("@.name =~ /e.*/", []),
        ("@.name =~ /e.*/i", ["Eve"]),
        ("@.name =~ /.n/", []),
        ("@.name =~ /[a-z]{3}/", ["ann", "bob"]),
        ("@.tags =~ /[ab]/", ["ann"]),
        ("@.qty =~ /\\d{2}/", ["bob"]),
        ("@.vip =~ /true/", ["ann"]),
        ("@.name in ['ann', 'Eve']", ["ann", "Eve"]),
        ("@.id in [7, 8]", ["ann", "bob"]),
        ("'a' in @.tags", ["ann"]),
        ("@.name in 'ann'", []),
        ("@.name nin ['ann', 'Eve']", ["bob"]),
        ("@.name NIN ['ann', 'Eve']", ["bob"]),
        ("@.tags subsetof ['a', 'b', 'c']", ["ann", "bob", "Eve"]),
        ("@.tags subsetof ['a', 'b']", ["ann", "bob"]),
        ("@.tags subsetof 'a'", []),
        ("@.tags anyof ['b', 'c']", ["ann", "Eve"]),
        ("@.tags noneof ['b', 'x']", ["bob", "Eve"]),
        ("@.tags noneof 'x'", []),
        ("@.tags all ['a']", ["ann"]),
        ("@.tags contains 'c'", ["Eve"]),
        ("@.name contains 'o'", ["bob"]),
        ("@.qty contains 'o'", []),
        ("@.tags size 2", ["ann"]),
        ("@.name size 3", ["ann", "bob", "Eve"]),
        ("@.qty size 1", []),
        ("@.tags empty true", ["bob"]),
        ("@.tags empty false", ["ann", "Eve"]),
        ("@.qty empty false", []),
        ("@.qty", ["ann", "bob"]),
        ("@.note", ["bob"]),
        ("!@.note", ["ann", "Eve"]),
        ("!(@.qty == 2)", ["bob", "Eve"]),
        ("@.tags[*]", ["ann", "Eve"]),
        ("@.tags.length() > 1", ["ann"]),
        ("@.tags.length() == @.qty", ["ann"]),
        ("@['tags'][0] == 'c'", ["Eve"]),
        ("@.qty > $.shop.limit", ["bob"]),
        ("$.shop.open", ["ann", "bob", "Eve"]),
        ("@.qty > 1 && @.name == 'bob'", ["bob"]),
        ("@.qty == 2 || @.name == 'Eve'", ["ann", "Eve"]),
        ("@.qty == 2 || @.qty == 10 && @.vip", ["ann"]),
        ("(@.qty == 2 || @.qty == 10) && @.vip", ["ann"]),
        ("(@.qty == 10 || @.qty == 2) && !@.vip", ["bob"]),
        ("@.name == 'x)]'", []),
        ('@ == {"name": "Eve", "tags": ["c"]}', ["Eve"]),
        ("@.qty == -2e0", []),
        ("$.shop.orders[?(@.name == 'bob')].qty == [10]", ["ann", "bob", "Eve"]),
    ],
)
def test_a_filter_keeps_the_elements_that_pass(condition: str, names: list[str]) -> None:
    assert read(f"shop.orders[?({condition})].name") == names
    assert read(f"shop.orders[?{condition}].name") == names


def test_a_filter_on_an_object_tests_the_object_itself() -> None:
    assert read("shop[?(@.limit == 5)].open") == [True]
    assert read("shop[?(@.limit == 6)]") == []


@pytest.mark.parametrize(
    "path",
    [
        "",
        "   ",
        "a.",
        "a..",
        "a...b",
        "a[",
        "a[']",
        "a['b'",
        "a[b]",
        "a[]",
        "a[1.5]",
        "a[1:2:0]",
        "a]",
        "a)",
        "a b",
        "a .b",
        "$a",
        "a.nofunction()",
        "a..length()",
        "a.sum(x)",
        "a.sum(",
        "a['b','c'].d['e','f'].g h",
        "a['b','c'](1)",
        "a[?]",
        "a[?()]",
        "a[?(@.b == )]",
        "a[?(@.b ~ 1)]",
        "a[?(@.b like 'x')]",
        "a[?(@.b == x)]",
        "a[?(@.b == 1]",
        "a[?((@.b == 1)]",
        "a[?(@.b == 1) 2]",
        "a[?(@.b =~ 'x')]",
        "a[?(@.b =~ /(/)]",
        "a[?(@.b =~ /x/q)]",
        "a[?(@.b == {x})]",
        "a[?(@.b[ == 1)]",
        "." * 200,
        ".a" * 101,
        "a" * 10_001,
        "a[?(" + "!" * 100 + "@.b)]",
        "a[?(" + "@.b[?(" * 3000 + "",
        "a[?(@.b == " + "[" * 100 + "]" * 100 + ")]",
        "a[?(@.b == " + "9" * 5000 + ")]",
    ],
)
def test_what_is_no_path_is_refused_when_it_is_compiled(path: str) -> None:
    with pytest.raises(PathInvalid):
        compile_path(path)


@pytest.mark.parametrize(
    "pattern",
    [
        "(a+)+",
        "(a|b)*",
        "((a+))+",
        "(a{2,})*",
        "([a-z]+x)+",
        "(a)\\1",
        "x" * 201,
        "(?P<n>a)",
        "(?:a*){2,}",
        "(a?|b)+",
        "(x?){30}y",
        "(x?){0,99}y",
        "(x|xx){9}{9}y",
        "(a+)(?#)+",
        "(?x)(a+) +",
        "(?:(a)|b)(?(1)c|d)",
        "a?" * 25,
        "a*" * 9,
    ],
)
def test_a_regular_expression_that_could_run_away_is_refused(pattern: str) -> None:
    with pytest.raises(PathInvalid):
        compile_path(f"a[?(@ =~ /{pattern}/)]")


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("(ab)+", "abab"),
        ("[(+|]+", "(+|"),
        ("(a|b)", "b"),
        ("(\\d{3})-\\d+", "123-4"),
        ("a\\/b", "a/b"),
        ("\\(x*\\)+", "(x))"),
        ("(\\d{1,3}\\.){3}\\d{1,3}", "10.0.0.1"),
        ("(?i)A(?:b|c)?", "aC"),
        ("(?=a).+", "ab"),
        ("a{0}b", "b"),
    ],
)
def test_a_harmless_regular_expression_is_allowed(pattern: str, text: str) -> None:
    assert compile_path(f"a[?(@ =~ /{pattern}/)]").read({"a": [text]}) == [text]


def test_a_text_too_long_for_its_regular_expression_does_not_match() -> None:
    path = compile_path("a[?(@ =~ /.*x.*y.*/)]")
    short, long = "xy" * 50, "xy" * 500
    assert path.read({"a": [short, long]}) == [short]


def test_sums_that_json_cannot_hold_are_missing() -> None:
    assert compile_path("a.sum()").read({"a": [1e308, 1e308]}) is None
    assert compile_path("a.stddev()").read({"a": [1e308, -1e308]}) is None


def test_reading_never_changes_the_document() -> None:
    document = copy.deepcopy(DOCUMENT)
    for path in ("words.append(1)", "words.concat('x')", "tree['p','left']", "shop.orders[?(@.qty > 1)]", "tree..*"):
        compile_path(path).read(document)
    assert document == DOCUMENT


def test_values_nested_too_deep_to_compare_are_no_match() -> None:
    left: Any = 1
    right: Any = 1
    for _ in range(100_000):
        left, right = [left], [right]
    assert compile_path("a[?(@.left == @.right)]").read({"a": [{"left": left, "right": right}]}) == []


def test_a_value_read_is_the_object_of_the_document() -> None:
    assert read("shop.orders[0]") is ANN


def test_a_scan_reaches_any_depth() -> None:
    document: Any = {"leaf": 1}
    for _ in range(5000):
        document = {"inner": document}
    assert compile_path("$..leaf").read(document) == [1]
    assert compile_path("$..[?(@.leaf)].leaf").read(document) == [1]


@pytest.mark.parametrize(
    ("path", "heads"),
    [
        ("a.b.c.d", {("a", "b", "c")}),
        ("a", {("a",)}),
        ("a.b[0].c", {("a", "b")}),
        ("a[*].c", {("a",)}),
        ("a.b.length()", {("a", "b")}),
        ("$..b", {()}),
        ("a.b[?(@.c == $.d.e.f.g)]", {("a", "b"), ("d", "e", "f")}),
        ("a.b[?(@.c[?(@.x == $.y)])]", {("a", "b"), ("y",)}),
        ("a.b.sum($.c.d)", {("a", "b"), ("c", "d")}),
    ],
)
def test_the_heads_name_everything_a_path_may_look_at(path: str, heads: set[tuple[str, ...]]) -> None:
    assert compile_path(path).heads == heads


# --- against python-jsonpath ------------------------------------------------------------------------------------------

NAMES = st.sampled_from(["a", "b", "c d", "é", "1", "it's", 'q"', "x.y", "\\", "\n"])


def _documents(texts: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    return st.recursive(
        st.none() | st.booleans() | st.integers() | texts,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
        max_leaves=20,
    )


VALUES = _documents(st.text(max_size=3) | st.just('{"a": 1}'))
# The library cuts slices out of texts; of one character these slices leave nothing.
SHORT_TEXTS = _documents(st.text(max_size=1))
STEPS = NAMES | st.integers(-3, 3)
SELECTORS = st.sampled_from(["[*]", "[0,1]", "[1:]", "[:-1]", "..*", "..[0]", "..['a']"])
LIBRARY = JSONPathEnvironment(strict=True)  # else it takes [0] of an object for its key "0"


def _notation(step: str | int) -> str:
    return f"[{json.dumps(step)}]"


def _library(path: str, document: Any) -> list[Any]:
    if not isinstance(document, (dict, list)):  # the library would parse a text as JSON
        return []
    return list(LIBRARY.findall(path, document))


@settings(max_examples=300)
@given(VALUES, st.lists(STEPS, min_size=1, max_size=4))
def test_a_plain_path_reads_what_the_library_reads(document: Any, steps: list[str | int]) -> None:
    path = "$" + "".join(map(_notation, steps))
    assert compile_path(path).steps == tuple(steps)
    expected = _library(path, document)
    assert compile_path(path).read(document) == (expected[0] if expected else None)


@settings(max_examples=300)
@given(SHORT_TEXTS, st.lists(STEPS.map(_notation) | SELECTORS, max_size=4), SELECTORS)
def test_a_path_with_selectors_reads_what_the_library_reads(document: Any, parts: list[str], last: str) -> None:
    path = "$" + "".join([*parts, last])
    assert compile_path(path).read(document) == _library(path, document)


WORDS = ["..", "'a'", "-1", "?(", "@.a", "==", "=~", "/x+/", "['a',1]", ".length()", ".sum(", "&&", "||", "true", "1e9"]
FRAGMENTS = st.sampled_from([*WORDS, " in ", " size ", *'a.[]()*0:,?@$!{}"\\ é'])


@settings(max_examples=500)
@given(VALUES, st.lists(FRAGMENTS, max_size=12).map("".join) | st.text(max_size=20))
def test_a_path_either_is_refused_or_reads_without_raising(document: Any, text: str) -> None:
    try:
        path = compile_path(text)
    except PathInvalid:
        return
    before = copy.deepcopy(document)
    path.read(document)
    assert document == before

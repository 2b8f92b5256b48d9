"""What somebody looks for: the query language of searches, free text and order, as small trees of values.

``parse_query`` reads the language once; one evaluator here judges lines of Redis, one translation in ``archive`` makes
SQL of the same tree. An absent value (an empty text, a time that has not come) equals nothing but absence: it is found by
``IS null``, ``= ""`` and ``!=``. Pure; knows no store.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from orchestrator.errors import InvalidRequest
from orchestrator.model.status import TaskStatus, WorkflowStatus
from orchestrator.model.summaries import TASK_FIELDS, WORKFLOW_FIELDS, Field, Kind, words_of

QUERY_MAX = 20_000
DEPTH_MAX = 50
CONDITIONS_MAX = 1_000

Value = str | int | None
Test = Callable[[object], bool]
Line = TypeVar("Line")


class Is(NamedTuple):
    """The field has one of these values (``None``: none at all), or with ``is_not`` has not."""

    field: Field
    values: tuple[Value, ...]
    is_not: bool = False


class Like(NamedTuple):
    """The text is these parts with anything between them, or with ``is_not`` is not."""

    field: Field
    parts: tuple[str, ...]
    is_not: bool = False


class Order(NamedTuple):
    """The field is there and ``<``, ``<=``, ``>`` or ``>=`` the value."""

    field: Field
    sign: str
    value: str | int


class AllOf(NamedTuple):
    """Every part holds."""

    parts: tuple[Condition, ...]


class AnyOf(NamedTuple):
    """One of the parts holds."""

    parts: tuple[Condition, ...]


Condition = Is | Like | Order | AllOf | AnyOf

EVERYTHING = AllOf(())


class Phrase(NamedTuple):
    """Words that follow each other; with ``is_open`` the last one is the beginning of a word."""

    words: tuple[str, ...]
    is_open: bool


class SortKey(NamedTuple):
    """One field of an order."""

    field: Field
    is_descending: bool


# --- judging ----------------------------------------------------------------------------------------------------------

SIGNS: Mapping[str, Callable[[str | int, str | int], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def judge(condition: Condition) -> Test:
    """The condition as a function of a line. Example: ``judge(parse_query("status=FAILED", WORKFLOW_FIELDS))(line)``"""
    match condition:
        case AllOf(parts):
            tests = [judge(part) for part in parts]
            return lambda line: all(test(line) for test in tests)
        case AnyOf(parts):
            tests = [judge(part) for part in parts]
            return lambda line: any(test(line) for test in tests)
        case Is(field, values, is_not):
            wanted = frozenset(values)
            return lambda line: (field.value(line) in wanted) is not is_not
        case Like(field, parts, is_not):
            return lambda line: _is_like(field.value(line), parts) is not is_not
        case Order(field, sign, value):
            compare = SIGNS[sign]
            return lambda line: (found := field.value(line)) is not None and compare(found, value)


def _is_like(value: Value, parts: Sequence[str]) -> bool:
    """One walk along the text, however many wildcards there are."""
    if value is None:
        return False
    text = str(value)
    first, *middle, last = parts
    if len(text) < len(first) + len(last) or not (text.startswith(first) and text.endswith(last)):
        return False
    at, end = len(first), len(text) - len(last)
    for part in middle:
        at = text.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return True


def fields_of(condition: Condition) -> set[str]:
    """The attributes that a condition looks at."""
    if isinstance(condition, AllOf | AnyOf):
        return set().union(*(fields_of(part) for part in condition.parts))
    return {condition.field.attribute}


def matches_words(phrases: Sequence[Phrase], words: Sequence[str]) -> bool:
    """Whether all phrases are among the words. Example: ``matches_words(parse_text("a b*"), ["b1", "a"])``"""
    if not phrases:
        return True
    text = f" {' '.join(words)} "
    return all(phrase_text(phrase) in text for phrase in phrases)


def phrase_text(phrase: Phrase) -> str:
    """What stands in a text of words, one blank around each, where the phrase is in it."""
    return f" {' '.join(phrase.words)}{'' if phrase.is_open else ' '}"


# --- free text and order ----------------------------------------------------------------------------------------------

_PIECE = re.compile(r'"([^"]*)"|(\S+)')


def parse_text(text: str | None) -> tuple[Phrase, ...]:
    """Free text as phrases that must all be found: words, ``"words in this order"``, ``beginn*``.

    ``*`` and nothing are everything. What is no letter and no digit separates words: ``order-17`` is a phrase of two.
    """
    if text is None or len(text) > QUERY_MAX:
        if text is None:
            return ()
        raise InvalidRequest(f"freeText: longer than {QUERY_MAX:,} characters")
    phrases = []
    for quoted, bare in _PIECE.findall(text):
        words = words_of(quoted or bare)
        if words:
            phrases.append(Phrase(tuple(words), (quoted or bare).endswith("*")))
    return tuple(phrases)


def parse_sort(text: str | None, fields: Mapping[str, Field]) -> tuple[SortKey, ...]:
    """An order: ``field:ASC`` or ``field:DESC``, several with ``|`` between. Raises ``InvalidRequest``.

    Example: ``parse_sort("status:ASC|startTime:DESC", WORKFLOW_FIELDS)``
    """
    keys = []
    for piece in re.split(r"[|,]", text or ""):
        name, _, direction = (part.strip() for part in piece.partition(":"))
        if not name:
            continue
        if direction.upper() not in ("", "ASC", "DESC"):
            raise InvalidRequest(f"sort: {piece.strip()!r} does not end in :ASC or :DESC")
        keys.append(SortKey(_field(name, fields, f"sort: {piece.strip()!r}"), direction.upper() == "DESC"))
    return tuple(keys)


def ordered(lines: Sequence[Line], keys: Sequence[SortKey]) -> list[Line]:
    """Lines in the order of the keys; absent values are the smallest. Lines that are equal stay as they were."""
    found = list(lines)
    for key in reversed(keys):
        found.sort(key=lambda line: _rank(key.field.value(line)), reverse=key.is_descending)
    return found


def _rank(value: Value) -> tuple[bool, str | int]:
    return (value is not None, 0 if value is None else value)


# --- the language -----------------------------------------------------------------------------------------------------

_BLANK = re.compile(r"\s*")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.]*")
_SIGN = re.compile(r"!=|<=|>=|=|<|>|(?:NOT\s+IN|IN|BETWEEN|STARTS_WITH|IS\s+NOT|IS)\b", re.IGNORECASE)
_QUOTED = re.compile(r""""((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'""", re.DOTALL)
_BARE = re.compile(r"""[^"'(),\s](?:(?!\s(?:AND|OR)\b)[^(),])*""")
_LINK = re.compile(r"(AND|OR)\b")
_NULL = re.compile(r"null\b", re.IGNORECASE)
_UNESCAPED = re.compile(r"""\\([\\"'*])|(\*)""")
_STAR = "\0"
_NUMBERS = range(-(2**63), 2**63)
_STATUSES = {id(WORKFLOW_FIELDS): frozenset(WorkflowStatus), id(TASK_FIELDS): frozenset(TaskStatus)}


def parse_query(text: str | None, fields: Mapping[str, Field] = WORKFLOW_FIELDS) -> Condition:
    """The tree of a query; nothing is everything. Raises ``InvalidRequest`` that names the place.

    Example: ``parse_query("workflowType=order AND status IN (FAILED, TIMED_OUT) AND startTime>1700000000000")``
    """
    return _Reader(text or "", fields).whole()


def _field(name: str, fields: Mapping[str, Field], place: str) -> Field:
    found = fields.get(name)
    if found is None:
        raise InvalidRequest(f"{place}: there is no field {name!r}; there are: {', '.join(fields)}")
    return found


class _Reader:
    """One reading of one query, from left to right."""

    def __init__(self, text: str, fields: Mapping[str, Field]) -> None:
        if len(text) > QUERY_MAX:
            raise InvalidRequest(f"query: longer than {QUERY_MAX:,} characters")
        self._text = text
        self._at = 0
        self._fields = fields
        self._conditions = 0

    def whole(self) -> Condition:
        self._skip()
        if self._at == len(self._text):
            return EVERYTHING
        found = self._any(0)
        if self._at < len(self._text):
            raise self._wrong("AND, OR or the end")
        return found

    def _any(self, depth: int) -> Condition:
        parts = [self._all(depth)]
        while self._linked("OR"):
            parts.append(self._all(depth))
        return parts[0] if len(parts) == 1 else AnyOf(tuple(parts))

    def _all(self, depth: int) -> Condition:
        parts = [self._one(depth)]
        while self._linked("AND"):
            parts.append(self._one(depth))
        return parts[0] if len(parts) == 1 else AllOf(tuple(parts))

    def _linked(self, word: str) -> bool:
        found = _LINK.match(self._text, self._at)
        if found is None or found[1] != word:
            return False
        self._move(found)
        return True

    def _one(self, depth: int) -> Condition:
        self._conditions += 1
        if depth > DEPTH_MAX or self._conditions > CONDITIONS_MAX:
            raise InvalidRequest(f"query: more than {DEPTH_MAX} parentheses deep or {CONDITIONS_MAX:,} conditions")
        if self._taken("("):
            inner = self._any(depth + 1)
            self._require(")")
            return inner
        name = _NAME.match(self._text, self._at)
        if name is None:
            raise self._wrong("the name of a field")
        field = _field(name[0], self._fields, f"query at {self._at + 1}")
        self._move(name)
        sign = _SIGN.match(self._text, self._at)
        if sign is None:
            raise self._wrong(f"=, !=, <, >, IN, BETWEEN, IS or STARTS_WITH after {field.name}")
        self._move(sign)
        return self._condition(field, " ".join(sign[0].upper().split()))

    def _condition(self, field: Field, sign: str) -> Condition:
        match sign:
            case "=" | "!=":
                return self._equal(field, [self._word()], sign == "!=")
            case "IN" | "NOT IN":
                return self._equal(field, self._list(), sign == "NOT IN")
            case "BETWEEN":
                low = self._bound(field)
                if not self._linked("AND"):
                    raise self._wrong("AND between the bounds")
                return AllOf((Order(field, ">=", low), Order(field, "<=", self._bound(field))))
            case "STARTS_WITH":
                self._require_text(field, sign)
                return Like(field, (self._word().replace(_STAR, "*"), ""))
            case "IS" | "IS NOT":
                null = _NULL.match(self._text, self._at)
                if null is None:
                    raise self._wrong("null")
                self._move(null)
                return Is(field, (None,), sign == "IS NOT")
        return Order(field, sign, self._bound(field))

    def _equal(self, field: Field, words: list[str], is_not: bool) -> Condition:
        """Values together are one condition; those with a wildcard are one each."""
        plain = tuple(self._value(field, word) for word in words if _STAR not in word)
        parts: list[Condition] = [Is(field, plain, is_not)] if plain else []
        for word in words:
            if _STAR in word:
                self._require_text(field, "*")
                parts.append(Like(field, tuple(word.split(_STAR)), is_not))
        if len(parts) == 1:
            return parts[0]
        return AllOf(tuple(parts)) if is_not else AnyOf(tuple(parts))

    def _bound(self, field: Field) -> str | int:
        word = self._word().replace(_STAR, "*")
        found = self._value(field, word, is_bound=True)
        return "" if found is None else found

    def _value(self, field: Field, word: str, *, is_bound: bool = False) -> Value:
        if not word:
            if is_bound and field.kind in (Kind.NUMBER, Kind.TIME):
                raise InvalidRequest(f"query: {field.name} is compared with nothing")
            return None
        if field.kind in (Kind.NUMBER, Kind.TIME):
            what = "a time in epoch milliseconds" if field.kind is Kind.TIME else "a whole number"
            if not re.fullmatch(r"[+-]?[0-9]{1,19}", word) or int(word) not in _NUMBERS:
                raise InvalidRequest(f"query: {field.name} is {what}, not {word!r}")
            return int(word)
        statuses = _STATUSES.get(id(self._fields), frozenset())
        if field.kind is Kind.STATUS and not is_bound and word not in statuses:
            raise InvalidRequest(f"query: status {word!r} is unknown; there are: {', '.join(sorted(statuses))}")
        return word

    def _require_text(self, field: Field, what: str) -> None:
        if field.kind in (Kind.NUMBER, Kind.TIME):
            raise InvalidRequest(f"query: {field.name} is a number, {what} is for texts")

    def _list(self) -> list[str]:
        self._require("(")
        words = [self._word()]
        while self._taken(","):
            words.append(self._word())
        self._require(")")
        if len(words) > CONDITIONS_MAX:
            raise InvalidRequest(f"query: more than {CONDITIONS_MAX:,} values in one list")
        return words

    def _word(self) -> str:
        """A value as it is meant, each wildcard as a mark of its own."""
        quoted = _QUOTED.match(self._text, self._at)
        bare = None if quoted else _BARE.match(self._text, self._at)
        if quoted is not None:
            self._move(quoted)
            raw = quoted[1] if quoted[1] is not None else quoted[2]
        elif bare is not None:
            self._move(bare)
            raw = bare[0].strip()
        else:
            raise self._wrong("a value")
        return _UNESCAPED.sub(lambda found: found[1] or _STAR, raw.replace(_STAR, ""))

    def _taken(self, mark: str) -> bool:
        if not self._text.startswith(mark, self._at):
            return False
        self._at += len(mark)
        self._skip()
        return True

    def _require(self, mark: str) -> None:
        if not self._taken(mark):
            raise self._wrong(repr(mark))

    def _move(self, found: re.Match[str]) -> None:
        self._at = found.end()
        self._skip()

    def _skip(self) -> None:
        blank = _BLANK.match(self._text, self._at)
        self._at = blank.end() if blank else self._at

    def _wrong(self, expected: str) -> InvalidRequest:
        rest = self._text[self._at : self._at + 30]
        return InvalidRequest(
            f"query at {self._at + 1}: expected {expected}, found {rest!r}"
            if rest
            else f"query ends where {expected} is expected"
        )

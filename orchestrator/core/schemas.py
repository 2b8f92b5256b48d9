"""JSON Schemas: compiled once, checked within a fixed number of steps, so that validation may run inside a decision.

The vocabulary is that of draft 7 with the later keywords that are in use (``schema_keywords``). Only local references
are followed; nothing is ever fetched. What a schema costs is known: after ``STEPS_MAX`` steps a validation gives up and
says so, and patterns that could run away are refused when the schema is registered. Pure: the same schema and value
give the same answer on every machine. Asked by the services (registration, start) and by decisions.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from orchestrator.core.schema_keywords import KEYWORDS, UNSUPPORTED
from orchestrator.core.schema_values import Check, Exhausted, Unusable, Violated, Walk
from orchestrator.errors import Problem
from orchestrator.model.definitions import SchemaDef, SchemaType, path_step

STEPS_MAX = 100_000
"""So many steps, about a third of a microsecond each, may one validation take."""

DEPTH_MAX = 100
"""How deep schemas may be applied in one another: a few of Python's frames each, so that its stack is never the limit."""

SCHEMA_BYTES_MAX = 256 * 1024
SCHEMA_DEPTH_MAX = 60


class Violation(NamedTuple):
    """Why a value does not comply: ``path`` (``input.items[2].sku``) and what is wrong there."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


class SchemaInvalid(Exception):
    """A schema that cannot be used; ``path`` leads into it (``.properties.sku.pattern``)."""

    def __init__(self, path: str, message: str) -> None:
        self.path = path
        self.message = message
        super().__init__(f"{path.removeprefix('.')}: {message}" if path else message)


def violation(schema: SchemaDef, value: Any, at: str) -> Violation | None:
    """Where ``value`` first breaks the schema, or None; ``at`` is what paths begin with.

    A schema that cannot be used is broken by every value. Example: ``violation(schema, {"sku": 3}, "input")``
    """
    if schema.data is None:
        return None
    try:
        check = _compiled(msgspec.json.encode(schema.data))
    except SchemaInvalid as error:
        return Violation(at, f"the schema {schema.name} cannot be used ({error})")
    try:
        check(value, Walk(STEPS_MAX))
    except Violated as fault:
        return Violation(at + "".join(map(path_step, reversed(fault.steps))), fault.message)
    except (Exhausted, RecursionError):
        return Violation(at, f"is too large or too deep to be checked against the schema {schema.name}")
    return None


def schema_problems(schema: SchemaDef, is_enforced: bool) -> list[Problem]:
    """What is wrong with a schema, with paths from the ``SchemaDef`` on; one that is not enforced is documentation.

    Example: ``schema_problems(SchemaDef(name="a", data={"type": "text"}), True)[0].path == "data.type"``
    """
    if not is_enforced:
        return []
    if schema.type is not SchemaType.JSON:
        message = (
            f"schemas of type {schema.type} are not supported, JSON is; say enforceSchema: false to keep this one as "
            "documentation"
        )
        return [Problem("type", message, str(schema.type))]
    if schema.data is None:
        if schema.external_ref:
            message = "externalRef is never fetched: put the schema under data, or register it and name it"
            return [Problem("externalRef", message, schema.external_ref)]
        message = f"there is no schema {schema.name!r} in version {schema.version}: register it, or put it under data"
        return [Problem("data", message)]
    try:
        _compiled(msgspec.json.encode(schema.data))
    except SchemaInvalid as error:
        return [Problem(f"data{error.path}", error.message)]
    return []


@lru_cache(maxsize=512)
def _compiled(text: bytes) -> Check:
    if len(text) > SCHEMA_BYTES_MAX:
        raise SchemaInvalid("", f"is larger than {SCHEMA_BYTES_MAX:,} bytes")
    return _Schema(msgspec.json.decode(text)).check


class _Schema:
    """One schema document with what its references lead to."""

    def __init__(self, document: Any) -> None:
        self._document = document
        self._targets: dict[str, Check | None] = {}
        self.check: Check = self._whole()

    def _whole(self) -> Check:
        try:
            return self._compile(self._document, 0)
        except Unusable as fault:
            raise SchemaInvalid("".join(map(path_step, fault.steps)), fault.message) from fault

    def _compile(self, schema: Any, depth: int) -> Check:
        if depth > SCHEMA_DEPTH_MAX:
            raise Unusable(f"nests deeper than {SCHEMA_DEPTH_MAX} schemas")
        if schema is True:
            return _anything
        if schema is False:
            return _nothing
        if not isinstance(schema, dict):
            raise Unusable("a schema is an object, true or false")
        unsupported = sorted(UNSUPPORTED & schema.keys())
        if unsupported:
            raise Unusable("this keyword is not supported", unsupported[0])

        def below(inner: Any, *steps: str | int) -> Check:
            try:
                return self._compile(inner, depth + 1)
            except Unusable as fault:
                fault.steps[:0] = steps[1:]  # the keyword itself is put in front by the loop below
                raise

        checks: list[Check] = []
        if "$ref" in schema:
            checks.append(self._reference(schema["$ref"], depth))
        for keyword, make in KEYWORDS.items():
            if keyword in schema:
                try:
                    checks.append(make(schema[keyword], schema, below))
                except Unusable as fault:
                    fault.steps.insert(0, keyword)
                    raise
        return _all(checks)

    def _reference(self, ref: Any, depth: int) -> Check:
        """The check of what a reference leads to, made once; a schema may lead back to itself."""
        if not isinstance(ref, str) or not (ref == "#" or ref.startswith("#/")):
            raise Unusable(f"only references within the schema are followed (#/...), not {ref!r}", "$ref")
        targets = self._targets
        if ref not in targets:
            targets[ref] = None
            try:
                targets[ref] = self._compile(_target(self._document, ref), depth + 1)
            except Unusable as fault:
                fault.steps.insert(0, "$ref")
                raise

        def check(value: Any, walk: Walk) -> None:
            target = targets[ref]
            assert target is not None, f"{ref} is used before it is compiled"
            target(value, walk)

        return check


def _target(document: Any, ref: str) -> Any:
    """What a JSON pointer leads to. Raises ``Unusable``."""
    found = document
    for step in ref.split("/")[1:]:
        name = step.replace("%25", "%").replace("~1", "/").replace("~0", "~")
        if isinstance(found, dict) and name in found:
            found = found[name]
        elif isinstance(found, list) and name.isdecimal() and int(name) < len(found):
            found = found[int(name)]
        else:
            raise Unusable(f"{ref} leads nowhere")
    return found


def _all(checks: list[Check]) -> Check:
    cost = 1 + len(checks)

    def check(value: Any, walk: Walk) -> None:
        walk.left -= cost
        walk.depth += 1
        if walk.left < 0 or walk.depth > DEPTH_MAX:
            raise Exhausted
        for one in checks:
            one(value, walk)
        walk.depth -= 1

    return check


def _anything(value: Any, walk: Walk) -> None:
    """The schema ``true``."""


def _nothing(value: Any, walk: Walk) -> None:
    """The schema ``false``."""
    raise Violated("must not be there")

"""The keywords of JSON Schema about what is inside a value, and the table of all keywords: the vocabulary of ``schemas``.

Each keyword is a function that makes a check (see ``schema_values``) of what the schema says; those that hold further
schemas get a ``Compile`` for them. Called by ``schemas`` alone.
"""

from __future__ import annotations

from typing import Any

from orchestrator.core.schema_values import (
    VALUE_KEYWORDS,
    Check,
    Compile,
    Keyword,
    Unusable,
    Violated,
    Walk,
    compile_pattern,
    identity,
    is_found,
    length_keyword,
    shown,
)

# --- arrays -----------------------------------------------------------------------------------------------------------


def _unique_items(given: Any, schema: dict[str, Any], compile_: Compile) -> Check:
    def check(value: Any, walk: Walk) -> None:
        if given and isinstance(value, (list, tuple)):
            seen = set()
            for index, item in enumerate(value):
                found = identity(item, walk)
                if found in seen:
                    raise Violated(f"must not repeat an element; [{index}] was there before")
                seen.add(found)

    return check


def _items(given: Any, schema: dict[str, Any], compile_: Compile) -> Check:
    if isinstance(given, list):
        rest = compile_(schema["additionalItems"], "additionalItems") if "additionalItems" in schema else None
        return _elements(_schemas(given, compile_, "items"), rest)
    first = len(schema["prefixItems"]) if isinstance(schema.get("prefixItems"), list) else 0
    return _elements([None] * first, compile_(given, "items"))


def _prefix_items(given: Any, schema: dict[str, Any], compile_: Compile) -> Check:
    return _elements(_schemas(given, compile_, "prefixItems"), None)


def _schemas(given: Any, compile_: Compile, keyword: str) -> list[Check]:
    if not isinstance(given, list) or not given:
        raise Unusable("must be a list of schemas")
    return [compile_(schema, keyword, index) for index, schema in enumerate(given)]


def _elements(first: list[Any], rest: Check | None) -> Check:
    """The check of an array's first elements, each by its own schema, and of all others by ``rest``."""

    def check(value: Any, walk: Walk) -> None:
        if not isinstance(value, (list, tuple)):
            return
        for index, item in enumerate(value):
            one = first[index] if index < len(first) else rest
            if one is None:
                continue
            try:
                one(item, walk)
            except Violated as fault:
                fault.steps.append(index)
                raise

    return check


def _contains(given: Any, schema: dict[str, Any], compile_: Compile) -> Check:
    one = compile_(given, "contains")
    least, most = schema.get("minContains", 1), schema.get("maxContains")

    def check(value: Any, walk: Walk) -> None:
        if isinstance(value, (list, tuple)):
            found = sum(holds(one, item, walk) for item in value)
            if found < least or (most is not None and found > most):
                limit = f"at least {least}" + (f" and at most {most}" if most is not None else "")
                raise Violated(f"must contain {limit} elements of a certain kind, not {found}")

    return check


# --- objects ----------------------------------------------------------------------------------------------------------


def _required(given: Any, schema: dict[str, Any], compile_: Compile) -> Check:
    names = _names(given)

    def check(value: Any, walk: Walk) -> None:
        if isinstance(value, dict):
            for name in names:
                if name not in value:
                    raise Violated(f"must have the property {name!r}")

    return check


def _names(given: Any) -> list[str]:
    if not isinstance(given, list) or not all(isinstance(name, str) for name in given):
        raise Unusable("must be a list of property names")
    return given


def _table(given: Any) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise Unusable("must be an object")
    return given


def _properties(given: Any, schema: dict[str, Any], compile_: Compile) -> Check:
    checks = [(name, compile_(one, "properties", name)) for name, one in _table(given).items()]

    def check(value: Any, walk: Walk) -> None:
        if isinstance(value, dict):
            for name, one in checks:
                if name in value:
                    _below(one, value[name], name, walk)

    return check


def _below(check: Check, value: Any, step: str, walk: Walk) -> None:
    try:
        check(value, walk)
    except Violated as fault:
        fault.steps.append(step)
        raise


def _pattern_properties(given: Any, schema: dict[str, Any], compile_: Compile) -> Check:
    checks = [(compile_pattern(name), compile_(one, "patternProperties", name)) for name, one in _table(given).items()]

    def check(value: Any, walk: Walk) -> None:
        if isinstance(value, dict):
            walk.charge(len(value) * len(checks))
            for name, item in value.items():
                for pattern, one in checks:
                    if is_found(pattern, name, walk):
                        _below(one, item, name, walk)

    return check


def _additional_properties(given: Any, schema: dict[str, Any], compile_: Compile) -> Check:
    one = compile_(given, "additionalProperties")
    named = frozenset(_table(schema.get("properties", {})))
    patterns = [compile_pattern(name) for name in _table(schema.get("patternProperties", {}))]

    def check(value: Any, walk: Walk) -> None:
        if isinstance(value, dict):
            walk.charge(len(value) * (1 + len(patterns)))
            for name, item in value.items():
                if name in named or any(is_found(pattern, name, walk) for pattern in patterns):
                    continue
                if given is False:
                    raise Violated(f"must not have the property {shown(name)}")
                _below(one, item, name, walk)

    return check


def _property_names(given: Any, schema: dict[str, Any], compile_: Compile) -> Check:
    one = compile_(given, "propertyNames")

    def check(value: Any, walk: Walk) -> None:
        if isinstance(value, dict):
            for name in value:
                try:
                    one(name, walk)
                except Violated as fault:
                    raise Violated(f"has the property {shown(name)}, whose name {fault.message}") from fault

    return check


def _dependencies(keyword: str) -> Keyword:
    def make(given: Any, schema: dict[str, Any], compile_: Compile) -> Check:
        checks: list[tuple[str, Check]] = []
        for name, other in _table(given).items():
            one = _required(other, schema, compile_) if isinstance(other, list) else compile_(other, keyword, name)
            checks.append((name, one))

        def check(value: Any, walk: Walk) -> None:
            if isinstance(value, dict):
                for name, one in checks:
                    if name in value:
                        one(value, walk)

        return check

    return make


# --- schemas of schemas -----------------------------------------------------------------------------------------------


def holds(check: Check, value: Any, walk: Walk) -> bool:
    """Whether a value complies; running out of steps is not an answer and is passed on."""
    depth = walk.depth
    try:
        check(value, walk)
    except Violated:
        walk.depth = depth
        return False
    return True


def _all_of(given: Any, schema: dict[str, Any], compile_: Compile) -> Check:
    checks = _schemas(given, compile_, "allOf")

    def check(value: Any, walk: Walk) -> None:
        for one in checks:
            one(value, walk)

    return check


def _any_of(given: Any, schema: dict[str, Any], compile_: Compile) -> Check:
    checks = _schemas(given, compile_, "anyOf")

    def check(value: Any, walk: Walk) -> None:
        if not any(holds(one, value, walk) for one in checks):
            raise Violated("must comply with one of the schemas of anyOf, and complies with none")

    return check


def _one_of(given: Any, schema: dict[str, Any], compile_: Compile) -> Check:
    checks = _schemas(given, compile_, "oneOf")

    def check(value: Any, walk: Walk) -> None:
        found = sum(holds(one, value, walk) for one in checks)
        if found != 1:
            raise Violated(f"must comply with exactly one of the schemas of oneOf, and complies with {found or 'none'}")

    return check


def _not(given: Any, schema: dict[str, Any], compile_: Compile) -> Check:
    one = compile_(given, "not")

    def check(value: Any, walk: Walk) -> None:
        if holds(one, value, walk):
            raise Violated("must not comply with the schema under not")

    return check


def _if(given: Any, schema: dict[str, Any], compile_: Compile) -> Check:
    condition = compile_(given, "if")
    then = compile_(schema.get("then", True), "then")
    otherwise = compile_(schema.get("else", True), "else")

    def check(value: Any, walk: Walk) -> None:
        (then if holds(condition, value, walk) else otherwise)(value, walk)

    return check


KEYWORDS: dict[str, Keyword] = {
    **VALUE_KEYWORDS,
    "minItems": length_keyword((list, tuple), "elements", is_least=True),
    "maxItems": length_keyword((list, tuple), "elements", is_least=False),
    "uniqueItems": _unique_items,
    "prefixItems": _prefix_items,
    "items": _items,
    "contains": _contains,
    "minProperties": length_keyword(dict, "properties", is_least=True),
    "maxProperties": length_keyword(dict, "properties", is_least=False),
    "required": _required,
    "properties": _properties,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional_properties,
    "propertyNames": _property_names,
    "dependencies": _dependencies("dependencies"),
    "dependentRequired": _dependencies("dependentRequired"),
    "dependentSchemas": _dependencies("dependentSchemas"),
    "allOf": _all_of,
    "anyOf": _any_of,
    "oneOf": _one_of,
    "not": _not,
    "if": _if,
}
"""Every keyword that checks something, by name, the cheap ones first."""

UNSUPPORTED = frozenset({"$dynamicRef", "$recursiveRef", "unevaluatedItems", "unevaluatedProperties"})
"""Keywords that would be ignored silently, and with them what the author meant."""

"""Text of a definition file to plain values (maps, lists, text, numbers), from JSON or YAML, bounded in every respect.

YAML is read from its events and not with the library's ready-made loaders, for three reasons: those build nested
values recursively in C and crash the process on a file of nothing but brackets, they expand a few aliases into
gigabytes, and they guess (``NO`` is false, ``12:30`` is 750, ``2030-01-31`` a date). Here a plain scalar is what JSON
says it is; what two versions of YAML read differently is refused with the advice to quote it.
Never looks at the meaning of what it reads: that is ``wire``, its only caller.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import msgspec

from orchestrator.errors import DefinitionInvalid, MissingExtra, Problem
from orchestrator.model.definitions import path_step

TEXT_BYTES_MAX = 5 * 1024 * 1024
DEPTH_MAX = 500
VALUES_MAX = 500_000

_NULL = re.compile(r"~|null|Null|NULL|")
_BOOLEAN = re.compile(r"true|True|TRUE|false|False|FALSE")
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)?\.[0-9]+(?:[eE][-+][0-9]+)?|[-+]?(?:0|[1-9][0-9]*)\.(?:[eE][-+][0-9]+)?")
_INFINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
# Read as one thing by YAML 1.1 and as another by YAML 1.2: octal and padded numbers, digit groups, exponents without
# point or sign, and the other words for true and false.
_AMBIGUOUS = re.compile(
    r"[-+]?0[0-9_]+(?:\.[0-9_]*)?|[-+]?0[xob][0-9a-fA-F_]+|[-+]?[0-9][0-9_]*_[0-9_]*(?:\.[0-9_]*)?"
    r"|[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+"
    r"|(?:yes|Yes|YES|no|No|NO|on|On|ON|off|Off|OFF)"
)
_TAGS = {f"tag:yaml.org,2002:{name}": name for name in ("null", "bool", "int", "float", "str", "seq", "map")}
_TAG_PATTERNS = {
    "null": _NULL,
    "bool": _BOOLEAN,
    "int": _INTEGER,
    "float": re.compile(f"{_FLOAT.pattern}|{_INTEGER.pattern}"),
}
_INTEGER_CHARS_MAX = 21
_JSON_OFFSET = re.compile(r"\(byte ([0-9]+)\)")


def load_documents(text: str | bytes, filename: str) -> list[Any]:
    """The values of all non-empty documents in ``text``: one for JSON, any number for YAML.

    The form follows the ending of ``filename``; without a known ending, text that begins like JSON is JSON. Raises
    ``DefinitionInvalid`` with line and column, ``MissingExtra`` when the YAML library is absent.
    Example: ``load_documents("name: a", "a.yaml") == [{"name": "a"}]``
    """
    size = len(text) if isinstance(text, bytes) else len(text.encode(errors="surrogatepass"))
    if size > TEXT_BYTES_MAX:
        message = f"{size:,} bytes are more than the {TEXT_BYTES_MAX:,} a definition file may have; split it"
        raise DefinitionInvalid(filename, [Problem("", message)])
    decoded = _decoded(text, filename)
    if _is_json(decoded, filename):
        value = _json_value(decoded, filename)
        return [] if value is None else [value]
    return [value for value in _yaml_values(decoded, filename) if value is not None]


def _decoded(text: str | bytes, filename: str) -> str:
    try:
        # A text with lone surrogates has no bytes, and the libraries below would each fail in their own way.
        return text.encode().decode().removeprefix("\ufeff") if isinstance(text, str) else text.decode("utf-8-sig")
    except UnicodeError as error:
        raise DefinitionInvalid(filename, [Problem("", f"is not UTF-8 text ({error})")]) from error


def _is_json(text: str, filename: str) -> bool:
    ending = filename.lower().rpartition(".")[2]
    if ending in ("json", "yaml", "yml"):
        return ending == "json"
    return text.lstrip()[:1] in ("{", "[")


def _json_value(text: str, filename: str) -> Any:
    data = text.encode()
    try:
        return msgspec.json.decode(data)
    except RecursionError as error:
        raise DefinitionInvalid(filename, [Problem("", "the JSON is nested too deep to be read")]) from error
    except (msgspec.DecodeError, ValueError) as error:
        raise DefinitionInvalid(filename, [Problem("", _with_line(str(error), data))]) from error


def _with_line(message: str, data: bytes) -> str:
    offset = _JSON_OFFSET.search(message)
    if offset is None:
        return message
    before = data[: int(offset.group(1))]
    return f"line {before.count(10) + 1}, column {len(before) - before.rfind(10)}: {message}"


# --- YAML -----------------------------------------------------------------------------------------------------------


@cache
def _yaml() -> Any:
    try:
        import yaml  # here, because it is optional and those who use JSON only need not wait for it
    except ImportError as error:
        raise MissingExtra("YAML definitions", "cli") from error
    return yaml


def _yaml_values(text: str, filename: str) -> list[Any]:
    yaml = _yaml()
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    builder = _Builder()
    try:
        for event in yaml.parse(text, Loader=loader):
            builder.take(type(event).__name__, event)
    except _TooMuch as error:
        builder.problems.append(Problem("", str(error)))
    except (yaml.YAMLError, RecursionError) as error:
        text = " ".join(str(error).split())
        if "maximum nesting depth" in text:  # newer parsers have a bound of their own, and may reach it first
            text = f"{filename}: nested deeper than {DEPTH_MAX} levels"
        builder.problems.append(Problem("", text))
    if builder.problems:
        raise DefinitionInvalid(filename, builder.problems)
    return builder.documents


class _TooMuch(Exception):
    """The document is larger than what a definition can need; reading on would only cost memory."""


class _Open:
    """A map or list whose end has not been read yet."""

    __slots__ = ("anchor", "is_key", "key", "merged", "size_before", "step", "value")

    def __init__(self, value: Any, anchor: str | None, size_before: int, step: str, *, is_key: bool) -> None:
        self.value = value
        self.anchor = anchor
        self.size_before = size_before
        self.step = step
        self.is_key = is_key
        self.key: Any = _NO_KEY
        self.merged: dict[str, Any] = {}


_NO_KEY = object()
_MERGE = object()
_REFUSED_KEY = object()


class _Builder:
    """Plain values out of YAML events, with a stack of its own instead of recursion."""

    def __init__(self) -> None:
        self.documents: list[Any] = []
        self.problems: list[Problem] = []
        self._stack: list[_Open] = []
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._size = 0

    def take(self, kind: str, event: Any) -> None:
        if kind == "ScalarEvent":
            self._scalar(event)
        elif kind == "MappingStartEvent":
            self._open({}, event)
        elif kind == "SequenceStartEvent":
            self._open([], event)
        elif kind in ("MappingEndEvent", "SequenceEndEvent"):
            self._close(event)
        elif kind == "AliasEvent":
            self._alias(event)
        elif kind == "DocumentStartEvent":
            self._anchors.clear()

    def _open(self, value: Any, event: Any) -> None:
        if len(self._stack) >= DEPTH_MAX:
            raise _TooMuch(f"{_place(event)}: nested deeper than {DEPTH_MAX} levels")
        if event.tag is not None and event.tag not in _TAGS:
            self._refuse(event, f"the tag {event.tag} is not understood; remove it")
        is_key = self._expects_key()
        if is_key:
            # Its content is still read, so that the structure stays right, but goes nowhere.
            self._refuse(event, "a map or list cannot be a key; use text")
            self._stack[-1].key = _REFUSED_KEY
        self._stack.append(_Open(value, event.anchor, self._size, self._step(), is_key=is_key))
        self._grow(1, event)

    def _close(self, event: Any) -> None:
        ended = self._stack.pop()
        value = {**ended.merged, **ended.value} if ended.merged else ended.value
        if ended.anchor is not None:
            self._anchors[ended.anchor] = (value, self._size - ended.size_before)
        if not ended.is_key:
            self._place(value, event)

    def _alias(self, event: Any) -> None:
        if event.anchor not in self._anchors:
            self._refuse(event, f"the alias *{event.anchor} refers to nothing before it, or to what contains it")
            self._place(None, event)
            return
        value, size = self._anchors[event.anchor]
        # An alias counts as much as what it stands for: a chain of aliases doubles with every link.
        self._grow(size, event)
        self._place(value, event)

    def _scalar(self, event: Any) -> None:
        self._grow(1, event)
        value = self._key_text(event) if self._expects_key() else self._scalar_value(event)
        if event.anchor is not None:
            self._anchors[event.anchor] = (value, 1)
        self._place(value, event)

    def _key_text(self, event: Any) -> Any:
        """A key as written; words such as ``on`` are text here, since a key cannot be meant as anything else."""
        if event.implicit[0] and event.value == "<<":
            return _MERGE
        is_other = event.implicit[0] and any(pattern.fullmatch(event.value) for pattern in _TAG_PATTERNS.values())
        return None if is_other else event.value

    def _scalar_value(self, event: Any) -> Any:
        text: str = event.value
        if event.tag is not None:
            return self._tagged(event, text)
        if not event.implicit[0]:
            return text
        for name, pattern in _TAG_PATTERNS.items():
            if pattern.fullmatch(text):
                return self._converted(event, name, text)
        if _AMBIGUOUS.fullmatch(text) or _INFINITE.fullmatch(text):
            advice = "put it in quotes if it is text, or write a plain JSON number, true or false"
            self._refuse(event, f"{text[:40]} means different things in different versions of YAML: {advice}")
            return None
        return text

    def _tagged(self, event: Any, text: str) -> Any:
        name = _TAGS.get(event.tag)
        if name == "str":
            return text
        pattern = _TAG_PATTERNS.get(name or "")
        if name is None or pattern is None or not pattern.fullmatch(text):
            self._refuse(event, f"{text[:40]} with the tag {event.tag} is not understood; remove the tag")
            return None
        return self._converted(event, name, text)

    def _converted(self, event: Any, name: str, text: str) -> Any:
        if name == "null":
            return None
        if name == "bool":
            return text.lower() == "true"
        if name == "float":
            return float(text)
        if len(text) > _INTEGER_CHARS_MAX:
            self._refuse(event, "integer of more than 64 bits; put it in quotes")
            return None
        return int(text)

    def _place(self, value: Any, event: Any) -> None:
        """Put a finished value where it belongs: a document, a list item, a key or the value of the last key."""
        if not self._stack:
            self.documents.append(value)
            return
        parent = self._stack[-1]
        if isinstance(parent.value, list):
            parent.value.append(value)
        elif parent.key is _NO_KEY:
            parent.key = self._key(value, event)
        else:
            self._place_entry(parent, value, event)
            parent.key = _NO_KEY

    def _place_entry(self, parent: _Open, value: Any, event: Any) -> None:
        if parent.key is _MERGE:
            self._merge(parent, value, event)
        elif parent.key is not _REFUSED_KEY:
            parent.value[parent.key] = value

    def _key(self, key: Any, event: Any) -> Any:
        if key is _MERGE:
            return key
        if not isinstance(key, str):
            written = getattr(event, "value", "it")
            self._refuse(event, f"the key {written or 'null'} is not text for YAML; put it in quotes")
            return _REFUSED_KEY
        if key in self._stack[-1].value:
            self._refuse(event, f"the key {key!r} is given twice; the first one would be lost")
        return key

    def _merge(self, parent: _Open, value: Any, event: Any) -> None:
        for source in reversed(value if isinstance(value, list) else [value]):
            if isinstance(source, dict):
                # Earlier maps win over later ones, and the map's own keys over all of them.
                parent.merged.update(source)
            else:
                self._refuse(event, "<< takes a map or a list of maps")

    def _expects_key(self) -> bool:
        return bool(self._stack) and isinstance(self._stack[-1].value, dict) and self._stack[-1].key is _NO_KEY

    def _grow(self, count: int, event: Any) -> None:
        self._size += count
        if self._size > VALUES_MAX:
            raise _TooMuch(f"{_place(event)}: more than {VALUES_MAX:,} values, aliases counted in full; split the file")

    def _step(self) -> str:
        if not self._stack:
            return ""
        parent = self._stack[-1]
        if isinstance(parent.value, list):
            return path_step(len(parent.value))
        return path_step(parent.key) if isinstance(parent.key, str) else ""

    def _refuse(self, event: Any, message: str) -> None:
        path = "".join(entry.step for entry in self._stack)
        if self._stack and not self._expects_key():
            path += self._step()
        self.problems.append(Problem(path.lstrip("."), f"{_place(event)}: {message}"))


def _place(event: Any) -> str:
    return f"line {event.start_mark.line + 1}, column {event.start_mark.column + 1}"

"""The Lua library: reads ``lua/*.lua`` once, checks every header, expands includes and knows each script's SHA1.

A script's header is its contract (purpose, KEYS, ARGV, GIVES, SAFE TO REPEAT), so a script without one is refused here.
``--@include now`` becomes the server's TIME in production; simulations and tests ask for a library in which it reads
the slot's declared clock key instead. Other includes are texts under ``lua/include``. Nothing here talks to Redis.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache
from importlib.resources import files
from typing import NamedTuple

# Both define `now` (ms) and KEYN, the number of keys without the clock's: scripts never look at #KEYS themselves.
SERVER_NOW = (
    "local KEYN = #KEYS local t = redis.call('TIME') "
    "local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)"
)
DECLARED_NOW = (
    "local KEYN = #KEYS - 1 local now = tonumber(redis.call('GET', KEYS[#KEYS])) "
    "if not now then return redis.error_reply('ERR the simulated clock of this slot is not set') end"
)

_INCLUDE = re.compile(r"^[ \t]*--@include[ \t]+([a-z_]+)[ \t]*$", re.MULTILINE)
_SHEBANG = re.compile(r"#!lua(?: flags=([a-z\-]+(?:,[a-z\-]+)*))?\n")
_FLAGS = {"no-writes", "allow-oom"}
_FIELDS = ("KEYS", "ARGV", "GIVES", "SAFE TO REPEAT")


class Header(NamedTuple):
    """What a script's header says: one line of purpose, then the texts of its four fields."""

    purpose: str
    keys: str
    argv: str
    gives: str
    safe_to_repeat: str


class Script(NamedTuple):
    """One loaded script: the text as it is sent, its SHA1 and what its header promises."""

    name: str
    source: str
    sha: str
    reads_clock: bool
    flags: frozenset[str]
    header: Header


@cache
def library(*, declared_clock: bool = False, keep_shebang: bool = True) -> dict[str, Script]:
    """All scripts by name.

    ``declared_clock`` makes ``now`` the slot's clock key (tests, simulation); ``keep_shebang=False`` is for fakeredis,
    whose Lua does not know the first line. Raises ``ValueError`` when a script or its header is malformed.
    Example: ``library()["commit"].sha``
    """
    folder = files("orchestrator.store") / "lua"
    scripts = {}
    for entry in folder.iterdir():
        if entry.name.endswith(".lua"):
            name = entry.name.removesuffix(".lua")
            scripts[name] = parse(name, entry.read_text("utf-8"), declared_clock, keep_shebang)
    return scripts


def parse(name: str, text: str, declared_clock: bool = False, keep_shebang: bool = True) -> Script:
    """Turn the text of one Lua file into a ``Script``; raises ``ValueError`` saying what is malformed."""
    shebang = _SHEBANG.match(text)
    if shebang is None:
        raise ValueError(f"script {name}: the first line is not '#!lua' with optional 'flags=...'")
    flags = frozenset((shebang.group(1) or "").split(",")) - {""}
    if not flags <= _FLAGS:
        raise ValueError(f"script {name}: unknown flags {sorted(flags - _FLAGS)}")
    header = _header(name, text[shebang.end() :])
    source = _expand(name, text, declared_clock)
    if not keep_shebang:
        source = source[shebang.end() :]
    reads_clock = "now" in _INCLUDE.findall(text)
    return Script(name, source, hashlib.sha1(source.encode()).hexdigest(), reads_clock, flags, header)


def _header(name: str, text: str) -> Header:
    lines = []
    for line in text.splitlines():
        if not line.startswith("--") or line.startswith("--@"):
            break
        lines.append(line[2:].strip())
    opening = f"{name}: "
    if not lines or not lines[0].startswith(opening):
        raise ValueError(f"script {name}: the header does not begin with '-- {opening}<purpose>'")
    purpose, values = lines[0].removeprefix(opening), dict[str, str]()
    current = ""
    for line in lines[1:]:
        field = next((field for field in _FIELDS if line.startswith(field)), None)
        if field is not None:
            current = field
            values[field] = line.removeprefix(field).lstrip(": ")
        elif current:
            values[current] += " " + line
        else:
            purpose += " " + line
    missing = [field for field in _FIELDS if not values.get(field)]
    if missing:
        raise ValueError(f"script {name}: the header lacks {', '.join(missing)}")
    return Header(purpose, *(values[field] for field in _FIELDS))


def _expand(name: str, text: str, declared_clock: bool) -> str:
    def replace(match: re.Match[str]) -> str:
        include = match.group(1)
        if include == "now":
            return DECLARED_NOW if declared_clock else SERVER_NOW
        path = files("orchestrator.store") / "lua" / "include" / f"{include}.lua.part"
        if not path.is_file():
            raise ValueError(f"script {name}: no include named {include}")
        return path.read_text("utf-8").rstrip("\n")

    return _INCLUDE.sub(replace, text)

"""The Lua library as texts: headers, includes, and what no script may contain."""

from __future__ import annotations

import hashlib
import re

import pytest

from orchestrator.store.scripts import DECLARED_NOW, SERVER_NOW, library, parse

NAMES = sorted(library())
KEYLESS_CALLS = {"TIME", "PUBLISH"}
CALL = re.compile(r"\bp?call\(\s*'([A-Z]+)'\s*,?\s*(?:'(?:GROUPS|CONSUMERS|CREATE|DELCONSUMER)'\s*,\s*)?([^,)]*)")
GOOD = "#!lua\n-- x: does it\n-- KEYS  a\n-- ARGV  b\n-- GIVES c\n-- SAFE TO REPEAT: yes\nreturn 1\n"


def test_production_reads_the_servers_time_and_never_a_clock_key() -> None:
    for script in library().values():
        assert DECLARED_NOW not in script.source
        assert "@include" not in script.source
        assert (SERVER_NOW in script.source) == script.reads_clock


def test_simulation_reads_the_clock_key_and_never_the_servers_time() -> None:
    for script in library(declared_clock=True).values():
        assert "'TIME'" not in script.source
        assert (DECLARED_NOW in script.source) == script.reads_clock


def test_only_the_fakes_library_lacks_the_first_line() -> None:
    assert all(script.source.startswith("#!lua") for script in library().values())
    assert not any(script.source.startswith("#!lua") for script in library(keep_shebang=False).values())


def test_the_sha_is_that_of_the_text_that_is_sent() -> None:
    for script in library().values():
        assert script.sha == hashlib.sha1(script.source.encode()).hexdigest()


@pytest.mark.parametrize("name", NAMES)
def test_no_script_computes_a_key_or_decodes_user_data(name: str) -> None:
    source = library()[name].source
    code = "\n".join(line.split("--")[0] for line in source.splitlines() if not line.startswith("#!"))
    for command, key in CALL.findall(code):
        assert command in KEYLESS_CALLS or ("'" not in key and ".." not in key and '"' not in key), (command, key)
    assert not re.search(r"\bc(?:json|msgpack)\b", code)
    assert not re.search(r"redis\.pcall\('(?:HSET|XADD|ZADD|SET|DEL|HDEL|XDEL)'", code)


@pytest.mark.parametrize("name", NAMES)
def test_a_script_without_writes_is_marked_so(name: str) -> None:
    script = library()[name]
    code = "\n".join(line.split("--")[0] for line in script.source.splitlines())
    writes = re.findall(
        r"'(HSET|HDEL|XADD|XDEL|ZADD|ZREM|SET|UNLINK|SADD|SREM|RPUSH|LPOP|INCR|HINCRBY|ZPOPMIN|XGROUP)'", code
    )
    assert ("no-writes" in script.flags) == (not writes)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (GOOD.removeprefix("#!lua\n"), "first line"),
        (GOOD.replace("#!lua\n", "#!lua flags=no-cluster\n"), "unknown flags"),
        (GOOD.replace("x: does", "y: does"), "does not begin"),
        (GOOD.replace("-- GIVES c\n", ""), "lacks GIVES"),
        (GOOD.replace("-- KEYS  a\n", "-- KEYS\n"), "lacks KEYS"),
        (GOOD + "--@include nothing_of_that_name\n", "no include"),
    ],
)
def test_a_malformed_script_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse("x", text)


def test_a_header_is_read_over_continued_lines() -> None:
    text = GOOD.replace("-- ARGV  b\n", "-- ARGV  b\n--       c (none)\n").replace("does it\n", "does it\n--    well\n")
    header = parse("x", text).header
    assert header == ("does it well", "a", "b c (none)", "c", "yes")

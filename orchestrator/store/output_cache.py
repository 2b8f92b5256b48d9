"""The cache of outputs: one string per key, each in a slot of its own, gone when its time is over."""

from __future__ import annotations

from orchestrator.model.records import encode
from orchestrator.plan import Command
from orchestrator.store.keys import Keys


def read(keys: Keys, cache_key: str) -> Command:
    """The entry under a key (see ``records.decode_cached``), or ``None``."""
    return Command(("GET", keys.cached_output(cache_key)))


def write(keys: Keys, cache_key: str, output: bytes, *, ttl_ms: int, expires_ms: int) -> Command:
    """Keep a packed output for so long, in place of what is there; ``expires_ms`` goes with it for the reader."""
    return Command(("SET", keys.cached_output(cache_key), encode((expires_ms, output)), "PX", ttl_ms))

"""What the store itself can do on this machine right now: R and T, the units of every other figure."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import time
from typing import NamedTuple

import redis

ONE_SET = "return redis.call('SET', KEYS[1], ARGV[1])"
CALLS = 100_000
ROUND_TRIPS = 2_000


class Baseline(NamedTuple):
    """R in script calls per second under 50 connections (None without redis-tools), T in seconds per round trip."""

    calls_per_s: float | None
    round_trip_s: float


def measure(url: str) -> Baseline:
    """Measure R and T against a running server; leaves one key behind."""
    client = redis.Redis.from_url(url)
    sha = client.script_load(ONE_SET)
    times = []
    for _ in range(ROUND_TRIPS):
        begun = time.perf_counter()
        client.evalsha(sha, 1, "bench:key", "v")
        times.append(time.perf_counter() - begun)
    port = client.connection_pool.connection_kwargs["port"]
    client.close()
    return Baseline(_benchmark(port, str(sha)), statistics.median(times))


def _benchmark(port: int, sha: str) -> float | None:
    tool = shutil.which("redis-benchmark")
    if tool is None:
        return None
    words = [
        tool,
        "-p",
        str(port),
        "-c",
        "50",
        "-P",
        "1",
        "-n",
        str(CALLS),
        "--csv",
        "EVALSHA",
        sha,
        "1",
        "bench:key",
        "v",
    ]
    output = subprocess.run(words, capture_output=True, text=True, check=True, timeout=120).stdout
    return float(output.strip().splitlines()[-1].split(",")[1].strip('"'))


def mean(before: Baseline, after: Baseline) -> Baseline:
    """The baseline of a block: the middle of what was measured before and after it."""
    calls = None
    if before.calls_per_s is not None and after.calls_per_s is not None:
        calls = (before.calls_per_s + after.calls_per_s) / 2
    return Baseline(calls, (before.round_trip_s + after.round_trip_s) / 2)

"""Random requests made from the API's own description: whatever is asked, the server has no error of its own.

Left out are the calls that answer only when a workflow has halted: random ones would wait for their whole time-out.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.settings import Settings
from tests.cli.conftest import Command, command, finished

__all__ = ["command", "finished"]

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "2"))  # of each operation; `make fuzz` takes enough for 20,000 requests
WAITING = "execute|/sync|/state|/poll/batch"


def fuzz(url: str, folder: Path, *options: str) -> tuple[int, int, str]:
    """Exit status of the fuzzer, how many requests it made, and what it said."""
    run = subprocess.run(
        [
            *(sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()", "run"),
            *(f"{url}/api-docs", "--checks", "not_a_server_error", "--exclude-path-regex", WAITING),
            *("--no-color", "--request-timeout", "20", "--seed", "4", "--generation-deterministic", *options),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    counted = re.search(r"([\d,]+) generated", run.stdout)
    return run.returncode, int(counted[1].replace(",", "")) if counted else 0, run.stdout + run.stderr


@pytest.fixture
def url(command: Command, decider: Settings) -> str:
    """The address of a server beside a decider."""
    if decider.redis_url.startswith("fakeredis"):
        pytest.skip("another process cannot see a store inside this one")
    environment = {"ORCHESTRATOR_PARTITIONS": str(decider.partitions)}
    process = command("--redis", decider.redis_url, "server", "--port", "0", environment=environment)
    assert process.stderr is not None
    return process.stderr.readline().split()[1]


@pytest.mark.timeout(3600)
def test_random_requests_to_every_operation_find_no_error_of_the_server(url: str, tmp_path: Path) -> None:
    status, count, said = fuzz(url, tmp_path, "--phases", "fuzzing", "--max-examples", str(EXAMPLES))
    assert status == 0, said
    assert count > 80 * EXAMPLES

"""The official Java SDK, unmodified: its task runner and its clients tell one story, judged by what its calls gave."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.maven import JavaMissing, class_path

pytestmark = pytest.mark.slow

STORY = Path(__file__).with_name("SdkStory.java")
SDK = "org.conductoross:conductor-client:4.0.1"  # the newest that Java 17 reads
STORY_TIMEOUT_S = 90


@pytest.fixture
def classes(tmp_path: Path) -> str:
    """The class path of the SDK, where there is a Java that compiles."""
    try:
        if shutil.which("javac") is None:
            raise JavaMissing("javac is needed; install it with: apt-get install default-jdk-headless")
        return class_path(SDK, tmp_path)
    except JavaMissing as reason:
        if os.environ.get("CI"):
            pytest.fail(str(reason), pytrace=False)
        pytest.skip(str(reason))


def test_a_task_runner_works_and_completes_a_workflow(classes: str, server_url: str) -> None:
    done = subprocess.run(
        ["java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp", classes, STORY, server_url],
        capture_output=True,
        text=True,
        timeout=STORY_TIMEOUT_S,
    )
    assert done.returncode == 0, done.stdout[-2_000:] + done.stderr[-4_000:]
    given = json.loads(done.stdout.splitlines()[-1])
    assert (given["taskDef"], given["tasksOfDef"]) == (1, 3)
    assert given["paused"] == "PAUSED"
    assert (given["running"], given["correlated"]) == ([given["id"]], 1)
    assert (given["log"], given["task"]) == ("a line", "IN_PROGRESS")
    ended = given["ended"]
    assert (ended["status"], ended["output"]) == ("COMPLETED", {"said": "Hello, Ada"})
    assert [(ref, status) for ref, status, _ in ended["tasks"]] == [
        ("greet", "COMPLETED"),
        ("flaky", "FAILED"),
        ("flaky", "COMPLETED"),
        ("word", "COMPLETED"),
    ]
    outputs = [output for _, _, output in ended["tasks"]]
    assert (outputs[0], outputs[2], outputs[3]) == ({"result": "Hello, Ada"}, {"attempt": 1}, {"word": "go"})
    assert given["terminated"] == "enough"
    assert given["queue"] == 0

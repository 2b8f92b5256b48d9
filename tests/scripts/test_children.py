"""Script processes: confined, killed when late, replaced when dead, and never a burden to who asks them."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from orchestrator.model.evaluation import Evaluation
from orchestrator.scripts.children import Child, Children
from orchestrator.scripts.limits import Limits
from orchestrator.scripts.messages import Answer, Request, evaluation_of

SHORT = Limits(0.3, 64 * 2**20)
# A search that no limit of the engine reaches.
ENDLESS_IN_C = "'a'.repeat(2e7).indexOf('a'.repeat(1e7) + 'b')"


@pytest.fixture(scope="module")
def children() -> Iterator[Children]:
    made = Children(2)
    yield made
    made.close()


def request(language: str, script: str, input_text: str = '{"x": 1}', limits: Limits = SHORT) -> Request:
    return Request(language, script, input_text, 0, "seed", limits)


@pytest.mark.parametrize(
    ("language", "script", "answer"),
    [
        ("javascript", "$.x + 1", Answer("value", "2")),
        ("python", "x + 1", Answer("value", "2")),
        ("jq", ".x, 2", Answer("value", "[1,2]")),
        (
            "javascript",
            "y",
            Answer("failed", "Error evaluating the script `ReferenceError: y is not defined` at line 1"),
        ),
        ("python", "y", Answer("failed", "NameError: name 'y' is not defined at line 1")),
        ("jq", 'error("no stock")', Answer("failed", "no stock")),
        ("cobol", "1", Answer("failed", "scripts are javascript, python or jq, not cobol")),
        (
            "python",
            "float('nan')",
            Answer("failed", "The result cannot be stored: Out of range float values are not JSON compliant"),
        ),
    ],
)
def test_a_child_answers(children: Children, language: str, script: str, answer: Answer) -> None:
    assert children.ask(request(language, script)) == answer


@pytest.mark.parametrize(
    ("language", "script"),
    [
        ("javascript", "while (true);"),
        ("javascript", ENDLESS_IN_C),
        ("python", "while True: pass"),
        ("jq", "def f: f; f"),
        ("jq", "last(range(1e12))"),
    ],
)
def test_a_script_without_end_is_stopped_at_its_limit_and_the_next_is_served(
    children: Children, language: str, script: str
) -> None:
    answer = children.ask(request(language, script))
    assert evaluation_of(answer, SHORT) == Evaluation(
        error="Script not evaluated within 0.3 seconds, interrupted.", timed_out=True
    )
    assert children.ask(request("python", "x")) == Answer("value", "1")


@pytest.mark.parametrize(
    ("language", "script"),
    [
        ("javascript", "var a = []; for (;;) a.push('x'.repeat(100000) + a.length)"),
        ("javascript", "new Uint8Array(70e6)"),
        ("python", "a = [1]\nwhile True: a = a + a"),
        ("jq", '[limit(300; repeat("x" * 1000000))] | add | length'),
        ("jq", "def f: 1 + f; f"),
    ],
)
def test_a_script_that_wants_too_much_memory_is_stopped_and_the_next_is_served(
    children: Children, language: str, script: str
) -> None:
    limits = Limits(20.0, 64 * 2**20)
    answer = children.ask(request(language, script, limits=limits))
    assert evaluation_of(answer, limits) == Evaluation(error="Script needs more than 64 MB of memory, interrupted.")
    assert children.ask(request("python", "x")) == Answer("value", "1")


def test_a_child_has_no_environment(children: Children, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "hunter2")
    answer = children.ask(request("jq", 'env | keys - ["LC_CTYPE"], $ENV.SECRET'))
    assert answer == Answer("value", "[[],null]")


def test_a_child_can_open_nothing(children: Children) -> None:
    answer = children.ask(request("jq", 'import "os" as os {search: "/etc"}; 1'))
    assert answer.kind == "failed"


def test_the_limits_of_the_process_leave_it_nothing_to_open_write_or_start() -> None:
    child = Child(SHORT.memory_bytes)
    try:
        assert child.is_ready(10)
        with open(f"/proc/{child.pid}/limits", encoding="ascii") as file:
            limits = {line[:26].strip(): line[26:].split()[0] for line in file.read().splitlines()[1:]}
        assert limits["Max open files"] == "3"
        assert limits["Max processes"] == "0"
        assert limits["Max file size"] == "0"
        assert limits["Max core file size"] == "0"
        assert 0 < int(limits["Max address space"]) < 600 * 2**20
        assert sorted(os.listdir(f"/proc/{child.pid}/fd")) == ["0", "1", "2"]
        with open(f"/proc/{child.pid}/environ", "rb") as raw:
            assert raw.read() == b""
    finally:
        child.close()


def test_a_child_ends_when_its_parent_is_gone() -> None:
    child = Child(SHORT.memory_bytes)
    assert child.is_ready(10)
    child._pipe.close()
    assert child._process.wait(10) == 0
    child.close()


def test_a_child_that_was_killed_between_two_scripts_is_replaced() -> None:
    children = Children(1)
    assert children.ask(request("python", "x")) == Answer("value", "1")
    (idle,) = children._idle
    os.kill(idle.pid, signal.SIGKILL)
    idle._process.wait(10)
    assert children.ask(request("python", "x")) == Answer("value", "1")
    children.close()


def test_many_threads_share_few_children() -> None:
    children = Children(2)
    answers: list[Answer] = []
    threads = [
        threading.Thread(target=lambda n=n: answers.append(children.ask(request("python", f"x + {n}"))))
        for n in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(int(answer.text) for answer in answers) == list(range(1, 13))
    assert len(children._idle) <= 2
    children.close()

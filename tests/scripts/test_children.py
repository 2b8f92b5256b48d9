"""Script processes: confined, killed when late, replaced when dead, and never a burden to who asks them."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from orchestrator.model.evaluation import Evaluation
from orchestrator.scripts.children import NICENESS, STARVED_TIMES, Child, Children
from orchestrator.scripts.limits import Limits
from orchestrator.scripts.messages import Answer, Request, evaluation_of
from tests.support.eventually import eventually

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


def niceness_of_session(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/autogroup", encoding="ascii") as file:
            group = file.read().split()
    except OSError:
        pytest.skip("this system does not share the processor out among sessions")
    return int(group[-1]) if group else 0  # empty: it is in the system's first group, which has no niceness


def test_a_child_gives_way_also_where_the_processor_is_shared_out_among_sessions() -> None:
    child = Child(SHORT.memory_bytes)
    try:
        assert child.is_ready(10)
        assert os.getsid(child.pid) == child.pid
        assert niceness_of_session(child.pid) == NICENESS
        child.give_way()
        assert niceness_of_session(child.pid) == 19
        assert niceness_of_session(os.getpid()) < NICENESS
    finally:
        child.close()


def test_a_script_that_was_not_given_the_processor_is_not_late() -> None:
    children = Children(1)
    assert children.ask(request("python", "x")) == Answer("value", "1")
    (idle,) = children._idle
    os.kill(idle.pid, signal.SIGSTOP)
    waker = threading.Timer(SHORT.time_s * 3, os.kill, (idle.pid, signal.SIGCONT))
    waker.start()
    assert children.ask(request("python", "x")) == Answer("value", "1")
    waker.join()
    assert children._idle == []  # it has given way for good, so the next script gets another
    children.close()


def test_a_script_that_is_never_given_the_processor_is_late_in_the_end() -> None:
    children = Children(1)
    limits = Limits(0.1, SHORT.memory_bytes)
    assert children.ask(request("python", "x")) == Answer("value", "1")
    (idle,) = children._idle
    os.kill(idle.pid, signal.SIGSTOP)
    begun_s = time.monotonic()
    assert children.ask(request("python", "x", limits=limits)) == Answer("time")
    assert time.monotonic() - begun_s >= limits.time_s * STARVED_TIMES
    children.close()


def test_python_is_stopped_for_the_time_it_ran_and_not_for_the_time_it_had_to_wait() -> None:
    child, limits = Child(SHORT.memory_bytes), Limits(1.0, SHORT.memory_bytes)
    try:
        assert child.is_ready(10)
        before_s = child.cpu_s
        assert before_s is not None
        child.send(request("python", "sum([n for n in range(60_000)])", limits=limits))
        eventually(lambda: (child.cpu_s or 0) > before_s)
        os.kill(child.pid, signal.SIGSTOP)
        waker = threading.Timer(limits.time_s * 1.2, os.kill, (child.pid, signal.SIGCONT))
        waker.start()
        assert child.receive(10) == Answer("value", str(sum(range(60_000))))
        waker.join()
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

"""Scripts inside decisions: an answer within milliseconds or none, and no script holds up who asks."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from orchestrator.model.evaluation import Evaluation
from orchestrator.scripts import evaluator
from orchestrator.scripts.evaluator import CALM_S, HOLD_S, KILLS_MAX, SLOW_S, Evaluator
from orchestrator.scripts.messages import Answer
from tests.support.eventually import eventually


class Scripts:
    """An evaluator on a clock of its own."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.evaluator = Evaluator(now_s=lambda: self.now_s)

    def ask(self, script: str, language: str = "javascript", given: dict[str, Any] | None = None) -> Evaluation | None:
        return self.evaluator.evaluate(language, script, given or {"x": 41}, now_ms=5, seed="s")


def endless(letter: str) -> str:
    """A loop in the engine's own code, where it looks at no limit."""
    return f"'{letter}'.repeat(3e6).indexOf('{letter}'.repeat(2e6) + '-')"


@pytest.fixture
def scripts() -> Iterator[Scripts]:
    made = Scripts()
    yield made
    made.evaluator.close()


def test_a_quick_script_is_answered(scripts: Scripts) -> None:
    assert scripts.ask("$.x + 1") == Evaluation(42)
    assert scripts.ask("Date.now()") == Evaluation(5)
    assert scripts.ask("x + 1", "python") == Evaluation(42)


def test_a_script_that_fails_is_answered_with_what_is_wrong(scripts: Scripts) -> None:
    wrong = Evaluation(error="Error evaluating the script `ReferenceError: y is not defined` at line 1")
    assert scripts.ask("y") == wrong
    assert scripts.ask("y", "python") == Evaluation(error="NameError: name 'y' is not defined at line 1")


@pytest.mark.parametrize("language", ["jq", "cobol"])
def test_other_languages_are_for_tasks(scripts: Scripts, language: str) -> None:
    assert scripts.ask("1", language) is None


@pytest.mark.parametrize("script", ["while True: pass", "'x' * 10 ** 8", "[v for v in range(9000)]"])
def test_python_beyond_its_budget_is_not_answered(scripts: Scripts, script: str) -> None:
    assert scripts.ask(script, "python") is None


@pytest.mark.alone  # what is asked within the budget must not lose it to others
@pytest.mark.parametrize("script", ["while (true);", "var a = []; for (;;) a.push('x'.repeat(1000) + a.length)"])
def test_javascript_beyond_its_budget_is_not_answered_and_not_tried_again_for_a_while(
    scripts: Scripts, script: str
) -> None:
    assert scripts.ask("1") == Evaluation(1)
    assert scripts.ask(script) is None
    assert scripts.evaluator._slow
    assert scripts.ask("2") == Evaluation(2)
    asked = scripts.evaluator._child
    scripts.evaluator._child = None  # whoever asked now would start another
    assert scripts.ask(script) is None
    assert scripts.evaluator._child is None
    scripts.evaluator._child = asked
    scripts.now_s += SLOW_S + 1
    assert scripts.ask(script) is None


def test_a_loop_that_no_limit_reaches_costs_its_process_and_a_spare_one_takes_over(scripts: Scripts) -> None:
    assert scripts.ask("1") == Evaluation(1)
    first, spare = scripts.evaluator._child, scripts.evaluator._spare
    assert spare is not None
    assert spare.is_ready(10)
    assert scripts.ask(endless("a")) is None
    assert first is not None
    assert not first.is_usable
    assert scripts.ask("1") == Evaluation(1)
    assert scripts.evaluator._child is spare


def test_a_flood_of_such_loops_closes_the_way_for_a_while(scripts: Scripts) -> None:
    assert scripts.ask("1") == Evaluation(1)
    for letter in "abcd"[:KILLS_MAX]:
        assert scripts.evaluator._child is not None
        assert scripts.evaluator._child.is_ready(10)
        assert scripts.ask(endless(letter)) is None
        scripts.now_s += 1
    last = scripts.evaluator._child
    assert last is not None
    assert last.is_ready(10)
    assert scripts.ask("1") is None
    scripts.now_s += CALM_S - KILLS_MAX + 1
    assert scripts.ask("1") == Evaluation(1)


def test_a_child_that_was_not_given_the_processor_is_waited_for_a_little_longer(scripts: Scripts) -> None:
    assert scripts.ask("1") == Evaluation(1)
    child = scripts.evaluator._child
    assert child is not None
    os.kill(child.pid, signal.SIGSTOP)
    waker = threading.Timer(HOLD_S * 2, os.kill, (child.pid, signal.SIGCONT))
    waker.start()
    assert scripts.ask("2") == Evaluation(2)
    waker.join()
    os.kill(child.pid, signal.SIGSTOP)
    assert scripts.ask("3") is None
    assert not child.is_usable


def test_a_script_process_that_dies_is_replaced(scripts: Scripts) -> None:
    assert scripts.ask("1") == Evaluation(1)
    assert scripts.evaluator._child is not None
    scripts.evaluator._child._process.kill()
    assert scripts.ask("1") is None
    scripts.now_s += SLOW_S
    eventually(lambda: scripts.ask("1") == Evaluation(1))


def test_a_large_input_is_for_tasks(scripts: Scripts) -> None:
    assert scripts.ask("$.x.length", given={"x": "y" * 300_000}) is None


def test_scripts_do_not_see_each_other(scripts: Scripts) -> None:
    assert scripts.ask("globalThis.left = 1") == Evaluation(1)
    assert scripts.ask("typeof left") == Evaluation("undefined")


def test_without_the_extra_javascript_is_for_tasks(scripts: Scripts, monkeypatch: pytest.MonkeyPatch) -> None:
    assert scripts.ask("1") == Evaluation(1)
    child = scripts.evaluator._child
    assert child is not None
    monkeypatch.setattr(child, "receive", lambda _: Answer("missing", "install it"))
    assert scripts.ask("1") is None
    assert scripts.evaluator._child is child


def test_a_process_has_one_evaluator() -> None:
    assert evaluator.shared() is evaluator.shared()

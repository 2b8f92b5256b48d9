"""Log lines: key=value for people, JSON for machines, always on standard error."""

from __future__ import annotations

import contextvars
import json
import logging
from collections.abc import Iterator

import pytest

from orchestrator.context import TaskContext, enter
from orchestrator.errors import SettingsInvalid
from orchestrator_cli import logs


@pytest.fixture(autouse=True)
def _root_logger_as_before() -> Iterator[None]:
    logger = logging.getLogger()
    handlers, level = logger.handlers[:], logger.level
    yield
    logger.handlers[:], logger.level = handlers, level


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err.splitlines()


def test_an_event_is_a_line_of_key_value_pairs(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("INFO")
    logging.getLogger("any").info("task_claimed", extra={"task_id": "t1", "reason": 'a "b" c', "numbers": [1, 2]})
    logging.getLogger("any").debug("not_shown")
    (line,) = lines(capsys)
    assert line.endswith(r'INFO task_claimed task_id=t1 reason="a \"b\" c" numbers="[1, 2]"')


def test_a_traceback_follows_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("INFO")
    try:
        raise ValueError("why")
    except ValueError:
        logging.getLogger("any").exception("turn_failed")
    first, *rest = lines(capsys)
    assert first.endswith("ERROR turn_failed")
    assert rest[-1] == "ValueError: why"


def test_json_lines_hold_the_same_fields(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_LOG_FORMAT", "json")
    logs.configure("DEBUG")
    logging.getLogger("any").debug("task_claimed", extra={"task_id": "t1", "delivery": 2})
    try:
        raise ValueError("why")
    except ValueError:
        logging.getLogger("any").exception("turn_failed")
    first, second = [json.loads(line) for line in lines(capsys)]
    assert {key: first[key] for key in ("level", "event", "logger", "task_id", "delivery")} == {
        "level": "DEBUG",
        "event": "task_claimed",
        "logger": "any",
        "task_id": "t1",
        "delivery": 2,
    }
    assert "ValueError: why" in second["traceback"]


def test_a_line_that_is_written_in_a_task_has_its_ids(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("INFO")

    def charge() -> None:
        enter(TaskContext("w1:pay:0:2", "w1", "order", "pay", "charge", attempt=2, delivery=3, worker_id="host-1"))
        logging.getLogger("shop").info("charging", extra={"amount": 7})
        logging.getLogger("shop").info("of another", extra={"task_id": "other"})

    contextvars.copy_context().run(charge)
    logging.getLogger("shop").info("idle")
    charging, other, idle = lines(capsys)
    ids = "worker_id=host-1 workflow_id=w1 task_id=w1:pay:0:2 task_type=charge attempt=2 delivery=3"
    assert charging.endswith(f"INFO charging amount=7 {ids}")
    assert "task_id=other worker_id=host-1" in other
    assert idle.endswith("INFO idle")


def test_an_unknown_format_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_LOG_FORMAT", "xml")
    with pytest.raises(SettingsInvalid, match="text, json"):
        logs.configure("INFO")

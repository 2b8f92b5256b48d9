"""The example shop: its file, its workflows, its services, and the checks at the end of its demo."""

from __future__ import annotations

import csv
import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from examples.orders import demo, make_orders, services
from examples.orders.report import expected_outcome, most_at_once, most_per_second
from examples.orders.workflow import order, order_failed
from orchestrator import Workflow

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDERS_DATA", str(tmp_path / "services"))


def test_the_committed_orders_are_what_the_script_writes() -> None:
    chance = random.Random(make_orders.SEED)
    made = [make_orders.order(number, chance) for number in range(1, make_orders.ORDERS + 1)]
    with make_orders.FILE.open(newline="") as file:
        assert list(csv.DictReader(file)) == [{key: str(value) for key, value in row.items()} for row in made]


def test_the_orders_take_every_way_through_the_workflow() -> None:
    counts = Counter(expected_outcome(row) for row in demo.read_orders())
    assert set(counts) == {"shipped", "refunded", "declined", "rejected", "cancelled"}
    assert sum(counts.values()) == 200


@pytest.mark.parametrize("workflow", [order, order_failed], ids=["order", "order_failed"])
def test_the_workflows_are_valid(workflow: Workflow) -> None:
    assert workflow.validate() == []


def test_a_payment_is_taken_once_per_key() -> None:
    first = services.charge("key-1", "A-1", "4242424242424242", 500)
    assert services.charge("key-1", "A-1", "4242424242424242", 500) == first
    assert [(charge.key, charge.requests) for charge in services.charges()] == [("key-1", 2)]


def test_a_refund_is_paid_once_per_key_and_only_for_what_was_taken() -> None:
    services.charge("key-1", "A-1", "4242424242424242", 500)
    assert [services.refund("key-2", order_id) for order_id in ("A-1", "A-1", "A-2")] == [500, 500, 0]
    assert services.refunds() == [("A-1", 500)]


def test_released_goods_are_no_longer_reserved() -> None:
    services.reserve("key-1", "A-1", "MUG-STONEWARE", 2)
    assert services.reserved_orders() == {"A-1"}
    assert [services.release("A-1"), services.release("A-1")] == [2, 0]
    assert services.reserved_orders() == set()


async def test_the_carrier_notes_the_start_and_the_end_of_every_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDERS_CARRIER_LATENCY_S", "0")
    with pytest.raises(services.NoSuchRoute):
        await services.ship("key-1", "A-1", make_orders.UNSERVED_COUNTRY, 0)
    [(start, end)] = services.carrier_calls()
    assert end is not None
    assert start <= end


def test_the_report_counts_overlapping_calls_and_the_fullest_second() -> None:
    assert most_at_once([(0.0, 1.0), (0.5, 1.5), (1.0, 2.0), (3.0, None)]) == 2
    assert most_per_second([0.0, 0.5, 0.9, 1.0, 1.4, 5.0]) == 4


@pytest.mark.timeout(120)
def test_the_demo_keeps_every_promise_and_reads_well_without_a_terminal() -> None:
    path = os.pathsep.join(str(ROOT / part) for part in ("", "workers", "cli"))
    run = subprocess.run(
        [sys.executable, "-m", "examples.orders.demo"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "200 of 200 orders ended" in run.stdout
    assert "BROKEN" not in run.stdout
    assert "\r" not in run.stdout
    assert "\x1b" not in run.stdout

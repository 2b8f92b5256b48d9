"""The whole example in one command: ``python -m examples.orders.demo`` (or ``make demo``).

Starts ``orchestrator dev`` with a store of its own in a fresh folder, starts 200 orders, shows how they come along, and
ends with a table and the promises that were kept. Exit status 0 only when all were. Needs no Redis and leaves nothing
behind, except, when a promise was broken, the folder with everything that is known about it.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from examples.orders.make_orders import FILE
from examples.orders.report import Report
from examples.orders.workflow import order, order_failed
from orchestrator import Client
from orchestrator.errors import Unavailable
from orchestrator.model.execution import Workflow as Execution

ROOT = Path(__file__).resolve().parents[2]
READY_S = 30.0
DONE_S = 55.0
LOOK_S = 0.1
REGISTERED_S = 1.2
"""Deciders take in a changed task definition within a second; before that its retries would follow the default."""

BAR = 30

# A call of the carrier begins a moment after the grant that allows it. Tokens that come back this much later than after
# one second keep the limit at the carrier's door, also when this machine is busy.
RATE_GUARD_MS = 60


def read_orders(path: Path = FILE) -> list[dict[str, Any]]:
    """The orders of the file, with numbers as numbers."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [{**row, "quantity": int(row["quantity"]), "amount_cents": int(row["amount_cents"])} for row in rows]


@contextmanager
def development(folder: Path) -> Iterator[str]:
    """``orchestrator dev`` with the example's workflows and tasks; gives its Redis URL. Ends it with the block."""
    log = (folder / "dev.log").open("wb")
    data = folder / "orchestrator"
    command = [sys.executable, "-m", "orchestrator_cli.main", "dev", "examples.orders.workflow", "--no-reload"]
    process = subprocess.Popen(
        [*command, "--data", str(data)],
        cwd=ROOT,
        stdout=log,
        stderr=log,
        start_new_session=True,  # Ctrl-C ends the demo, and the demo ends it
    )
    try:
        yield _redis_url(process, data, folder / "dev.log")
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        log.close()


def _redis_url(process: subprocess.Popen[bytes], data: Path, log: Path) -> str:
    """Wait until everything runs."""
    from orchestrator_cli.folder import read_facts

    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline and process.poll() is None:
        facts = read_facts(data)
        if any(child["role"] == "worker" for child in facts.get("children", ())):
            return str(facts["redis_url"])
        time.sleep(LOOK_S)
    raise SystemExit(f"orchestrator dev did not start:\n{log.read_text()}")


# --- one run --------------------------------------------------------------------------------------------------------


def start_orders(client: Client, orders: list[dict[str, Any]]) -> dict[str, str]:
    """Start one workflow for each order; their ids by order id."""
    client.register(order_failed, order)
    time.sleep(REGISTERED_S)
    started = {}
    for row in orders:
        once = client.with_options(idempotency_key=row["order_id"], wait_commit=False)
        started[row["order_id"]] = once.start_workflow(order.name, row).id
    return started


def watch(client: Client, count: int, screen: Screen) -> None:
    """Show progress until every workflow has ended, or the time is up: the report tells which."""
    began = time.monotonic()
    while (passed := time.monotonic() - began) < DONE_S:
        open_orders = client.list_workflows(name=order.name, status="RUNNING", size=0).total
        under_way = client.list_workflows(status="RUNNING", size=0).total
        everything = client.list_workflows(size=0).total
        failed = client.list_workflows(status="FAILED", size=0).total
        # A failed order is followed by its compensation, so there are more workflows than orders.
        is_over = under_way == 0 and everything == count + failed
        screen.show(passed, count - open_orders, count, under_way, is_over)
        if is_over:
            return
        time.sleep(LOOK_S)


class Screen:
    """Progress: one line that changes on a terminal, a new line every second elsewhere."""

    def __init__(self) -> None:
        self._is_terminal = sys.stdout.isatty()
        self._last_s = -1.0

    def show(self, passed: float, ended: int, count: int, running: int, is_over: bool) -> None:
        """Show how far it is."""
        text = f"{passed:5.1f} s  {ended:>3} of {count} orders ended, {running:>3} under way"
        if self._is_terminal:
            filled = BAR * ended // count
            print(f"\r{'█' * filled}{'░' * (BAR - filled)} {text}", end="\n" if is_over else "", flush=True)
        elif is_over or passed - self._last_s >= 1.0:
            self._last_s = passed
            print(text, flush=True)


def collect(client: Client, started: dict[str, str]) -> tuple[dict[str, Execution], dict[str, Execution]]:
    """All executions: by order id, and the compensations by workflow id."""
    executions = {order_id: client.workflow(workflow_id).describe() for order_id, workflow_id in started.items()}
    compensations = {}
    for execution in executions.values():
        failure_id = execution.output.get("conductor.failure_workflow")
        if failure_id is not None:
            compensations[failure_id] = client.workflow(failure_id).describe()
    return executions, compensations


def run(folder: Path) -> Report:
    """Run the demo in ``folder``."""
    # For this process and for those it starts: what they must agree on.
    os.environ |= {"ORDERS_DATA": str(folder / "services"), "ORCHESTRATOR_RATE_GUARD_MS": str(RATE_GUARD_MS)}
    orders = read_orders()
    print("Starting a Valkey, a decider and a worker: orchestrator dev examples.orders.workflow", flush=True)
    with development(folder) as url, Client(url) as client:
        print(f"Starting {len(orders)} orders", flush=True)
        began = time.monotonic()
        started = start_orders(client, orders)
        watch(client, len(orders), Screen())
        seconds = time.monotonic() - began
        return Report(orders, *collect(client, started), seconds)


def main() -> int:
    """Run from the command line; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m examples.orders.demo", description="200 orders, end to end.")
    parser.add_argument("--keep", action="store_true", help="keep the folder with the store, the books and the logs")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="orders-"))
    try:
        report = run(folder)
    except KeyboardInterrupt:
        shutil.rmtree(folder, ignore_errors=True)
        return 130
    except Unavailable as error:
        print(f"The demo could not go on: {error}\nThe log of the processes: {folder / 'dev.log'}", file=sys.stderr)
        return error.exit_code
    print()
    print("\n".join(report.lines()))
    kept = all(check.kept for check in report.checks())
    if kept and not options.keep:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        print(f"\nEverything about this run is in {folder}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())

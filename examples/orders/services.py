"""The outside world of the example: a payment service, a warehouse and a carrier, each with a memory of its own.

They stand for services of other companies, so they know nothing of workflows and survive any crash of ours: what they
were asked to do is in files of the folder ``ORDERS_DATA`` (default ``.orchestrator/orders``). Payment and warehouse
recognise a repeated request by its idempotency key, as real ones do; the carrier fails at random and notes every call
with its start and end. Called by tasks.py; the demo and the crash test read the files afterwards.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from examples.orders.make_orders import DECLINED_CARD, DISCONTINUED, UNSERVED_COUNTRY

CARRIER_FAILS = 0.2  # of all calls
CARRIER_LATENCY_S = 0.15


class CarrierDown(Exception):
    """The carrier did not take the parcel this time; ask again later."""


class NoSuchRoute(Exception):
    """The carrier will never go there."""


class Charge(NamedTuple):
    """Money taken: ``requests`` counts how often it was asked for under this key."""

    key: str
    order_id: str
    amount_cents: int
    requests: int


def folder() -> Path:
    """Where the services keep their files."""
    path = Path(os.environ.get("ORDERS_DATA", ".orchestrator/orders"))
    path.mkdir(parents=True, exist_ok=True)
    return path


# --- payment service ------------------------------------------------------------------------------------------------


def charge(key: str, order_id: str, card: str, amount_cents: int) -> str | None:
    """Take money once per ``key``; gives the payment's id, or None when the bank declines."""
    if card == DECLINED_CARD:
        return None
    with _books() as books:
        books.execute("INSERT OR IGNORE INTO charges VALUES (?, ?, ?, 0)", (key, order_id, amount_cents))
        books.execute("UPDATE charges SET requests = requests + 1 WHERE key = ?", (key,))
        (row,) = books.execute("SELECT rowid FROM charges WHERE key = ?", (key,)).fetchone()
    return f"pay_{row:06}"


def refund(key: str, order_id: str) -> int:
    """Give back what was taken for an order, once per ``key``; gives the amount, 0 when nothing was taken."""
    with _books() as books:
        query = "SELECT coalesce(sum(amount_cents), 0) FROM charges WHERE order_id = ?"
        (amount,) = books.execute(query, (order_id,)).fetchone()
        if amount:
            books.execute("INSERT OR IGNORE INTO refunds VALUES (?, ?, ?)", (key, order_id, amount))
    return int(amount)


def charges() -> list[Charge]:
    """All money taken."""
    with _books() as books:
        return [Charge(*row) for row in books.execute("SELECT key, order_id, amount_cents, requests FROM charges")]


def refunds() -> list[tuple[str, int]]:
    """Order and amount of all money given back."""
    with _books() as books:
        return books.execute("SELECT order_id, amount_cents FROM refunds").fetchall()


# --- warehouse ------------------------------------------------------------------------------------------------------


def reserve(key: str, order_id: str, sku: str, quantity: int) -> bool:
    """Set goods aside, once per ``key``; False when there are none."""
    if sku == DISCONTINUED[0]:
        return False
    with _books() as books:
        books.execute("INSERT OR IGNORE INTO reserved VALUES (?, ?, ?, ?)", (key, order_id, sku, quantity))
    return True


def release(order_id: str) -> int:
    """Put an order's goods back on the shelf; gives how many pieces that were."""
    with _books() as books:
        query = "SELECT coalesce(sum(quantity), 0) FROM reserved WHERE order_id = ?"
        (pieces,) = books.execute(query, (order_id,)).fetchone()
        books.execute("DELETE FROM reserved WHERE order_id = ?", (order_id,))
    return int(pieces)


def reserved_orders() -> set[str]:
    """The orders that have goods set aside."""
    with _books() as books:
        return {order_id for (order_id,) in books.execute("SELECT order_id FROM reserved")}


@contextmanager
def _books() -> Iterator[sqlite3.Connection]:
    """One transaction that is on disk, or at least with the operating system, when it ends."""
    with closing(sqlite3.connect(folder() / "books.sqlite3", timeout=30, isolation_level=None)) as books:
        books.execute("PRAGMA synchronous = OFF")  # a killed process loses nothing; only a power cut would
        books.execute("BEGIN IMMEDIATE")
        books.execute("CREATE TABLE IF NOT EXISTS charges (key TEXT PRIMARY KEY, order_id, amount_cents, requests)")
        books.execute("CREATE TABLE IF NOT EXISTS refunds (key TEXT PRIMARY KEY, order_id, amount_cents)")
        books.execute("CREATE TABLE IF NOT EXISTS reserved (key TEXT PRIMARY KEY, order_id, sku, quantity)")
        yield books
        books.execute("COMMIT")


# --- carrier --------------------------------------------------------------------------------------------------------


async def ship(key: str, order_id: str, country: str, attempt: int) -> str:
    """Hand a parcel to the carrier; gives the tracking number.

    Raises ``CarrierDown`` at random and ``NoSuchRoute`` for a country it does not serve. The dice are thrown per order
    and attempt, so that two runs of the demo show the same story.
    """
    chance = random.Random(f"call {attempt} for {order_id}")
    call = f"{key}/{attempt}/{os.getpid()}/{time.monotonic_ns()}"
    _note(call, "start")
    try:
        latency_s = float(os.environ.get("ORDERS_CARRIER_LATENCY_S", CARRIER_LATENCY_S))
        await asyncio.sleep(latency_s * chance.uniform(0.5, 1.5))
        if country == UNSERVED_COUNTRY:
            raise NoSuchRoute(f"nobody delivers to {country}")
        if chance.random() < CARRIER_FAILS:
            raise CarrierDown("the carrier's service answered 503")
        return f"TRK{random.Random(order_id).randrange(10**9):09}"
    finally:
        _note(call, "end")


def carrier_calls() -> list[tuple[float, float | None]]:
    """Start and end of every call, in seconds of the machine's monotonic clock; no end: the caller was killed."""
    path = folder() / "carrier.log"
    calls: dict[str, tuple[float, float | None]] = {}
    for line in path.read_text().splitlines() if path.exists() else ():
        entry: dict[str, Any] = json.loads(line)
        began = calls.get(entry["call"])
        calls[entry["call"]] = (entry["at"], None) if began is None else (began[0], entry["at"])
    return sorted(calls.values(), key=lambda call: call[0])


def _note(call: str, what: str) -> None:
    line = json.dumps({"call": call, "what": what, "at": time.monotonic()}) + "\n"
    # One write of one line to a file opened for appending: lines of several processes never mix.
    log = os.open(folder() / "carrier.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(log, line.encode())
    finally:
        os.close(log)

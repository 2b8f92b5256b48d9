"""The jobs of a shop that uses RQ. They know nothing of workflows: until now ``queue.enqueue`` ran them."""

import time
from pathlib import Path


def charge(order_id: str, cents: int) -> dict[str, object]:
    """Take the money."""
    if cents > 100_000:
        raise ValueError(f"{cents} cents are more than a card allows")
    return {"receipt": f"R-{order_id}", "cents": cents}


def pack(order_id: str, seconds: float = 0.0) -> str:
    """Pack the parcel, which takes its time; leave a note of having begun."""
    with Path("packing.log").open("a") as notes:
        notes.write(f"{order_id}\n")
    time.sleep(seconds)
    return f"parcel {order_id}"

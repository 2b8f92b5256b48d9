"""The one-word answers of the partition's scripts: expected refusals are values, never exceptions."""

from __future__ import annotations

from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """What a script says about one item. Example: ``Verdict.STALE``"""

    OK = "OK"
    DUP = "DUP"  # this final word was taken before
    STALE = "STALE"  # a later delivery, or another claimant, holds the task
    GONE = "GONE"  # the task is no longer open; in a commit: an event of the section is no longer in the inbox
    CONFLICT = "CONFLICT"  # the workflow's version is another one
    CORRUPT = "CORRUPT"  # a key or record of the workflow is not of our making


VERDICTS: dict[bytes, Verdict] = {verdict.value.encode(): verdict for verdict in Verdict}


def word(reply: Any) -> str:
    """The first element of a script's reply."""
    first: bytes = reply[0]
    return first.decode()

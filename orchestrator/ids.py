"""Workflow and task ids: where a workflow lives is written in its id, and which attempt a task is follows from history.

A generated workflow id is a UUIDv8: 48 bits of time, then the partition in the 12 bits after the version, then random
bits. Any other id (a caller's own) is hashed. So every process finds a workflow's partition from the id alone.
Task, child and failure-workflow ids are functions of what they belong to: a decision that is computed twice, after a
crash or a lost answer, names the same tasks, and the second copy collides with the first instead of doubling it.
"""

from __future__ import annotations

import base64
import hashlib
import re
from functools import lru_cache

PARTITIONS_MAX = 4096
TASK_SUFFIX_LENGTH = 12

_UUID8 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def new_workflow_id(partition: int, now_ms: int, random: bytes) -> str:
    """A fresh id that lives in ``partition`` (0..4095). ``random`` is at least 8 bytes of entropy.

    Example: ``new_workflow_id(3, clock.now_ms(), os.urandom(8))``
    """
    return _uuid8(now_ms & 0xFFFF_FFFF_FFFF, partition, int.from_bytes(random[:8], "big"))


def partition_of(workflow_id: str, partitions: int) -> int:
    """The partition that holds this workflow: embedded in a generated id, otherwise the hash of the id."""
    if _UUID8.fullmatch(workflow_id):
        return int(workflow_id[15:18], 16) % partitions
    return _hash(workflow_id) % partitions


def partition_of_key(name: str, idempotency_key: str, partitions: int) -> int:
    """The partition of every start of workflow ``name`` under this idempotency key, so that one slot can compare them."""
    return _hash(f"{name}\n{idempotency_key}") % partitions


def task_id(workflow_id: str, ref: str, iteration: int, attempt: int, generation: int) -> str:
    """The id of one attempt of one step, e.g. ``<workflow id>-k3v7q2m5n4pa``."""
    return f"{workflow_id}-{task_suffix(ref, iteration, attempt, generation)}"


@lru_cache(maxsize=65_536)
def task_suffix(ref: str, iteration: int, attempt: int, generation: int) -> str:
    """The part of a task id after the workflow id; the same in every workflow of a definition, hence the cache."""
    digest = hashlib.sha256(f"{ref}\n{iteration}\n{attempt}\n{generation}".encode()).digest()
    return base64.b32encode(digest[:8])[:TASK_SUFFIX_LENGTH].decode().lower()


def workflow_id_of(task: str) -> str:
    """The workflow that a task id belongs to."""
    return task[: -TASK_SUFFIX_LENGTH - 1]


def suffix_of(task: str) -> str:
    """The part of a task id after the workflow id."""
    return task[-TASK_SUFFIX_LENGTH:]


def child_workflow_id(parent_task_id: str, partition: int | None = None) -> str:
    """The id of the child that a SUB_WORKFLOW attempt starts: one attempt, one child, however often it is started.

    ``partition``: where it must live, for a child under an idempotency key.
    """
    return _derived(f"child\n{parent_task_id}", partition)


def failure_workflow_id(workflow_id: str, generation: int) -> str:
    """The id of the failure workflow of one run: at most one per run, however often the end is recorded."""
    return _derived(f"failure\n{workflow_id}\n{generation}")


def scheduled_workflow_id(schedule: str, due_ms: int) -> str:
    """The id of what a schedule starts at one due time: one due time, one execution, whoever fires it how often."""
    return _derived(f"schedule\n{schedule}\n{due_ms}")


def asked_workflow_id(schedule: str, request_id: str) -> str:
    """The id of what a schedule starts when it is asked to outside of its times: one request, one execution."""
    return _derived(f"asked\n{schedule}\n{request_id}")


def step_key(workflow_id: str, ref: str, iteration: int, generation: int) -> str:
    """The idempotency key user code is given: the same for all attempts and deliveries of one logical step."""
    return f"{workflow_id}:{ref}:{iteration}:{generation}"


def _derived(seed: str, partition: int | None = None) -> str:
    digest = hashlib.sha256(seed.encode()).digest()
    place = int.from_bytes(digest[6:8], "big") if partition is None else partition
    return _uuid8(int.from_bytes(digest[:6], "big"), place, int.from_bytes(digest[8:16], "big"))


def _uuid8(time_bits: int, partition: int, low: int) -> str:
    value = (time_bits << 80) | (0x8 << 76) | ((partition & 0xFFF) << 64) | (0b10 << 62) | (low & 0x3FFF_FFFF_FFFF_FFFF)
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "big")

"""What a process and its script processes say to each other: a request, an answer, each with its length in front."""

from __future__ import annotations

import re
import struct
from typing import Any, NamedTuple

import msgspec

from orchestrator.model.evaluation import Evaluation
from orchestrator.scripts.limits import Limits, memory_message, time_message

LENGTH = struct.Struct("<I")
READY = b"+"
"""The first byte of a new process: it is confined and may be asked."""

INT_MIN, INT_MAX = -(2**63), 2**63 - 1
_HUGE = re.compile(r"\d{19}")


class Request(NamedTuple):
    """A script to run; ``input_text`` is its input as JSON, ``language`` is javascript, python or jq."""

    language: str
    script: str
    input_text: str
    now_ms: int
    seed: str
    limits: Limits


class Answer(NamedTuple):
    """How it ended: ``kind`` is value (``text`` is JSON), failed (what is wrong), time, memory, missing (the extra) or
    starved (no time, for want of a processor)."""

    kind: str
    text: str = ""


encode = msgspec.msgpack.Encoder().encode
decode_request = msgspec.msgpack.Decoder(Request).decode
decode_answer = msgspec.msgpack.Decoder(Answer).decode


def evaluation_of(answer: Answer, limits: Limits) -> Evaluation:
    """An answer as the heart understands it."""
    match answer.kind:
        case "value":
            try:
                return Evaluation(value_of(answer.text))
            except (RecursionError, msgspec.DecodeError) as error:
                return Evaluation(error=f"The result cannot be stored: {error}")
        case "time":
            return Evaluation(error=time_message(limits), timed_out=True)
        case "memory":
            return Evaluation(error=memory_message(limits))
        case _:
            return Evaluation(error=answer.text)


def value_of(text: str) -> Any:
    """A result from its JSON, with Conductor's numbers: whole ones are int or long, what is beyond that is double."""
    value = msgspec.json.decode(text)
    return _within_64_bits(value) if _HUGE.search(text) else value


def _within_64_bits(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool) and not INT_MIN <= value <= INT_MAX:
        return float(value)
    if isinstance(value, list):
        return [_within_64_bits(item) for item in value]
    if isinstance(value, dict):
        return {name: _within_64_bits(item) for name, item in value.items()}
    return value

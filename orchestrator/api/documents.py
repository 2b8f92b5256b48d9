"""Answers as bytes: Conductor's JSON of workflows, tasks and definitions, plain values as they are, text as text.

Fields that are null are left out, nulls inside payloads stay, empty lists and maps are written. Called by ``app``.
"""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.responses import Response

from orchestrator.api.errors import JSON
from orchestrator.api.routes import Document, Route
from orchestrator.clock import SystemClock
from orchestrator.model.execution import Task, Workflow
from orchestrator.model.wire import task_to_dict, workflow_to_dict
from orchestrator.model.wire_write import write_struct

_clock = SystemClock()


def response_of(route: Route, answer: Any) -> Response:
    """The response that carries a handler's answer."""
    if answer is None:
        return Response(b"", route.empty_status or route.status)
    if isinstance(answer, Response):
        return answer
    if isinstance(answer, str):
        media_type = answer.media_type if isinstance(answer, Document) else "text/plain"
        return Response(answer, route.status, media_type=media_type)
    return Response(msgspec.json.encode(document(answer)), route.status, media_type=JSON)


def document(answer: Any) -> Any:
    """The JSON form of an answer: of one struct, or of structs in lists and maps."""
    match answer:
        case Workflow():
            return workflow_to_dict(answer, _clock.now_ms())
        case Task():
            return task_to_dict(answer, _clock.now_ms())
        case msgspec.Struct():
            return write_struct(answer)
        case list():
            return [document(item) for item in answer]
        case dict():
            return {name: document(item) for name, item in answer.items()}
    return answer

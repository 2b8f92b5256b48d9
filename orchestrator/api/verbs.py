"""Routes of our own clients: one for each verb of ``protocol.verbs``, its arguments as the body, its answer as JSON.

Conductor's routes leave out what our clients give and get (request ids, waits, whether an execution existed, every field of
a halt), so these carry the arguments of the plans themselves. Nothing is decided here.
"""

from __future__ import annotations

import inspect
import re
from types import NoneType
from typing import Any

from orchestrator.api.routes import Handler, Role, Route
from orchestrator.model.wire_write import json_name
from orchestrator.plan import Plan
from orchestrator.protocol import forms
from orchestrator.protocol.verbs import VERBS, Verb
from orchestrator.store.context import StoreContext

Json = dict[str, Any]

_PLACE = re.compile(r"\{(\w+)\}")
_SENT_AS_IT_IS: dict[Any, Any] = {str: Plan[str], NoneType: Plan[None]}
"""Answers that are not JSON: text and nothing."""


def _handler_of(verb: Verb) -> Handler:
    """The handler of a verb. What its path names are parameters, as routes read them from a signature."""
    places = _PLACE.findall(verb.path)

    def handler(store: StoreContext, body: Json = {}, **named: str) -> Plan[Any]:  # noqa: B006
        answer = yield from verb.plan(store, **forms.read_arguments(verb.plan, {**body, **_as_sent(named)}))
        return forms.write(answer)

    handler.__doc__ = verb.plan.__doc__
    handler.__annotations__["return"] = _SENT_AS_IT_IS.get(forms.answer_of(verb.plan), Plan[Any])
    return _with_parameters(handler, places)


def _as_sent(named: dict[str, str]) -> Json:
    return {json_name(name): text for name, text in named.items()}


def _with_parameters(handler: Handler, places: list[str]) -> Handler:
    signature = inspect.signature(handler)
    store, body, _ = signature.parameters.values()
    given = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=str) for name in places]
    handler.__signature__ = signature.replace(parameters=[store, body, *given])  # type: ignore[attr-defined]
    handler.__annotations__ |= dict.fromkeys(places, str)
    return handler


ROUTES = tuple(
    Route("POST", f"/verbs/{verb.path}", _handler_of(verb), Role(verb.role), body_of=verb.plan) for verb in VERBS
)

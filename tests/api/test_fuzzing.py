"""Requests made from the API's own description, random ones and such that are about things which exist.

Whatever is asked, the server has no error of its own, and every answer is what the description says of it. Each operation
also carries something out, so that nothing hides behind a refusal.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import hypothesis
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi import checks

from orchestrator.api.routes import Role, Route
from orchestrator.api.tables import ROUTES
from orchestrator.client import Client
from orchestrator.model.access import KeyRole
from orchestrator.service import access, secrets, workers
from tests.api.world import PASSWORD, PROOF, WORKER, Known, World
from tests.cli.conftest import Command, command

__all__ = ["command"]

REQUESTS_MIN = int(os.environ.get("FUZZ_REQUESTS", "1"))  # `make fuzz` makes 20,000
IS_SHORT = REQUESTS_MIN == 1
EXAMPLES = 2 if IS_SHORT else 20  # random requests of each operation in one round
TIMEOUT_S = 30
CHECKS = [checks.status_code_conformance, checks.content_type_conformance, checks.response_schema_conformance]
ENVIRONMENT = {
    "ORCHESTRATOR_SECRETS_KEY": secrets.new_key(),
    "ORCHESTRATOR_ENV_NAMES": "region",
    "ORCHESTRATOR_PAYLOAD_THRESHOLD_BYTES": "1000",
    "ORCHESTRATOR_WEBHOOK_SECRET": PASSWORD,
    "region": "north",
}
WAITS = {"waitForSeconds": 1, "timeoutMillis": 50, "timeout": 50}
WAITS_OF_VERBS = ("waitS", "timeoutS")
"""How long a random request may wait, or a run of twenty thousand would take days."""

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


def spoilt(value: Any) -> st.SearchStrategy[Any]:
    """Such values with something else in one place, or in the place of all of it."""
    ways = [JSON]
    if isinstance(value, dict) and value:
        names = st.sampled_from(sorted(value))
        ways.append(names.flatmap(lambda name: spoilt(value[name]).map(lambda other: {**value, name: other})))
    if isinstance(value, list) and value:
        ways.append(spoilt(value[0]).map(lambda other: [other, *value[1:]]))
    return st.one_of(ways)


class Fuzz:
    """A server under requests: what it answered to each operation, and what it should not have answered."""

    def __init__(self, url: str, key: tuple[str, str], token: str, live: Callable[[], object]) -> None:
        self.statuses: dict[str, Counter[int]] = defaultdict(Counter)
        self.faults: dict[str, str] = {}  # the first of each operation
        self._url = url
        self._session = requests.Session()
        self._session.headers.update({"X-Authorization": token, **PROOF})
        self._own = httpx2.Client(base_url=url, headers={"X-Authorization": token})
        self._world = World(self._own, key, live)
        self._is_touched = True
        described = self._session.get(f"{url}/api-docs", timeout=TIMEOUT_S).json()
        self._operations = schemathesis.openapi.from_dict(described)

    def close(self) -> None:
        """Hang up."""
        self._session.close()
        self._own.close()

    @property
    def total(self) -> int:
        """How many requests were made."""
        return sum(counts.total() for counts in self.statuses.values())

    def report(self) -> str:
        """How often each operation was answered with which status, and how many requests that were."""
        lines = [f"{name}: " + ", ".join(f"{k} {v}" for k, v in sorted(c.items())) for name, c in self.statuses.items()]
        return "\n".join([*lines, f"{len(lines)} operations, {self.total:,} requests"])

    def visit(self, route: Route, seed: int) -> None:
        """Make requests to an operation that are known to be good, then random ones mixed with parts of those.

        In a short run those that are known to be good end with the first that is carried out.
        """
        operation = self._operations[route.path][route.method]
        self._refresh()
        self._is_touched = route.role not in (Role.OPEN, Role.VIEWER)
        known = self._world.requests(route)
        for one in known:
            parts = {"body": one.body, "media_type": _media(route)} if one.body is not None else {}
            status = self._ask(route, operation.Case(path_parameters=one.path, query=one.query, **parts))
            if IS_SHORT and 200 <= status < 300:
                break
        if not IS_SHORT:
            self._refresh()
            known = self._world.requests(route)
        self._ask_at_random(route, operation, known, seed)

    def _refresh(self) -> None:
        if self._is_touched:
            self._world.refresh()

    def _ask_at_random(self, route: Route, operation: Any, known: list[Known], seed: int) -> None:
        modes = [GenerationMode.POSITIVE]
        if route.shape.path or route.shape.query or route.shape.body:
            modes.append(GenerationMode.NEGATIVE)
        cases = st.one_of([operation.as_strategy(generation_mode=mode) for mode in modes])

        @hypothesis.seed(seed)
        @hypothesis.settings(
            max_examples=EXAMPLES,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=cases, one=st.sampled_from(known), in_path=st.booleans(), data=st.data())
        def ask(case: Case[Any], one: Known, in_path: bool, data: st.DataObject) -> None:
            if in_path:
                case.path_parameters = dict(one.path)
            if one.body is not None and data.draw(st.integers(0, 3)):
                case.body, case.media_type = data.draw(spoilt(one.body) | st.just(one.body)), _media(route)
            names = {parameter.wire for parameter in route.shape.query}
            case.query = {**case.query, **{name: most for name, most in WAITS.items() if name in names}}
            if isinstance(case.body, dict) and isinstance(one.body, dict):
                case.body |= {name: one.body[name] for name in WAITS_OF_VERBS if name in one.body}
            self._ask(route, case)

        ask()

    def _ask(self, route: Route, case: Case[Any]) -> int:
        response = case.call(base_url=self._url, session=self._session, timeout=TIMEOUT_S)
        label = f"{route.method} {route.path}"
        self.statuses[label][response.status_code] += 1
        try:
            case.validate_response(response, checks=CHECKS)
        except FailureGroup as failure:
            self.faults.setdefault(label, str(failure))
        if response.status_code >= 500:
            self.faults.setdefault(label, f"{response.status_code} {response.text}\n{case.as_curl_command()}")
        return response.status_code


def _media(route: Route) -> str:
    return "text/plain" if route.shape.body is not None and route.shape.body.kind is str else "application/json"


@pytest.fixture
def fuzz(command: Command, redis_url: str, tmp_path: Path) -> Iterator[Fuzz]:
    """A decider and a server, which is called with the key of an administrator."""
    environment = {**ENVIRONMENT, "ORCHESTRATOR_PAYLOAD_STORAGE": f"file://{tmp_path}/payloads"}
    with Client(redis_url) as client:
        key, secret = client.run(access.create_key(client.store, "fuzz", KeyRole.ADMIN))
        token = client.run(access.issue_token(client.store, key.id, secret))
        decider = command("--redis", redis_url, "decider", environment=environment)
        server = command("--redis", redis_url, "server", "--port", "0", environment=environment)
        assert server.stderr is not None
        assert decider.stderr is not None
        url = server.stderr.readline().split()[1]
        for stream in (decider.stderr, server.stderr):  # or they stand still as soon as their pipes are full
            threading.Thread(target=stream.read, daemon=True).start()

        def live() -> None:
            client.run(workers.leave(client.store, WORKER.name))
            client.run(workers.beat(client.store, WORKER, {}, time.time()))

        fuzz = Fuzz(url, (key.id, secret), token, live)
        yield fuzz
        fuzz.close()


@pytest.mark.timeout(3600)
def test_no_request_meets_an_error_of_the_server_and_every_operation_is_carried_out(fuzz: Fuzz) -> None:
    seed = 0
    while fuzz.total < REQUESTS_MIN:
        for route in ROUTES:
            fuzz.visit(route, seed)
        seed += 1
    print(fuzz.report())
    assert not fuzz.faults, "\n\n".join(f"{name}: {fault}" for name, fault in fuzz.faults.items())
    assert [name for name, counts in fuzz.statuses.items() if not any(200 <= status < 300 for status in counts)] == []
    assert len(fuzz.statuses) == len(ROUTES)

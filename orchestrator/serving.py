"""The verbs for work that the server does: HTTP calls, scripts and JSON queries, messages.

Part of ``Steps``. Each writes one definition task of a system task type; the extra such a type needs is asked for when
the definition is registered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self, TypedDict, Unpack

from orchestrator.errors import InvalidRequest
from orchestrator.model.definitions import TaskType
from orchestrator.placing import Placing, inputs_of, operator
from orchestrator.references import Reference, render
from orchestrator.step_options import Script, script_of


class HttpRequest(TypedDict, total=False):
    """What an HTTP request says besides its URL; time-outs in milliseconds."""

    method: str | Reference
    headers: Mapping[str, Any] | Reference
    body: Any
    accept: str | Sequence[str] | Reference
    content_type: str | Reference
    connect_timeout_ms: int
    read_timeout_ms: int


_HTTP_FIELDS = {
    "method": "method",
    "headers": "headers",
    "body": "body",
    "accept": "accept",
    "content_type": "contentType",
    "connect_timeout_ms": "connectionTimeOut",
    "read_timeout_ms": "readTimeOut",
}


class Serving(Placing):
    """System tasks; see ``Steps``."""

    def http(self, uri: str | Reference, *, ref: str | None = None, **request: Unpack[HttpRequest]) -> Self:
        """Call a URL; the output's ``response`` holds ``statusCode``, ``headers`` and ``body``.

        Example: ``order.http("https://bank.example.org/charges", method="POST", body={"sum": order.input.sum})``
        """
        parameters = {"http_request": _http_request(uri, request)}
        return self._append(operator(TaskType.HTTP, self._name_step(ref, "http"), input_parameters=parameters))

    def http_poll(
        self,
        uri: str | Reference,
        *,
        until: Script | str,
        every_s: int = 60,
        strategy: Literal["FIXED", "LINEAR_BACKOFF", "EXPONENTIAL_BACKOFF"] = "FIXED",
        ref: str | None = None,
        **request: Unpack[HttpRequest],
    ) -> Self:
        """Call a URL again and again, every ``every_s`` seconds, until the script ``until`` is true of its answer.

        It reads the latest answer as ``$.output.response``, and the inputs of a ``Script`` by their names.
        Example: ``order.http_poll(url, until="$.output.response.body.state == 'done'", every_s=10)``
        """
        script = script_of(until)
        polling = {
            "terminationCondition": script.text,
            "evaluatorType": None if script.language == "javascript" else script.language,
            "pollingInterval": every_s,
            "pollingStrategy": strategy,
        }
        parameters = {**script.parameters(), "http_request": {**_http_request(uri, request), **_given(polling)}}
        return self._append(
            operator(TaskType.HTTP_POLL, self._name_step(ref, "http_poll"), input_parameters=parameters)
        )

    def inline(self, script: Script | str, *, ref: str | None = None) -> Self:
        """Evaluate a script; the output's ``result`` is its value.

        Example: ``order.inline(Script("$.price * $.count", {"price": 5, "count": order.input.count}), ref="sum")``
        """
        script = script_of(script)
        parameters = {**script.parameters(), "evaluatorType": script.language, "expression": script.text}
        return self._append(operator(TaskType.INLINE, self._name_step(ref, "inline"), input_parameters=parameters))

    def jq(
        self, query: str, input: Mapping[str, Any] | None = None, /, *, ref: str | None = None, **inputs: Any
    ) -> Self:
        """Transform JSON with a jq query over the inputs; ``result`` is its first answer, ``resultList`` all of them.

        Example: ``order.jq(".lines | map(.sku)", lines=order.input.lines, ref="skus")``
        """
        parameters = {**inputs_of(input, inputs), "queryExpression": query}
        return self._append(
            operator(TaskType.JSON_JQ_TRANSFORM, self._name_step(ref, "jq"), input_parameters=parameters)
        )

    def event(
        self, sink: str, input: Mapping[str, Any] | None = None, /, *, ref: str | None = None, **inputs: Any
    ) -> Self:
        """Publish the inputs as a message to ``sink``, such as ``conductor:paid`` or ``kafka:orders``.

        Example: ``order.event("conductor:paid", order_id=order.input.id)``
        """
        node = operator(
            TaskType.EVENT, self._name_step(ref, "event"), sink=sink, input_parameters=inputs_of(input, inputs)
        )
        return self._append(node)

    def kafka_publish(
        self,
        topic: str | Reference,
        value: Any,
        *,
        servers: str | Reference,
        key: Any = None,
        key_serializer: str | None = None,
        headers: Mapping[str, Any] | Reference | None = None,
        request_timeout_ms: int | None = None,
        max_block_ms: int | None = None,
        ref: str | None = None,
    ) -> Self:
        """Publish ``value`` as JSON to a Kafka topic.

        Example: ``order.kafka_publish("orders", {"id": order.input.id}, servers="kafka:9092")``
        """
        request = {
            "bootStrapServers": render(servers),
            "topic": render(topic),
            "value": render(value, "value"),
            "key": render(key, "key"),
            "keySerializer": key_serializer,
            "headers": render(headers, "headers"),
            "requestTimeoutMs": request_timeout_ms,
            "maxBlockMs": max_block_ms,
        }
        return self._append(
            operator(
                TaskType.KAFKA_PUBLISH,
                self._name_step(ref, "kafka_publish"),
                input_parameters={"kafka_request": _given(request)},
            )
        )

    def rq(
        self,
        function: str | Reference,
        args: Sequence[Any] | Reference = (),
        kwargs: Mapping[str, Any] | Reference | None = None,
        *,
        queue: str | Reference = "default",
        timeout_s: int | None = None,
        retries: int | None = None,
        retry_intervals_s: int | Sequence[int] | None = None,
        ref: str | None = None,
    ) -> Self:
        """Have an RQ worker call a function, given by its import path; the output is what it returns.

        ``timeout_s`` is RQ's, for one run; ``retries`` are RQ's own, within one attempt of the task.
        Example: ``order.rq("shop.tasks.charge", [order.input.id], {"cents": 1250}, queue="payments", timeout_s=60)``
        """
        request = {
            "function": render(function),
            "args": render(args if isinstance(args, Reference) else list(args), "args") or None,
            "kwargs": render(kwargs, "kwargs"),
            "queue": render(queue),
            "timeout": timeout_s,
            "retries": retries,
            "retryIntervals": retry_intervals_s if retry_intervals_s is None else render(retry_intervals_s),
        }
        return self._append(
            operator(TaskType.RQ, self._name_step(ref, "rq"), input_parameters={"rq_request": _given(request)})
        )

    def wait_for_webhook(self, matches: Mapping[str, Any] | Reference, *, ref: str | None = None) -> Self:
        """Wait until an event with all of these values arrives at a webhook that this workflow receives.

        ``matches``: JSONPath into the event -> value; the output is the event.
        Example: ``order.wait_for_webhook({"$.type": "paid", "$.order": order.input.id}, ref="paid")``
        """
        parameters = {"matches": render(matches, "matches")}
        return self._append(
            operator(TaskType.WAIT_FOR_WEBHOOK, self._name_step(ref, "wait_for_webhook"), input_parameters=parameters)
        )

    def pull_messages(self, *, batch_size: int = 1, blocking: bool = True, ref: str | None = None) -> Self:
        """Take up to ``batch_size`` messages that were sent to this execution; ``blocking`` waits for the first one.

        Example: ``order.pull_messages(batch_size=10, ref="inbox")``, then ``order["inbox"].output.messages``
        """
        parameters = {"batchSize": batch_size, "blocking": blocking}
        return self._append(
            operator(
                TaskType.PULL_WORKFLOW_MESSAGES, self._name_step(ref, "pull_messages"), input_parameters=parameters
            )
        )


def _http_request(uri: str | Reference, request: HttpRequest) -> dict[str, Any]:
    unknown = ", ".join(sorted(set(request) - set(_HTTP_FIELDS)))
    if unknown:
        raise InvalidRequest(f"unknown option of an HTTP request: {unknown}; there are: {', '.join(_HTTP_FIELDS)}")
    given = {"uri": uri, "method": "GET", **{_HTTP_FIELDS[name]: value for name, value in request.items()}}
    return _given(dict(render(given)))


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}

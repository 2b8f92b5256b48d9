"""A message for a Kafka topic without a worker, and a reader that tells a repetition by the message's own key."""

import asyncio
import os

from aiokafka import AIOKafkaConsumer

from orchestrator import RetryPolicy, Workflow, testing

SERVERS = os.environ.get("KAFKA_SERVERS", "localhost:9092")

order = Workflow("announced")
# The task is done when the brokers have acknowledged; every attempt sends the same idempotency-key.
order.with_options(retry=RetryPolicy(limit=3, delay_s=1)).kafka_publish(
    "shop.orders",
    {"id": order.input.id, "total": order.input.total},
    key=order.input.id,
    headers={"kind": "placed"},
    servers=order.input.servers,
    max_block_ms=20_000,
    request_timeout_ms=10_000,
    ref="announce",
)


async def read() -> None:
    """What a program elsewhere sees."""
    consumer = AIOKafkaConsumer("shop.orders", bootstrap_servers=SERVERS, auto_offset_reset="earliest")
    async with consumer:
        message = await asyncio.wait_for(consumer.getone(), 30)
        headers = {name: value.decode() for name, value in message.headers}
        print(
            message.key, message.value, "kind:", headers["kind"], "has a key of its own:", "idempotency-key" in headers
        )


if __name__ == "__main__":
    with testing.environment(allow_http=True) as env:
        handle = env.client.start_workflow(order, id="A-17", total=1250, servers=SERVERS)
        handle.result()
        print([(one.reference_task_name, str(one.status)) for one in handle.describe().tasks])
    asyncio.run(read())

"""What docs/applications.md shows is run as it stands: in RQ's work-horse, Django with django-rq, Celery and FastAPI."""

from __future__ import annotations

from rq import Queue

from orchestrator import task
from orchestrator.store.foreign import client_for_library
from tests.docs.desk import engine
from tests.support.shop import Shop

DJANGO = """
import os, django
from django.conf import settings
url = os.environ["ORCHESTRATOR_REDIS_URL"]
settings.configure(
    SECRET_KEY="x", INSTALLED_APPS=["django_rq"], RQ_QUEUES={"default": {"URL": url}}, ROOT_URLCONF="views",
    ALLOWED_HOSTS=["*"], USE_TZ=True,
)
django.setup()
import django_rq
from django.test import Client
import views
answer = Client().get("/orders/A-1")
assert answer.status_code == 202, answer
job = views.import_order.delay("A-2")
django_rq.get_worker().work(burst=True, logging_level="ERROR")
print(answer.json()["workflow"], job.latest_result().return_value)
"""

CELERY = """
import shop
shop.app.conf.task_always_eager = True
print(shop.import_order.delay("A-3").get())
"""

FASTAPI = """
import asyncio, api, httpx2
async def main():
    async with api.app.router.lifespan_context(api.app):
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(api.app), base_url="http://shop") as http:
            answer = await http.post("/orders/A-4")
            assert answer.status_code == 202, answer.text
            print(answer.json()["workflow"])
asyncio.run(main())
"""


@task
def thank(order_id: str) -> str:
    return f"Thank you for {order_id}"


def test_single_tasks_run_when_and_as_often_as_they_are_said_to(shop: Shop) -> None:
    with engine(shop.url, [thank]):
        assert shop.run("letters.py") == ["Thank", "you", "for", "A-1", "True", "TERMINATED"]


def test_a_job_of_rq_starts_a_workflow_once_however_often_it_runs(shop: Shop) -> None:
    redis = client_for_library(shop.url, "url")
    queue = Queue(connection=redis)
    jobs = [queue.enqueue("jobs.import_order", "A-0") for _ in range(2)]
    shop.run("-m", "rq.cli", "worker", "--burst", "--url", shop.url)
    first, second = (str(job.return_value()) for job in jobs)
    assert first == second
    assert shop.order_of(first) == "A-0"
    redis.close()


def test_a_view_of_django_and_a_job_of_django_rq_start_workflows(shop: Shop) -> None:
    by_view, by_job = shop.run("-c", DJANGO)[-2:]
    assert (shop.order_of(by_view), shop.order_of(by_job)) == ("A-1", "A-2")


def test_a_task_of_celery_starts_a_workflow(shop: Shop) -> None:
    (workflow_id,) = shop.run("-c", CELERY)
    assert shop.order_of(workflow_id) == "A-3"


def test_a_checkout_writes_and_starts_in_one_transaction(shop: Shop) -> None:
    (workflow_id,) = shop.run("-c", "import checkout; print(checkout.check_out('A-5'))")
    assert shop.order_of(workflow_id) == "A-5"
    redis = client_for_library(shop.url, "url")
    assert (redis.get("stock"), redis.hget("orders", "A-5")) == (b"-1", workflow_id.encode())
    keys = shop.client.store.keys
    assert sum(redis.xlen(keys.inbox(number)) for number in range(keys.partitions)) == 2
    redis.close()


def test_a_handler_of_fastapi_starts_a_workflow(shop: Shop) -> None:
    (workflow_id,) = shop.run("-c", FASTAPI)
    assert shop.order_of(workflow_id) == "A-4"

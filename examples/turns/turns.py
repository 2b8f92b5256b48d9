"""How many executions run at once for each value of a key: the next in line waits, or is refused."""

from orchestrator import RateLimitConfig, Workflow, task, testing
from orchestrator.errors import RateLimited
from orchestrator.model.definitions import RateLimitPolicy


@task
def sync_stock(shop: str) -> str:
    """Bring the stock of a shop up to date."""
    return f"{shop} is up to date"


# One at a time per shop. The others exist already, and begin in the order they came.
stock = Workflow("stock", rate_limit=RateLimitConfig(rate_limit_key="${workflow.input.shop}", concurrent_exec_limit=1))
stock.wait(for_s=60, ref="download").then(sync_stock, shop=stock.input.shop)

# With REJECT nobody waits: who starts a second one hears of it.
closing = Workflow(
    "closing",
    rate_limit=RateLimitConfig(
        rate_limit_key="${workflow.input.shop}", concurrent_exec_limit=1, policy=RateLimitPolicy.REJECT
    ),
)
closing.wait(signal="counted")

if __name__ == "__main__":
    with testing.environment([sync_stock]) as env:
        handles = [env.client.start_workflow(stock, shop=shop) for shop in ("Bonn", "Bonn", "Bonn", "Kiel")]
        env.drain()
        print("waits for its turn:", [handle.describe().rate_limited for handle in handles])
        print(handles[1].why().reasons[0].text)
        for handle in handles:
            handle.result()
        views = [handle.describe() for handle in handles]
        print("ended after", [round((view.end_time - view.create_time) / 1000) for view in views], "s")

        env.client.start_workflow(closing, shop="Bonn")
        try:
            env.client.start_workflow(closing, shop="Bonn")
        except RateLimited as error:
            print("refused:", error)

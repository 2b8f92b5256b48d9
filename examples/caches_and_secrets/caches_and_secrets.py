"""Outputs that are reused while they are fresh, and secrets that nothing stored ever holds."""

from orchestrator import Cache, TaskContext, Workflow, task, testing
from orchestrator.settings import Settings

asked: list[str] = []


@task
def rate(currency: str) -> float:
    """Ask the bank, which takes money for it."""
    asked.append(currency)
    return {"USD": 1.25, "CHF": 0.95}[currency]


@task(runtime_metadata=["PARTNER_ID"])
def pay(amount: int, token: str, context: TaskContext) -> str:
    """Pay with a token that came as an input, and an id that was handed over beside it."""
    return f"{amount} paid by {context.runtime_metadata['PARTNER_ID']} with a token of {len(token)} characters"


payment = Workflow("abroad")
# Runs whose key renders alike share the output for an hour.
payment.with_options(cache=Cache("${currency}", ttl_s=3600)).then(rate, currency=payment.input.currency)
payment.then(pay, amount=payment.input.amount, token="${workflow.secrets.BANK_TOKEN}")
payment.output(rate="${rate.output.result}", paid="${pay.output.result}")

if __name__ == "__main__":
    # In production: the variable ORCHESTRATOR_SECRET_BANK_TOKEN, a mounted file, or `orchestrator secret set BANK_TOKEN`.
    secrets = {"BANK_TOKEN": "s3cr3t-t0k3n", "PARTNER_ID": "shop-7"}
    with testing.environment([rate, pay], settings=Settings(partitions=1, secret_values=secrets)) as env:
        for currency in ("USD", "CHF", "USD"):
            handle = env.client.start_workflow(payment, currency=currency, amount=12)
            print(handle.result())
        print("the bank was asked for", asked)
        print("stored:", handle.describe().task("pay").input_data)
        print("ran by:", handle.describe().task("rate").worker_id)
        env.clock.advance(3601)
        env.client.start_workflow(payment, currency="USD", amount=12).result()
        print("the bank was asked for", asked)

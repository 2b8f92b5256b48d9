"""Calls to other systems without a worker: a POST whose answer the next call uses, against a small server of its own."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import ClassVar

from orchestrator import RetryPolicy, Workflow, testing
from orchestrator.settings import Settings


class Bank(BaseHTTPRequestHandler):
    """Takes a charge, and refuses the first try of everything."""

    seen: ClassVar[set[str]] = set()

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        key = self.headers["Idempotency-Key"]
        answer = {"receipt": body["amount"] * 100} if key in self.seen else {"error": "try again"}
        self.send_response(201 if key in self.seen else 503)
        self.seen.add(key)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


payment = Workflow("payment")
# The same Idempotency-Key goes with every attempt, so that the bank can tell a repetition from a second charge.
payment.with_options(retry=RetryPolicy(limit=3, logic="EXPONENTIAL", delay_s=1)).http(
    payment.input.bank, method="POST", body={"amount": payment.input.amount}, read_timeout_ms=2000, ref="charge"
)
payment.output(status="${charge.output.response.statusCode}", receipt="${charge.output.response.body.receipt}")

if __name__ == "__main__":
    server = HTTPServer(("127.0.0.1", 0), Bank)
    threading.Thread(target=server.serve_forever).start()
    # Inward addresses are refused unless a setting allows them; a test lets real calls out only when told to.
    settings = Settings(partitions=1, http_allow="127.0.0.1")
    with testing.environment(allow_http=True, settings=settings) as env:
        bank = f"http://127.0.0.1:{server.server_port}/charges"
        handle = env.client.start_workflow(payment, bank=bank, amount=12)
        print(handle.result())
        print([(one.status.value, one.output_data["response"]["statusCode"]) for one in handle.describe().tasks])
    server.shutdown()
    server.server_close()

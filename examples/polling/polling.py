"""Asking again until it is done: an export that another system prepares, polled by nobody's worker."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import ClassVar

from orchestrator import Workflow, testing
from orchestrator.settings import Settings


class Warehouse(BaseHTTPRequestHandler):
    """Takes a job, and has it done when it is asked for the third time."""

    asked: ClassVar[int] = 0

    def do_POST(self) -> None:
        self.answer({"job": 7})

    def do_GET(self) -> None:
        Warehouse.asked += 1
        self.answer({"state": "done", "rows": 1200} if self.asked == 3 else {"state": "busy"})

    def answer(self, body: dict[str, object]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


export = Workflow("export")
export.http(f"{export.input.warehouse}/jobs", method="POST", ref="ask")
# Between two calls the task waits in its queue, in nobody's hands; the pauses here are 10 and 20 seconds.
export.http_poll(
    f"{export.input.warehouse}/jobs/${{ask.output.response.body.job}}",
    until="$.output.response.body.state == 'done'",
    every_s=10,
    strategy="LINEAR_BACKOFF",
    ref="ready",
)
export.output(rows="${ready.output.response.body.rows}")

if __name__ == "__main__":
    server = HTTPServer(("127.0.0.1", 0), Warehouse)
    threading.Thread(target=server.serve_forever).start()
    with testing.environment(allow_http=True, settings=Settings(partitions=1, http_allow="127.0.0.1")) as env:
        handle = env.client.start_workflow(export, warehouse=f"http://127.0.0.1:{server.server_port}")
        print(handle.result())
        print(testing.WorkflowResult(handle.describe()).timeline())
        print("asked", Warehouse.asked, "times")
    server.shutdown()
    server.server_close()

"""The HTTP API: Conductor's contract over the plans of ``orchestrator.service``, as an ASGI app.

Each noun of the contract has a file with a table of routes; routing, OpenAPI and the rights of callers follow from the
tables. Nothing here decides anything: a handler names the plan and hands over what the request says.
"""

from orchestrator.api.app import create_app

__all__ = ["create_app"]

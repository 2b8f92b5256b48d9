"""Webhooks: addresses at which other systems deliver events, as they are stored and shown.

The fields are those of Orkes. Secrets are stored as references to secrets (``${workflow.secrets.NAME}``), never as
their values, so a definition may be shown as it is.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Any

import msgspec

from orchestrator.errors import Problem
from orchestrator.model.definitions import IdempotencyStrategy


class Verifier(StrEnum):
    """How a delivery proves who it is from. Example: ``Verifier.SLACK_BASED``."""

    HEADER_BASED = "HEADER_BASED"
    HMAC_BASED = "HMAC_BASED"
    SIGNATURE_BASED = "SIGNATURE_BASED"
    SLACK_BASED = "SLACK_BASED"
    STRIPE = "STRIPE"
    SENDGRID = "SENDGRID"
    TWITTER = "TWITTER"


KEY, STRATEGY = "idempotencyKey", "idempotencyStrategy"
"""What stands among the workflows to start without being one, as in Orkes: for all of them."""


class Webhook(msgspec.Struct, kw_only=True):
    """An address for events. Maps of workflows give the version; null or 0 = any to receive, the latest to start.

    Example: ``Webhook(name="bank", verifier=Verifier.STRIPE, secret_value="${workflow.secrets.stripe}")``
    """

    name: str
    verifier: Verifier
    id: str | None = None
    receiver_workflow_names_to_versions: dict[str, Any] = {}
    workflows_to_start: dict[str, Any] = {}
    source_platform: str = "Custom"
    header_key: str | None = None
    secret_key: str | None = None
    secret_value: str | None = None
    headers: dict[str, str] = {}
    url_verified: bool = False
    create_time: int = 0
    update_time: int = 0

    @property
    def starts(self) -> dict[str, int | None]:
        """The workflows to start, with their versions."""
        return {name: version for name, version in self.workflows_to_start.items() if name not in (KEY, STRATEGY)}

    @property
    def idempotency_key(self) -> str | None:
        """The key of what is started, a template over ``${workflow.input}``: what was delivered."""
        return self.workflows_to_start.get(KEY)

    @property
    def idempotency_strategy(self) -> IdempotencyStrategy | None:
        """What becomes of a start whose key is taken."""
        given = self.workflows_to_start.get(STRATEGY)
        return IdempotencyStrategy(given) if given else None


class Delivery(msgspec.Struct, kw_only=True):
    """What became of one delivery: IN_PROGRESS, COMPLETED or REJECTED; task and workflow ids are the first hundred."""

    delivery_id: str
    webhook_id: str
    status: str
    created: int
    reason: str | None = None
    task_ids: list[str] = []
    task_count: int = 0
    workflow_ids: list[str] = []


_ID = re.compile(r"[A-Za-z0-9_\-]{1,64}")


def validate_webhook(webhook: Webhook) -> list[Problem]:
    """Everything that is wrong with a definition."""
    problems = []
    if not webhook.name.strip():
        problems.append(Problem("name", "a webhook needs a name"))
    if webhook.id is not None and not _ID.fullmatch(webhook.id):
        problems.append(Problem("id", "an id is 1 to 64 letters, digits, '_' or '-'", webhook.id))
    for field, versions in (
        ("receiverWorkflowNamesToVersions", webhook.receiver_workflow_names_to_versions),
        ("workflowsToStart", webhook.starts),
    ):
        for name, version in versions.items():
            is_version = version is None or (isinstance(version, int) and not isinstance(version, bool))
            if not name or not is_version or (version or 0) < 0:
                problems.append(Problem(f"{field}.{name}", "a workflow has a whole number as its version, or null"))
    problems += _idempotency_problems(webhook.workflows_to_start)
    if webhook.verifier is Verifier.HEADER_BASED:
        if not webhook.headers:
            problems.append(Problem("headers", "HEADER_BASED needs the headers that a delivery must have"))
    elif webhook.verifier is Verifier.SENDGRID:
        if not webhook.secret_key and not webhook.secret_value:
            problems.append(Problem("secretKey", "SENDGRID needs the public key that it shows as verification key"))
    elif not webhook.secret_value:
        problems.append(Problem("secretValue", f"{webhook.verifier} needs the secret that deliveries are signed with"))
    return problems


def _idempotency_problems(to_start: dict[str, Any]) -> list[Problem]:
    problems = []
    if not isinstance(to_start.get(KEY) or "", str):
        problems.append(Problem(f"workflowsToStart.{KEY}", "is a text, as ${workflow.input.orderId}"))
    strategy = to_start.get(STRATEGY)
    if strategy and strategy not in set(IdempotencyStrategy):
        problems.append(
            Problem(f"workflowsToStart.{STRATEGY}", f"is one of {', '.join(IdempotencyStrategy)}", strategy)
        )
    return problems

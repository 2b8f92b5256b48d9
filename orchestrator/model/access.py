"""Access: what a key of the HTTP API is, what its role lets it do, and one line of the record of changes.

A key is an id and a secret; only a hash of the secret is kept. Roles are a ladder: each may do what the ones below it may.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class KeyRole(StrEnum):
    """What a key may do: look (VIEWER), work on tasks, act on executions, change definitions and everything else."""

    VIEWER = "viewer"
    WORKER = "worker"
    OPERATOR = "operator"
    ADMIN = "admin"

    def may(self, needed: str) -> bool:
        """Whether this role is enough for what needs ``needed``. Example: ``KeyRole.ADMIN.may("viewer")``"""
        ladder = list(KeyRole)
        return ladder.index(self) >= ladder.index(KeyRole(needed))


class AccessKey(msgspec.Struct, kw_only=True):
    """One key. A revoked one stays on record, so that an installation that has had keys is never open again.

    ``requests_per_s`` 0 means as many as it likes. Example: ``AccessKey(id="k1", name="ci", role=KeyRole.VIEWER, ...)``
    """

    id: str
    name: str
    role: KeyRole
    secret_hash: str
    create_time: int = 0
    revoke_time: int = 0
    requests_per_s: int = 0

    @property
    def is_revoked(self) -> bool:
        """Whether it lets nobody in any more."""
        return self.revoke_time > 0


class AuditEntry(msgspec.Struct, kw_only=True):
    """One change: which key did what to what, from where, and how it was answered (an HTTP status, 0 = another way in)."""

    at: int
    key_id: str
    key_name: str
    action: str
    target: str
    status: int = 0
    origin: str = ""

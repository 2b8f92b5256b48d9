"""What plans need to know of the store they speak to: its key names, the settings, the domains of its queues."""

from __future__ import annotations

from orchestrator.payloads import PayloadStorage
from orchestrator.settings import Settings
from orchestrator.store.keys import Keys
from orchestrator.store.queue import Queues


class StoreContext:
    """The store as plans see it; one per process and installation, free of I/O but for large payloads.

    ``is_ordered``: the calls of one pipeline run in their order, also across slots, which is so on one server and not on a
    cluster.

    Example: ``StoreContext(Settings(namespace="orc"))``
    """

    __slots__ = ("is_ordered", "keys", "payloads", "queues", "settings")

    def __init__(self, settings: Settings, *, is_ordered: bool = True) -> None:
        self.settings = settings
        self.is_ordered = is_ordered
        self.payloads = PayloadStorage(settings.payload_storage, settings.payload_threshold_bytes)
        self.keys = Keys(settings.namespace, settings.partitions)
        self.queues = Queues(
            self.keys,
            priority_step_ms=settings.priority_step_ms,
            lease_ms=settings.lease_ms,
            deliveries_max=settings.deliveries_max,
        )

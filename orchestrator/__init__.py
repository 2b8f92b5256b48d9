"""Durable workflows on the Redis you already run: what application code imports.

Importing this package loads neither a Redis client nor a server library, so it is cheap in every process that only
defines tasks and workflows. It never connects to anything by itself.
"""

from __future__ import annotations

__version__ = "0.1.0"

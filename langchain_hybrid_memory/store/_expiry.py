"""Items that live for a time: when they end, what prolongs them, and how they go."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Final

from langchain_hybrid_memory.store._writes import delete

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from langgraph.store.base import TTLConfig

EXPIRED: Final = "SELECT id FROM item WHERE expires_at <= ?"
PROLONG: Final = (
    "UPDATE item SET expires_at = ? + CAST(ttl * 60000000 AS INTEGER) "
    "WHERE ttl IS NOT NULL AND id IN (SELECT value FROM json_each(?))"
)
ANY_MORTAL: Final = "SELECT 1 FROM item WHERE expires_at IS NOT NULL LIMIT 1"
HAS_MORTALS: Final = "SELECT 1 FROM item WHERE ttl IS NOT NULL AND id IN (SELECT value FROM json_each(?)) LIMIT 1"


class Sweeping:
    """When a store deletes what has expired: before every batch, at an interval, or only when told."""

    def __init__(self, ttl: TTLConfig | None) -> None:
        """Read a store's configuration."""
        settings = ttl or {}
        self._is_always_due = settings.get("omit_expired", False)
        self._interval_minutes = settings.get("sweep_interval_minutes")
        self._last_at = time.monotonic()

    def is_due(self) -> bool:
        """Whether to sweep now; answering yes starts the next interval."""
        now = time.monotonic()
        if self._is_always_due or self._interval_minutes is None:
            return self._is_always_due
        is_over = now - self._last_at >= self._interval_minutes * 60
        self._last_at = now if is_over else self._last_at
        return is_over


def has_expired(connection: sqlite3.Connection, now: int) -> bool:
    """Whether any item's time was over at `now`, in microseconds since 1970."""
    return connection.execute(f"{EXPIRED} LIMIT 1", (now,)).fetchone() is not None


def sweep(connection: sqlite3.Connection, now: int) -> int:
    """Delete every item whose time is over; returns how many."""
    expired = [row[0] for row in connection.execute(EXPIRED, (now,))]
    for item in expired:
        delete(connection, item)
    return len(expired)


def has_mortals(connection: sqlite3.Connection, items: Sequence[int]) -> bool:
    """Whether one of some items lives for a time only."""
    if not items or connection.execute(ANY_MORTAL).fetchone() is None:
        return False
    return connection.execute(HAS_MORTALS, (json.dumps(items),)).fetchone() is not None


def prolong(connection: sqlite3.Connection, items: Sequence[int], now: int) -> None:
    """Let items that were read live as long again, counted from `now`."""
    connection.execute(PROLONG, (now, json.dumps(items)))

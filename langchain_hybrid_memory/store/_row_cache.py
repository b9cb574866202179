"""Keeps in memory the items that searches found last: whoever talks on is searched at every turn."""

from __future__ import annotations

import json
import threading
from sys import getsizeof
from typing import TYPE_CHECKING, Final

from langchain_hybrid_memory.store._items import read_rows

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Sequence

    from langchain_hybrid_memory.store._items import Row
    from langchain_hybrid_memory.store._versions import Version

LIMIT_BYTES: Final = 16 * 2**20
"""Some 10,000 messages of a conversation."""
ROW_BYTES: Final = 1_024
"""What is kept of an item besides the texts in its value takes less."""
SELECT_ROW: Final = "SELECT id, namespace, key, value, created_at, updated_at FROM item"


class RowCache:
    """Items by version, a bounded number of bytes; when it is full, it is emptied.

    A reader asks for the versions its own snapshot names, so it never gets an item from before or after. What was
    deleted or changed is not asked for again. Only values without another object or array inside are kept, because
    a copy of them is whole. Safe to share between threads.
    """

    def __init__(self, *, limit_bytes: int = LIMIT_BYTES) -> None:
        """Start empty; no more than `limit_bytes` are kept."""
        self._limit_bytes = limit_bytes
        self._lock = threading.Lock()
        self._empty()

    def clear(self) -> None:
        """Let go of everything."""
        with self._lock:
            self._empty()

    def read(self, connection: sqlite3.Connection, versions: Sequence[Version]) -> list[Row]:
        """The items of some versions, in their order; their values are not to be changed, but copied.

        Args:
            connection: A reader inside its transaction.
            versions: Those that its snapshot holds.
        """
        kept = self._rows  # another thread may begin an empty one meanwhile
        missing = [item for item, at in versions if at not in kept]
        fresh = {row.id: row for row in read_items(connection, missing)} if missing else {}
        rows = [fresh[item] if item in fresh else kept[at] for item, at in versions]
        if fresh:
            with self._lock:
                for item, at in versions:
                    if item in fresh:
                        self._keep(at, fresh[item])
        return rows

    def _keep(self, at: int, row: Row) -> None:
        if any(isinstance(each, dict | list) for each in row.value.values()):
            return
        size = ROW_BYTES + sum(map(getsizeof, row.value.values()))
        if self._bytes + size > self._limit_bytes:
            self._empty()
        if size <= self._limit_bytes:
            self._rows[at] = row
            self._bytes += size

    def _empty(self) -> None:
        self._rows: dict[int, Row] = {}
        self._bytes = 0


def read_items(connection: sqlite3.Connection, items: Iterable[int]) -> Iterator[Row]:
    """Items by their ids, in no particular order."""
    sql = f"{SELECT_ROW} WHERE id IN (SELECT value FROM json_each(?))"  # noqa: S608 - values are bound
    return read_rows(connection.execute(sql, (json.dumps(list(items)),)))

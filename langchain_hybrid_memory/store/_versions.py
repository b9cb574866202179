"""Names items as they were last written, and says which of them lie below a namespace prefix."""

from __future__ import annotations

import json
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

import numpy as np

from langchain_hybrid_memory.store._items import namespace_range
from langchain_hybrid_memory.store._shards import LARGE

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Iterable, Iterator

    from numpy.typing import NDArray

    from langchain_hybrid_memory.store._filters import Condition

Version: TypeAlias = tuple[int, int]
"""An item's id, and when it was last written; no two writings share a time, so vectors of a version never change."""

Numbers: TypeAlias = "NDArray[np.int64]"

RECENT: Final = 1_000
"""The newest items of a large scope are mostly among so many that were last written; otherwise it is gone through."""
UNLIMITED: Final = -1
BELOW: Final = "SELECT group_concat(id), group_concat(updated_at) FROM item WHERE namespace >= ? AND namespace < ?"
"""One row of two lists, which are read much faster than a row each."""
WITHIN: Final = (
    "SELECT id, updated_at FROM item WHERE id IN (SELECT value FROM json_each(?)) AND namespace >= ? AND namespace < ?"
)
LAST_WRITTEN: Final = "SELECT id, namespace, updated_at FROM item ORDER BY updated_at DESC LIMIT ?"


class Versions(NamedTuple):
    """Versions of items, a column each."""

    items: Numbers
    times: Numbers

    @classmethod
    def of(cls, versions: Iterable[Version]) -> Versions:
        """Put some versions in columns, in their order."""
        return cls(*np.array([*versions], dtype=np.int64).reshape(-1, 2).T)

    def those(self, places: NDArray[np.intp] | NDArray[np.bool_]) -> list[Version]:
        """The versions at some places, in the order of these."""
        return [*zip(self.items[places].tolist(), self.times[places].tolist(), strict=True)]


def is_small(connection: sqlite3.Connection, prefix: bytes) -> bool:
    """Whether few enough items lie below a prefix to compare every one of them."""
    some = "SELECT count(*) FROM (SELECT 1 FROM item WHERE namespace >= ? AND namespace < ? LIMIT ?)"
    count: int = connection.execute(some, (*namespace_range(prefix), LARGE + 1)).fetchone()[0]
    return count <= LARGE


def lies_outside(connection: sqlite3.Connection, prefix: bytes) -> bool:
    """Whether any item is not below a prefix."""
    low, high = namespace_range(prefix)
    sides = "SELECT EXISTS (SELECT 1 FROM item WHERE namespace < ?) OR EXISTS (SELECT 1 FROM item WHERE namespace >= ?)"
    return bool(connection.execute(sides, (low, high)).fetchone()[0])


def below(connection: sqlite3.Connection, prefix: bytes) -> Versions:
    """Every item below a prefix, in no particular order."""
    lists = connection.execute(BELOW, namespace_range(prefix)).fetchone()
    return Versions(*(np.fromstring(each or "", np.int64, sep=",") for each in lists))


def within(connection: sqlite3.Connection, prefix: bytes, items: Collection[int]) -> Versions:
    """Those of some items that lie below a prefix, in no particular order."""
    return Versions.of(connection.execute(WITHIN, (json.dumps(list(items)), *namespace_range(prefix))))


def newest(
    connection: sqlite3.Connection,
    prefix: bytes,
    condition: Condition | None,
    *,
    limit: int = UNLIMITED,
    offset: int = 0,
) -> Iterator[Version]:
    """The items below a prefix that meet a condition, the last written first."""
    below = "item.namespace >= ? AND item.namespace < ?" if prefix else "1"
    parameters = namespace_range(prefix) if prefix else ()
    order = f"FROM item WHERE {below} {{}} ORDER BY item.updated_at DESC"
    if condition is None:
        sql = f"SELECT item.id, item.updated_at {order.format('')} LIMIT ? OFFSET ?"
        return connection.execute(sql, (*parameters, limit, offset))
    doubtful = "CASE WHEN typeof(item.value) = 'blob' OR NOT ? THEN item.value END"
    sql = f"SELECT item.id, item.updated_at, {doubtful} {order.format(f'AND {condition.sql}')}"
    rows = connection.execute(sql, (condition.is_decided, *parameters, *condition.parameters))
    matching = ((item, at) for item, at, value in rows if value is None or condition.holds(json.loads(value)))
    return islice(matching, offset, None if limit == UNLIMITED else offset + limit)


def recently_written(connection: sqlite3.Connection, prefix: bytes) -> Iterator[Version]:
    """The items below a prefix that are among the last written of all, the last written first."""
    low, high = namespace_range(prefix)
    rows = connection.execute(LAST_WRITTEN, (RECENT,))
    return ((item, at) for item, namespace, at in rows if low <= namespace < high)

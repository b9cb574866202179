"""Which collection in Chroma holds which vectors: a namespace that grows large gets one of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from langchain_hybrid_memory.store._items import namespace_range
from langchain_hybrid_memory.store._notes import note

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

LARGE: Final = 2_000
"""Items of a namespace; a smaller one is compared vector by vector and never asks Chroma."""
MOST: Final = 32
"""Shards of a directory. Chroma keeps every collection it was asked for in memory, with four open files, and a limit on
that made it answer wrongly. What does not get a shard stays in the common one, and is searched there as slowly as in
any filtered collection."""

# From one namespace to the next by the index, without looking at the items between: as many steps as namespaces.
NAMESPACES: Final = """
    WITH RECURSIVE below(namespace) AS (
        SELECT min(namespace) FROM item WHERE namespace >= :low AND namespace < :high
        UNION ALL
        SELECT (SELECT min(namespace) FROM item WHERE namespace > below.namespace AND namespace < :high)
        FROM below WHERE below.namespace IS NOT NULL
    )
    SELECT namespace FROM below WHERE namespace IS NOT NULL
"""
COMMON: Final = f"{NAMESPACES} AND namespace NOT IN (SELECT namespace FROM shard WHERE namespace IS NOT NULL)"  # noqa: S608 - values are bound


def namespaces(connection: sqlite3.Connection, prefix: bytes) -> list[bytes]:
    """Every namespace below a prefix that holds an item, in order."""
    return [row[0] for row in connection.execute(NAMESPACES, _bounds(prefix))]


def common_shard(connection: sqlite3.Connection) -> int:
    """The shard of everything that has none of its own."""
    shard: int = connection.execute("SELECT id FROM shard WHERE namespace IS NULL").fetchone()[0]
    return shard


def shard_of(connection: sqlite3.Connection, namespace: bytes) -> int:
    """The shard in which the vectors of a namespace belong."""
    row = connection.execute("SELECT id FROM shard WHERE namespace = ?", (namespace,)).fetchone()
    return row[0] if row else common_shard(connection)


def own_shards(connection: sqlite3.Connection, prefix: bytes) -> list[int]:
    """The shards that belong to namespaces below a prefix."""
    sql = "SELECT id FROM shard WHERE namespace >= ? AND namespace < ?"
    return [row[0] for row in connection.execute(sql, namespace_range(prefix))]


def common_items(connection: sqlite3.Connection, prefix: bytes) -> list[int]:
    """The items below a prefix whose vectors are in the common shard."""
    items: list[int] = []
    for (namespace,) in connection.execute(COMMON, _bounds(prefix)):
        items += [row[0] for row in connection.execute("SELECT id FROM item WHERE namespace = ?", (namespace,))]
    return items


def has_common_outside(connection: sqlite3.Connection, prefix: bytes) -> bool:
    """Whether the common shard also holds vectors of items that are not below a prefix."""
    low, high = namespace_range(prefix)
    sides = ({"low": b"", "high": low}, {"low": high, "high": b"\xff"})
    return any(connection.execute(f"{COMMON} LIMIT 1", side).fetchone() for side in sides)


def count_by_shard(connection: sqlite3.Connection) -> dict[int, int]:
    """How many records each shard holds or will hold."""
    sql = "SELECT shard.id, count(vector.id) FROM shard LEFT JOIN vector ON vector.shard = shard.id GROUP BY shard.id"
    return dict(connection.execute(sql))


def promote(connection: sqlite3.Connection, touched: Iterable[bytes]) -> None:
    """Give those of some namespaces that have grown large a shard of their own, and note the move of their records.

    Args:
        connection: The writer, inside a transaction.
        touched: The namespaces to look at.
    """
    for namespace in set(touched):
        (count,) = connection.execute("SELECT count(*) FROM item WHERE namespace = ?", (namespace,)).fetchone()
        (shards,) = connection.execute("SELECT count(*) FROM shard").fetchone()
        if count > LARGE and shards <= MOST and shard_of(connection, namespace) == common_shard(connection):
            _move(connection, namespace)


def _move(connection: sqlite3.Connection, namespace: bytes) -> None:
    connection.execute("INSERT INTO shard (namespace) VALUES (?)", (namespace,))
    old, new = common_shard(connection), shard_of(connection, namespace)
    sql = "SELECT record FROM vector JOIN item ON item.id = vector.item WHERE namespace = ?"
    for (record,) in connection.execute(sql, (namespace,)).fetchall():
        connection.execute("UPDATE vector SET shard = ? WHERE record = ?", (new, record))
        note(connection, record, old)
        note(connection, record, new)


def _bounds(prefix: bytes) -> dict[str, bytes]:
    low, high = namespace_range(prefix)
    return {"low": low, "high": high}

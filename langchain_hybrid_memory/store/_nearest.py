"""Asks the shards a search concerns for the nearest items, and adds what they do not know yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from langchain_hybrid_memory.store._notes import confirmed_among, items_of, noted_items
from langchain_hybrid_memory.store._shards import LARGE, common_items, common_shard, has_common_outside, own_shards

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence

    from langchain_hybrid_memory.store._vectors import VectorIndex


class Places(NamedTuple):
    """Where to look for what is near.

    Attributes:
        shards: The shards to ask, each with the only records to consider, or `None` for all.
        items: What need not be asked for because it is few, or because Chroma does not know it.
    """

    shards: Mapping[int, Sequence[str] | None]
    items: Sequence[int]


def nearest(
    connection: sqlite3.Connection,
    vectors: VectorIndex,
    embedding: bytes,
    *,
    prefix: bytes,
    items: Sequence[int] | None,
    count: int,
) -> list[int]:
    """The items nearest to a query as far as Chroma knows, nearest first, and all it does not know yet.

    Chroma refuses ids it does not hold: nobody may change it between the connection's snapshot and the end of this.
    """
    places = _narrowed(connection, prefix, items) if items is not None else _places(connection, prefix)
    asked = count
    while True:
        found = [vectors.nearest(shard, embedding, count=asked, among=among) for shard, among in places.shards.items()]
        near = items_of(connection, [record for _, record in sorted(pair for some in found for pair in some)])
        if len(near) >= count or all(len(some) < asked for some in found):
            return list(dict.fromkeys([*near[:count], *places.items]))
        asked *= 4  # several records belong to one item, or to none any more


def _places(connection: sqlite3.Connection, prefix: bytes) -> Places:
    """All items below a prefix: each large namespace in its shard; the others one by one while they are few."""
    shards: dict[int, list[str] | None] = dict.fromkeys(own_shards(connection, prefix))
    waiting = noted_items(connection, prefix, None)
    common = common_shard(connection)
    if not has_common_outside(connection, prefix):
        return Places({**shards, common: None}, waiting)
    others = common_items(connection, prefix)
    if len(others) <= LARGE:
        return Places(shards, [*waiting, *others])
    return Places({**shards, common: confirmed_among(connection, common, others)}, waiting)


def _narrowed(connection: sqlite3.Connection, prefix: bytes, items: Sequence[int]) -> Places:
    shards = [*own_shards(connection, prefix), common_shard(connection)]
    among = {shard: confirmed_among(connection, shard, items) for shard in shards}
    return Places(among, noted_items(connection, prefix, items))

"""Answers a search: the union of what is near in meaning and what shares words, scored by two absolute signals."""

from __future__ import annotations

import json
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

import numpy as np

from langchain_hybrid_memory.keywords import coverage, match_any
from langchain_hybrid_memory.store._items import HybridItem, Row, Signals, namespace_range
from langchain_hybrid_memory.store._plan import Get, Search, scope_term

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from langgraph.store.base import Item

    from langchain_hybrid_memory.store._filters import Condition

EXACT_ITEMS: Final = (
    2_000  # comparing this many vectors takes about as long as asking Chroma for the nearest among them
)
POOLS: Final = (100, 400, 1_600)  # candidates of either kind, for pages that end by there
UNLIMITED: Final = -1
SELECT_ROW: Final = "SELECT id, namespace, key, value, created_at, updated_at FROM item"


class Nearest(Protocol):
    """Asks the vector index."""

    def __call__(self, embedding: bytes, *, prefix: bytes, items: list[int] | None, count: int) -> list[int]:
        """The items nearest to a query below a namespace prefix; of `items` alone unless that is `None`."""


class Ranked(NamedTuple):
    """A found item, its score and why; all `None` for one that cannot be scored."""

    item: int
    score: float | None = None
    cosine: float | None = None
    keyword: float | None = None

    def hit(self, row: Row) -> HybridItem:
        """The item with what the search knows about it."""
        if self.cosine is None or self.keyword is None:
            return HybridItem(row.item())
        return HybridItem(row.item(), score=self.score, signals=Signals(cosine=self.cosine, keyword=self.keyword))


class Reader(NamedTuple):
    """Looks up and searches in one snapshot of the catalog.

    Attributes:
        connection: A reader inside its transaction.
        nearest: The way to the vector index.
        read: Collects the ids of items whose life the reading prolongs.
    """

    connection: sqlite3.Connection
    nearest: Nearest
    read: list[int]

    def look_up(self, op: Get) -> Item | None:
        """One item by namespace and key."""
        found = self.connection.execute(f"{SELECT_ROW} WHERE namespace = ? AND key = ?", op.target).fetchone()
        if found is None:
            return None
        row = Row(*found)
        self.read.extend([row.id] if op.refresh else [])
        return row.item()

    def search(self, op: Search, embedding: bytes | None) -> list[HybridItem]:
        """One page, best first and then what cannot be scored; without a query the newest first."""
        if embedding is None:
            found = newest(self.connection, op.prefix, op.condition, limit=op.limit, offset=op.offset)
            return self._fetch(op, [Ranked(item) for item in found])
        ranked = self._rank(op, embedding)
        page = ranked[op.offset : op.offset + op.limit]
        if len(page) < op.limit:
            seen = {found.item for found in ranked}
            others = (item for item in newest(self.connection, op.prefix, op.condition) if item not in seen)
            skip = max(op.offset - len(ranked), 0)
            page += [Ranked(item) for item in islice(others, skip, skip + op.limit - len(page))]
        return self._fetch(op, page)

    def _rank(self, op: Search, embedding: bytes) -> list[Ranked]:
        """Score every item of a small scope; of a large one as many as a page needs, pool by pool.

        Each pool continues the order of those before it, whatever page is asked for, so that pages never overlap; only
        the order within the page is by score alone. Beyond the last pool every item is scored.
        """
        items = self._scope(op)
        if items is not None and len(items) <= EXACT_ITEMS:
            return self._score_all(op, embedding, items)
        ranked: dict[int, Ranked] = {}
        end = op.offset + op.limit
        for pool in POOLS:
            found = self._score_best(op, embedding, items, pool)
            fresh = (hit for hit in found if hit.item not in ranked)
            ranked |= {hit.item: hit for hit in islice(fresh, pool - len(ranked))}
            if len(ranked) >= end or len(found) < pool:
                break
        else:
            everything = self._score_all(op, embedding, items or list(newest(self.connection, op.prefix, None)))
            ranked = {hit.item: hit for hit in (*ranked.values(), *everything)}
        hits = list(ranked.values())
        if end > POOLS[0]:
            page = {hit.item: hit for hit in hits[op.offset : end]}
            hits[op.offset : end] = _best_first(page[item] for item in self._newest_first(page))
        return hits

    def _score_all(self, op: Search, embedding: bytes, items: list[int]) -> list[Ranked]:
        return _scored(op, items, self._cosines(embedding, items), self._matching(op, items, UNLIMITED))

    def _score_best(self, op: Search, embedding: bytes, items: list[int] | None, pool: int) -> list[Ranked]:
        """Score the union of the nearest and the best keyword matches."""
        words = self._matching(op, items, pool)
        near = self.nearest(embedding, prefix=op.prefix, items=items, count=pool)
        cosines = self._cosines(embedding, {*near, *words})
        words |= self._words(cosines.keys() - words.keys())
        return _scored(op, self._newest_first(cosines.keys() | words.keys()), cosines, words)

    def _scope(self, op: Search) -> list[int] | None:
        """The items a search may find, newest first, or `None` for more than a few without a filter."""
        if op.condition is None:
            some = "SELECT count(*) FROM (SELECT 1 FROM item WHERE namespace >= ? AND namespace < ? LIMIT ?)"
            count = self.connection.execute(some, (*namespace_range(op.prefix), EXACT_ITEMS + 1)).fetchone()[0]
            if count > EXACT_ITEMS:
                return None
        return list(newest(self.connection, op.prefix, op.condition))

    def _matching(self, op: Search, items: list[int] | None, limit: int) -> dict[int, str]:
        """The words of the items that share one with the query; with a limit the best by BM25."""
        if not op.weights:
            return {}
        expression = f"words : ({match_any(op.weights)})"
        if op.prefix:
            expression = f"scope : {scope_term(op.prefix)} AND {expression}"
        # the plus keeps SQLite from looking up every item on its own
        among = "" if items is None else "AND +rowid IN (SELECT value FROM json_each(?))"
        order = "" if limit == UNLIMITED else "ORDER BY bm25(keyword, 0.0, 1.0)"
        sql = f"SELECT rowid, words FROM keyword WHERE keyword MATCH ? {among} {order} LIMIT ?"  # noqa: S608 - see above
        parameters = (expression, limit) if items is None else (expression, json.dumps(items), limit)
        return dict(self.connection.execute(sql, parameters))

    def _words(self, items: Collection[int]) -> dict[int, str]:
        sql = "SELECT rowid, words FROM keyword WHERE rowid IN (SELECT value FROM json_each(?))"
        return dict(self.connection.execute(sql, (json.dumps(list(items)),)))

    def _cosines(self, embedding: bytes, items: Iterable[int]) -> dict[int, float]:
        """The cosine of each item's best vector, from the catalog's copy whichever way the item was found."""
        sql = "SELECT item, embedding FROM vector WHERE item IN (SELECT value FROM json_each(?))"
        rows = self.connection.execute(sql, (json.dumps(list(items)),)).fetchall()
        if not rows:
            return {}
        query = np.frombuffer(embedding, dtype=np.float32).astype(np.float64)
        matrix = np.frombuffer(b"".join(row[1] for row in rows), dtype=np.float32).reshape(len(rows), -1)
        norms = np.linalg.norm(matrix, axis=1).astype(np.float64) * np.linalg.norm(query)
        products = np.einsum("ij,j->i", matrix, query)  # one row never depends on the others, as it may with BLAS
        cosines = np.divide(products, norms, out=np.zeros_like(products), where=norms > 0)
        best: dict[int, float] = {}
        for (item, _), cosine in zip(rows, cosines.clip(0.0, 1.0).round(6).tolist(), strict=True):
            best[item] = max(cosine, best.get(item, 0.0))
        return best

    def _newest_first(self, items: Collection[int]) -> list[int]:
        sql = "SELECT id FROM item WHERE id IN (SELECT value FROM json_each(?)) ORDER BY updated_at DESC"
        return [row[0] for row in self.connection.execute(sql, (json.dumps(list(items)),))]

    def _fetch(self, op: Search, page: list[Ranked]) -> list[HybridItem]:
        self.read.extend(found.item for found in page if op.refresh)
        rows = {row.id: row for row in fetch(self.connection, [found.item for found in page])}
        return [found.hit(rows[found.item]) for found in page]


def _scored(op: Search, items: Iterable[int], cosines: Mapping[int, float], words: Mapping[int, str]) -> list[Ranked]:
    """Score the items that have a vector or a word of the query; best first, ties in the order of `items`."""
    ranked: list[Ranked] = []
    for item in items:
        if item in cosines or item in words:
            cosine = cosines.get(item, 0.0)
            keyword = coverage(op.weights, frozenset(words[item].split())) if item in words else 0.0
            score = (1 - op.keyword_share) * cosine + op.keyword_share * keyword
            ranked.append(Ranked(item, round(score, 6), cosine, keyword))
    return _best_first(ranked)


def _best_first(hits: Iterable[Ranked]) -> list[Ranked]:
    return sorted(hits, key=lambda hit: -(hit.score or 0.0))


def newest(
    connection: sqlite3.Connection,
    prefix: bytes,
    condition: Condition | None,
    *,
    limit: int = UNLIMITED,
    offset: int = 0,
) -> Iterator[int]:
    """Ids of the items below a prefix that meet a condition, the last written first."""
    below = "item.namespace >= ? AND item.namespace < ?" if prefix else "1"
    parameters = namespace_range(prefix) if prefix else ()
    order = f"FROM item WHERE {below} {{}} ORDER BY item.updated_at DESC"
    if condition is None:
        sql = f"SELECT item.id {order.format('')} LIMIT ? OFFSET ?"
        return (row[0] for row in connection.execute(sql, (*parameters, limit, offset)))
    doubtful = "CASE WHEN typeof(item.value) = 'blob' OR NOT ? THEN item.value END"
    sql = f"SELECT item.id, {doubtful} {order.format(f'AND {condition.sql}')}"
    rows = connection.execute(sql, (condition.is_decided, *parameters, *condition.parameters))
    matching = (item for item, value in rows if value is None or condition.holds(json.loads(value)))
    return islice(matching, offset, None if limit == UNLIMITED else offset + limit)


def fetch(connection: sqlite3.Connection, items: Iterable[int]) -> Iterator[Row]:
    """The rows of some items, in no particular order."""
    sql = f"{SELECT_ROW} WHERE id IN (SELECT value FROM json_each(?))"  # noqa: S608 - values are bound
    return (Row(*row) for row in connection.execute(sql, (json.dumps(list(items)),)))

"""Answers a search: the union of what is near in meaning and what shares words, scored by two absolute signals."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

import numpy as np

from langchain_hybrid_memory.keywords import as_coverage, matching
from langchain_hybrid_memory.store._items import HybridItem, Signals, read_rows
from langchain_hybrid_memory.store._plan import Get, Search, scope_term
from langchain_hybrid_memory.store._row_cache import SELECT_ROW, RowCache, read_items
from langchain_hybrid_memory.store._shards import LARGE
from langchain_hybrid_memory.store._vector_cache import VectorCache
from langchain_hybrid_memory.store._versions import (
    RECENT,
    Versions,
    below,
    is_small,
    lies_outside,
    newest,
    recently_written,
    within,
)

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Iterable, Mapping

    from langgraph.store.base import Item

    from langchain_hybrid_memory.store._filters import Condition
    from langchain_hybrid_memory.store._items import Row
    from langchain_hybrid_memory.store._versions import Version

POOL: Final = 100
"""In a large scope, so many of the nearest items are candidates, and so many of the best keyword matches."""
SMALL_POOL: Final = 50
"""For up to ten results; among 12,400 real messages they were those of an exhaustive search to 97 %, not to 99 %."""
PER_RESULT: Final = 5
"""From there up to `POOL`, so many a result."""
LARGEST_POOL: Final = 1_000
"""A longer page than this is filled up with the rest of the scope, scored one by one."""
WIDE: Final = 4
"""With a filter, so many times more are asked for first: most filters let many items pass."""
KEYWORD_ROWS: Final = 500
"""In a large scope, the items with the query's rarest terms, up to so many, compete to be keyword candidates."""
MENTIONS: Final = 4
"""Where the query's terms have more mentions than this for each item, reading the items' words is faster than finding
the mentions."""
COUNTLESS: Final = 16
"""Where there cannot be more mentions than this for each item, finding them takes less than counting them first."""
FREQUENCIES: Final = "SELECT term, doc FROM temp.frequency WHERE term IN (SELECT value FROM json_each(?))"
NEWEST_MATCHES: Final = "SELECT rowid FROM keyword WHERE keyword MATCH ? ORDER BY rowid DESC LIMIT ?"
MATCHES: Final = "SELECT rowid FROM keyword WHERE keyword MATCH ?"
WORDS: Final = "SELECT rowid, words FROM keyword WHERE rowid IN (SELECT value FROM json_each(?))"


class Nearest(Protocol):
    """Asks the vector index."""

    def __call__(self, embedding: bytes, *, prefix: bytes, items: list[int] | None, count: int) -> list[int]:
        """The items nearest to a query below a namespace prefix; of `items` alone unless that is `None`."""


class Ranked(NamedTuple):
    """A found item, its score and why; all `None` for one that cannot be scored."""

    version: Version
    score: float | None = None
    cosine: float | None = None
    keyword: float | None = None

    def hit(self, row: Row) -> HybridItem:
        """The item with what the search knows about it."""
        if self.cosine is None or self.keyword is None:
            return HybridItem(row)
        return HybridItem(row, score=self.score, signals=Signals(self.cosine, self.keyword))


class Reader(NamedTuple):
    """Looks up and searches in one snapshot of the catalog.

    Attributes:
        connection: A reader inside its transaction.
        nearest: The way to the vector index.
        vectors: The way to the vectors.
        rows: The way to the items.
        read: Collects the ids of items whose life the reading prolongs.
        below: Collects what lies in the small scopes that were gone through; most batches ask one several things.
    """

    connection: sqlite3.Connection
    nearest: Nearest
    vectors: VectorCache
    rows: RowCache
    read: list[int]
    below: dict[bytes, Versions]

    def look_up(self, op: Get) -> Item | None:
        """One item by namespace and key."""
        found = self.connection.execute(f"{SELECT_ROW} WHERE namespace = ? AND key = ?", op.target).fetchone()
        if found is None:
            return None
        (row,) = read_rows([found])
        self.read.extend([row.id] if op.refresh else [])
        return row.item()

    def search(self, op: Search, embedding: bytes | None) -> list[HybridItem]:
        """One page, best first and then what cannot be scored; without a query the newest first.

        Beyond the candidates of a large scope every item is scored; a page may then begin higher than the last ended.
        """
        if embedding is None:
            return self._fetch(op, [Ranked(version) for version in self._listed(op)])
        ranked = self._rank(op, embedding)
        end = op.offset + op.limit
        if end <= len(ranked):
            return self._fetch(op, ranked[op.offset : end])
        seen = {found.version for found in ranked}
        others = [each for each in newest(self.connection, op.prefix, op.condition) if each not in seen]
        ranked += self._score(op, Versions.of(others), embedding)
        scored = {found.version for found in ranked}
        ranked += [Ranked(version) for version in others if version not in scored]
        return self._fetch(op, _best_first(ranked[op.offset : end]))

    def _listed(self, op: Search) -> list[Version]:
        """One page of a listing, the last written first."""
        end = op.offset + op.limit
        if op.condition is None and op.prefix in self.below:
            versions = self.below[op.prefix]
            return versions.those(np.argsort(-versions.times)[op.offset : end])
        if op.condition is None and end <= RECENT and not is_small(self.connection, op.prefix):
            recent = list(islice(recently_written(self.connection, op.prefix), end))
            if len(recent) == end:
                return recent[op.offset :]
        return list(newest(self.connection, op.prefix, op.condition, limit=op.limit, offset=op.offset))

    def _rank(self, op: Search, embedding: bytes) -> list[Ranked]:
        """Score every item of a small scope; of a large one the nearest and the best keyword matches.

        Which these are does not depend on the page, so pages neither overlap nor leave anything out.
        """
        if op.prefix in self.below or is_small(self.connection, op.prefix):
            return self._score(op, self._below(op), embedding)
        pool = max(min(max(SMALL_POOL, PER_RESULT * op.limit), POOL), min(op.limit, LARGEST_POOL))
        wide = pool if op.condition is None else WIDE * pool
        near = self.nearest(embedding, prefix=op.prefix, items=None, count=wide)
        if op.condition is not None:
            near = self._holding(op.condition, near)
            if len(near) < pool:
                versions = self._below(op)
                if len(versions.items) <= LARGE:
                    return self._score(op, versions, embedding)
                near = self.nearest(embedding, prefix=op.prefix, items=versions.items.tolist(), count=pool)
        # the vector index was asked at a later moment than this snapshot's, when the id of an item deleted since may
        # have become another's
        found = within(self.connection, op.prefix, {*near, *self._keyword_candidates(op, pool)})
        return self._score(op, found, embedding)

    def _below(self, op: Search) -> Versions:
        """Every item of the scope that meets the condition, in no particular order."""
        if op.condition is not None:
            return Versions.of(newest(self.connection, op.prefix, op.condition))
        if op.prefix not in self.below:
            self.below[op.prefix] = below(self.connection, op.prefix)
        return self.below[op.prefix]

    def _score(self, op: Search, versions: Versions, embedding: bytes) -> list[Ranked]:
        """Score the items that have a vector or a word of the query, and return those up to the end of the page.

        Best first; of equal ones the last written goes first.
        """
        items = versions.items.tolist()
        if not items:
            return []
        covered = self._covered(op, items)
        cosines = self.vectors.read(self.connection, versions).cosines(embedding, len(items))
        shared = np.array([covered.get(item, 0.0) for item in items])
        known = np.flatnonzero(~np.isnan(cosines) | (shared > 0))
        near, shared = np.nan_to_num(cosines[known]), shared[known]
        scores = ((1 - op.keyword_share) * near + op.keyword_share * shared).round(6)
        best = np.lexsort((-versions.times[known], -scores))[: op.offset + op.limit]
        columns = (column[best].tolist() for column in (scores, near, shared))
        return [*map(Ranked._make, zip(versions.those(known[best]), *columns, strict=True))]

    def _covered(self, op: Search, items: Collection[int]) -> dict[int, float]:
        """The keyword signal of the items, at least of those among them that share a term with the query."""
        terms = op.weights
        if len(terms) * self._total() > COUNTLESS * len(items):
            frequencies = self._frequencies(op)
            terms = {term: share for term, share in terms.items() if term in frequencies}
            if sum(frequencies.values()) > MENTIONS * len(items):
                return self._covered_by_row(terms, items)
        shares: defaultdict[int, float] = defaultdict(float)
        scope = self._scope(op)
        for term, share in terms.items():
            for (item,) in self.connection.execute(MATCHES, (scope + matching(term),)):
                shares[item] += share
        known = {share: as_coverage(share) for share in set(shares.values())}
        return {item: known[share] for item, share in shares.items()}

    def _covered_by_row(self, terms: Mapping[str, float], items: Collection[int]) -> dict[int, float]:
        needles = [(f" {term} ", share) for term, share in terms.items()]
        rows = self.connection.execute(WORDS, (json.dumps(list(items)),))
        texts = ((item, f" {words} ") for item, words in rows)
        return {item: as_coverage(sum(share for needle, share in needles if needle in text)) for item, text in texts}

    def _frequencies(self, op: Search) -> dict[str, int]:
        """How many items of the whole catalog hold each of the query's terms; none are left out."""
        return dict(self.connection.execute(FREQUENCIES, (json.dumps(list(op.weights)),)))

    def _total(self) -> int:
        """At least as many as there are items in the whole catalog."""
        total: int = self.connection.execute("SELECT max(id) FROM item").fetchone()[0]
        return total

    def _holding(self, condition: Condition, items: Collection[int]) -> list[int]:
        """Those of some items that meet a condition, in the same order."""
        rows = read_items(self.connection, items)
        held = {row.id for row in rows if condition.holds(row.value)}
        return [item for item in items if item in held]

    def _keyword_candidates(self, op: Search, pool: int) -> list[int]:
        """The items of a large scope with the most, and the rarest, of the query's terms.

        Terms count by inverse document frequency (Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25
        and Beyond", 2009), those rarest in the whole catalog first, until they name enough items of the scope: ranking
        all that hold a common term takes longer than everything else together, and changes little.
        """
        frequencies = self._frequencies(op)
        total = self._total()
        room = KEYWORD_ROWS
        scope = self._scope(op)
        scores: defaultdict[int, float] = defaultdict(float)
        for term in sorted(frequencies, key=lambda term: frequencies[term]):
            found = self.connection.execute(NEWEST_MATCHES, (scope + matching(term), room + 1)).fetchall()
            if scores and len(found) > room:
                break
            for (item,) in found[:room]:
                scores[item] += math.log(1 + total / len(found))
            room -= min(len(found), room)
        best = sorted(scores, key=lambda item: -scores[item])
        return best[:pool] if op.condition is None else self._holding(op.condition, best)[:pool]

    def _scope(self, op: Search) -> str:
        """What a keyword expression for the items of a scope begins with; a term follows."""
        has_others = op.prefix and lies_outside(self.connection, op.prefix)
        return f"scope : {scope_term(op.prefix)} AND words : " if has_others else "words : "

    def _fetch(self, op: Search, page: list[Ranked]) -> list[HybridItem]:
        versions = [found.version for found in page]
        self.read.extend(item for item, _ in versions if op.refresh)
        return [found.hit(row) for found, row in zip(page, self.rows.read(self.connection, versions), strict=True)]


def _best_first(hits: Iterable[Ranked]) -> list[Ranked]:
    """Sort by score; what has none comes last, and ties stay as they are."""
    return sorted(hits, key=lambda hit: 1.0 if hit.score is None else -hit.score)

"""Reads items of a Chroma server: look-ups, listings, and searches by meaning and by word."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from langchain_hybrid_memory.keywords import coverage
from langchain_hybrid_memory.store._client_records import below, findable, item_id
from langchain_hybrid_memory.store._items import HybridItem, Signals, decode_namespace, encode_namespace
from langchain_hybrid_memory.store._namespaces import literal_prefix, select_namespaces

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from chromadb.api.types import Where, WhereDocument
    from langgraph.store.base import Item, ListNamespacesOp

    from langchain_hybrid_memory.store._client_collection import Found, ItemCollection
    from langchain_hybrid_memory.store._client_records import Head
    from langchain_hybrid_memory.store._plan import Get, Search

POOL: Final = 300  # one request for most people's memories; Chroma Cloud answers with no more
FEW: Final = 1_000  # as many items are listed in one request, and more in slices of time
PATTERN: Final = 240  # characters of a pattern; Chroma Cloud takes 256
# how long ago the slices of a listing begin: a minute, an hour, a day, a month, a year; in microseconds
SLICES: Final = tuple(seconds * 1_000_000 for seconds in (60, 3_600, 86_400, 2_592_000, 31_536_000))


class Ranked(NamedTuple):
    """A found item and why it was found."""

    head: Head
    score: float
    signals: Signals


class ClientReader:
    """Answers the reads of one batch; a search of several requests may see several states of the server."""

    def __init__(self, items: ItemCollection, *, now: int) -> None:
        """Read from a collection; `now` is the time in microseconds."""
        self._items = items
        self._now = now
        self.prolonged: dict[str, float] = {}
        """Lives in minutes, by id, of the items that were read and live longer for it."""

    def look_up(self, ops: Sequence[Get]) -> list[Item | None]:
        """Items by namespace and key, all in one request."""
        wanted = [item_id(op.target) for op in ops]
        heads = self._items.by_id(list(dict.fromkeys(wanted)))
        for op, item in zip(ops, wanted, strict=True):
            self._note([heads[item]] if item in heads and op.refresh else [])
        return [heads[item].item() if item in heads else None for item in wanted]

    def namespaces(self, op: ListNamespacesOp) -> list[tuple[str, ...]]:
        """The namespaces that meet every condition; reads something of every item below the conditions' prefix."""
        where = _scope(below(encode_namespace(literal_prefix(op))))
        return select_namespaces((head.namespace for head in self._items.below(where, with_values=False)), op)

    def search(self, op: Search, embedding: bytes | None) -> list[HybridItem]:
        """One page, best first and then what cannot be scored; without a query the newest first."""
        end = op.offset + op.limit
        ranked = self._rank(op, embedding) if embedding is not None and op.limit else []
        page = ranked[op.offset : end]
        others = self._newest(op, end - len(ranked), {found.head.id for found in ranked})
        rest = others[max(op.offset - len(ranked), 0) :]
        self._note([*(found.head for found in page), *rest] if op.refresh else [])
        return [
            *(HybridItem(found.head.item(), score=found.score, signals=found.signals) for found in page),
            *(HybridItem(head.item()) for head in rest),
        ]

    def _rank(self, op: Search, embedding: bytes) -> list[Ranked]:
        """Score what is near and what shares words; a scope that one request can hold is scored whole."""
        found, is_whole = self._nearest(op, embedding)
        terms = sorted(op.weights, key=lambda term: -op.weights[term])
        while terms and not is_whole:  # where too many items share a word, those with the weightiest as well
            matching, is_whole = self._nearest(op, embedding, _any_of(terms))
            found += matching
            terms = terms[: len(terms) // 2]
        ranked: list[Ranked] = []
        for hits in _by_item(self._complete(found, embedding)):
            head = _head(hits)
            if head is not None and _admits(op, head) and (scored := _score(op, head, hits)):
                ranked.append(scored)
        return sorted(ranked, key=lambda found: (-found.score, *found.head.order))

    def _nearest(self, op: Search, embedding: bytes, words: WhereDocument | None = None) -> tuple[list[Found], bool]:
        """The nearest records, enough of them to leave a pool after the filter, and whether these are all there are."""
        pool = asked = max(POOL, op.offset + op.limit)
        where = _scope(findable(op.prefix))
        while True:
            found = self._items.query(embedding, where, limit=asked, containing=words)
            refused = {hit.item for hit in found if hit.head and not _admits(op, hit.head)}
            is_whole = len(found) < min(asked, self._items.page)
            if is_whole:
                known = {hit.id for hit in found}
                lost = [record for record in self._items.ids(where, containing=words) if record not in known]
                return found + self._items.measure(embedding, lost[:pool]), len(lost) <= pool
            if asked >= self._items.page or len({hit.item for hit in found} - refused) >= pool:
                return found, False
            asked *= 4

    def _complete(self, found: Iterable[Found], embedding: bytes) -> list[Found]:
        """Ask again for the items of which a record is unknown, or is of another version than its head."""
        partial: list[str] = []
        complete: list[Found] = []
        for hits in _by_item({hit.id: hit for hit in found}.values()):
            head = _head(hits)
            if head is not None and sum(hit.version == head.version for hit in hits) >= head.texts:
                complete += hits
            else:
                partial.append(hits[0].item)
        return complete + self._items.of_items(embedding, partial)

    def _newest(self, op: Search, limit: int, seen: set[str]) -> list[Head]:
        """The last written items that the filter admits and that are not `seen`."""
        found: dict[str, Head] = {}
        for heads in self._slices(op) if limit > 0 else ():
            admitted = [head for head in heads if head.id not in seen and _admits(op, head)]
            found |= {head.id: head for head in sorted(admitted, key=lambda head: head.order)}
            if len(found) >= limit:
                break
        return list(found.values())[: max(limit, 0)]

    def _slices(self, op: Search) -> Iterator[Iterable[Head]]:
        """The items below a prefix: all at once if they are few, else the newest slice of time first."""
        scope = below(op.prefix)
        is_small = len(self._items.ids(_scope(scope), limit=FEW + 1)) <= FEW
        edges = [] if is_small else [self._now - ago for ago in SLICES]
        for older, newer in zip([*edges, None], [None, *edges], strict=True):
            times = [
                {"updated_at": {symbol: edge}} for symbol, edge in (("$gte", older), ("$lt", newer)) if edge is not None
            ]
            yield self._items.below(_scope(scope, *times))

    def _note(self, read: Iterable[Head]) -> None:
        self.prolonged |= {head.id: head.ttl for head in read if head.ttl is not None}


def _scope(term: str, *conditions: Any) -> Where:
    scope: Any = {"scopes": {"$contains": term}}
    return cast("Where", {"$and": [scope, *conditions]} if conditions else scope)


def _any_of(terms: Sequence[str]) -> WhereDocument:
    """Documents with at least one of some terms, or with as many of them as fit into a pattern."""
    pattern = terms[0][:PATTERN]
    for term in terms[1:]:
        if len(pattern) + len(term) < PATTERN:
            pattern += f"|{term}"
    return {"$regex": f" (?:{pattern})" + ("" if len(terms[0]) > PATTERN else " ")}


def _by_item(found: Iterable[Found]) -> Iterable[list[Found]]:
    items: dict[str, list[Found]] = {}
    for hit in found:
        items.setdefault(hit.item, []).append(hit)
    return items.values()


def _head(hits: Iterable[Found]) -> Head | None:
    return next((hit.head for hit in hits if hit.head), None)


def _admits(op: Search, head: Head) -> bool:
    """Whether an item meets the filter, and lies below the prefix: the server looked at that, and this is the check."""
    prefix = decode_namespace(op.prefix)
    if head.namespace[: len(prefix)] != prefix:
        return False
    return op.condition is None or op.condition.holds(json.loads(head.value))


def _score(op: Search, head: Head, hits: Iterable[Found]) -> Ranked | None:
    """An item with its score, or `None` if it has neither a vector nor a word of the query."""
    keyword = coverage(op.weights, frozenset(head.words))
    if not head.texts and not keyword:
        return None
    cosines = [hit.cosine for hit in hits if hit.version == head.version] if head.texts else [0.0]
    signals = Signals(max(cosines), keyword)
    return Ranked(head, signals.score(keyword_share=op.keyword_share), signals)

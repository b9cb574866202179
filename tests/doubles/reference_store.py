"""What a store has to answer, said in the plainest way: a dict, looked through from end to end for every question."""

from __future__ import annotations

import json
import math
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple, TypeAlias

from langgraph.store.base import GetOp, Item, ListNamespacesOp, MatchCondition, Op, PutOp, SearchOp, get_text_at_path

from langchain_hybrid_memory.keywords import coverage, index_terms, query_weights
from langchain_hybrid_memory.store import HybridItem
from langchain_hybrid_memory.store._items import instant
from tests.doubles.embedding import exact_vector

Namespace: TypeAlias = tuple[str, ...]
MINUTE = 60_000_000


class Seen(NamedTuple):
    """What a caller sees of an item; the value as JSON, where 1, 1.0 and true differ and NaN equals itself."""

    namespace: Namespace
    key: str
    value: str
    created_at: datetime
    updated_at: datetime
    score: float | None = None
    signals: tuple[float, float] | None = None


def seen(item: Item) -> Seen:
    """What a caller sees of an item a store returned."""
    known = Seen(item.namespace, item.key, json.dumps(item.value), item.created_at, item.updated_at)
    if not isinstance(item, HybridItem):
        return known
    signals = (item.signals.cosine, item.signals.keyword) if item.signals else None
    return known._replace(score=item.score, signals=signals)


@dataclass(frozen=True, slots=True)
class Kept:
    """An item as the reference keeps it; times in microseconds, `ttl` in minutes."""

    value: str
    vectors: Sequence[Sequence[float]]
    terms: frozenset[str]
    ttl: float | None
    created_at: int
    updated_at: int
    expires_at: float


@dataclass
class ReferenceStore:
    """Answers batches like a store that embeds with `ExactEmbedding`.

    Attributes:
        now: The clock, in microseconds.
        fields: Paths embedded by default.
        keywords: Paths of the keyword text; `None` for the embedded ones.
        keyword_share: Share of the keyword signal in a score.
        omits_expired: Whether what has expired goes before every batch.
    """

    now: Callable[[], int]
    fields: Sequence[str]
    keywords: Sequence[str] | None
    keyword_share: float
    omits_expired: bool

    def __post_init__(self) -> None:
        self._items: dict[tuple[Namespace, str], Kept] = {}
        self._last = 0

    def batch(self, ops: Iterable[Op]) -> list[Any]:
        """Read, then prolong what was read, then write; of several writes to a key only the last one."""
        ops = list(ops)
        if self.omits_expired:
            self.sweep()
        results = [self._read(op) for op in ops]
        for op, result in zip(ops, results, strict=True):
            if isinstance(op, GetOp | SearchOp) and op.refresh_ttl:
                self._prolong(result if isinstance(result, list) else [result] if result else [])
        puts = [op for op in ops if isinstance(op, PutOp)]
        for position, op in enumerate(puts):
            if all((later.namespace, later.key) != (op.namespace, op.key) for later in puts[position + 1 :]):
                self._write(op)
        return results

    def sweep(self) -> int:
        """Delete what has expired."""
        expired = [place for place, kept in self._items.items() if kept.expires_at <= self.now()]
        for place in expired:
            del self._items[place]
        return len(expired)

    def reopen(self) -> None:
        """Forget all but the items: the last time of writing is the newest item's."""
        self._last = max((kept.updated_at for kept in self._items.values()), default=0)

    def ranking(self, op: SearchOp) -> list[Seen]:
        """Everything a search may find, in order: by score and then the unscored, the last written first."""
        query = (op.query or "").encode("utf-8", "replace").decode().strip()
        hits = [self._hit(place, query) for place in self._newest_first() if self._may_find(place, op)]
        scored = sorted((hit for hit in hits if hit.score is not None), key=lambda hit: -(hit.score or 0.0))
        return scored + [hit for hit in hits if hit.score is None]

    def _read(self, op: Op) -> Any:
        if isinstance(op, GetOp):
            return self._seen((op.namespace, op.key)) if (op.namespace, op.key) in self._items else None
        if isinstance(op, SearchOp):
            return self.ranking(op)[op.offset :][: op.limit]
        if isinstance(op, ListNamespacesOp):
            conditions = op.match_conditions or ()
            spaces = {space for space, _ in self._items if all(meets(space, condition) for condition in conditions)}
            return sorted({space[: op.max_depth] for space in spaces})[op.offset :][: op.limit]
        return None

    def _write(self, op: PutOp) -> None:
        place = (op.namespace, op.key)
        self._last = at = max(self._last + 1, self.now())
        old = self._items.pop(place, None)
        if op.value is None:
            return
        value = json.loads(json.dumps(op.value))
        paths = (self.fields if op.index is None else op.index) or ()
        keywords = () if op.index is False else paths if self.keywords is None else self.keywords
        self._items[place] = Kept(
            value=json.dumps(value),
            vectors=[exact_vector(text) for path in paths for text in texts_at(value, path)],
            terms=frozenset(term for path in keywords for term in terms_at(value, path)),
            ttl=op.ttl,
            created_at=old.created_at if old else at,
            updated_at=at,
            expires_at=math.inf if op.ttl is None else at + int(op.ttl * MINUTE),
        )

    def _prolong(self, found: Iterable[Seen]) -> None:
        for hit in found:
            kept = self._items[hit[:2]]
            if kept.ttl is not None:
                self._items[hit[:2]] = replace(kept, expires_at=self.now() + int(kept.ttl * MINUTE))

    def _newest_first(self) -> list[tuple[Namespace, str]]:
        return sorted(self._items, key=lambda place: -self._items[place].updated_at)

    def _may_find(self, place: tuple[Namespace, str], op: SearchOp) -> bool:
        prefix = tuple(op.namespace_prefix)
        return place[0][: len(prefix)] == prefix and matches(json.loads(self._items[place].value), op.filter or {})

    def _seen(self, place: tuple[Namespace, str]) -> Seen:
        kept = self._items[place]
        return Seen(*place, kept.value, instant(kept.created_at), instant(kept.updated_at))

    def _hit(self, place: tuple[Namespace, str], query: str) -> Seen:
        kept, weights = self._items[place], query_weights(query) if self.keyword_share else {}
        if not query or not (kept.vectors or kept.terms & weights.keys()):
            return self._seen(place)
        asked = exact_vector(query)
        cosine = max((sum(map(operator.mul, asked, vector)) for vector in kept.vectors), default=0.0)
        signals = (max(cosine, 0.0), coverage(weights, kept.terms))
        score = (1 - self.keyword_share) * signals[0] + self.keyword_share * signals[1]
        return self._seen(place)._replace(score=round(score, 6), signals=signals)


def texts_at(value: Mapping[str, Any], path: str) -> list[str]:
    """The texts LangGraph finds at a path, but for blank ones."""
    return [text.encode("utf-8", "replace").decode() for text in get_text_at_path(value, path) if text.strip()]


def terms_at(value: Mapping[str, Any], path: str) -> list[str]:
    """The terms at a path; of a whole value those in its texts and numbers, not in its field names."""
    texts = leaves(value) if path == "$" else texts_at(value, path)
    return [term for text in texts for term in index_terms(text)]


def leaves(value: Any) -> list[str]:
    """The texts and numbers in a value."""
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return [text for each in inner for text in leaves(each)]
    return [] if value is None or isinstance(value, bool) else [str(value)]


def meets(namespace: Namespace, condition: MatchCondition) -> bool:
    """Whether a namespace begins or ends as a condition says."""
    path, labels = list(condition.path), list(namespace)
    if condition.match_type == "suffix":
        path.reverse()
        labels.reverse()
    return len(labels) >= len(path) and all(wanted in ("*", label) for wanted, label in zip(path, labels, strict=False))


def matches(value: Any, conditions: Mapping[str, Any]) -> bool:
    """Whether a value has what a filter asks of it."""
    for name, wanted in conditions.items():
        have = value.get(name)
        if isinstance(wanted, dict) and any(inner.startswith("$") for inner in wanted):
            if not all(holds(symbol, have, operand) for symbol, operand in wanted.items()):
                return False
        elif isinstance(wanted, dict):
            if not (isinstance(have, dict) and matches(have, wanted)):
                return False
        elif not equal(have, wanted):
            return False
    return True


def holds(symbol: str, have: Any, operand: Any) -> bool:
    """Whether one of the six operators holds."""
    if symbol in ("$eq", "$ne"):
        return equal(have, operand) == (symbol == "$eq")
    if kind(have) not in ("number", "text") or kind(have) != kind(operand):
        return False
    return bool(
        {"$gt": have > operand, "$gte": have >= operand, "$lt": have < operand, "$lte": have <= operand}[symbol]
    )


def equal(one: Any, other: Any) -> bool:
    """Whether two JSON values are the same, in depth; 1 is 1.0, true is not 1, and NaN is nothing."""
    if kind(one) != kind(other):
        return False
    if isinstance(one, dict):
        return set(one) == set(other) and all(equal(one[name], other[name]) for name in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(equal, one, other))
    return bool(one == other)


def kind(value: Any) -> str:
    """What JSON calls the type of a value."""
    kinds = {bool: "boolean", int: "number", float: "number", str: "text", list: "list", dict: "mapping"}
    return kinds.get(type(value), "nothing")

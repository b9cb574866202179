"""Builds what the ranking tests rank."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from langgraph.store.base import Item, SearchItem

from langchain_hybrid_memory.config import RankingWeights
from langchain_hybrid_memory.memories import Hit
from langchain_hybrid_memory.ranking import rank
from langchain_hybrid_memory.store._items import HybridItem, Signals
from tests.doubles.builders import ALEX, NOW, said

ALL_OFF = replace(RankingWeights(), **{weight.name: 0.0 for weight in fields(RankingWeights)})


def only(**weights: float) -> RankingWeights:
    """Weights with nothing but some signals switched on."""
    return replace(ALL_OFF, **weights)


def found(value: Mapping[str, Any], key: str, *, score: float | None = 0.5, signals: Signals | None = None) -> Any:
    """A fact or message as a store finds it."""
    namespace = ALEX.namespace("facts") if "quote" in value else ALEX.thread_messages(value["thread"])
    item = Item(value=dict(value), key=key, namespace=namespace, created_at=NOW, updated_at=NOW)
    if signals:
        return HybridItem(item, score=score, signals=signals)
    return SearchItem(namespace, key, item.value, created_at=NOW, updated_at=NOW, score=score)


def message(key: str, text: str = "", *, score: float | None = 0.5, **more: Any) -> Any:
    """A message as a store finds it; its words are its own unless given."""
    return found(said(key, text or f"words of {key}", **more), key, score=score)


def ranked(
    query: str = "Where do I live?",
    *items: SearchItem,
    fresh: Sequence[SearchItem] = (),
    weights: RankingWeights | None = None,
    limit: int = 100,
    min_relevance: float = 0.0,
    explain: bool = False,
) -> list[Hit]:
    """What ranking makes of items, by default with every signal as it comes."""
    return rank(
        query,
        found=items,
        fresh=fresh,
        weights=weights or RankingWeights(),
        now=NOW,
        limit=limit,
        min_relevance=min_relevance,
        explain=explain,
    )


def ids(hits: Sequence[Hit]) -> list[str]:
    """What was ranked, in order."""
    return [hit.item.id for hit in hits]


def values(name: str, query: str, *items: SearchItem) -> dict[str, float]:
    """One signal of each item, by its id."""
    hits = ranked(query, *items, weights=only(**{name: 1.0}))
    return {hit.item.id: round(hit.score, 3) for hit in hits}

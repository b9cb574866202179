"""Orders what the store found by how much it should matter, with the reasons kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from langgraph.store.base import SearchItem

from langchain_hybrid_memory.keywords import coverage, index_terms, query_weights
from langchain_hybrid_memory.memories import Fact, Hit, Message, fact_from, message_from


class Candidate(NamedTuple):
    """A found item with its two absolute signals, each in [0, 1]."""

    item: Fact | Message
    dense: float | None
    """Cosine; `None` for something not embedded yet."""
    keyword: float
    """Share of the query's weighted terms that the item's text, or the text before it, contains."""


FACT_PRIOR = 0.15
"""A fact is a sentence made to stand alone, a message is not. A first value, not tuned on anything."""
USER_PRIOR = 0.05
"""For what the user said. Seen on some 50 questions each, so within noise: recall at 10 .541 to .559 on chats of BEAM,
.950 to .969 on MemoryBank; none on LoCoMo, where everybody is a user."""


def prior(item: Fact | Message) -> float:
    """What an item is worth whatever the question, to be added to its score."""
    if isinstance(item, Fact):
        return FACT_PRIOR
    return USER_PRIOR if item.role == "user" else 0.0


def rank(
    query: str,
    *,
    facts: Iterable[SearchItem],
    messages: Iterable[SearchItem],
    fresh: Iterable[SearchItem],
    keyword_weight: float,
) -> list[Hit]:
    """Fuse facts and messages into one order, best first.

    The score is `(1 - keyword_weight) * dense + keyword_weight * keyword + prior`, where `dense` is the cosine
    stretched over the candidates of this query to [0, 1] (min-max fusion: Bruch, Gai and Ingber, "An Analysis of
    Fusion Functions for Hybrid Retrieval", ACM TOIS 2023). Stretching makes models whose cosines sit in a narrow band
    comparable. Superseded facts are dropped, and a message one of them rests on says which of its words are outdated.
    Something not embedded, yet or by this store at all, is scored by words alone, and left out if it shares none with
    the query.

    Args:
        query: What is asked.
        facts: Facts the store found.
        messages: Messages the store found.
        fresh: Messages that are not embedded yet.
        keyword_weight: Share of the keyword signal, in [0, 1].

    Returns:
        Hits, best first; each fact or message once; ties go to the newer.
    """
    weights = query_weights(query)
    found = {
        **{(tuple(item.namespace), item.key): _candidate(item, weights) for item in fresh},
        **{(tuple(item.namespace), item.key): _candidate(item, weights) for item in [*facts, *messages]},
    }
    outdated = _outdated(candidate.item for candidate in found.values())
    candidates = [candidate for candidate in found.values() if _may_return(candidate)]
    cosines = [candidate.dense for candidate in candidates if candidate.dense is not None]
    low, span = (min(cosines), max(cosines) - min(cosines)) if cosines else (0.0, 0.0)
    hits = [_hit(candidate, low, span, keyword_weight) for candidate in candidates]
    hits = [replace(hit, outdated=tuple(outdated.get((hit.item.thread, hit.item.id), ()))) for hit in hits]
    return sorted(hits, key=lambda hit: (hit.score, hit.at), reverse=True)


def _candidate(item: SearchItem, weights: Mapping[str, float]) -> Candidate:
    value: dict[str, Any] = item.value
    signals = getattr(item, "signals", None)
    words = " ".join(str(value.get(name) or "") for name in ("speaker", "text", "context"))
    return Candidate(
        item=fact_from(item.key, value) if "quote" in value else message_from(value),
        dense=signals.cosine if signals else item.score,
        keyword=signals.keyword if signals else coverage(weights, set(index_terms(words))),
    )


def _may_return(candidate: Candidate) -> bool:
    if isinstance(candidate.item, Fact) and candidate.item.is_superseded:
        return False
    return candidate.dense is not None or candidate.keyword > 0


def _outdated(items: Iterable[Fact | Message]) -> dict[tuple[str, str], list[str]]:
    """Quotes of superseded facts, by thread and message."""
    quotes: dict[tuple[str, str], list[str]] = {}
    for fact in items:
        if isinstance(fact, Fact) and fact.is_superseded:
            for message_id in fact.message_ids:
                quotes.setdefault((fact.thread, message_id), []).append(fact.quote)
    return quotes


def _hit(candidate: Candidate, low: float, span: float, keyword_weight: float) -> Hit:
    item, keyword = candidate.item, candidate.keyword
    signals = {"keyword": keyword, "prior": prior(item)}
    if candidate.dense is None:
        return Hit(item=item, score=keyword + signals["prior"], signals=signals)
    stretched = (candidate.dense - low) / span if span else 1.0
    score = (1 - keyword_weight) * stretched + keyword_weight * keyword + signals["prior"]
    return Hit(item=item, score=score, signals={"cosine": candidate.dense, **signals})

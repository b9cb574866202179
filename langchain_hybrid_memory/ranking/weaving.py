"""Keeps a list of hits from saying anything twice."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet

from langchain_hybrid_memory.memories import Fact, Hit

SAME_SHARE = 0.9
"""Two texts that share at least this much of their words say the same."""


def weave(hits: Iterable[Hit], *, limit: int) -> list[Hit]:
    """Take the best hits, leaving out what one before them has said.

    A message stands for the facts that rest on it alone, and any such fact for the message: the better of them stays.
    Of texts with nearly the same words the best stays.

    Args:
        hits: Best first.
        limit: At most this many.
    """
    kept: list[Hit] = []
    shown: set[tuple[str, str]] = set()
    rested_on: set[tuple[str, str]] = set()
    vocabularies: list[AbstractSet[str]] = []
    for hit in hits:
        if len(kept) == limit:
            break
        is_fact, sources = isinstance(hit.item, Fact), _sources(hit)
        if sources <= (shown if is_fact else rested_on):
            continue
        words = frozenset(hit.text.lower().split())
        if any(_is_same(words, other) for other in vocabularies):
            continue
        kept.append(hit)
        (rested_on if is_fact else shown).update(sources)
        vocabularies.append(words)
    return kept


def _sources(hit: Hit) -> set[tuple[str, str]]:
    ids = hit.item.message_ids if isinstance(hit.item, Fact) else (hit.item.id,)
    return {(hit.item.thread, message_id) for message_id in ids}


def _is_same(words: AbstractSet[str], others: AbstractSet[str]) -> bool:
    return len(words & others) >= SAME_SHARE * len(words | others)

"""Keeps a list of hits from saying anything twice."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet

from langchain_hybrid_memory.memories import Fact, Hit, Message

SAME_SHARE = 0.9
"""Two texts that share at least this much of their words say the same."""
ROUNDING = 1e-9
MOST = 0.8
"""A message of which one fact quotes more than this share has nothing to add."""


def weave(hits: Iterable[Hit], *, limit: int) -> list[Hit]:
    """Take the best hits, leaving out what one before them has said.

    A message stands for the facts that rest on it alone, and facts for a message of which they quote the most: the
    better of them stays. Of texts with nearly the same words the best stays.

    Args:
        hits: Best first.
        limit: At most this many.
    """
    kept: list[Hit] = []
    shown: set[tuple[str, str]] = set()
    quoted: Counter[tuple[str, str]] = Counter()
    vocabularies: defaultdict[int, list[AbstractSet[str]]] = defaultdict(list)
    for hit in hits:
        if len(kept) == limit:
            break
        sources = places(hit.item)
        if isinstance(hit.item, Fact):
            is_told = bool(sources) and shown.issuperset(sources)  # a correction rests on no message
        else:
            is_told = max(quoted[place] for place in sources) > MOST * len(hit.text)
        if is_told:
            continue
        words = frozenset(hit.text.lower().split())
        if _is_told(words, vocabularies):
            continue
        kept.append(hit)
        if isinstance(hit.item, Fact):
            quoted.update(dict.fromkeys(sources, len(hit.item.quote)))
        else:
            shown.update(sources)
        vocabularies[len(words)].append(words)
    return kept


def places(item: Fact | Message) -> list[tuple[str, str]]:
    """Thread and id of a message, or of each that a fact rests on."""
    ids = item.message_ids if isinstance(item, Fact) else (item.id,)
    return [(item.thread, message_id) for message_id in dict.fromkeys(ids)]


def _is_told(words: AbstractSet[str], vocabularies: Mapping[int, Sequence[AbstractSet[str]]]) -> bool:
    """Whether a text shares nearly all its words with another; those are by the number of their words."""
    # with fewer or more words no union is small enough
    for size in range(int(SAME_SHARE * len(words)), int(len(words) / SAME_SHARE) + 2):
        for other in vocabularies.get(size, ()):
            # so many are shared where they are SAME_SHARE of the union, less what rounding adds
            if len(words & other) >= SAME_SHARE * (len(words) + size) / (1 + SAME_SHARE) - ROUNDING:
                return True
    return False

"""Puts what the store found in order by how much it should matter, with the reasons kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

import numpy as np
from langgraph.store.base import SearchItem

from langchain_hybrid_memory.config import RankingWeights
from langchain_hybrid_memory.memories import Hit
from langchain_hybrid_memory.ranking.candidates import Candidate, read_candidates
from langchain_hybrid_memory.ranking.pool import Pool, Values
from langchain_hybrid_memory.ranking.question import leans, read_question
from langchain_hybrid_memory.ranking.signals import SIGNALS
from langchain_hybrid_memory.ranking.weaving import places, weave

WORDS_ALONE = 0.6
"""Shared words speak for relevance even where the embedding sees none."""
NARROW = 0.5
"""A model that gives even the worst of several candidates such a cosine has them all in a narrow band."""
SEVERAL = 20
UNSUPPORTED = 0.6
"""What a fact is worth whose messages were not found. Not fitted: one value was tried."""


def rank(  # noqa: PLR0913 - what is asked, what was found and how to judge it, by keyword
    query: str,
    *,
    searched: str = "",
    found: Iterable[SearchItem],
    fresh: Iterable[SearchItem],
    weights: RankingWeights,
    now: datetime,
    limit: int,
    min_relevance: float = 0.0,
    explain: bool = False,
) -> list[Hit]:
    """Fuse facts and messages into one order, best first.

    A score is the sum of the signals, each in [0, 1] and normalized over the candidates of this question, times their
    weights; the best fact on a message has the score of that. Superseded facts are dropped, and a message that one of
    them rests on says which of its words are outdated, as do other facts on it; not so where the question is about the
    past. What says the same as something better is left out.

    Args:
        query: What is asked.
        searched: What the store was asked, if that is not the query alone; see `in_context`.
        found: Facts and messages the store found.
        fresh: Messages that are not embedded yet; those without a word of the question are left out.
        weights: What each signal adds.
        now: What "last week" is relative to.
        limit: At most this many.
        min_relevance: The least that the best candidate must have for anything to be returned, see `RecallConfig`.
        explain: Whether each hit says what every signal added.

    Returns:
        Hits, best first; of equal ones facts and then the newer go first.
    """
    question = read_question(query, searched=searched or query, now=now)
    found = list(found)
    everything = read_candidates(found=found, fresh=fresh)
    pool = Pool(question, [each for each in everything if question.asks_past or not each.is_superseded])
    if not len(pool) or _relevance(pool) < (min_relevance / 2 if leans(query) else min_relevance):
        return []
    values = {name: SIGNALS[name](pool) for name, weight in asdict(weights).items() if weight}
    shares = {name: getattr(weights, name) * column for name, column in values.items()}
    own = sum(shares.values(), start=np.zeros(len(pool)))
    shares["source"] = _of_sources(pool, own) - own
    scores, alone = ((own + extra).round(9).tolist() for extra in (shares["source"], 0))
    times = [each.said_at for each in pool.candidates]
    rows = _found(pool)
    is_fact: list[bool] = pool.is_fact.tolist()
    rows.sort(key=lambda row: (scores[row], is_fact[row], alone[row], times[row]), reverse=True)
    outdated = {} if question.asks_past else outdated_words(item.value for item in found)
    signals, added = (np.array([*each.values()]).reshape(len(each), len(pool)) for each in (values, shares))
    hits = (
        Hit(
            item=(item := pool.candidates[row].item),
            score=scores[row],
            signals=_signals(pool.candidates[row], dict(zip(values, signals[:, row].tolist(), strict=True))),
            shares=dict(zip(shares, added[:, row].tolist(), strict=True)) if explain else {},
            sought=question.terms,
            outdated=tuple(quote for place in places(item) for quote in outdated.get(place, ())),
        )
        for row in rows
    )
    return weave(hits, limit=limit)


def outdated_words(values: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], tuple[str, ...]]:
    """Quotes of the superseded among stored facts, and of what confirmed them, by thread and message."""
    quotes: dict[tuple[str, str], tuple[str, ...]] = {}
    for value in values:
        if value.get("superseded_by") is not None:
            for source in (value, *value.get("more_sources", {}).values()):
                for message_id in dict.fromkeys(source["message_ids"]):
                    place = (source["thread"], message_id)
                    quotes[place] = (*quotes.get(place, ()), source["quote"])
    return quotes


def _relevance(pool: Pool) -> float:
    """How well the best candidate fits whatever else was found: the mean of cosine and share of words, in [0, 1].

    Of a model whose cosines are all high, as those of E5 are, counts how far one lies above the lowest. What was said
    on a day that the question names fits.
    """
    cosines = np.nan_to_num(pool.cosines)
    known = pool.cosines[~np.isnan(pool.cosines)]
    if len(known) >= SEVERAL and known.min() > NARROW:
        cosines = ((cosines - known.min()) / max(1 - known.min(), 1e-9)).clip(0, 1)
    fits = np.maximum((cosines + pool.covered) / 2, WORDS_ALONE * pool.covered)
    return float(max(fits.max(), SIGNALS["date"](pool).max()))


def _of_sources(pool: Pool, scores: Values) -> Values:
    """Scores in which the best fact on a message has the message's, which more signals speak about, and no fact more.

    A fact none of whose messages was found counts less: little speaks for it but itself.
    """
    shared = np.where(pool.is_fact, UNSUPPORTED * scores, scores)
    for row, facts in pool.resting.items():
        best = max(facts, key=lambda fact: scores[fact])
        for fact in facts:
            shared[fact] = max(shared[fact], scores[row] if fact == best else min(scores[fact], scores[row]))
    return shared


def _found(pool: Pool) -> list[int]:
    """Rows of candidates that share something with the question: a place among the vectors, or a word."""
    has_word = (pool.in_text + pool.in_before + pool.in_names).any(axis=1)
    rows: list[int] = np.flatnonzero(~np.isnan(pool.cosines) | has_word).tolist()
    return rows


def _signals(candidate: Candidate, values: Mapping[str, float]) -> Mapping[str, float]:
    """What speaks for a candidate, its cosine as it was found first."""
    cosine = {} if candidate.cosine is None else {"cosine": candidate.cosine}
    return cosine | {name: value for name, value in values.items() if value}

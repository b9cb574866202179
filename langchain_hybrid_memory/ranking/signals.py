"""The signals of ranking: what speaks for a candidate, each in [0, 1], over the candidates of one question.

Every function takes the pool and returns one number a candidate, in its order. What each is worth is measured by
`make bench-recall` with `--without`; see `RankingWeights` for how they are put together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from itertools import islice

import numpy as np

from langchain_hybrid_memory.keywords import index_terms
from langchain_hybrid_memory.questions import QUESTION_MARKS
from langchain_hybrid_memory.ranking.cues import (
    is_preference,
    is_standing_instruction,
    tells_number,
    tells_when,
)
from langchain_hybrid_memory.ranking.dates import nearness
from langchain_hybrid_memory.ranking.pool import Pool, Values, to_best

WORDY_CHARACTERS = 300
"""A message of this length has said something."""
SPOKEN_CHARACTERS = 150
"""What one says at a time in a conversation."""
PASSAGE_REACH = 3
PASSAGE_DECAY = 0.8
THREAD_HITS = 3
INSTRUCTIONS = 2
NEARER_HALF = 0.5
LEAST_IMPORTANT, MOST_IMPORTANT = 1, 3

Signal = Callable[[Pool], Values]


def dense(pool: Pool) -> Values:
    """Nearness in meaning.

    Cosines are stretched over the candidates, so that models whose cosines sit in a narrow band are comparable (min-max
    fusion: Bruch, Gai and Ingber, "An Analysis of Fusion Functions for Hybrid Retrieval", ACM TOIS 2023).
    """
    return pool.nearness


def keyword(pool: Pool) -> Values:
    """BM25 of the text alone (Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009).

    How rare a term is, is counted over the candidates. The names of speakers are left out: in a dialogue they stand in
    what the other one says, and `speaker` knows better.
    """
    return pool.shared_words


def coverage(pool: Pool) -> Values:
    """The share of the question's weighted terms in a text, its speaker's name and the text before it."""
    return pool.covered


def answer(pool: Pool) -> Values:
    """BM25 of the text before, where that asks something: the words of a question find the answer that follows it.

    Where nothing is asked the neighbor's words mislead, so they do not count.
    """
    sizes = pool.mark(map(len, pool.befores))
    follows_question = pool.mark(any(mark in text for mark in QUESTION_MARKS) for text in pool.befores)
    return pool.bm25(pool.in_before, sizes) * follows_question


def following(pool: Pool) -> Values:
    """The `keyword` score of the message after this one, if it was found too: what was taken up is what mattered."""
    return np.append(pool.shared_words, 0.0)[pool.beside(1)[:, 0]]


def passage(pool: Pool) -> Values:
    """The share of the question's terms, weighted by rarity, that a message and the six around it hold together.

    A term counts less the further off it stands, and less in a long message: that holds a bit of everything.
    """
    held = (pool.in_text > 0) * np.minimum(SPOKEN_CHARACTERS / np.maximum(pool.sizes, 1), 1)[:, None]
    steps = np.arange(-PASSAGE_REACH, PASSAGE_REACH + 1)
    around = np.vstack([held, np.zeros(held.shape[1])])[pool.beside(*steps)]  # the last row is of what was not found
    together = np.maximum(held, (PASSAGE_DECAY ** np.abs(steps)[:, None] * around).max(axis=1))
    return np.asarray(together @ pool.rarity / max(pool.rarity.sum(), 1e-9), dtype=np.float64)


def thread(pool: Pool) -> Values:
    """How good the three best messages of the same thread are, the best thread at 1: hits flock together.

    It counts by the share of messages that have company: where each stands in a thread of its own, as notes do, a
    thread says nothing that its message did not.
    """
    members: dict[str, list[float]] = defaultdict(list)
    scores = (pool.nearness + pool.shared_words).tolist()
    for name, score, is_fact in zip(pool.threads, scores, pool.is_fact.tolist(), strict=True):
        if not is_fact:  # it would count its message twice
            members[name].append(score)
    strength = {name: sum(sorted(scores)[-THREAD_HITS:]) for name, scores in members.items()}
    company = 1 - len(members) / max(sum(map(len, members.values())), 1)
    return company * to_best(pool.mark(strength.get(name, 0.0) for name in pool.threads))


def speaker(pool: Pool) -> Values:
    """Whether the question names who said it, or whom a fact is about; only where it singles some out of several."""
    names = {each.speaker for each in pool.candidates if each.speaker}
    named = {name for name in names if not pool.question.terms.keys().isdisjoint(index_terms(name))}
    is_telling = 0 < len(named) < len(names)
    return pool.mark(is_telling and each.speaker in named for each in pool.candidates)


def date(pool: Pool) -> Values:
    """Whether it was said at a time the question names, or half as much shortly afterwards."""
    if not pool.question.periods:
        return np.zeros(len(pool))
    near = {day: nearness(pool.question.periods, day) for day in {each.at.date() for each in pool.candidates}}
    return pool.mark(near[each.at.date()] for each in pool.candidates)


def role(pool: Pool) -> Values:
    """Whether it was said by the user; or by the assistant, where that is what the question is about."""
    return np.asarray(pool.is_users != pool.question.asks_assistant, dtype=np.float64)


def length(pool: Pool) -> Values:
    """How much was said at all: "Thanks!" answers nothing."""
    return np.asarray(np.minimum(np.log1p(pool.sizes) / np.log1p(WORDY_CHARACTERS), 1.0), dtype=np.float64)


def kind(pool: Pool) -> Values:
    """Whether a text has what the question asks for: a time for "when", a number for "how many"."""
    tells = [tells_when] * pool.question.asks_when + [tells_number] * pool.question.asks_number
    return pool.mark(any(has(text) for has in tells) for text in pool.texts) if tells else np.zeros(len(pool))


def instruction(pool: Pool) -> Values:
    """How near in meaning a standing instruction of the user is: it has to come up unasked.

    Only if at most one is nearer, and it lies in the nearer half of the span of all that was found. Others are about
    something else, as a rule, and would take the room of what was asked.
    """
    rows = np.flatnonzero(pool.is_users & (pool.nearness >= NEARER_HALF))
    nearest_first = rows[np.argsort(-pool.nearness[rows], kind="stable")].tolist()
    given = [*islice((row for row in nearest_first if is_standing_instruction(pool.texts[row])), INSTRUCTIONS)]
    near = np.zeros(len(pool))
    near[given] = pool.nearness[given]
    return near


def preference(pool: Pool) -> Values:
    """How near in meaning something the user prefers is, where advice is asked."""
    if not pool.question.asks_advice:
        return np.zeros(len(pool))
    return pool.nearness * _of_users(pool, is_preference)


def _of_users(pool: Pool, shows: Callable[[str], bool]) -> Values:
    """Which candidates are the user's words and show something."""
    return pool.mark(
        is_users and shows(text) for is_users, text in zip(pool.is_users.tolist(), pool.texts, strict=True)
    )


def recency(pool: Pool) -> Values:
    """How late among the candidates it was said, where the question is about the present; never for the past."""
    if not pool.question.asks_present or pool.question.asks_past:
        return np.zeros(len(pool))
    times = pool.mark(each.at.timestamp() for each in pool.candidates)
    return pool.mark((times - times.min()) / max(np.ptp(times), 1.0))


def fact(pool: Pool) -> Values:
    """How well the best fact from the same thread fits, by meaning and word, that of the best thread at 1.

    It counts by the share of messages that facts rest on: where few were drawn, a thread without one may be as good.
    What a fact says for the very message that it rests on is in `Pool.nearness` and `Pool.in_text`.
    """
    if not pool.is_fact.any():
        return np.zeros(len(pool))
    best: dict[str, float] = defaultdict(float)
    for each, fits in zip(pool.candidates, (pool.nearness + pool.shared_words).tolist(), strict=True):
        if each.is_fact:
            best[each.thread] = max(best[each.thread], fits)
    told = len(pool.resting) / max(int((~pool.is_fact).sum()), 1)
    return told * to_best(pool.mark(best[each.thread] for each in pool.candidates))


def importance(pool: Pool) -> Values:
    """How much a fact matters to the person."""
    span = MOST_IMPORTANT - LEAST_IMPORTANT
    return pool.mark(
        (each.value["importance"] - LEAST_IMPORTANT) / span if each.is_fact else 0.0 for each in pool.candidates
    )


SIGNALS: Mapping[str, Signal] = {
    signal.__name__: signal
    for signal in (
        dense,
        keyword,
        coverage,
        answer,
        following,
        passage,
        thread,
        speaker,
        date,
        role,
        length,
        kind,
        instruction,
        preference,
        recency,
        fact,
        importance,
    )
}

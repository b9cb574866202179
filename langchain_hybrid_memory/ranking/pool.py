"""Computes once, over the candidates of a question, what several signals share."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from langchain_hybrid_memory.keywords import TermCounter
from langchain_hybrid_memory.ranking.candidates import Candidate
from langchain_hybrid_memory.ranking.question import Question

Values: TypeAlias = NDArray[np.float64]
"""One number a candidate, or one a candidate and term."""

SATURATION = 0.8
LENGTH_SHARE = 0.4
"""BM25's k1 and b: a second mention adds little, and a long text is held against a candidate less than is usual."""
FACT_PULL = 0.4
"""How much of what makes a fact nearer than others its messages share."""
THREAD_PLACES = 2**31
"""No thread has so many messages."""


class Pool:
    """The candidates of one question, with what several signals share computed once."""

    def __init__(self, question: Question, candidates: Sequence[Candidate]) -> None:
        """Put a question beside its candidates, of which there must be at least one."""
        self.question = question
        self.candidates = candidates
        self._counter = TermCounter(question.terms)
        self._counted = np.empty((0, len(question.terms)))
        self._rows: dict[str, int] = {}

    def __len__(self) -> int:
        """How many candidates there are."""
        return len(self.candidates)

    def mark(self, values: Iterable[float]) -> Values:
        """Values given in the order of the candidates, as an array."""
        return np.fromiter(values, dtype=np.float64, count=len(self))

    @cached_property
    def texts(self) -> list[str]:
        """The text of each candidate."""
        return [each.text for each in self.candidates]

    @cached_property
    def befores(self) -> list[str]:
        """What stands before each text."""
        return [each.before for each in self.candidates]

    @cached_property
    def threads(self) -> list[str]:
        """Where each was said."""
        return [each.thread for each in self.candidates]

    @cached_property
    def sizes(self) -> Values:
        """The length of each text, in characters."""
        return self.mark(map(len, self.texts))

    @cached_property
    def is_users(self) -> NDArray[np.bool_]:
        """Which candidates are the user's words."""
        return np.array([each.is_users for each in self.candidates])

    @cached_property
    def is_fact(self) -> NDArray[np.bool_]:
        """Which candidates are facts."""
        return np.array([each.is_fact for each in self.candidates])

    @cached_property
    def cosines(self) -> Values:
        """As the store found them; NaN for what is not embedded yet."""
        return self.mark(np.nan if each.cosine is None else each.cosine for each in self.candidates)

    @cached_property
    def nearness(self) -> Values:
        """Cosines, stretched to [0, 1] over the facts and over the messages; what is not embedded yet is in the middle.

        Apart, because a sentence made to stand alone is nearer to any question than a message.
        """
        cosines = self._drawn_up()
        for among in (self.is_fact, ~self.is_fact):
            known = cosines[among & ~np.isnan(cosines)]
            if len(known):
                low, span = known.min(), np.ptp(known)
                cosines[among] = (cosines[among] - low) / span if span else cosines[among] * 0 + 1
        return np.nan_to_num(cosines, nan=0.5)

    def _drawn_up(self) -> Values:
        """Cosines, a message's raised where a fact that rests on it is nearer than facts are on average.

        What a fact is nearer is counted in the spread of facts, and added in that of messages. A message that no fact
        rests on does not lose by it.
        """
        is_known = ~np.isnan(self.cosines)
        facts, messages = self.cosines[self.is_fact & is_known], self.cosines[~self.is_fact & is_known]
        if not len(messages) or not len(facts) or not facts.std():
            return self.cosines.copy()
        nearer = (self.cosines - facts.mean()) * messages.std() / facts.std()
        return self.cosines + FACT_PULL * np.maximum(self._of_best_fact(nearer), 0)

    def _of_best_fact(self, values: Values) -> Values:
        """For each message the highest value of the facts that rest on it; minus infinity where none does."""
        best = np.full_like(values, -np.inf)
        for message, facts in self.resting.items():
            best[message] = values[facts].max(axis=0)
        return best

    @cached_property
    def resting(self) -> dict[int, list[int]]:
        """Rows of the facts that rest on a message, by its row; only of messages that have any."""
        facts: dict[int, list[int]] = defaultdict(list)
        if self.is_fact.any():
            rows = {
                (each.thread, each.value["id"]): row for row, each in enumerate(self.candidates) if not each.is_fact
            }
            for row in np.flatnonzero(self.is_fact).tolist():
                each = self.candidates[row]
                for name in each.messages:
                    if (each.thread, name) in rows:
                        facts[rows[each.thread, name]].append(row)
        return facts

    @cached_property
    def in_text(self) -> Values:
        """How often each term of the question occurs in each text; in a message at least as often as in its facts."""
        counts = self._counts(self.texts)
        return np.maximum(counts, self._of_best_fact(counts))

    @cached_property
    def in_before(self) -> Values:
        """The same for what stands before each text."""
        return self._counts(self.befores)

    @cached_property
    def in_names(self) -> Values:
        """The same for the name of the speaker, or the entities of a fact."""
        return self._counts([each.names for each in self.candidates])

    @cached_property
    def covered(self) -> Values:
        """The share of the question's weighted terms in each text, its speaker's name and what stands before it."""
        is_there = (self.in_text > 0) | (self.in_before > 0) | (self.in_names > 0)
        return np.asarray(is_there @ np.array([*self.question.terms.values()], dtype=np.float64), dtype=np.float64)

    @cached_property
    def shared_words(self) -> Values:
        """BM25 of each text alone, the best at 1."""
        return self.bm25(self.in_text, self.sizes)

    def bm25(self, counts: Values, sizes: Values) -> Values:
        """BM25 from how often each term occurs in each text, and from the texts' lengths; the best at 1."""
        norm = SATURATION * (1 - LENGTH_SHARE + LENGTH_SHARE * sizes / max(sizes.mean(), 1.0))
        return to_best((counts / (counts + norm[:, None])) @ self.rarity)

    @cached_property
    def rarity(self) -> Values:
        """The inverse document frequency of each term; 0 for names of speakers, unless there is nothing else."""
        holding = (self.in_text > 0).sum(axis=0)
        rarity: Values = np.log(1 + (len(self) - holding + 0.5) / (holding + 0.5))
        is_name = (self.in_names[~self.is_fact] > 0).any(axis=0)
        return rarity if is_name.all() else np.where(is_name, 0.0, rarity)

    def _counts(self, texts: Sequence[str]) -> Values:
        """Counts of the terms; a text is looked at once, though it is one message and stands before the next."""
        new = [text for text in dict.fromkeys(texts) if text not in self._rows]
        self._counted = np.vstack([self._counted, self._counter.count(new)])
        self._rows |= {text: row for row, text in enumerate(new, len(self._rows))}
        return self._counted[[self._rows[text] for text in texts]]

    def beside(self, *steps: int) -> NDArray[np.intp]:
        """For each candidate the rows of the messages so many places behind it in its thread; -1 for one not found."""
        spots, order, ordered = self._spots
        sought = spots[:, None] + np.array(steps)
        nearest = order[np.searchsorted(ordered, sought, side="right") - 1]
        return np.where(spots[nearest] == sought, nearest, -1)

    @cached_property
    def _spots(self) -> tuple[Values, NDArray[np.intp], Values]:
        """A number a message, one apart for neighbors, NaN for a fact; the order of these; and these in order."""
        starts = {name: number * THREAD_PLACES for number, name in enumerate(dict.fromkeys(self.threads))}
        positions = (each.position for each in self.candidates)
        spots = self.mark(
            np.nan if position is None else starts[name] + position
            for name, position in zip(self.threads, positions, strict=True)
        )
        order = np.argsort(spots, kind="stable")
        return spots, order, spots[order]


def to_best(scores: Values) -> Values:
    """Scores as shares of the best one."""
    best = scores.max()
    return scores / best if best > 0 else np.zeros_like(scores)

"""Turns text into the terms that keyword search compares, the same for items and queries."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from numpy.typing import NDArray

QUERY_CHARACTERS: Final = 10_000
QUERY_TERMS: Final = 32
LONG_TERM: Final = 8
SHORTEST_STEM: Final = 3

# Thai, Lao, Burmese, Khmer, kana, Han and Hangul: scripts that write no (or few) spaces between words
UNSPACED: Final = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uac00-\ud7a3\uf900-\ufaff\U00020000-\U0003ffff"
)
# vowel signs and points that belong to the letter before them, though `\w` does not know
MARKS: Final = "\u0591-\u05bd\u05bf-\u05c7\u064b-\u065f\u0670\u0900-\u0963\u0966-\u0dff"
RUN: Final = re.compile(rf"[{UNSPACED}]+|(?:(?![{UNSPACED}])[^\W_]|[{MARKS}])+")
ACCENTS: Final = re.compile("[\u0300-\u036f]+")
POSSESSIVE: Final = re.compile(r"['\u2019]s\b")
FIRST_UNSPACED: Final = re.compile(f"[{UNSPACED}]")
LETTER: Final = re.compile(rf"(?![{UNSPACED}])[^\W_]|[{MARKS}]")
"""What a word of a spaced script is made of, one character."""
WORD: Final = re.compile(rf"[0-9a-z]++(?![^\x00-\x7f])|(?:{LETTER.pattern})+")
"""A whole folded word of one, those of plain letters first because they are quicker to see."""

ENGLISH: Final = (
    "a about after again all also am an and any are as at be because been before being but by can could d did do does "
    "doing don down during each ever few for from further get had has have having he her here hers him his how i if in "
    "into is it its just ll m may me might more most much my no nor not now of off on once only or other our out over "
    "own re s same she should so some such t than that the their them then there these they this those through to too "
    "under until up us ve very was we were what when where which while who whom whose why will with would you your"
)
STOP_WORDS: Final = frozenset(ENGLISH.split())


def index_terms(text: str) -> list[str]:
    """The terms an item can be found by, in order and with repetitions.

    Text is folded (NFKC, case, accents), English words lose their inflection, and runs of a script without spaces
    become overlapping pairs of characters as well as single characters.
    """
    terms: list[str] = []
    for run in RUN.findall(fold(text)):
        if FIRST_UNSPACED.match(run):
            terms += _pairs(run)
            terms += run if len(run) > 1 else ""
        else:
            terms.append(stem(run))
    return terms


def query_weights(query: str) -> dict[str, float]:
    """The terms of a query with their shares, which sum to 1; empty when the query has no word in it.

    A term's prior is fixed: its length up to 8 characters, because longer words are rarer, 8 for a number or a pair of
    characters; stop words count only when there is nothing else. At most 32 terms are kept, the heaviest first, of the
    first 10,000 characters.
    """
    priors: dict[str, int] = {}
    fallback: dict[str, int] = {}
    for run in RUN.findall(fold(query[:QUERY_CHARACTERS])):
        if FIRST_UNSPACED.match(run):
            priors.update(dict.fromkeys(_pairs(run), LONG_TERM))
        elif run in STOP_WORDS:
            fallback[stem(run)] = 1
        else:
            priors[stem(run)] = LONG_TERM if run.isdigit() else min(len(run), LONG_TERM)
    chosen = sorted((priors or fallback).items(), key=lambda pair: -pair[1])[:QUERY_TERMS]
    total = sum(prior for _, prior in chosen)
    return {term: prior / total for term, prior in chosen}


def coverage(weights: Mapping[str, float], terms: Collection[str]) -> float:
    """The share of a query's weighted terms that are among an item's terms, in [0, 1]."""
    return as_coverage(sum(weight for term, weight in weights.items() if term in terms))


def as_coverage(share: float) -> float:
    """A sum of shares without what rounding adds to it, in [0, 1]."""
    return min(1.0, round(share, 6))


class TermCounter:
    """Counts a query's terms in many texts, as `index_terms` would, without taking each text apart."""

    def __init__(self, terms: Iterable[str]) -> None:
        """Prepare for some terms, such as the keys of `query_weights`."""
        self.terms = tuple(terms)
        self._places = {term: place for place, term in enumerate(self.terms)}
        self._pairs = [(place, term) for term, place in self._places.items() if FIRST_UNSPACED.match(term)]
        words = [term for term in self.terms if not FIRST_UNSPACED.match(term)]
        # a stem may end otherwise than its words do: `citi` for city, `use` for using
        self._roots = {word[:-1] if len(word) > 1 and word[-1] in "ei" else word for word in words}

    def count(self, texts: Iterable[str]) -> NDArray[np.float64]:
        """How often each term occurs in each text: a row a text, a column a term; of overlapping pairs one counts."""
        folded = [text.lower() if text.isascii() else fold(text) for text in texts]
        counts = np.zeros((len(folded), len(self.terms)))
        for place, pair in self._pairs:
            counts[:, place] = [text.count(pair) for text in folded]
        mentions = np.array([*self._mentions("\n".join(folded))], dtype=np.intp).reshape(-1, 2)
        ends = np.cumsum([len(text) + 1 for text in folded])
        np.add.at(counts, (np.searchsorted(ends, mentions[:, 0], side="right"), mentions[:, 1]), 1)
        return counts

    def _mentions(self, text: str) -> Iterator[tuple[int, int]]:
        """Where in a folded text a word begins that is one of the terms, and which."""
        seen: set[int] = set()
        for root in self._roots:
            start = text.find(root)
            while start >= 0:
                # the roots of two terms may begin the same word
                if start not in seen and (start == 0 or text[start - 1] == " " or not LETTER.match(text, start - 1)):
                    seen.add(start)
                    word = WORD.match(text, start)
                    place = self._places.get(stem(word.group()), -1) if word else -1
                    if place >= 0:
                        yield start, place
                start = text.find(root, start + 1)


def is_unspaced(text: str) -> bool:
    """Whether a text holds characters of a script that writes no spaces between words."""
    return not text.isascii() and FIRST_UNSPACED.search(text) is not None


def matching(term: str) -> str:
    """The FTS5 expression for items with a term, which is quoted, so that none is syntax."""
    return f'"{term}"'


@lru_cache(maxsize=65_536)
def stem(word: str) -> str:
    """Cut plural, past, -ing, a final e; y becomes i: enough to meet `hiked` with `hiking` and `city` with `cities`.

    Words that are not plain ASCII letters stay as they are.
    """
    if not (word.isascii() and word.isalpha()) or len(word) <= SHORTEST_STEM:
        return word
    word = _without_ending(_without_plural(word))
    if word.endswith("e") and len(word) > SHORTEST_STEM:
        word = word[:-1]
    return f"{word[:-1]}i" if word.endswith("y") else word


def _without_plural(word: str) -> str:
    if word.endswith(("sses", "xes", "ches", "shes")):
        return word[:-2]
    if word.endswith("ies"):
        return f"{word[:-3]}y"
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def _without_ending(word: str) -> str:
    for ending in ("ing", "ed"):
        root = word.removesuffix(ending)
        if root != word and any(vowel in root for vowel in "aeiouy"):
            if len(root) < SHORTEST_STEM:
                return f"{root}e"
            doubled = root[-1] == root[-2] and root[-1] not in "aeiouylsz"
            return root[:-1] if doubled else root
    return word


def _pairs(run: str) -> list[str]:
    return [run[index : index + 2] for index in range(len(run) - 1)] or [run]


def fold(text: str) -> str:
    """Write a text so that spellings of a word meet: no case, accents, compatibility forms or possessive endings."""
    if not text.isascii():
        text = unicodedata.normalize("NFD", unicodedata.normalize("NFKC", text).casefold())
        text = unicodedata.normalize("NFC", ACCENTS.sub("", text))
    return POSSESSIVE.sub("", text.lower())

"""Tells what a text really asserts from what it denies, supposes, means as a joke or only quotes.

Word lists, mostly English: what they do not know is left to the model, which is asked for the same.
"""

from __future__ import annotations

import re
from itertools import takewhile
from typing import NamedTuple

from langchain_hybrid_memory.questions import CLAUSE_END, WHITE_SPACE

WORDS = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)?")
DENIALS = frozenset(
    WORDS.findall(
        """not no never none nothing nobody neither nor without cannot cant dont doesnt didnt isnt arent wasnt werent
        wont havent hasnt hadnt wouldnt couldnt shouldnt
        nicht kein keine keinen nie pas jamais nunca jam\u00e1s non n\u00e3o nao mai \u043d\u0435 \u043d\u0435\u0442"""
    )
)
AVERSIONS = frozenset(
    WORDS.findall("hate hates hated dislike dislikes disliked avoid avoids avoided stopped quit cancelled canceled")
)
CJK_DENIALS = re.compile("[\u4e0d\u6ca1\u6c92\u5225]|\u306a\u3044|\u307e\u305b\u3093")
CONTRASTS = frozenset(
    WORDS.findall(
        """used formerly former left ex gave given ended done finished instead anymore prefer prefers preferred rather
        than over stop stops lack lacks lacking refuse refuses against allergic unable fails failed free"""
    )
)
"""Words by which a fact may say that something is over, or comes second, without denying it."""
LIGHT = frozenset(
    WORDS.findall(
        """a an the to be been being is are was were am do does did have has had having i we you he she they it my our
        your his her their going gonna really very any much ever even so quite longer more that this of at in on for
        with by from and or"""
    )
)
"""Words that do not say what is denied."""
SUPPOSING = frozenset(
    WORDS.findall("if suppose supposing imagine pretend assuming hypothetically unless wenn falls si als")
)
HEDGES = SUPPOSING | {"would", "might", "may", "could", "consider", "considers", "considering", "thinking", "whether"}
JOKE = re.compile(
    r"^\W*(?:(?:just|only|i'm|i am|we're|was)\s+)*(?:kidding|joking|jk|lol jk|just a joke)\b", re.IGNORECASE
)
FIRST_PERSON = re.compile(r"\b(?:i|i'm|i've|i'll|my|me|we|our)\b", re.IGNORECASE)
QUOTED = re.compile(
    '"([^"\n]+)"|\u201c([^\u201d\n]+)\u201d|\u00ab([^\u00bb\n]+)\u00bb|\u201e([^\u201c\u201d\n]+)[\u201c\u201d]'
)
PASTED = re.compile(r"```.*?(?:```|\Z)|^[ \t]*>[^\n]*", re.DOTALL | re.MULTILINE)
"""Code and the quotations of an e-mail."""
CONJUNCTION = re.compile(r"\b(?:but|because|that|which|who|since|and|so|while|although)\b", re.IGNORECASE)
REACH = 3
"""A negation counts for a quote when it stands in its clause, at most this many words before it."""
STEM = 3
"""Two words are one when at least this many first letters, and all but the last three of the shorter, are the same."""


class _Place(NamedTuple):
    """A quote in its text, white space and case folded."""

    before: str
    """The clause up to the quote."""
    quote: str
    after: str
    """Everything behind the quote."""


def is_denial(text: str) -> bool:
    """Whether a sentence denies what it names: an odd number of negations; twice no is yes."""
    negations = sum(_is_denial(word) or word in AVERSIONS for word in _words(text)) + len(CJK_DENIALS.findall(text))
    return negations % 2 == 1


def without_denials(text: str) -> str:
    """What a text names, whether it denies it or not, folded to its words."""
    return " ".join(word for word in _words(CJK_DENIALS.sub("", text)) if not (_is_denial(word) or word in AVERSIONS))


def objection(quote: str, text: str, fact: str) -> str | None:
    """Why the words quoted from a text do not assert a fact, if they do not.

    Args:
        quote: Occurs in `text`, white space and case apart.
        text: The whole message.
        fact: What is said to follow from it.
    """
    place = _place(quote, text)
    if JOKE.match(place.after.lstrip(" .!?,;:)-")) or JOKE.match(place.quote):
        return "a joke"
    said = set(_words(fact))
    if not said & HEDGES and _is_supposed(place):
        return "a supposition"
    if not is_denial(fact) and not said & CONTRASTS and _is_denied(place, said):
        return "a negation was lost"
    return None


def is_someone_elses(quote: str, text: str) -> bool:
    """Whether a quote stands in a quotation, where somebody speaks of themselves: "I" is then not the user."""
    return any(FIRST_PERSON.search(words) for words in _quotations(quote, text))


def is_passed_on(quote: str, text: str) -> bool:
    """Whether a quote stands in a quotation: in quotation marks, in code, or behind the `>` of an e-mail."""
    return bool(_quotations(quote, text))


def _quotations(quote: str, text: str) -> list[str]:
    """The quotations in a text, folded, that hold a quote; a text that is one as a whole holds none."""
    flat, wanted = _flat(text), _flat(quote).strip('" .')
    found = [*QUOTED.findall(flat), *([_flat(passage)] for passage in PASTED.findall(text))]
    quotations = ["".join(groups) for groups in found]
    return [words for words in quotations if wanted in words and len(words) + 2 < len(flat.strip(" .!?"))]


def _place(quote: str, text: str) -> _Place:
    flat, wanted = _flat(text), _flat(quote)
    start = flat.index(wanted)
    before = flat[:start]
    cuts = [match.end() for match in CLAUSE_END.finditer(before) if match.group()]
    clause = before[max(cuts, default=0) :]
    return _Place(clause, wanted, flat[start + len(wanted) :])


def _is_supposed(place: _Place) -> bool:
    first = [*_words(place.before), *_words(place.quote)][:2]
    return bool(set(first) & SUPPOSING)


def _is_denied(place: _Place, said: set[str]) -> bool:
    """Whether a negation in the quote, or shortly before it, is about a word that the fact repeats."""
    lead = _words(CONJUNCTION.split(place.before)[-1])[-REACH:]
    words = [*lead, *_words(place.quote)]
    for index, word in enumerate(words):
        denied = next((other for other in words[index + 1 :] if other not in LIGHT), None)
        if _is_denial(word) and denied and any(_is_same_word(denied, other) for other in said):
            return True
    return False


def _is_same_word(one: str, other: str) -> bool:
    shared = len(list(takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))))
    return one == other or shared >= max(STEM, min(len(one), len(other)) - STEM)


def _is_denial(word: str) -> bool:
    return word in DENIALS or word.endswith(("n't", "n\u2019t"))


def _words(text: str) -> list[str]:
    return WORDS.findall(text.casefold())


def _flat(text: str) -> str:
    return WHITE_SPACE.sub(" ", text).strip().casefold()

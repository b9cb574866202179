"""Tells which property of its subject a fact gives, where there is one value of it at a time."""

from __future__ import annotations

import re

from langchain_hybrid_memory.prompts.extraction import MEASURED, SINGLE_VALUED
from langchain_hybrid_memory.records import StoredFact
from langchain_hybrid_memory.steps.ground import USER, WORD

FIGURE = re.compile(r"(?P<sign>[$€£¥%])?\s*\d[\d.,:/-]*\s*(?P<unit>%|[^\W\d_]+)?")
"""A number, with the sign before it or the word after it."""
UNITS = {"percent": "%", "dollar": "$", "usd": "$", "euro": "€", "eur": "€", "pound": "£", "gbp": "£"}
"""Units by what else they are called, in the singular."""
LIGHT = frozenset(
    WORD.findall(
        "the a an my our their his her user s of for in on at to by with now current latest new due date deadline"
    )
)
"""Words that do not tell one property from another."""
MONTH = re.compile(
    r"\b(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    r"|nov(?:ember)?|dec(?:ember)?)\b"
)
FEWEST = 2
"""What the user has so many of must be told by at least so many words: "5 km" may be any five."""


def property_of(fact: StoredFact) -> str | None:
    """A name that facts share if they give the same property of the same subject; `None` where many values can hold.

    A figure is a property of what is measured, and its unit: a response time in ms. Of the user it is one of what the
    value names beside the number, "pages of Dune" in "20 pages of Dune", which is the same as pages of the subject
    Dune. All words must agree, in whatever order: that two facts are alike is no reason for one to end the other.
    """
    subject, attribute = fact["subject"], fact["attribute"]
    if attribute in SINGLE_VALUED:
        return f"{subject} {attribute}"
    if attribute not in MEASURED:
        return None
    value = fact["value"].casefold()
    figure = FIGURE.search(value)
    if figure is None:
        return None
    if subject == USER:
        words = _words(MONTH.sub(" ", FIGURE.sub(r" \g<sign> \g<unit> ", value)))
        return _named(attribute, words) if len(words) >= FEWEST else None
    words = _words(subject)
    unit = {_unit(figure["sign"] or figure["unit"] or "")} if attribute == "figure" else set()
    return _named(attribute, words | unit) if words else None


def _named(attribute: str, words: set[str]) -> str:
    return " ".join([*sorted(words - {""}), attribute])


def _words(text: str) -> set[str]:
    found = (_unit(word) for word in re.findall(r"[$€£¥%]|\w+", text))
    return {word for word in found if word not in LIGHT}


def _unit(word: str) -> str:
    """A word in the singular, a unit as its sign."""
    singular = word.removesuffix("s") if len(word) > len("ms") else word
    return UNITS.get(singular, singular)

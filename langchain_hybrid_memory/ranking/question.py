"""Reads out of a question what ranking needs to know about it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from langchain_hybrid_memory.keywords import query_weights
from langchain_hybrid_memory.questions import is_only_asking
from langchain_hybrid_memory.ranking.cues import (
    ADVICE,
    ASKS_NUMBER,
    ASKS_WHEN,
    ASSISTANT_SAID,
    LEANS,
    PAST,
    PRESENT,
    shows,
)
from langchain_hybrid_memory.ranking.dates import Period, named_periods

EARLIER_MESSAGES = 2
EARLIER_CHARACTERS = 300
FULL_CHARACTERS = 160
"""A statement of this length says itself what it is about."""
FEWEST_TERMS = 2
"""A question with fewer content words asks about something said before."""
NAME = re.compile(r"(?<=[^.!?\s] )[A-Z]\w+|\d")
"""A name or a number inside a sentence: what a pronoun beside it may mean."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, read once for a whole ranking."""

    terms: Mapping[str, float]
    """Its terms, each with a fixed share of its weight; see `query_weights`."""
    periods: Sequence[Period]
    """The times it names."""
    asks_assistant: bool
    """Whether it is about what the assistant said."""
    asks_advice: bool
    asks_past: bool
    asks_present: bool
    asks_when: bool
    asks_number: bool


def read_question(text: str, *, searched: str, now: datetime) -> Question:
    """Read a question.

    Args:
        text: What is asked.
        searched: The same as it was searched for, see `in_context`; its words count, the rest is read from `text`.
        now: What "yesterday" is relative to.
    """
    return Question(
        terms=query_weights(searched),
        periods=named_periods(text, today=now.date()),
        asks_assistant=shows(ASSISTANT_SAID, text),
        asks_advice=shows(ADVICE, text),
        asks_past=shows(PAST, text),
        asks_present=shows(PRESENT, text),
        asks_when=shows(ASKS_WHEN, text),
        asks_number=shows(ASKS_NUMBER, text),
    )


def in_context(text: str, earlier: Sequence[str]) -> str:
    """A question with the last exchange put before it, where it leans on that ("and her job?").

    It does when it is hardly a question of its own, or refers to something that it does not name. A question that
    stands alone is searched for as it is, because an earlier topic would lead it astray.

    Args:
        text: What is asked.
        earlier: What was said before, oldest first.
    """
    recent = [said.strip()[:EARLIER_CHARACTERS] for said in earlier[-EARLIER_MESSAGES:] if said.strip()]
    return "\n".join([*recent, text]) if recent and text.strip() and leans(text) else text


def leans(text: str) -> bool:
    """Whether a text can be understood only after what was said before it."""
    if not is_only_asking(text):
        return len(text) < FULL_CHARACTERS
    names_something = NAME.search(text) is not None
    return len(query_weights(text)) < FEWEST_TERMS or (shows(LEANS, text) and not names_something)

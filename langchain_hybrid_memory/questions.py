"""Tells questions from statements, in scripts that mark them."""

from __future__ import annotations

import re

QUESTION_MARKS = frozenset("?\uff1f\u061f")
"""Western, East Asian and Arabic."""
CLAUSE_END = re.compile(r"[.,;:!?\n\u3002\uff0c\uff01\uff1f\u061f]|$")
SENTENCE_END = re.compile(r"([.!?\n\u3002\uff01\uff1f\u061f])")
WORD = re.compile(r"\w")
WORDS = re.compile(r"\w+")
SHORT = 16
"""Words; a longer question is rarely without something that it takes for granted."""
TELLING = re.compile(r"^\W*(?:(?:ok|okay|hi|hey|so|well|and|but|now)\W+)*(?:i|we|my|our)\b[^,;:]*[,;:]", re.IGNORECASE)
"""A sentence whose first clause is about the speaker, and is not the whole of it."""
TAKEN_FOR_GRANTED = re.compile(r"(?:my|our|his|her|their)\b", re.IGNORECASE)
"""What is asked about is not asked: "is my score of 72% good?"."""
WHITE_SPACE = re.compile(r"\s+")


def is_only_asking(text: str) -> bool:
    """Whether a text is short and every sentence of it a question, from its first clause on.

    "I moved to Porto, where is good bread?" also tells something, and so does what a long question takes for granted.
    """
    if len(WORDS.findall(text)) > SHORT:
        return False
    pieces = [*SENTENCE_END.split(text), ""]
    ends = [(said, end) for said, end in zip(pieces[::2], pieces[1::2], strict=True) if WORD.search(said)]
    return bool(ends) and all(end in QUESTION_MARKS and not TELLING.search(said) for said, end in ends)


def is_asked(quote: str, text: str) -> bool:
    """Whether the clause of a text that a quote in it ends in is a question; white space and case do not count.

    What the question is about, "my score of 72%", is taken for granted and not asked.
    """
    flat, wanted = WHITE_SPACE.sub(" ", text).casefold(), WHITE_SPACE.sub(" ", quote).strip().casefold()
    if wanted[-1] in QUESTION_MARKS:
        return True
    if TAKEN_FOR_GRANTED.match(wanted):
        return False
    end = CLAUSE_END.search(flat[flat.index(wanted) + len(wanted) :])
    return wanted[-1].isalnum() and end is not None and end.group() in QUESTION_MARKS

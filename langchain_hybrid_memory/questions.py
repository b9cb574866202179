"""Tells questions from statements, in scripts that mark them."""

from __future__ import annotations

import re

QUESTION_MARKS = frozenset("?\uff1f\u061f")
"""Western, East Asian and Arabic."""
CLAUSE_END = re.compile(r"[.,;:!?\n\u3002\uff0c\uff01\uff1f\u061f]|$")
SENTENCE_END = re.compile(r"([.!?\n\u3002\uff01\uff1f\u061f])")
WORD = re.compile(r"\w")
WHITE_SPACE = re.compile(r"\s+")


def is_only_asking(text: str) -> bool:
    """Whether every sentence of a text is a question."""
    pieces = [*SENTENCE_END.split(text), ""]
    ends = [end for sentence, end in zip(pieces[::2], pieces[1::2], strict=True) if WORD.search(sentence)]
    return bool(ends) and all(end in QUESTION_MARKS for end in ends)


def is_asked(quote: str, text: str) -> bool:
    """Whether the clause of a text that a quote in it ends in is a question; white space and case do not count."""
    flat, wanted = WHITE_SPACE.sub(" ", text).casefold(), WHITE_SPACE.sub(" ", quote).strip().casefold()
    if wanted[-1] in QUESTION_MARKS:
        return True
    end = CLAUSE_END.search(flat[flat.index(wanted) + len(wanted) :])
    return wanted[-1].isalnum() and end is not None and end.group() in QUESTION_MARKS

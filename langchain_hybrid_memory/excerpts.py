"""Takes out of a long text what fits a question."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from langchain_hybrid_memory.budget import TokenCounter, cut_text
from langchain_hybrid_memory.keywords import TermCounter

SENTENCE_END = re.compile(r"(?<=[.!?])\s+|(?<=[\u3002\uff01\uff1f])")
"""A space behind a full stop, or a full-width one."""
GAP = "…"


def excerpt(text: str, sought: Mapping[str, float], *, tokens: int, count: TokenCounter) -> str:
    """The sentences of a text that hold most of what is sought, in their order, with an ellipsis for what is left out.

    A sentence is taken for the weighted terms that none before it held, and a little for the others; of equal ones the
    earlier goes first. Where nothing is sought, or the best sentence is too long, the beginning is taken.

    Args:
        text: One line.
        sought: The terms of a question with their weights, see `query_weights`.
        tokens: At most this many.
        count: Counts the tokens of a text.
    """
    if not sought or count(text) <= tokens:
        return cut_text(text, tokens=tokens, count=count)
    sentences = [sentence for sentence in SENTENCE_END.split(text) if sentence]
    weights = np.array([*sought.values()])
    held = TermCounter(sought).count(sentences) > 0
    chosen: list[int] = []
    best = 0
    while len(chosen) < len(sentences):
        is_new = ~held[chosen].any(axis=0)
        worth = (held & is_new) @ weights + (held @ weights) / len(sentences)
        worth[chosen] = -1
        best = int(worth.argmax())
        if count(_joined(sentences, [*chosen, best])) > tokens:
            break
        chosen.append(best)
    return _joined(sentences, chosen) if chosen else cut_text(sentences[best], tokens=tokens, count=count)


def _joined(sentences: list[str], chosen: list[int]) -> str:
    parts: list[str] = []
    following = 0
    for row in sorted(chosen):
        parts += [sentences[row]] if row == following else [GAP, sentences[row]]
        following = row + 1
    return " ".join(parts if following == len(sentences) else [*parts, GAP])

"""Words the same statement differently on every call, as a real model does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from pydantic import BaseModel

Reword: TypeAlias = Callable[[Any, int], Any]
"""Gets an answer and the number of the call it is for; returns the same answer in other words."""

LEADS = ("", "As far as is known, ", "By their own account, ", "It was mentioned that ", "It was said that ")
TAILS = ("", " (as told)", " at the time of speaking", ", so they say", ", it seems", ", reportedly", ", they said")


def reword_sentence(sentence: str, number: int) -> str:
    """Wrap a sentence in a lead and a tail; 35 consecutive numbers give 35 wordings, and every word of it stays."""
    body = sentence.rstrip(". ")
    return f"{LEADS[number % len(LEADS)]}{body}{TAILS[number % len(TAILS)]}."


def reword_fields(*names: str) -> Reword:
    """Reword the strings under these keys, however deep; quotes, ids and everything else stay as they are."""

    def reword(answer: Any, number: int) -> Any:
        if isinstance(answer, BaseModel):
            return reword(answer.model_dump(mode="json"), number)
        if isinstance(answer, Mapping):
            return {key: _reword_value(key, value, number) for key, value in answer.items()}
        if isinstance(answer, list):
            return [reword(item, number + index) for index, item in enumerate(answer)]
        return answer

    def _reword_value(key: str, value: Any, number: int) -> Any:
        if key in names and isinstance(value, str):
            return reword_sentence(value, number)
        return reword(value, number)

    return reword

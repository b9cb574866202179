"""Reads the words of a message, with a placeholder for each picture, recording or file in it."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from typing import Any

from langchain_core.messages import BaseMessage, HumanMessage

PLACEHOLDERS: Mapping[str, str] = {
    "image": "[image]",
    "image_url": "[image]",
    "input_image": "[image]",
    "audio": "[audio]",
    "input_audio": "[audio]",
    "video": "[video]",
    "file": "[file]",
    "input_file": "[file]",
    "document": "[file]",
    "text-plain": "[file]",
}
"""By the types that LangChain and providers give to blocks."""
ATTACHMENT = "[attachment]"
"""For a block of another type that a person sent; a model's are calls and thoughts, no part of what it says."""


def words_of(message: BaseMessage) -> str:
    """The text of a message, with placeholders where they stand in it; empty where nothing was said."""
    if isinstance(message.content, str):
        return message.content
    other = ATTACHMENT if isinstance(message, HumanMessage) else ""
    runs = groupby(message.content, lambda block: _placeholder(block, other))
    parts = (" ".join([name for _ in run]) if name else "".join(map(_text, run)) for name, run in runs)
    return " ".join(part for part in parts if part)


def _placeholder(block: str | dict[str, Any], other: str) -> str:
    if isinstance(block, str) or block.get("type") == "text":
        return ""
    return PLACEHOLDERS.get(str(block.get("type")), other)


def _text(block: str | dict[str, Any]) -> str:
    if isinstance(block, str):
        return block
    return str(block.get("text", "")) if block.get("type") == "text" else ""

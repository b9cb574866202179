"""Finds the texts of a value that are embedded, each under the name of its field."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from langgraph.store.base import get_text_at_path

from langchain_hybrid_memory.store._items import well_formed


def texts_at(value: Mapping[str, Any], paths: Iterable[str]) -> dict[str, str]:
    """The texts a value has at some paths, by field name; blank ones are left out.

    A path that finds several texts names them `path.0`, `path.1` and so on.
    """
    found: dict[str, str] = {}
    for path in paths:
        texts = get_text_at_path(value, path)
        for position, text in enumerate(texts):
            if text.strip():
                found[f"{path}.{position}" if len(texts) > 1 else path] = well_formed(text)
    return found


def text_of(value: Mapping[str, Any], field: str) -> str:
    """The text `texts_at` found under a field name, or nothing."""
    path = field.rpartition(".")[0]
    return texts_at(value, [field]).get(field) or texts_at(value, [path]).get(field, "")

"""What a Chroma collection says of itself that makes it unfit for use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chromadb import Collection


def names_embedding_function(collection: Collection) -> bool:
    """Whether a collection's stored configuration has an embedding function by name in it, however deep.

    Chroma's client builds what is named there at the next write, whatever was passed to it, and some of its functions
    download and run code. We never name one, so somebody else did.
    """
    known = collection.configuration_json, collection._model.serialized_schema  # noqa: SLF001 - `schema` would build it
    return _names_one(known)


def _names_one(stored: Any) -> bool:
    if isinstance(stored, list | tuple):
        return any(map(_names_one, stored))
    if not isinstance(stored, dict):
        return False
    return "name" in (stored.get("embedding_function") or {}) or any(map(_names_one, stored.values()))

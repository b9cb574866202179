"""A look behind a store's door."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_hybrid_memory.store._embedded import EmbeddedBackend

if TYPE_CHECKING:
    from langchain_hybrid_memory.store import ChromaStore


def embedded(store: ChromaStore) -> EmbeddedBackend:
    """What carries out the batches of a store that keeps a directory."""
    backend = store._backend
    assert isinstance(backend, EmbeddedBackend)
    return backend

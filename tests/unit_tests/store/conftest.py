"""A store on disk with an embedding of words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import pytest

from langchain_hybrid_memory.store import ChromaStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.doubles.embedding import WordEmbedding


class OpenStore(Protocol):
    """Opens the test's directory."""

    def __call__(self, **options: Any) -> ChromaStore: ...


@pytest.fixture
def open_store(tmp_path: Path, embedding: WordEmbedding) -> Iterator[OpenStore]:
    """Open the test's directory, embedding the field `text` unless told otherwise; closed when the test ends."""
    opened: list[ChromaStore] = []

    def open_it(**options: Any) -> ChromaStore:
        options.setdefault("index", {"embed": embedding, "dims": embedding.dimensions, "fields": ["text"]})
        opened.append(ChromaStore.open(tmp_path / "memory", **options))
        return opened[-1]

    yield open_it
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store: OpenStore) -> ChromaStore:
    """A store that embeds the field `text`."""
    return open_store()

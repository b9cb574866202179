"""Stores with an embedding of words, in a directory or with a server."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from langchain_hybrid_memory.store import ChromaStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.doubles.embedding import WordEmbedding


class OpenStore(Protocol):
    """Opens the test's directory or collection."""

    def __call__(self, **options: Any) -> ChromaStore: ...


@pytest.fixture
def keeper() -> str:
    """Where stores keep their items: `directory`, or `server`; parametrize it to test both."""
    return "directory"


@pytest.fixture
def open_store(
    request: pytest.FixtureRequest, keeper: str, tmp_path: Path, embedding: WordEmbedding
) -> Iterator[OpenStore]:
    """Open the test's directory or collection, embedding `text` unless told otherwise; closed when the test ends."""
    opened: list[ChromaStore] = []
    collection = f"test-{uuid.uuid4()}"

    def open_it(**options: Any) -> ChromaStore:
        options.setdefault("index", {"embed": embedding, "dims": embedding.dimensions, "fields": ["text"]})
        if keeper == "directory":
            opened.append(ChromaStore.open(tmp_path / "memory", **options))
        else:
            client = request.getfixturevalue("chroma_client")
            opened.append(ChromaStore(client, collection=collection, **options))
        return opened[-1]

    yield open_it
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store: OpenStore) -> ChromaStore:
    """A store that embeds the field `text`."""
    return open_store()

"""A look behind a store's door."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from langchain_hybrid_memory.store._embedded import EmbeddedBackend

if TYPE_CHECKING:
    from pathlib import Path

    from langchain_hybrid_memory.store import ChromaStore


def doubt(directory: Path) -> None:
    """Make the next opening of a closed store's directory look whether Chroma agrees, as after a crash."""
    with closing(sqlite3.connect(directory / "catalog.sqlite3")) as connection:
        connection.execute("DELETE FROM setting WHERE name = 'agreed'")
        connection.commit()


def embedded(store: ChromaStore) -> EmbeddedBackend:
    """What carries out the batches of a store that keeps a directory."""
    backend = store._backend
    assert isinstance(backend, EmbeddedBackend)
    return backend

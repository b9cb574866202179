"""Opens every store and every checkpointer the library is for, each in the spelling of the test."""

from __future__ import annotations

import sqlite3
import uuid
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.store.memory import InMemoryStore
from langgraph.store.postgres import AsyncPostgresStore, PostgresStore
from langgraph.store.sqlite import AsyncSqliteStore, SqliteStore

from langchain_hybrid_memory import ChromaStore
from langchain_hybrid_memory.hybrid_memory import KEYWORD_FIELDS, open_store
from tests.doubles.embedding import WordEmbedding
from tests.doubles.life import open_checkpointer, store_in_memory

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from chromadb.api import ClientAPI
    from langgraph.checkpoint.base import BaseCheckpointSaver
    from langgraph.store.base import BaseStore

    from tests.doubles.doors import Mode

STORES = ("memory", "memory without vectors", "sqlite", "sqlite without vectors", "chroma", "chroma server", "postgres")
CHECKPOINTERS = ("sqlite", "postgres")


def skip_what_cannot_run(store: str) -> None:
    """Skip a test, and say why, whose store this Python does not have."""
    if store == "sqlite" and not hasattr(sqlite3.Connection, "enable_load_extension"):
        pytest.skip("SqliteStore searches by meaning with an extension, and this Python's sqlite3 cannot load any")


class Backends:
    """What outlives a process: the stores in memory, the files of a directory, a database."""

    def __init__(self, mode: Mode, path: Path, postgres: str, chroma: ClientAPI) -> None:
        self._mode = mode
        self._path = path
        self._postgres = postgres
        self._chroma = chroma
        self._collection = f"c-{uuid.uuid4().hex}"
        self._embedding = WordEmbedding()
        self._in_memory: Mapping[str, BaseStore] = {
            "memory": store_in_memory(self._embedding),
            "memory without vectors": InMemoryStore(),
        }

    @asynccontextmanager
    async def store(self, kind: str) -> AsyncIterator[BaseStore]:
        """Open a store; where it was opened before, what it kept is there."""
        if kind in self._in_memory:
            yield self._in_memory[kind]
        elif kind == "chroma":
            async with open_store(self._path / "memory", embedding=self._embedding) as store:
                yield store
        elif kind == "chroma server":
            index: Any = {"embed": self._embedding, "fields": ["text"]}
            yield ChromaStore(self._chroma, index=index, keywords=KEYWORD_FIELDS, collection=self._collection)
        else:
            async with self._database(kind) as store:
                yield store

    @asynccontextmanager
    async def checkpointer(self, kind: str) -> AsyncIterator[BaseCheckpointSaver[Any]]:
        """Open a checkpointer."""
        if kind == "sqlite":
            async with open_checkpointer(self._mode, self._path / "threads.sqlite") as saver:
                yield saver
        elif self._mode == "async":
            async with AsyncPostgresSaver.from_conn_string(self._postgres) as asaver:
                await asaver.setup()
                yield asaver
        else:
            with PostgresSaver.from_conn_string(self._postgres) as saver:
                saver.setup()
                yield saver

    @asynccontextmanager
    async def _database(self, kind: str) -> AsyncIterator[BaseStore]:
        index: Any = {"embed": self._embedding, "dims": self._embedding.dimensions, "fields": ["text"]}
        if "without" in kind:
            index = None
        where = self._postgres if kind == "postgres" else str(self._path / "store.sqlite")
        if self._mode == "async":
            opened: Any = AsyncPostgresStore if kind == "postgres" else AsyncSqliteStore
            async with opened.from_conn_string(where, index=index) as astore:
                await astore.setup()
                yield astore
        else:
            opened = PostgresStore if kind == "postgres" else SqliteStore
            with opened.from_conn_string(where, index=index) as store:
                store.setup()
                yield store

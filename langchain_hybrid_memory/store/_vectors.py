"""The vector index: Chroma behind a few verbs, one collection a shard."""

from __future__ import annotations

import re
import sqlite3
import warnings
from contextlib import closing
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar, cast

import chromadb
import numpy as np
from chromadb.config import Settings

from langchain_hybrid_memory.errors import StorageError
from langchain_hybrid_memory.store._collections import names_embedding_function
from langchain_hybrid_memory.store._remains import blank_remains

if TYPE_CHECKING:
    from collections.abc import Collection as Some
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from chromadb.api.client import Client
    from chromadb.api.collection_configuration import CreateHNSWConfiguration
    from chromadb.api.models.Collection import Collection
    from chromadb.api.types import Metadata
    from numpy.typing import NDArray

COLLECTION: Final = "hybrid-memory"
SHARD: Final = re.compile(rf"{COLLECTION}(-[0-9]+)?")
DATABASE: Final = "chroma.sqlite3"
# 200 neighbors looked at: recall of the first 100 near 1 on random vectors, 2.5 ms of 10,000. One thread: with two,
# now and then an element was changed and not written to the file.
HNSW: Final[CreateHNSWConfiguration] = {"space": "cosine", "ef_search": 200, "ef_construction": 200, "num_threads": 1}
SYNC_THRESHOLD: Final = 1_000
"""Chroma's default: an index is written to its file after so many changes; until then they are in a log."""
PAD: Final = "pad"

T = TypeVar("T")


class Record(NamedTuple):
    """One embedded text of one item, as Chroma holds it."""

    id: str
    embedding: bytes
    document: str
    metadata: dict[str, str]


class VectorIndex:
    """Records by nearness of their vectors. Not thread-safe: the caller takes turns.

    Attributes:
        opened_at: The `state` in which the files were found.
    """

    def __init__(self, directory: Path) -> None:
        """Open Chroma's files in a directory; vectors are ours, so no embedding function is ever loaded."""
        self._directory = directory
        self.opened_at = self.state()
        self._collections: dict[int, Collection] = {}
        blank_remains(directory)
        self._client = _create_client(directory)

    def upsert(self, shard: int, records: Sequence[Record]) -> None:
        """Write records; ids must be distinct."""
        for some in self._chunks(records):
            metadatas: list[Metadata] = [dict(record.metadata) for record in some]
            self._collection(shard).upsert(
                ids=[record.id for record in some],
                embeddings=[_array(record.embedding) for record in some],
                documents=[record.document for record in some],
                metadatas=metadatas,
            )

    def delete(self, shard: int, ids: Iterable[str]) -> None:
        """Remove records; unknown ids are ignored.

        Chroma keeps the vector of a deleted record in its file, so it is overwritten before. The answer to a query
        waits until that is carried out; without one, Chroma would see both at once and delete only.
        """
        collection = self._collection(shard)
        for asked in self._chunks(list(ids)):
            some = collection.get(ids=list(asked), include=["embeddings"])
            held = some["embeddings"]
            if not some["ids"] or held is None:
                continue
            noise = np.random.default_rng().standard_normal((len(held), len(held[0]))).astype(np.float32)
            collection.update(ids=some["ids"], embeddings=noise, documents=[""] * len(noise))
            collection.query(query_embeddings=noise[:1], n_results=1, include=[])
            collection.delete(ids=some["ids"])

    def nearest(
        self, shard: int, embedding: bytes, *, count: int, among: Sequence[str] | None = None
    ) -> list[tuple[float, str]]:
        """Distances and ids of the nearest records, nearest first.

        Args:
            shard: Where to look.
            embedding: The query as float32.
            count: How many at most.
            among: The only ids to consider, each of which must exist; `None` considers all.
        """
        if among is not None and not among:
            return []
        found = self._collection(shard).query(
            query_embeddings=[_array(embedding)],
            ids=None if among is None else list(among),
            n_results=count,
            include=["distances"],
        )
        return list(zip((found["distances"] or [[]])[0], found["ids"][0], strict=True))

    def ids(self, shard: int) -> set[str]:
        """Every record's id."""
        return set(self._collection(shard).get(include=[])["ids"])

    def count(self, shard: int) -> int:
        """How many records there are."""
        return self._collection(shard).count()

    def state(self) -> str:
        """Tells whether Chroma's database was written to between two moments; nothing while there is none."""
        path = self._directory / DATABASE
        return f"{path.stat().st_mtime_ns} {path.stat().st_size}" if path.exists() else ""

    def keep_only(self, shards: Some[int]) -> None:
        """Drop the collections of all other shards; what somebody else keeps in the directory stays."""
        kept = {_name(shard) for shard in shards}
        for collection in self._client.list_collections():
            if SHARD.fullmatch(collection.name) and collection.name not in kept:
                self._client.delete_collection(collection.name)
        self._collections = {shard: held for shard, held in self._collections.items() if shard in shards}

    def settle(self, shards: Some[int], *, dims: int) -> None:
        """Leave nothing in Chroma's files of what was deleted or overwritten.

        An index is written to its file after `SYNC_THRESHOLD` changes, a number that Chroma looks at when it opens a
        collection. Then its log is emptied, and the pages this frees in its database are given up. What Chroma writes
        later may again hold remains of memory, until it is next closed or opened.

        Args:
            shards: Every shard.
            dims: Numbers a vector.
        """
        self._reopen(shards, sync_threshold=2)
        pad = Record(PAD, np.ones(dims, dtype=np.float32).tobytes(), "", {"field": PAD})
        for shard in shards:
            self.upsert(shard, [pad])
            self.delete(shard, [PAD])
            self.nearest(shard, pad.embedding, count=1)  # waits until the index is written
        self._reopen(shards, sync_threshold=SYNC_THRESHOLD)

    def _reopen(self, shards: Some[int], *, sync_threshold: int) -> None:
        for shard in shards:
            collection = self._collection(shard)
            with warnings.catch_warnings():  # Chroma warns of its own default for what it calls legacy collections
                warnings.simplefilter("ignore", DeprecationWarning)
                collection.modify(configuration={"hnsw": {"sync_threshold": sync_threshold}})
        self.close()
        try:
            with closing(sqlite3.connect(self._directory / DATABASE, isolation_level=None)) as connection:
                connection.execute("PRAGMA temp_store=MEMORY")
                connection.execute("VACUUM")
        finally:
            self._client = _create_client(self._directory)

    def _collection(self, shard: int) -> Collection:
        if shard not in self._collections:
            collection = self._client.get_or_create_collection(
                _name(shard), embedding_function=None, configuration={"hnsw": HNSW}
            )
            self._refuse_embedding_function(collection)
            self._collections[shard] = collection
        return self._collections[shard]

    def _refuse_embedding_function(self, collection: Collection) -> None:
        if names_embedding_function(collection):
            msg = (
                f"the Chroma files in {str(self._directory)!r} name an embedding function, which this library never "
                "builds; restore the directory from a backup, or delete everything in it but catalog.sqlite3: the "
                "vectors in that file fill Chroma again"
            )
            raise StorageError(msg)

    def _chunks(self, values: Sequence[T]) -> Iterator[Sequence[T]]:
        size = self._client.get_max_batch_size()
        for start in range(0, len(values), size):
            yield values[start : start + size]

    def close(self) -> None:
        """Let go of Chroma's files."""
        self._collections.clear()
        self._client.close()
        blank_remains(self._directory)


def _name(shard: int) -> str:
    return f"{COLLECTION}-{shard}" if shard else COLLECTION


def _create_client(directory: Path) -> Client:
    settings = Settings(anonymized_telemetry=False)
    try:
        return cast("Client", chromadb.PersistentClient(path=str(directory), settings=settings))
    except AttributeError:  # Chroma keeps a client whose start failed, and forgets it only when it is asked again
        return cast("Client", chromadb.PersistentClient(path=str(directory), settings=settings))
    except ValueError as error:
        msg = f"another Chroma client of this process has {str(directory)!r} open: {error}. Close it first"
        raise StorageError(msg) from error


def _array(embedding: bytes) -> NDArray[np.int32 | np.float32]:
    return np.frombuffer(embedding, dtype=np.float32)

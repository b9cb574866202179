"""The vector index: one Chroma collection behind a few verbs, so that it may be split later without anyone noticing."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar, cast

import chromadb
import numpy as np
from chromadb.config import Settings

from langchain_hybrid_memory.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from chromadb import Collection
    from chromadb.api.client import Client
    from chromadb.api.collection_configuration import CreateHNSWConfiguration
    from chromadb.api.types import Metadata
    from numpy.typing import NDArray

COLLECTION: Final = "hybrid-memory"
# 200 neighbors looked at: recall of the first 100 near 1 on random vectors, 2.5 ms of 10,000
HNSW: Final[CreateHNSWConfiguration] = {"space": "cosine", "ef_search": 200, "ef_construction": 200}

T = TypeVar("T")


class Record(NamedTuple):
    """One embedded text of one item, as Chroma holds it."""

    id: str
    embedding: bytes
    document: str
    metadata: dict[str, str]


class VectorIndex:
    """Records by nearness of their vectors. Not thread-safe: the caller takes turns."""

    def __init__(self, directory: Path) -> None:
        """Open Chroma's files in a directory; vectors are ours, so no embedding function is ever loaded."""
        self._client = _create_client(directory)
        with ExitStack() as undo:
            undo.callback(self._client.close)
            self._collection = self._client.get_or_create_collection(
                COLLECTION, embedding_function=None, configuration={"hnsw": HNSW}
            )
            _refuse_embedding_function(self._collection, directory)
            self._batch = self._client.get_max_batch_size()
            undo.pop_all()

    def upsert(self, records: Sequence[Record]) -> None:
        """Write records; ids must be distinct."""
        for some in _chunks(records, self._batch):
            metadatas: list[Metadata] = [dict(record.metadata) for record in some]
            self._collection.upsert(
                ids=[record.id for record in some],
                embeddings=[_array(record.embedding) for record in some],
                documents=[record.document for record in some],
                metadatas=metadatas,
            )

    def delete(self, ids: Sequence[str]) -> None:
        """Remove records; unknown ids are ignored."""
        for some in _chunks(ids, self._batch):
            self._collection.delete(ids=list(some))

    def nearest(self, embedding: bytes, *, count: int, among: Sequence[str] | None = None) -> list[str]:
        """Ids of the nearest records, nearest first.

        Args:
            embedding: The query as float32.
            count: How many at most.
            among: The only ids to consider, each of which must exist; `None` considers all.
        """
        if among is not None and not among:
            return []
        found = self._collection.query(
            query_embeddings=[_array(embedding)],
            ids=None if among is None else list(among),
            n_results=count,
            include=[],
        )
        return found["ids"][0]

    def ids(self) -> set[str]:
        """Every record's id."""
        return set(self._collection.get(include=[])["ids"])

    def __len__(self) -> int:
        """How many records there are."""
        return self._collection.count()

    def close(self) -> None:
        """Let go of Chroma's files."""
        self._client.close()


def _create_client(directory: Path) -> Client:
    settings = Settings(anonymized_telemetry=False)
    try:
        return cast("Client", chromadb.PersistentClient(path=str(directory), settings=settings))
    except AttributeError:  # Chroma keeps a client whose start failed, and forgets it only when it is asked again
        return cast("Client", chromadb.PersistentClient(path=str(directory), settings=settings))
    except ValueError as error:
        msg = f"another Chroma client of this process has {str(directory)!r} open: {error}. Close it first"
        raise StorageError(msg) from error


def _refuse_embedding_function(collection: Collection, directory: Path) -> None:
    """Refuse files that name an embedding function.

    Chroma builds what they name at the next write, whatever was passed to it, and some of its functions download and
    run code. We never name one, so somebody else did.
    """
    known = collection._model.serialized_schema, collection.configuration_json  # noqa: SLF001 - `schema` would build it
    if _names_function(known):
        msg = (
            f"the Chroma files in {str(directory)!r} name an embedding function, which this library never builds; "
            "restore the directory from a backup, or delete everything in it but catalog.sqlite3: the vectors in that "
            "file fill Chroma again"
        )
        raise StorageError(msg)


def _names_function(config: Any) -> bool:
    if isinstance(config, list | tuple):
        return any(map(_names_function, config))
    if not isinstance(config, dict):
        return False
    return "name" in (config.get("embedding_function") or {}) or any(map(_names_function, config.values()))


def _array(embedding: bytes) -> NDArray[np.int32 | np.float32]:
    return np.frombuffer(embedding, dtype=np.float32)


def _chunks(values: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(values), size):
        yield values[start : start + size]

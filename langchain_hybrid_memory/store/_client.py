"""The client backend: carries out a planned batch on a collection of any Chroma client, a server's as a rule."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, TypeVar

from chromadb.errors import NotFoundError

from langchain_hybrid_memory.errors import StorageError
from langchain_hybrid_memory.store._backend import Outcome
from langchain_hybrid_memory.store._client_records import MINUTE, NOTHING, item_id, records
from langchain_hybrid_memory.store._client_search import ClientReader
from langchain_hybrid_memory.store._embedder import PROBE
from langchain_hybrid_memory.store._failures import server_errors
from langchain_hybrid_memory.store._items import microseconds
from langchain_hybrid_memory.store._plan import Get, Search

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from langgraph.store.base import Result, SearchItem

    from langchain_hybrid_memory.store._client_collection import ItemCollection
    from langchain_hybrid_memory.store._client_opening import CollectionOpener
    from langchain_hybrid_memory.store._client_records import Stored
    from langchain_hybrid_memory.store._embedder import Fingerprint
    from langchain_hybrid_memory.store._plan import Plan, Put

FLOAT_BYTES: Final = 4

T = TypeVar("T")


class ClientBackend:
    """Items in one collection that any number of processes read and write at once.

    The server is the truth, and nothing of an item is kept here. One item is written by one request: whole or not at
    all, and the last to write it wins.
    """

    generation: Final = 0

    def __init__(self, opener: CollectionOpener) -> None:
        """Use a collection, which need not exist yet."""
        self._opener = opener
        self._last = 0
        self._turn = threading.Lock()

    def execute(self, plan: Plan, vectors: Mapping[str, bytes], queries: Mapping[str, bytes]) -> Outcome:
        """Run a batch: all reads, then all writes.

        Args:
            plan: The batch.
            vectors: Embedded texts, as far as they are known.
            queries: Embedded queries, every one of the plan's.

        Raises:
            ConfigurationError: If a vector has another size than those already stored, or the collection is another
                model's or another program's.
            StorageError: If the server cannot be reached or refuses; of several items some may then be written, each
                of them whole.
        """
        return self._afresh(lambda: self._execute(plan, vectors, queries))

    def sweep(self) -> int:
        """Delete what has outlived its time; returns how many items."""
        return self._afresh(self._sweep)

    def verify(self, model: Fingerprint) -> int:
        """Make sure the collection's vectors are of a model, which the one who creates it decides.

        Raises:
            EmbeddingMismatchError: If they are of another.
        """
        with server_errors(self._opener.place, "opening"):
            self._opener.expect(model)
        return self.generation

    def _afresh(self, act: Callable[[], T]) -> T:
        """Do something, and again with an empty collection where somebody deleted the one that was there."""
        try:
            return act()
        except StorageError as error:
            if not isinstance(error.__cause__, NotFoundError):
                raise
        self._opener.forget()
        return act()

    def _sweep(self) -> int:
        with server_errors(self._opener.place, "sweeping"):
            items = self._opener.find()
            return items.delete_expired(_now()) if items else 0

    def _execute(self, plan: Plan, vectors: Mapping[str, bytes], queries: Mapping[str, bytes]) -> Outcome:
        if plan.sweeps:
            self._sweep()
        writes = [put for put in plan.puts if put.value is not None]
        sizes = [len(vector) // FLOAT_BYTES for vector in (*vectors.values(), *queries.values())]
        with server_errors(self._opener.place, "reading"):
            items = self._opener.find()
            self._opener.check(sizes)
            stored = _stored(items, writes, vectors)
            missing = _missing(writes, stored, vectors)
            if items is None and writes and not sizes:
                missing = missing or [PROBE]
            if missing:
                return Outcome([], missing)
            results = _read(items, plan, queries)
        with server_errors(self._opener.place, "writing"):
            if items is None and writes:
                items = self._opener.create(sizes[0])
            if items is not None and plan.puts:
                self._write(items, plan.puts, stored, vectors)
        return Outcome(results, [])

    def _write(
        self, items: ItemCollection, puts: Sequence[Put], stored: Mapping[str, Stored], vectors: Mapping[str, bytes]
    ) -> None:
        """Write each item with all its records, then remove what an item no longer has, then the deleted items."""
        written = [
            records(
                put,
                stored.get(item_id(put.target), NOTHING),
                vectors=vectors,
                dimensions=self._opener.dimensions,
                at=self._tick(),
            )
            for put in puts
            if put.value is not None
        ]
        items.upsert(written)
        kept = {record.id for some in written for record in some}
        items.discard(
            [record for known in stored.values() for record in known.records - kept],
            {version for known in stored.values() for version in known.versions},
        )
        items.delete([item_id(put.target) for put in puts if put.value is None])

    def _tick(self) -> int:
        """The time of a write in microseconds, later than that of every write before it."""
        with self._turn:
            self._last = max(self._last + 1, _now())
            return self._last


def _stored(items: ItemCollection | None, puts: Iterable[Put], vectors: Mapping[str, bytes]) -> dict[str, Stored]:
    """What there is of the items to write; with vectors only where a text has none yet."""
    wanted = {item_id(put.target): any(text.text not in vectors for text in put.texts) for put in puts}
    return items.stored(list(wanted), with_vectors=any(wanted.values())) if items and wanted else {}


def _missing(puts: Iterable[Put], stored: Mapping[str, Stored], vectors: Mapping[str, bytes]) -> list[str]:
    """The distinct texts to embed: new or changed, and no vector at hand."""
    missing: dict[str, None] = {}
    for put in puts:
        known = stored.get(item_id(put.target), NOTHING).vectors
        missing |= dict.fromkeys(
            text.text for text in put.texts if text.text not in vectors and text.digest.hex() not in known
        )
    return list(missing)


def _read(items: ItemCollection | None, plan: Plan, queries: Mapping[str, bytes]) -> list[Result]:
    results: list[Result] = [None] * plan.size
    if items is None:
        for position, read in plan.reads.items():
            results[position] = None if isinstance(read, Get) else []
        return results
    now = _now()
    reader = ClientReader(items, now=now)
    gets = {position: read for position, read in plan.reads.items() if isinstance(read, Get)}
    for position, item in zip(gets, reader.look_up(list(gets.values())), strict=True):
        results[position] = item
    for position, read in plan.reads.items():
        if isinstance(read, Search):
            found: list[SearchItem] = [*reader.search(read, queries.get(read.query))]
            results[position] = found
        elif not isinstance(read, Get):
            results[position] = reader.namespaces(read)
    items.prolong({item: now + int(ttl * MINUTE) for item, ttl in reader.prolonged.items()})
    return results


def _now() -> int:
    return microseconds(datetime.now(UTC))

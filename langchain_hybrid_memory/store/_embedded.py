"""The embedded backend: carries out a planned batch in one directory."""

from __future__ import annotations

import os
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from langchain_hybrid_memory.errors import EmbeddingMismatchError, StorageError
from langchain_hybrid_memory.store import _reindex
from langchain_hybrid_memory.store._backend import Outcome
from langchain_hybrid_memory.store._catalog import Catalog
from langchain_hybrid_memory.store._expiry import has_expired, has_mortals, prolong, sweep
from langchain_hybrid_memory.store._failures import storage_errors
from langchain_hybrid_memory.store._follower import Follower
from langchain_hybrid_memory.store._items import microseconds
from langchain_hybrid_memory.store._namespaces import list_namespaces
from langchain_hybrid_memory.store._owner import Ownership
from langchain_hybrid_memory.store._plan import Get, Plan, Read, Search
from langchain_hybrid_memory.store._row_cache import RowCache
from langchain_hybrid_memory.store._search import Reader
from langchain_hybrid_memory.store._settings import UNSETTLED, fingerprint, set_fingerprint, set_setting
from langchain_hybrid_memory.store._vector_cache import VectorCache
from langchain_hybrid_memory.store._vectors import VectorIndex
from langchain_hybrid_memory.store._writes import check_size, delete_below, missing_texts, write

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from langgraph.store.base import Result, SearchItem

    from langchain_hybrid_memory.store._embedder import Fingerprint


class EmbeddedBackend:
    """One directory: a catalog that is the truth, and Chroma that follows it.

    Attributes:
        generation: Rises when the store is embedded anew; until then a model once found right stays right.
    """

    def __init__(self, path: Path) -> None:
        """Open a directory, created if missing, and bring Chroma up to date.

        Raises:
            StorageError: If it cannot be opened.
            StoreInUseError: If another process has it.
        """
        self._path = path
        self._pid = os.getpid()
        self.generation = 0
        self._vectors = VectorCache()
        self._rows = RowCache()
        with storage_errors(path, "opening"), ExitStack() as undo:
            path.mkdir(parents=True, exist_ok=True)
            self._owner = Ownership(path)
            undo.callback(self._owner.release)
            self._catalog = Catalog(path)
            undo.callback(self._catalog.close)
            vectors = VectorIndex(path)
            undo.callback(vectors.close)
            self._follower = Follower(self._catalog, vectors)
            undo.pop_all()

    def execute(self, plan: Plan, vectors: Mapping[str, bytes], queries: Mapping[str, bytes]) -> Outcome:
        """Run a batch: all reads on one snapshot, then all writes in one transaction.

        Args:
            plan: The batch.
            vectors: Embedded texts of its puts, as far as they are known.
            queries: Embedded queries, every one of the plan's.

        Raises:
            ConfigurationError: If a vector has another size than those already stored.
            StorageError: If the files cannot be read or written; the batch then happened as a whole or not at all.
        """
        self._check_process()
        if plan.sweeps:
            self.sweep()
        with storage_errors(self._path, "reading"), self._catalog.reading() as connection:
            missing = missing_texts(connection, plan.puts, vectors)
            if missing:
                return Outcome([], missing)
            check_size(connection, [*vectors.values(), *queries.values()])
            reader = Reader(connection, self._follower.nearest, self._vectors, self._rows, read=[], below={})
            results: list[Result] = [None] * plan.size
            for position, read in plan.reads.items():
                results[position] = _read(reader, read, queries)
            prolongs = has_mortals(connection, reader.read)
        with storage_errors(self._path, "writing"):
            if prolongs:
                self._prolong(reader.read)
            missing = self._write(plan, vectors) if plan.puts else []
        return Outcome(results, missing)

    def sweep(self) -> int:
        """Delete what has outlived its time; returns how many items."""
        now = _now()
        with storage_errors(self._path, "sweeping"):
            with self._catalog.reading() as connection:
                if not has_expired(connection, now):
                    return 0
            with self._catalog.writing() as connection:
                count = sweep(connection, now)
            self._follower.follow()
        return count

    def erase(self, prefix: bytes) -> int:
        """Delete every item below a namespace prefix, and leave nothing of it in any file; returns how many items.

        A crash in between is made good at the next opening.
        """
        self._check_process()
        with storage_errors(self._path, "erasing in"):
            with self._catalog.writing() as connection:
                count = delete_below(connection, prefix)
                set_setting(connection, UNSETTLED, "yes")
            self._vectors.clear()
            self._rows.clear()
            self._follower.settle()
        return count

    def verify(self, model: Fingerprint) -> int:
        """Make sure the vectors here are of a model, which the first one to be used decides; returns the generation.

        Raises:
            EmbeddingMismatchError: If they are of another.
        """
        with storage_errors(self._path, "reading"), self._catalog.reading() as connection:
            known = fingerprint(connection)
            has_vectors = connection.execute("SELECT EXISTS (SELECT 1 FROM vector)").fetchone()[0]
        if known is None:
            with storage_errors(self._path, "writing"), self._catalog.writing() as connection:
                set_fingerprint(connection, model)
        elif not known.is_same(model) and (has_vectors or not self.swap(model)):
            msg = (
                f"the memory in {str(self._path)!r} was embedded by {known}, but it was opened with {model}; open it "
                "with the first, or call reindex() to embed everything anew with the second"
            )
            raise EmbeddingMismatchError(msg)
        return self.generation

    def reindexing(self, model: Fingerprint) -> tuple[int, list[_reindex.Waiting]]:
        """How many texts a new model has not embedded, and a portion of them."""
        with storage_errors(self._path, "reindexing"):
            with self._catalog.writing() as connection:
                _reindex.begin(connection, model)
            with self._catalog.reading() as connection:
                return _reindex.count_waiting(connection), _reindex.waiting(connection)

    def reindexed(self, done: Iterable[_reindex.Waiting], vectors: Mapping[str, bytes]) -> None:
        """Keep a portion of new vectors until all are there."""
        with storage_errors(self._path, "reindexing"), self._catalog.writing() as connection:
            _reindex.keep(connection, done, vectors)

    def swap(self, model: Fingerprint) -> bool:
        """Make the new vectors the store's, unless somebody wrote meanwhile; says whether it did."""
        with storage_errors(self._path, "reindexing"):
            with self._catalog.writing() as connection:
                is_swapped = _reindex.swap(connection, model)
            if is_swapped:
                self.generation += 1
                self._follower.agree()
        return is_swapped

    def _prolong(self, items: list[int]) -> None:
        with self._catalog.writing() as connection:
            prolong(connection, items, _now())

    def _check_process(self) -> None:
        if os.getpid() != self._pid:
            msg = f"the memory in {str(self._path)!r} was opened before this process was forked; open it in one process"
            raise StorageError(msg)

    def _write(self, plan: Plan, vectors: Mapping[str, bytes]) -> list[str]:
        """Write a batch; returns texts that turned out to be missing because somebody else wrote meanwhile."""
        with self._catalog.writing() as connection:
            missing = missing_texts(connection, plan.puts, vectors)
            if missing:
                return missing
            check_size(connection, list(vectors.values()))
            now = _now()
            noted = sum(write(connection, put, vectors=vectors, at=self._catalog.tick(now)) for put in plan.puts)
        if noted:
            self._follower.follow()
        return []

    def close(self) -> None:
        """Wait for what is under way, then let go of every file."""
        self._follower.close()
        self._catalog.close()
        self._owner.release()


def _read(reader: Reader, read: Read, queries: Mapping[str, bytes]) -> Result:
    if isinstance(read, Get):
        return reader.look_up(read)
    if isinstance(read, Search):
        found: list[SearchItem] = [*reader.search(read, queries.get(read.query))]
        return found
    return list_namespaces(reader.connection, read)


def _now() -> int:
    return microseconds(datetime.now(UTC))

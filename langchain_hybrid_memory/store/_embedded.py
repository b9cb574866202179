"""The embedded backend: carries out a planned batch on the catalog and on Chroma, and keeps the two in agreement."""

from __future__ import annotations

import os
import threading
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from langchain_hybrid_memory.errors import StorageError
from langchain_hybrid_memory.store._backend import Outcome
from langchain_hybrid_memory.store._catalog import Catalog
from langchain_hybrid_memory.store._expiry import has_expired, has_mortals, prolong, sweep
from langchain_hybrid_memory.store._failures import storage_errors
from langchain_hybrid_memory.store._items import microseconds
from langchain_hybrid_memory.store._namespaces import list_namespaces
from langchain_hybrid_memory.store._notes import (
    confirmed_records,
    count_notes,
    items_of,
    note_disagreements,
    noted_items,
    notes,
)
from langchain_hybrid_memory.store._owner import Ownership
from langchain_hybrid_memory.store._plan import Get, Plan, Read, Search
from langchain_hybrid_memory.store._search import Reader
from langchain_hybrid_memory.store._vectors import VectorIndex
from langchain_hybrid_memory.store._writes import check_size, missing_texts, write

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from langgraph.store.base import Result, SearchItem

LAG: Final = 64  # notes that may wait: telling Chroma costs 8 ms whatever the number, and 1 to 5 ms for each vector


class EmbeddedBackend:
    """One directory: a catalog that is the truth, and Chroma that follows it.

    A write commits to the catalog, together with a note of what Chroma has to do. Chroma is told once enough notes have
    gathered, and at every opening; then the notes are removed. Searches look at noted vectors themselves.
    """

    def __init__(self, path: Path) -> None:
        """Open a directory, created if missing, and bring Chroma up to date.

        Raises:
            StorageError: If it cannot be opened.
            StoreInUseError: If another process has it.
        """
        self._path = path
        self._pid = os.getpid()
        self._turn = threading.RLock()  # taken around every use of Chroma, never inside a catalog transaction
        with storage_errors(path, "opening"), ExitStack() as undo:
            path.mkdir(parents=True, exist_ok=True)
            self._owner = Ownership(path)
            undo.callback(self._owner.release)
            self._catalog = Catalog(path)
            undo.callback(self._catalog.close)
            self._vectors = VectorIndex(path)
            self._agree()
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
            reader = Reader(connection, self._nearest, read=[])
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
                behind = count_notes(connection)
            self._follow(behind)
        return count

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
            behind = count_notes(connection) if noted else 0
        self._follow(behind)
        return []

    def _follow(self, behind: int | None = None) -> None:
        """Tell Chroma what the catalog noted for it, unless it is known to be few notes behind."""
        if behind is not None and behind <= LAG:
            return
        with self._turn:
            with self._catalog.reading() as connection:
                noted = notes(connection)
            if not noted:
                return
            self._vectors.delete([note.record for note in noted if note.document is None])
            self._vectors.upsert([note.as_record() for note in noted if note.document is not None])
            with self._catalog.writing() as connection:
                connection.execute("DELETE FROM pending WHERE sequence <= ?", (noted[-1].sequence,))

    def _agree(self) -> None:
        """Finish what a crash left over, and mend Chroma where files were lost or put back from another time."""
        self._follow()
        with self._catalog.reading() as connection:
            wanted: int = connection.execute("SELECT count(*) FROM vector").fetchone()[0]
        if len(self._vectors) != wanted:
            with self._catalog.writing() as connection:
                note_disagreements(connection, self._vectors.ids())
            self._follow()

    def _nearest(self, embedding: bytes, *, prefix: bytes, items: list[int] | None, count: int) -> list[int]:
        """The items nearest to a query as far as Chroma knows, and all it does not know yet.

        Chroma refuses ids it does not hold, so they are read while nobody else can change it.
        """
        with self._turn, self._catalog.reading() as connection:
            noted = noted_items(connection, prefix, items)
            among = confirmed_records(connection, prefix, items)
            asked = count + count_notes(connection)
            while True:
                records = self._vectors.nearest(embedding, count=asked, among=among)
                found = items_of(connection, records)
                if len(found) >= count or len(records) < asked:
                    return [*found, *noted]
                asked *= 4  # several records belong to one item

    def close(self) -> None:
        """Wait for what is under way, then let go of every file."""
        with self._turn:
            self._catalog.close()
            self._vectors.close()
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

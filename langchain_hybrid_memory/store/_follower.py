"""Keeps Chroma in agreement with the catalog, and asks it what is near."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from langchain_hybrid_memory.store._nearest import nearest
from langchain_hybrid_memory.store._notes import (
    Note,
    count_notes,
    drop_notes,
    note_disagreements,
    noted_namespaces,
    notes,
)
from langchain_hybrid_memory.store._settings import AGREED, UNSETTLED, fingerprint, set_setting, setting
from langchain_hybrid_memory.store._shards import count_by_shard, promote

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_hybrid_memory.store._catalog import Catalog
    from langchain_hybrid_memory.store._vectors import VectorIndex

LAG: Final = 64
"""Notes that may wait: telling Chroma costs 8 ms whatever the number, and 1 to 5 ms for each vector."""
PORTION: Final = 1_000
"""Notes told at once."""


class Follower:
    """Chroma as the catalog's follower.

    What Chroma has to do is noted in the catalog, in the transaction that makes it necessary. Once enough notes have
    gathered, and at every opening, it is told; then they are removed. Searches look at noted vectors themselves.
    """

    def __init__(self, catalog: Catalog, vectors: VectorIndex) -> None:
        """Finish what a crash left over, and mend Chroma where files were lost or put back from another time."""
        self._catalog = catalog
        self._vectors = vectors
        self._agrees = False  # whether Chroma is known to hold what it was told
        self._turn = threading.RLock()  # taken around every use of Chroma, never inside a catalog transaction
        self.agree()
        with catalog.reading() as connection:
            is_unsettled = setting(connection, UNSETTLED)
        if is_unsettled:
            self.settle()

    def follow(self) -> None:
        """Tell Chroma what the catalog noted for it, if that is enough to be worth it."""
        with self._catalog.reading() as connection:
            behind = count_notes(connection)
        if behind > LAG:
            self.catch_up()

    def catch_up(self) -> None:
        """Tell Chroma all that the catalog noted for it."""
        with self._turn:
            with self._catalog.writing() as connection:
                promote(connection, noted_namespaces(connection))
            after = 0
            while told := self._tell(after):
                after = told[-1].sequence

    def _tell(self, after: int) -> list[Note]:
        """Tell Chroma some of the notes, oldest first; returns them."""
        with self._catalog.reading() as connection:
            told = notes(connection, after=after, limit=PORTION)
        for shard in {note.shard for note in told}:
            here = [note for note in told if note.shard == shard]
            self._vectors.delete(shard, [note.record for note in here if note.embedding is None])
            self._vectors.upsert(shard, [note.as_record() for note in here if note.embedding is not None])
        if told:
            with self._catalog.writing() as connection:
                drop_notes(connection, told)
                if self._agrees:
                    set_setting(connection, AGREED, self._vectors.state())
        return told

    def agree(self) -> None:
        """Make Chroma hold exactly the catalog's records; what it holds twice or not at all is told anew.

        Counting 100,000 records takes a second, so it is left out where Chroma wrote nothing since it last agreed.
        """
        with self._turn:
            with self._catalog.reading() as connection:
                shards = count_by_shard(connection)
                agreed = setting(connection, AGREED)
            self._agrees = bool(agreed) and agreed == self._vectors.opened_at
            self._vectors.keep_only(shards)
            self.catch_up()
            if not self._agrees:
                self._mend()
            self._agrees = True
            with self._catalog.writing() as connection:
                set_setting(connection, AGREED, self._vectors.state())

    def _mend(self) -> None:
        with self._catalog.reading() as connection:
            shards = count_by_shard(connection)
        for shard, count in shards.items():
            if self._vectors.count(shard) != count:
                with self._catalog.writing() as connection:
                    note_disagreements(connection, shard, self._vectors.ids(shard))
        self.catch_up()

    def nearest(self, embedding: bytes, *, prefix: bytes, items: Sequence[int] | None, count: int) -> list[int]:
        """The items nearest to a query; see `_nearest.nearest`."""
        with self._turn, self._catalog.reading() as connection:
            return nearest(connection, self._vectors, embedding, prefix=prefix, items=items, count=count)

    def settle(self) -> None:
        """Leave nothing of what was deleted in any file of the directory.

        Raises:
            StorageError: If somebody reads for too long; it is then tried again at the next opening.
        """
        with self._turn:
            self.catch_up()
            with self._catalog.reading() as connection:
                shards, model = count_by_shard(connection), fingerprint(connection)
            if model is not None:
                self._vectors.settle(shards, dims=model.dims)
        self._catalog.settle()  # waits for readers, who may wait for their turn
        with self._catalog.writing() as connection:
            set_setting(connection, UNSETTLED, None)

    def close(self) -> None:
        """Wait for what is under way, then let go of Chroma."""
        with self._turn:
            self._vectors.close()
            with suppress(sqlite3.Error), self._catalog.writing() as connection:  # else the next opening counts
                set_setting(connection, AGREED, self._vectors.state())

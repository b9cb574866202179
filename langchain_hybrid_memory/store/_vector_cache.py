"""Keeps in memory the vectors that searches compared last: whoever talks on is searched at every turn."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from langchain_hybrid_memory.store._shards import common_shard
from langchain_hybrid_memory.store._versions import Versions

if TYPE_CHECKING:
    import sqlite3

    from numpy.typing import NDArray

    from langchain_hybrid_memory.store._versions import Numbers

LIMIT_BYTES: Final = 32 * 2**20
"""The vectors of 20,000 texts by the default model."""
VERSION_BYTES: Final = 256
"""What is kept of a version besides its vectors takes less."""
NEVER: Final = np.iinfo(np.int64).max
"""Stands behind the times of all versions, so that whatever time is sought there is one that is not before it."""
READ: Final = "SELECT item, embedding FROM vector WHERE item IN (SELECT value FROM json_each(?))"


class Vectors(NamedTuple):
    """Vectors of some versions of items.

    Attributes:
        places: For each vector the place of its item among those that were asked for; an item has any number.
        matrix: A row each.
        norms: Their lengths.
    """

    places: NDArray[np.intp]
    matrix: NDArray[np.float32]
    norms: NDArray[np.float32]

    def cosines(self, embedding: bytes, count: int) -> NDArray[np.float64]:
        """The cosine of a query and the best vector of each of `count` items, in [0, 1]; NaN where there is none."""
        best = np.full(count, np.nan)
        if not len(self.places):
            return best
        query = np.frombuffer(embedding, dtype=np.float32)
        norms = self.norms.astype(np.float64) * np.linalg.norm(query.astype(np.float64))
        products = np.einsum("ij,j->i", self.matrix, query)  # one row never depends on the others, as it may with BLAS
        cosines = np.divide(products, norms, out=np.zeros_like(norms), where=norms > 0)
        np.fmax.at(best, self.places, cosines.clip(0.0, 1.0).round(6))
        return best


class VectorCache:
    """Vectors by version of their item, a bounded number of bytes; when it is full, it is emptied.

    A reader asks for the versions its own snapshot names, so it never gets a vector from before or after. What was
    deleted or changed is not asked for again. Safe to share between threads.
    """

    def __init__(self, *, limit_bytes: int = LIMIT_BYTES) -> None:
        """Start empty; no more than `limit_bytes` of vectors are kept."""
        self._limit_bytes = limit_bytes
        self._most_versions = limit_bytes // VERSION_BYTES
        self._lock = threading.Lock()
        self._model = -1
        self.clear()

    def clear(self) -> None:
        """Let go of everything."""
        with self._lock:
            self._empty(dims=0)

    def _empty(self, *, dims: int) -> None:
        room = self._limit_bytes // (dims * np.dtype(np.float32).itemsize) if dims else 0
        self._times: Numbers = np.array([NEVER])  # when what is kept was written, the earliest first
        self._starts: Numbers = np.array([0])  # where its vectors begin
        self._counts: Numbers = np.array([0])  # how many it has
        self._matrix = np.empty((room, dims), dtype=np.float32)
        self._norms = np.empty(room, dtype=np.float32)
        self._used = 0

    def read(self, connection: sqlite3.Connection, versions: Versions) -> Vectors:
        """The vectors of some versions, which must be those of the connection's snapshot."""
        model = common_shard(connection)
        with self._lock:
            if model > self._model:  # everything was embedded anew
                self._model = model
                self._empty(dims=0)
            held = self._held(versions.times) if model == self._model else None
            if held:
                return held
            missing = Versions(*(column[~self._has(versions.times)] for column in versions))
        fresh = _read(connection, missing.items)
        with self._lock:
            if model == self._model:
                self._hold(missing.times, fresh)
                held = self._held(versions.times)
                if held:
                    return held
        return fresh if len(missing.items) == len(versions.items) else _read(connection, versions.items)

    def _has(self, times: Numbers) -> NDArray[np.bool_]:
        """Which versions are kept."""
        return np.asarray(self._times[np.searchsorted(self._times, times)] == times)

    def _held(self, times: Numbers) -> Vectors | None:
        """The vectors of versions, if all of them are kept."""
        if not self._has(times).all():
            return None
        kept = np.searchsorted(self._times, times)
        counts = self._counts[kept]
        places = np.repeat(np.arange(len(times)), counts)
        taken = np.arange(len(places)) + (self._starts[kept] - counts.cumsum() + counts)[places]
        return Vectors(places, self._matrix[taken], self._norms[taken])

    def _hold(self, times: Numbers, fresh: Vectors) -> None:
        """Keep the vectors of versions, those of one next to each other."""
        count, dims = fresh.matrix.shape
        if self._used + count > len(self._matrix) or len(self._times) + len(times) > self._most_versions:
            self._empty(dims=dims)
        if count > len(self._matrix) or len(times) > self._most_versions:
            return
        counts = np.bincount(fresh.places, minlength=len(times))
        starts = self._used + counts.cumsum() - counts
        order = np.argsort(times)
        spots = np.searchsorted(self._times, times[order])
        self._counts = np.insert(self._counts, spots, counts[order])
        self._starts = np.insert(self._starts, spots, starts[order])
        self._times = np.insert(self._times, spots, times[order])
        if count:
            together = np.argsort(fresh.places, kind="stable")
            self._matrix[self._used : self._used + count] = fresh.matrix[together]
            self._norms[self._used : self._used + count] = fresh.norms[together]
            self._used += count


def _read(connection: sqlite3.Connection, items: Numbers) -> Vectors:
    place = {item: place for place, item in enumerate(items.tolist())}
    rows = connection.execute(READ, (json.dumps(list(place)),)).fetchall() if place else []
    joined = np.frombuffer(b"".join(row[1] for row in rows), dtype=np.float32)
    matrix = joined.reshape(len(rows), -1) if rows else joined.reshape(0, 0)
    places = np.array([place[item] for item, _ in rows], dtype=np.intp)
    return Vectors(places, matrix, np.linalg.norm(matrix, axis=1))

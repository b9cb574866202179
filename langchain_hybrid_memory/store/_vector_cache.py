"""Keeps in memory the vectors that searches compared last: whoever talks on is searched at every turn."""

from __future__ import annotations

import json
import threading
from itertools import chain
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

import numpy as np

from langchain_hybrid_memory.store._shards import common_shard

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from numpy.typing import NDArray

Version: TypeAlias = tuple[int, int]
"""An item's id, and when it was last written; no two writings share a time, so vectors of a version never change."""

LIMIT_BYTES: Final = 32 * 2**20
"""The vectors of 20,000 texts by the default model."""
VERSION_BYTES: Final = 256
"""What is kept of a version besides its vectors takes less."""
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

    def read(self, connection: sqlite3.Connection, versions: Sequence[Version]) -> Vectors:
        """The vectors of some versions, which must be those of the connection's snapshot."""
        model = common_shard(connection)
        with self._lock:
            if model > self._model:  # everything was embedded anew
                self._model = model
                self._empty(dims=0)
            held = self._held(versions) if model == self._model else None
            if held:
                return held
            missing = [version for version in versions if version[1] not in self._rows]
        fresh = _read(connection, missing)
        with self._lock:
            if model == self._model:
                self._hold(missing, fresh)
                held = self._held(versions)
                if held:
                    return held
        return fresh if len(missing) == len(versions) else _read(connection, versions)

    def _held(self, versions: Sequence[Version]) -> Vectors | None:
        try:
            rows = [self._rows[at] for _, at in versions]
        except KeyError:
            return None
        taken = np.array([*chain.from_iterable(rows)], dtype=np.intp)
        places = np.repeat(np.arange(len(rows)), [*map(len, rows)])
        return Vectors(places, self._matrix[taken], self._norms[taken])

    def _hold(self, versions: Sequence[Version], fresh: Vectors) -> None:
        count, dims = fresh.matrix.shape
        if self._used + count > len(self._matrix) or len(self._rows) + len(versions) > self._most_versions:
            self._empty(dims=dims)
        if count > len(self._matrix) or len(versions) > self._most_versions:
            return
        rows: list[list[int]] = [[] for _ in versions]
        for row, place in enumerate(fresh.places.tolist(), self._used):
            rows[place].append(row)
        self._rows |= {at: tuple(held) for (_, at), held in zip(versions, rows, strict=True)}
        if count:
            self._matrix[self._used : self._used + count] = fresh.matrix
            self._norms[self._used : self._used + count] = fresh.norms
            self._used += count

    def _empty(self, *, dims: int) -> None:
        room = self._limit_bytes // (dims * np.dtype(np.float32).itemsize) if dims else 0
        self._rows: dict[int, tuple[int, ...]] = {}
        self._matrix = np.empty((room, dims), dtype=np.float32)
        self._norms = np.empty(room, dtype=np.float32)
        self._used = 0


def _read(connection: sqlite3.Connection, versions: Sequence[Version]) -> Vectors:
    place = {item: place for place, (item, _) in enumerate(versions)}
    rows = connection.execute(READ, (json.dumps(list(place)),)).fetchall() if place else []
    joined = np.frombuffer(b"".join(row[1] for row in rows), dtype=np.float32)
    matrix = joined.reshape(len(rows), -1) if rows else joined.reshape(0, 0)
    places = np.array([place[item] for item, _ in rows], dtype=np.intp)
    return Vectors(places, matrix, np.linalg.norm(matrix, axis=1))

"""Which vectors a search is given from memory."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np
import pytest

from langchain_hybrid_memory.store._vector_cache import VectorCache
from langchain_hybrid_memory.store._versions import Versions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_hybrid_memory.store._versions import Version

DIMS = 2
NORTH, EAST = (0.0, 1.0), (1.0, 0.0)


def written(*vector: float) -> bytes:
    """A vector as the catalog holds it."""
    return np.array(vector, dtype=np.float32).tobytes()


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    """A catalog with what the cache reads of it: items 1 to 9 to the north, and no vector of item 10."""
    with closing(sqlite3.connect(":memory:")) as catalog:
        catalog.execute("CREATE TABLE shard (id INTEGER PRIMARY KEY, namespace BLOB)")
        catalog.execute("CREATE TABLE vector (item INTEGER, embedding BLOB)")
        catalog.execute("INSERT INTO shard VALUES (0, NULL)")
        catalog.executemany("INSERT INTO vector VALUES (?, ?)", [(item, written(*NORTH)) for item in range(1, 10)])
        yield catalog


def northward(cache: VectorCache, connection: sqlite3.Connection, *versions: Version) -> list[float | None]:
    """How far to the north each of some items lies; `None` for one without a vector."""
    cosines = cache.read(connection, Versions.of(versions)).cosines(written(*NORTH), len(versions))
    return [None if np.isnan(cosine) else float(cosine) for cosine in cosines]


def turn_east(connection: sqlite3.Connection, item: int) -> None:
    """Give an item another vector."""
    connection.execute("UPDATE vector SET embedding = ? WHERE item = ?", (written(*EAST), item))


def test_a_version_is_read_once(connection: sqlite3.Connection) -> None:
    cache = VectorCache()
    assert northward(cache, connection, (1, 100), (2, 200)) == [1.0, 1.0]
    connection.execute("DELETE FROM vector")
    assert northward(cache, connection, (2, 200), (1, 100)) == [1.0, 1.0]


def test_another_version_of_an_item_is_read_anew(connection: sqlite3.Connection) -> None:
    cache = VectorCache()
    northward(cache, connection, (1, 100), (2, 200))
    turn_east(connection, 1)
    assert northward(cache, connection, (1, 300), (2, 200)) == [0.0, 1.0]


def test_id_that_became_another_items_brings_no_vector_of_the_first(connection: sqlite3.Connection) -> None:
    cache = VectorCache()
    northward(cache, connection, (1, 100))
    connection.execute("DELETE FROM vector WHERE item = 1")
    assert northward(cache, connection, (1, 300)) == [None]


def test_nothing_is_given_from_before_everything_was_embedded_anew(connection: sqlite3.Connection) -> None:
    cache = VectorCache()
    northward(cache, connection, (1, 100))
    turn_east(connection, 1)
    connection.execute("UPDATE shard SET id = 1")
    assert northward(cache, connection, (1, 100)) == [0.0]


def test_snapshot_from_before_everything_was_embedded_anew_gets_its_own_vectors(connection: sqlite3.Connection) -> None:
    cache = VectorCache()
    connection.execute("UPDATE shard SET id = 1")
    northward(cache, connection, (1, 100))
    turn_east(connection, 1)
    connection.execute("UPDATE shard SET id = 0")
    assert northward(cache, connection, (1, 100)) == [0.0]
    connection.execute("UPDATE shard SET id = 1")
    assert northward(cache, connection, (1, 100)) == [1.0]


def test_best_vector_of_an_item_counts_and_one_without_has_no_cosine(connection: sqlite3.Connection) -> None:
    cache = VectorCache()
    connection.execute("INSERT INTO vector VALUES (1, ?)", (written(*EAST),))
    connection.execute("INSERT INTO vector VALUES (9, ?)", (written(0.0, 0.0),))
    for _ in range(2):
        assert northward(cache, connection, (10, 50), (1, 100), (9, 900)) == [None, 1.0, 1.0]


@pytest.mark.parametrize("room", [0, 1, 2, 4, 100])
def test_answer_does_not_depend_on_how_much_is_kept(connection: sqlite3.Connection, room: int) -> None:
    cache = VectorCache(limit_bytes=room * DIMS * 4)
    turn_east(connection, 3)
    for items in ((1, 2, 3), (3, 4, 10), (1, 3), (5, 6, 7, 8, 9), (3, 1)):
        expected = [None if item == 10 else float(item != 3) for item in items]
        assert northward(cache, connection, *((item, 100 * item) for item in items)) == expected


def test_no_more_is_kept_than_the_limit(connection: sqlite3.Connection) -> None:
    cache = VectorCache(limit_bytes=1_024)  # 4 versions
    for item in (1, 2, 3, 4, 10):
        northward(cache, connection, (item, item))
    connection.execute("DELETE FROM vector")
    assert northward(cache, connection, (1, 1), (10, 10)) == [None, None]


def test_nothing_is_kept_after_clearing(connection: sqlite3.Connection) -> None:
    cache = VectorCache()
    northward(cache, connection, (1, 100))
    connection.execute("DELETE FROM vector")
    cache.clear()
    assert northward(cache, connection, (1, 100)) == [None]

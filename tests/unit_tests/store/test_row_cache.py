"""Which items a search is given from memory."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from langchain_hybrid_memory.store._items import HybridItem, encode, encode_namespace
from langchain_hybrid_memory.store._row_cache import ROW_BYTES, RowCache

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_hybrid_memory.store._versions import Version

COLUMNS = "id INTEGER PRIMARY KEY, namespace BLOB, key BLOB, value, created_at INTEGER, updated_at INTEGER"


def row(item: int, value: object) -> tuple[object, ...]:
    """An item as the catalog holds it."""
    return item, encode_namespace(("a", "b")), encode(f"k{item}"), json.dumps(value), 5, 7


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    """A catalog of items 1 to 9, each with its number for a text, and item 10 with an array."""
    with closing(sqlite3.connect(":memory:")) as catalog:
        catalog.execute(f"CREATE TABLE item ({COLUMNS})")
        rows = [row(item, {"text": str(item)}) for item in range(1, 10)]
        catalog.executemany("INSERT INTO item VALUES (?, ?, ?, ?, ?, ?)", [*rows, row(10, {"text": ["10"]})])
        yield catalog


def texts(cache: RowCache, connection: sqlite3.Connection, *versions: Version) -> list[object]:
    """The texts of some items."""
    return [each.value["text"] for each in cache.read(connection, versions)]


def rename(connection: sqlite3.Connection, item: int, text: object) -> None:
    """Give an item another text."""
    connection.execute("UPDATE item SET value = ? WHERE id = ?", (json.dumps({"text": text}), item))


def test_a_version_is_read_once(connection: sqlite3.Connection) -> None:
    cache = RowCache()
    first = cache.read(connection, [(1, 100), (2, 200)])
    connection.execute("DELETE FROM item")
    assert cache.read(connection, [(2, 200), (1, 100)]) == first[::-1]


def test_another_version_of_an_item_is_read_anew(connection: sqlite3.Connection) -> None:
    cache = RowCache()
    texts(cache, connection, (1, 100), (2, 200))
    rename(connection, 1, "new")
    assert texts(cache, connection, (1, 300), (2, 200)) == ["new", "2"]


def test_what_a_caller_does_to_an_item_is_not_seen_by_the_next(connection: sqlite3.Connection) -> None:
    cache = RowCache()
    for _ in range(3):
        flat, nested = map(HybridItem, cache.read(connection, [(1, 1), (10, 10)]))
        assert (flat.value, nested.value) == ({"text": "1"}, {"text": ["10"]})
        flat.value["text"] = "changed"
        nested.value["text"].append("changed")


@pytest.mark.parametrize("room", [0, 1, 2, 4, 100])
def test_answer_does_not_depend_on_how_much_is_kept(connection: sqlite3.Connection, room: int) -> None:
    cache = RowCache(limit_bytes=room * 2 * ROW_BYTES)
    for items in ((1, 2, 3), (3, 4, 10), (1, 3), (5, 6, 7, 8, 9), (3, 1)):
        expected = [["10"] if item == 10 else str(item) for item in items]
        assert texts(cache, connection, *((item, 100 * item) for item in items)) == expected


def test_no_more_is_kept_than_the_limit(connection: sqlite3.Connection) -> None:
    cache = RowCache(limit_bytes=4 * ROW_BYTES)  # fewer than four, each with its text
    for item in (1, 2, 3, 4):
        texts(cache, connection, (item, item))
    rename(connection, 1, "read again")
    rename(connection, 4, "not read again")
    assert texts(cache, connection, (1, 1), (4, 4)) == ["read again", "4"]


def test_nothing_is_kept_after_clearing(connection: sqlite3.Connection) -> None:
    cache = RowCache()
    texts(cache, connection, (1, 100))
    rename(connection, 1, "read again")
    cache.clear()
    assert texts(cache, connection, (1, 100)) == ["read again"]

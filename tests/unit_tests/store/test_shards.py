"""Large namespaces have a collection of their own, and nobody notices."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest
from langgraph.store.base import PutOp, SearchOp

from langchain_hybrid_memory.store import _follower, _nearest, _search, _shards
from tests.doubles.backends import doubt, embedded

if TYPE_CHECKING:
    from pathlib import Path

    from langchain_hybrid_memory.store import ChromaStore
    from langchain_hybrid_memory.store._vectors import VectorIndex
    from tests.doubles.doors import Door
    from tests.unit_tests.store.conftest import OpenStore

LARGE = 12


@pytest.fixture(autouse=True)
def _little_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (_shards, _search, _nearest):
        monkeypatch.setattr(module, "LARGE", LARGE)
    monkeypatch.setattr(_search, "POOL", 6)
    monkeypatch.setattr(_follower, "LAG", 0)


def vectors_of(store: ChromaStore) -> VectorIndex:
    return embedded(store)._follower._vectors


def records_by_shard(store: ChromaStore) -> dict[str, int]:
    collections = vectors_of(store)._client.list_collections()
    return {collection.name: collection.count() for collection in collections}


async def fill(call: Door, store: ChromaStore, user: str, count: int, word: str = "pear") -> None:
    puts = [PutOp(("user", user), f"{number}", {"text": f"{word} number {number}"}) for number in range(count)]
    await call(store, "batch", puts)


async def test_namespace_that_grows_large_moves_to_a_collection_of_its_own(store: ChromaStore, call: Door) -> None:
    await fill(call, store, "small", 3)
    await fill(call, store, "large", LARGE)
    assert records_by_shard(store) == {"hybrid-memory": LARGE + 3}
    await call(store, "put", ("user", "large"), "one more", {"text": "apple"})
    assert records_by_shard(store) == {"hybrid-memory": 3, "hybrid-memory-1": LARGE + 1}
    await call(store, "put", ("user", "large"), "and more", {"text": "plum"})
    await call(store, "delete", ("user", "large"), "1")
    assert records_by_shard(store) == {"hybrid-memory": 3, "hybrid-memory-1": LARGE + 1}


async def test_search_finds_the_same_wherever_an_item_is(store: ChromaStore, call: Door) -> None:
    for user, count in (("a", 3), ("b", LARGE + 5), ("c", 2), ("d", LARGE + 1), ("e", LARGE)):
        await fill(call, store, user, count)
        await call(store, "put", ("user", user), "lion", {"text": f"the lion of {user}"})
    assert len(records_by_shard(store)) == 4  # b and d, e with its lion, and the common one
    for user in "abcde":
        (found,) = await call(store, "search", ("user", user), query="lion", limit=1)
        assert (found.namespace, found.key) == (("user", user), "lion")
    everywhere = await call(store, "search", ("user",), query="lion", limit=5)
    assert {found.namespace[1] for found in everywhere} == set("abcde")
    assert {found.key for found in everywhere} == {"lion"}


async def test_pages_of_a_large_scope_are_disjoint_and_complete(store: ChromaStore, call: Door) -> None:
    await fill(call, store, "large", 40)
    await call(store, "put", ("user", "large"), "plain", {"text": "not indexed"}, index=False)
    pages = [
        [hit.key for hit in await call(store, "search", ("user", "large"), query="pear 7", limit=4, offset=offset)]
        for offset in range(0, 44, 4)
    ]
    seen = [key for page in pages for key in page]
    assert len(seen) == len(set(seen)) == 41
    assert seen[-1] == "plain"


@pytest.mark.parametrize("wanted", [{"even": True}, {"third": 0}, {"number": 31}, {"number": 99}])
async def test_filter_of_a_large_scope_comes_before_the_best_are_taken(
    store: ChromaStore, call: Door, wanted: dict[str, object]
) -> None:
    values = [
        {"text": f"pear number {number}", "number": number, "even": number % 2 == 0, "third": number % 3}
        for number in range(40)
    ]
    await call(store, "batch", [PutOp(("user", "large"), str(value["number"]), value) for value in values])
    hits = await call(store, "search", ("user", "large"), query="pear number 31", filter=wanted, limit=40)
    assert sorted(int(hit.key) for hit in hits) == [
        value["number"] for value in values if wanted.items() <= value.items()
    ]


async def test_word_alone_brings_an_item_of_a_large_scope_to_the_surface(open_store: OpenStore, call: Door) -> None:
    store = open_store(keywords=["text", "words"])
    await fill(call, store, "large", 40)
    await call(store, "put", ("user", "large"), "far", {"text": "something else entirely", "words": "Zanzibar"})
    await fill(call, store, "large", 40)
    hits = await call(store, "search", ("user", "large"), query="Zanzibar", limit=1)
    assert [(hit.key, hit.signals.cosine) for hit in hits] == [("far", 0.0)]


async def test_common_words_find_candidates_too(
    store: ChromaStore, call: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_search, "KEYWORD_ROWS", 5)
    await fill(call, store, "large", 40)
    hits = await call(store, "search", ("user", "large"), query="pear", limit=3)
    assert [hit.signals.keyword for hit in hits] == [1.0, 1.0, 1.0]


async def test_number_of_collections_is_bounded(
    store: ChromaStore, call: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_shards, "MOST", 2)
    for user in "abc":
        await fill(call, store, user, LARGE + 1, word=user * 3)
    assert sorted(records_by_shard(store)) == ["hybrid-memory", "hybrid-memory-1", "hybrid-memory-2"]
    (found,) = await call(store, "search", ("user", "c"), query="ccc number 5", limit=1)
    assert found.key == "5"


async def test_move_interrupted_in_the_middle_is_finished_at_the_next_opening(
    open_store: OpenStore, call: Door, tmp_path: Path
) -> None:
    store = open_store()
    await fill(call, store, "large", LARGE + 1)
    held = vectors_of(store).ids(1)
    store.close()
    catalog = sqlite3.connect(tmp_path / "memory" / "catalog.sqlite3")
    for record in sorted(held)[:5]:  # as if Chroma had heard of these only half
        catalog.executemany("INSERT INTO pending (record, shard) VALUES (?, ?)", [(record, 0), (record, 1)])
    catalog.commit()
    catalog.close()
    store = open_store()
    vectors_of(store).delete(1, sorted(held)[5:7])
    store.close()
    doubt(tmp_path / "memory")
    store = open_store()
    assert vectors_of(store).ids(1) == held
    assert len(await call(store, "search", ("user", "large"), query="pear", limit=50)) == LARGE + 1


async def test_directory_of_the_first_format_is_brought_up_to_date(
    open_store: OpenStore, call: Door, tmp_path: Path
) -> None:
    store = open_store()
    await fill(call, store, "a", 3)
    store.close()
    catalog = sqlite3.connect(tmp_path / "memory" / "catalog.sqlite3")
    catalog.executescript(
        """
        DROP TABLE pending; DROP TABLE shard; DROP TABLE reindexed; DROP INDEX vector_shard; DROP INDEX item_expiry;
        ALTER TABLE vector DROP COLUMN shard; ALTER TABLE item DROP COLUMN ttl; ALTER TABLE item DROP COLUMN expires_at;
        CREATE TABLE pending (sequence INTEGER PRIMARY KEY AUTOINCREMENT, record TEXT NOT NULL UNIQUE, document TEXT);
        INSERT INTO pending (record, document) SELECT record, 'pear' FROM vector LIMIT 1;
        PRAGMA user_version = 1;
        """
    )
    catalog.close()
    hits = await call(open_store(), "search", ("user", "a"), query="pear number 2")
    assert hits[0].key == "2"


async def test_ranked_pages_of_thousands_are_disjoint_and_complete(
    store: ChromaStore, call: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # with the sizes as they are
    fruits = ["apple", "pear", "plum", "fig", "harbor apple", "apple pear", "lamp", "stone"]
    texts = [f"{fruits[n % 8]} {fruits[n % 7]} {n % 50}" for n in range(2_400)]
    puts = [
        PutOp(("user", "large"), str(n), {"text": text}, index=False if n % 12 == 11 else None)
        for n, text in enumerate(texts)
    ]
    for start in range(0, 2_400, 800):
        await call(store, "batch", puts[start : start + 800])
    for limit in (90, 600):
        ops = [
            SearchOp(("user", "large"), query="apple 7", limit=limit, offset=offset)
            for offset in range(0, 2_410, limit)
        ]
        pages = await call(store, "batch", ops)
        hits = [hit for page in pages for hit in page]
        assert len({hit.key for hit in hits}) == len(hits) == 2_400
        assert [hit.key for hit in hits if hit.score is None] == [str(n) for n in range(2_399, 0, -12)]
        for page in pages:
            scores = [hit.score for hit in page if hit.score is not None]
            assert scores == sorted(scores, reverse=True)


def test_collections_of_others_are_left_alone(open_store: OpenStore) -> None:
    store = open_store()
    for name in ("hybrid-memory-of-mine", "hybrid-memory-99", "notes"):
        vectors_of(store)._client.create_collection(name, embedding_function=None)
    store.close()
    assert sorted(records_by_shard(open_store())) == ["hybrid-memory", "hybrid-memory-of-mine", "notes"]

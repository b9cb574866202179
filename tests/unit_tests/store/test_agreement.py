"""Catalog and Chroma agree, whatever happens between the two."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

import pytest
from chromadb.errors import InternalError
from langgraph.store.base import PutOp

from langchain_hybrid_memory.errors import StorageError
from langchain_hybrid_memory.store import _search
from langchain_hybrid_memory.store._vectors import VectorIndex

if TYPE_CHECKING:
    from pathlib import Path

    from langchain_hybrid_memory.store import ChromaStore
    from tests.doubles.doors import Door
    from tests.unit_tests.store.conftest import OpenStore

HOME = ("user", "alex")


@pytest.fixture(autouse=True)
def _ask_chroma_always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_search, "EXACT_ITEMS", 0)


def fail(*_: Any) -> None:
    msg = "disk full"
    raise InternalError(msg)


def chroma_ids(store: ChromaStore) -> set[str]:
    return store._backend._vectors.ids()


def pending(path: Path) -> int:
    connection = sqlite3.connect(path / "memory" / "catalog.sqlite3")
    count: int = connection.execute("SELECT count(*) FROM pending").fetchone()[0]
    connection.close()
    return count


async def test_write_that_chroma_missed_is_told_again_on_reopening(
    open_store: OpenStore, call: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store()
    with monkeypatch.context() as broken:
        broken.setattr(VectorIndex, "upsert", fail)
        with pytest.raises(StorageError, match=r"memory.*Free disk space"):
            await call(store, "put", HOME, "k", {"text": "apple"})
        store.close()
    assert pending(tmp_path) == 1
    (hit,) = await call(open_store(), "search", HOME, query="apple")
    assert (hit.key, hit.signals.cosine) == ("k", 1.0)
    assert pending(tmp_path) == 0


async def test_delete_that_chroma_missed_is_told_again_before_the_next_search(
    store: ChromaStore, call: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    await call(store, "batch", [PutOp(HOME, "k", {"text": "apple"}), PutOp(HOME, "z", {"text": "pear"})])
    with monkeypatch.context() as broken:
        broken.setattr(VectorIndex, "delete", fail)
        with pytest.raises(StorageError):
            await call(store, "delete", HOME, "k")
        assert await call(store, "get", HOME, "k") is None
    assert [hit.key for hit in await call(store, "search", HOME, query="apple")] == ["z"]
    assert len(chroma_ids(store)) == 1


async def test_unindexed_put_leaves_chroma_alone(
    store: ChromaStore, call: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(VectorIndex, "upsert", fail)
    monkeypatch.setattr(VectorIndex, "delete", fail)
    await call(store, "put", HOME, "k", {"text": "apple"}, index=False)
    await call(store, "put", HOME, "k", {"text": "pear"}, index=False)
    await call(store, "delete", HOME, "k")


async def test_records_chroma_lost_or_should_not_have_are_mended_on_opening(open_store: OpenStore, call: Door) -> None:
    store = open_store()
    await call(store, "put", HOME, "k", {"parts": [{"t": "harbor"}, {"t": "apple"}]}, index=["parts[*].t"])
    await call(store, "put", HOME, "z", {"text": "pear"})
    held = chroma_ids(store)
    collection = store._backend._vectors._collection
    collection.delete(ids=sorted(held)[:2])
    collection.upsert(ids=["stranger"] * 1, embeddings=[[1.0] * 256], documents=["who?"])
    store.close()
    store = open_store()
    assert chroma_ids(store) == held
    documents = store._backend._vectors._collection.get()["documents"]
    assert sorted(documents or []) == ["apple", "harbor", "pear"]


async def test_chroma_holds_the_text_and_says_whose_it_is(store: ChromaStore, call: Door) -> None:
    await call(store, "put", HOME, "k", {"text": "apple"})
    held = store._backend._vectors._collection.get()
    assert held["documents"] == ["apple"]
    assert held["metadatas"] == [{"namespace": '["user", "alex"]', "key": "k", "field": "text"}]


async def test_hostile_texts_reach_chroma(store: ChromaStore, call: Door) -> None:
    texts = ["nul\x00", "\ud800", "😀", "x" * 100_000]
    await call(store, "batch", [PutOp((text, "n"), text, {"text": text}) for text in texts])
    assert len(await call(store, "search", (), query="x")) == 4
    assert len(chroma_ids(store)) == 4

"""Catalog and Chroma agree, whatever happens between the two."""

from __future__ import annotations

import shutil
import sqlite3
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from chromadb.errors import InternalError
from langgraph.store.base import PutOp

from langchain_hybrid_memory.errors import StorageError
from langchain_hybrid_memory.store import _follower, _search
from langchain_hybrid_memory.store._vectors import VectorIndex
from tests.doubles.backends import doubt, embedded

if TYPE_CHECKING:
    from pathlib import Path

    from langchain_hybrid_memory.store import ChromaStore
    from tests.doubles.doors import Door
    from tests.unit_tests.store.conftest import OpenStore

HOME = ("user", "alex")


@pytest.fixture(autouse=True)
def _ask_chroma_always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_search, "LARGE", 0)


@pytest.fixture
def _tell_chroma_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_follower, "LAG", 0)


def fail(*_: Any) -> None:
    msg = "disk full"
    raise InternalError(msg)


def chroma_ids(store: ChromaStore) -> set[str]:
    return embedded(store)._follower._vectors.ids(0)


def pending(path: Path) -> int:
    connection = sqlite3.connect(path / "memory" / "catalog.sqlite3")
    count: int = connection.execute("SELECT count(*) FROM pending").fetchone()[0]
    connection.close()
    return count


@pytest.mark.usefixtures("_tell_chroma_at_once")
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


@pytest.mark.usefixtures("_tell_chroma_at_once")
async def test_delete_that_chroma_missed_is_told_again_at_the_next_write(
    store: ChromaStore, call: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    await call(store, "batch", [PutOp(HOME, "k", {"text": "apple"}), PutOp(HOME, "z", {"text": "pear"})])
    with monkeypatch.context() as broken:
        broken.setattr(VectorIndex, "delete", fail)
        with pytest.raises(StorageError):
            await call(store, "delete", HOME, "k")
        assert await call(store, "get", HOME, "k") is None
    assert [hit.key for hit in await call(store, "search", HOME, query="apple")] == ["z"]
    await call(store, "put", HOME, "more", {"text": "plum"})
    assert len(chroma_ids(store)) == 2


async def test_unindexed_put_leaves_chroma_alone(
    store: ChromaStore, call: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(VectorIndex, "upsert", fail)
    monkeypatch.setattr(VectorIndex, "delete", fail)
    await call(store, "put", HOME, "k", {"text": "apple"}, index=False)
    await call(store, "put", HOME, "k", {"text": "pear"}, index=False)
    await call(store, "delete", HOME, "k")


async def test_vectors_chroma_does_not_know_yet_are_found(store: ChromaStore, call: Door) -> None:
    await call(store, "batch", [PutOp(HOME, str(n), {"text": f"apple {n}"}) for n in range(100)])
    known = chroma_ids(store)
    assert len(known) == 100
    await call(store, "put", HOME, "new", {"text": "harbor"})
    await call(store, "put", HOME, "1", {"text": "harbor"})
    await call(store, "delete", HOME, "2")
    assert chroma_ids(store) == known
    hits = await call(store, "search", HOME, query="harbor", limit=200)
    assert [(hit.key, hit.signals.cosine) for hit in hits[:2]] == [("1", 1.0), ("new", 1.0)]
    assert len(hits) == 100
    assert await call(store, "search", ("user", "al"), query="harbor") == []
    filtered = await call(store, "search", HOME, query="harbor", filter={"text": "apple 7"})
    assert [hit.key for hit in filtered] == ["7"]


async def test_chroma_lags_behind_by_a_bounded_number_of_records(store: ChromaStore, call: Door) -> None:
    for number in range(70):
        await call(store, "put", HOME, str(number), {"text": f"apple {number}"})
    assert len(chroma_ids(store)) >= 70 - _follower.LAG


async def test_item_with_many_vectors_does_not_hide_the_others(store: ChromaStore, call: Door) -> None:
    parts = [{"t": f"harbor {n}"} for n in range(300)]
    await call(store, "put", HOME, "many", {"parts": parts}, index=["parts[*].t"])
    await call(store, "batch", [PutOp(HOME, str(n), {"text": f"boat {n}"}) for n in range(100)])
    hits = await call(store, "search", HOME, query="harbor", limit=60)
    assert [hit.score is None for hit in hits] == [False] * 60


async def test_records_chroma_lost_or_should_not_have_are_mended_on_opening(
    open_store: OpenStore, call: Door, tmp_path: Path
) -> None:
    store = open_store()
    await call(store, "put", HOME, "k", {"parts": [{"t": "harbor"}, {"t": "apple"}]}, index=["parts[*].t"])
    await call(store, "put", HOME, "z", {"text": "pear"})
    store.close()
    store = open_store()
    held = chroma_ids(store)
    assert len(held) == 3
    collection = embedded(store)._follower._vectors._collection(0)
    collection.delete(ids=sorted(held)[:2])
    collection.upsert(ids=["stranger"], embeddings=np.ones((1, 256), dtype=np.float32), documents=["who?"])
    store.close()
    doubt(tmp_path / "memory")
    store = open_store()
    assert chroma_ids(store) == held
    documents = embedded(store)._follower._vectors._collection(0).get()["documents"]
    assert sorted(documents or []) == ["apple", "harbor", "pear"]


async def test_mending_that_was_interrupted_is_done_at_the_next_opening(
    open_store: OpenStore, call: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store()
    await call(store, "put", HOME, "told", {"text": "harbor"})
    store.close()
    store = open_store()
    embedded(store)._follower._vectors._collection(0).delete(ids=sorted(chroma_ids(store)))
    await call(store, "put", HOME, "noted", {"text": "pear"})
    store.close()
    doubt(tmp_path / "memory")
    with monkeypatch.context() as broken:
        broken.setattr(VectorIndex, "count", fail)
        with pytest.raises(StorageError):
            open_store()
    assert len(chroma_ids(open_store())) == 2


@pytest.mark.parametrize("is_closed", [True, False])
async def test_opening_counts_only_what_chroma_wrote_without_us(
    open_store: OpenStore, call: Door, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, is_closed: bool
) -> None:
    monkeypatch.setattr(_follower, "LAG", 0)
    store = open_store()
    await call(store, "put", HOME, "k", {"text": "harbor"})
    if is_closed:
        store.close()
    else:  # as if the process had been killed
        shutil.copytree(tmp_path / "memory", tmp_path / "copy", copy_function=shutil.copy2)
        store.close()
        shutil.rmtree(tmp_path / "memory")
        (tmp_path / "copy").rename(tmp_path / "memory")
    monkeypatch.setattr(VectorIndex, "count", fail)
    assert await call(open_store(), "get", HOME, "k")


async def test_id_that_became_anothers_while_chroma_was_asked_is_not_found(
    store: ChromaStore, call: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    await call(store, "batch", [PutOp(HOME, "k", {"text": "apple"}), PutOp(("user", "bo"), "z", {"text": "apple"})])
    with embedded(store)._catalog.reading() as connection:
        everybody = [row[0] for row in connection.execute("SELECT id FROM item")]
    monkeypatch.setattr(embedded(store)._follower, "nearest", lambda *_, **__: everybody)
    assert [hit.key for hit in await call(store, "search", HOME, query="apple")] == ["k"]


@pytest.mark.usefixtures("_tell_chroma_at_once")
async def test_chroma_holds_the_text_and_says_whose_it_is(store: ChromaStore, call: Door) -> None:
    await call(store, "put", HOME, "k", {"text": "apple"})
    held = embedded(store)._follower._vectors._collection(0).get()
    assert held["documents"] == ["apple"]
    assert held["metadatas"] == [{"namespace": '["user", "alex"]', "key": "k", "field": "text"}]


@pytest.mark.usefixtures("_tell_chroma_at_once")
async def test_hostile_texts_reach_chroma(store: ChromaStore, call: Door) -> None:
    texts = ["nul\x00", "\ud800", "😀", "x" * 100_000]
    await call(store, "batch", [PutOp((text.strip("\x00"), "n"), text, {"text": text}) for text in texts])
    assert len(await call(store, "search", (), query="x")) == 4
    assert len(chroma_ids(store)) == 4

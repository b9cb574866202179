"""What is erased is in no file of the directory, neither as text nor as a vector."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding
from langgraph.store.base import PutOp

from langchain_hybrid_memory.store import ChromaStore, _shards
from langchain_hybrid_memory.store._catalog import Catalog
from langchain_hybrid_memory.store._vectors import VectorIndex
from tests.doubles.traces import holds_vector

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.doubles.doors import Door

MODEL = DeterministicFakeEmbedding(size=64)
GONE, KEPT = ("user", "gone"), ("user", "kept")


def open_store(path: Path) -> ChromaStore:
    return ChromaStore.open(path, index={"embed": MODEL, "dims": 64, "fields": ["text"]})


def secrets(user: str, count: int) -> list[str]:
    return [f"quetzal{user}{number:05d} lives here" for number in range(count)]


def traces(path: Path, texts: Sequence[str]) -> list[str]:
    """The files that hold a word of one of the texts, or its vector."""
    words = [text.split()[0].encode() for text in texts]
    vectors = [np.asarray(vector, dtype=np.float32) for vector in MODEL.embed_documents(list(texts))]
    found = []
    for file in path.rglob("*"):
        data = file.read_bytes() if file.is_file() else b""
        if any(word in data for word in words) or any(holds_vector(data, vector) for vector in vectors):
            found.append(file.name)
    return sorted(found)


async def fill(call: Door, store: ChromaStore, count: int) -> None:
    for start in range(0, count, 100):
        numbers = range(start, min(start + 100, count))
        puts = [
            PutOp(("user", user), str(number), {"text": secrets(user, count)[number], "also": "plain"})
            for user in ("gone", "kept")
            for number in numbers
        ]
        await call(store, "batch", puts)


@pytest.mark.parametrize("is_large", [False, True])
async def test_erased_text_and_vectors_are_in_no_file(
    tmp_path: Path, call: Door, monkeypatch: pytest.MonkeyPatch, *, is_large: bool
) -> None:
    if is_large:
        monkeypatch.setattr(_shards, "LARGE", 400)
    store = open_store(tmp_path)
    await fill(call, store, 700)  # more than Chroma keeps in its log alone
    await call(store, "put", GONE, "1", {"text": "rewritten"})
    await call(store, "delete", GONE, "2")
    sample = secrets("gone", 700)[:700:35] + secrets("gone", 700)[1:3]
    assert traces(tmp_path, sample) != []
    assert traces(tmp_path, secrets("kept", 700)[:3]) != []
    assert await call(store, "erase", GONE) == 699
    assert traces(tmp_path, sample) == []
    assert len(await call(store, "search", KEPT, query="quetzalkept00004", limit=1_000)) == 700
    (found,) = await call(store, "search", KEPT, query=secrets("kept", 5)[4], limit=1)
    assert found.key == "4"
    assert await call(store, "search", GONE) == []
    await call(store, "put", GONE, "new", {"text": "a new life"})
    store.close()
    assert traces(tmp_path, sample) == []
    with open_store(tmp_path) as store:
        assert [item.key for item in await call(store, "search", GONE, query="life")] == ["new"]
        assert len(await call(store, "search", KEPT, limit=1_000)) == 700


async def test_delete_alone_leaves_traces(tmp_path: Path, call: Door) -> None:
    store = open_store(tmp_path)
    await fill(call, store, 700)
    for number in range(0, 700, 35):
        await call(store, "delete", GONE, str(number))
    assert traces(tmp_path, secrets("gone", 700)[:700:35]) != []


async def test_erasing_by_whole_labels_only(tmp_path: Path, call: Door) -> None:
    with open_store(tmp_path) as store:
        for user in ("al", "alex", "a%"):
            await call(store, "put", ("user", user), "k", {"text": user})
        assert await call(store, "erase", ("user", "al")) == 1
        assert await call(store, "erase", ("user", "nobody")) == 0
        assert {item.namespace[1] for item in await call(store, "search", ("user",))} == {"alex", "a%"}
        assert await call(store, "erase", ()) == 2
        assert await call(store, "search", ()) == []


@pytest.mark.parametrize("where", [(VectorIndex, "upsert"), (VectorIndex, "_reopen"), (Catalog, "settle")])
async def test_interrupted_erasing_is_completed_at_the_next_opening(
    tmp_path: Path, call: Door, monkeypatch: pytest.MonkeyPatch, where: tuple[type, str]
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    store = open_store(tmp_path)
    await fill(call, store, 400)
    sample = secrets("gone", 400)[::40]
    with monkeypatch.context() as interrupted:
        interrupted.setattr(*where, stop)
        with pytest.raises(KeyboardInterrupt):
            await call(store, "erase", GONE)
    store.close()
    assert traces(tmp_path, sample) != []
    with open_store(tmp_path) as store:
        assert traces(tmp_path, sample) == []
        assert len(await call(store, "search", KEPT, query="quetzal", limit=1_000)) == 400

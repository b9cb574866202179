"""A store keeps to one embedding model, and changes it only as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings
from langgraph.store.base import Op, PutOp, SearchOp

from langchain_hybrid_memory.errors import EmbeddingMismatchError
from langchain_hybrid_memory.store import _reindex
from tests.doubles.backends import embedded

if TYPE_CHECKING:
    from langchain_hybrid_memory.store import ChromaStore
    from tests.doubles.doors import Door
    from tests.unit_tests.store.conftest import OpenStore

HOME = ("user", "alex")


class Rounded(Embeddings):
    """Another export of a model: nearly the same vectors."""

    def __init__(self, model: Embeddings) -> None:
        self.model = model

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [np.asarray(vector, dtype=np.float16).tolist() for vector in self.model.embed_documents(texts)]

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]


class Named(DeterministicFakeEmbedding):
    model: str = ""


def index(model: Embeddings) -> dict[str, Any]:
    return {"embed": model, "fields": ["text"]}


OLD = Named(size=64, model="old-model")
NEW = Named(size=32, model="new-model")


class SameSize(Named):
    """As many numbers, other ones."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return super().embed_documents([f"other {text}" for text in texts])

    def embed_query(self, text: str) -> list[float]:
        return super().embed_query(f"other {text}")


SAME_SIZE = SameSize(size=64, model="same-size")


async def fill(call: Door, store: ChromaStore, count: int) -> None:
    await call(store, "batch", [PutOp(HOME, str(number), {"text": f"fact {number}"}) for number in range(count)])


@pytest.mark.parametrize("other", [NEW, SAME_SIZE])
@pytest.mark.parametrize("op", [SearchOp(HOME, query="fact"), PutOp(HOME, "more", {"text": "more"})])
async def test_another_model_is_refused_and_both_are_named(
    open_store: OpenStore, call: Door, other: Named, op: Op
) -> None:
    store = open_store(index=index(OLD))
    await fill(call, store, 1)
    store.close()
    store = open_store(index=index(other))
    with pytest.raises(EmbeddingMismatchError, match=rf"old-model \(64.*{other.model} \({other.size}.*reindex"):
        await call(store, "batch", [op])
    assert await call(store, "get", HOME, "0")  # what needs no vector goes on


async def test_another_export_of_the_model_is_welcome(open_store: OpenStore, call: Door) -> None:
    await fill(call, open_store(index=index(OLD)), 1)
    hits = await call(open_store(index=index(Rounded(OLD))), "search", HOME, query="fact 0")
    assert hits[0].signals.cosine > 0.99


async def test_store_without_vectors_takes_any_model(open_store: OpenStore, call: Door) -> None:
    store = open_store(index=index(OLD))
    await fill(call, store, 1)
    await call(store, "delete", HOME, "0")
    await fill(call, open_store(index=index(NEW)), 1)


@pytest.mark.parametrize("new", [NEW, SAME_SIZE])
async def test_reindex_embeds_everything_anew(open_store: OpenStore, call: Door, new: Named) -> None:
    old = open_store(index=index(OLD))
    await fill(call, old, 300)
    store = open_store(index=index(new))
    told: list[tuple[int, int]] = []
    assert await call(store, "reindex", on_progress=lambda done, total: told.append((done, total))) == 300
    assert told[0] == (0, 300)
    assert told[-1] == (300, 300)
    hits = await call(store, "search", HOME, query="fact 17", limit=300)
    assert hits[0].key == "17"
    assert hits[0].signals.cosine == pytest.approx(1.0, abs=1e-4)
    assert len(hits) == 300
    with pytest.raises(EmbeddingMismatchError, match=rf"{new.model}.*old-model"):
        await call(old, "search", HOME, query="fact 17")
    held = {
        collection.name: collection.count()
        for collection in embedded(store)._follower._vectors._client.list_collections()
    }
    assert held == {"hybrid-memory-1": 300}


async def test_interrupted_reindex_goes_on_where_it_was(
    open_store: OpenStore, call: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_reindex, "PORTION", 10)
    store = open_store(index=index(OLD))
    await fill(call, store, 30)
    store.close()

    def stop(done: int, _: int) -> None:
        if done == 20:
            raise KeyboardInterrupt

    store = open_store(index=index(NEW))
    with pytest.raises(KeyboardInterrupt):
        await call(store, "reindex", on_progress=stop)
    store.close()
    assert len(await call(open_store(index=index(OLD)), "search", HOME, query="fact 3", limit=30)) == 30
    left: list[int] = []
    await call(open_store(index=index(NEW)), "reindex", on_progress=lambda done, total: left.append(total - done))
    assert left[0] == 10


async def test_what_is_written_meanwhile_is_embedded_too(
    open_store: OpenStore, call: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_reindex, "PORTION", 10)
    old, new = open_store(index=index(OLD)), open_store(index=index(NEW))
    await fill(call, old, 30)

    def write(done: int, _: int) -> None:
        if done in (10, 30):
            old.put(HOME, "5", {"text": f"changed at {done}"})

    await call(new, "reindex", on_progress=write)
    (hit,) = await call(new, "search", HOME, query="changed at 30", limit=1)
    assert (hit.key, hit.signals.cosine) == ("5", pytest.approx(1.0, abs=1e-4))


async def test_reindex_with_the_same_model_changes_nothing(open_store: OpenStore, call: Door) -> None:
    store = open_store(index=index(OLD))
    await fill(call, store, 5)
    before = [(hit.key, hit.score) for hit in await call(store, "search", HOME, query="fact 3")]
    await call(store, "reindex", on_progress=lambda *_: None)
    assert [(hit.key, hit.score) for hit in await call(store, "search", HOME, query="fact 3")] == before

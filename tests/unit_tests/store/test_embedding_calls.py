"""How often and with what the embedding is asked."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from langgraph.store.base import PutOp, SearchOp

from langchain_hybrid_memory.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_hybrid_memory.store import ChromaStore
    from tests.doubles.doors import Door, Mode
    from tests.doubles.embedding import WordEmbedding
    from tests.unit_tests.store.conftest import OpenStore

HOME = ("user", "alex")
BOTH = pytest.mark.parametrize("keeper", ["directory", "server"])


async def test_unindexed_put_embeds_nothing(store: ChromaStore, call: Door, embedding: WordEmbedding) -> None:
    await call(store, "put", HOME, "k", {"text": "apple"}, index=False)
    await call(store, "get", HOME, "k")
    assert embedding.calls == []


@BOTH
async def test_each_distinct_text_of_a_batch_is_embedded_once(
    store: ChromaStore, call: Door, embedding: WordEmbedding
) -> None:
    puts = [PutOp(HOME, str(n), {"text": text}) for n, text in enumerate(["apple", "apple", "pear"])]
    searches = [SearchOp(HOME, query="plum"), SearchOp((), query="plum")]
    await call(store, "batch", [*puts, *searches])
    assert sorted(embedding.calls) == [("apple", "pear"), ("plum",)]


@BOTH
async def test_unchanged_text_is_not_embedded_again(store: ChromaStore, call: Door, embedding: WordEmbedding) -> None:
    await call(store, "put", HOME, "k", {"text": "apple", "n": 1})
    await call(store, "put", HOME, "k", {"text": "apple", "n": 2})
    assert embedding.calls == [("apple",)]
    (hit,) = await call(store, "search", HOME, query="apple")
    assert (hit.value["n"], hit.signals.cosine) == (2, 1.0)


@BOTH
async def test_deleted_and_put_again_is_found(store: ChromaStore, call: Door, embedding: WordEmbedding) -> None:
    await call(store, "put", HOME, "k", {"text": "apple"})
    await call(store, "delete", HOME, "k")
    await call(store, "put", HOME, "k", {"text": "apple"})
    assert len(embedding.calls) == 2
    (hit,) = await call(store, "search", HOME, query="apple")
    assert hit.signals.cosine == 1.0


async def test_blank_text_is_not_embedded(store: ChromaStore, call: Door, embedding: WordEmbedding) -> None:
    await call(store, "batch", [PutOp(HOME, "blank", {"text": " "}), PutOp(HOME, "none", {"text": None})])
    assert embedding.calls == []
    assert len(await call(store, "search", HOME, query="x")) == 2


@BOTH
async def test_failing_embedding_writes_nothing(store: ChromaStore, call: Door, embedding: WordEmbedding) -> None:
    embedding.error = RuntimeError("model is down")
    with pytest.raises(RuntimeError, match="model is down"):
        await call(store, "batch", [PutOp(HOME, "a", {"text": "a"}), PutOp(HOME, "b", {"text": "b"}, index=False)])
    embedding.error = None
    assert await call(store, "search", HOME) == []


@pytest.mark.parametrize(
    ("answer", "problem"),
    [([[1.0, 2.0]], "dims=256"), ([], "0 vectors for 1"), ([[float("nan")] * 256], "finite"), ([[]], "0 numbers")],
)
async def test_useless_vectors_are_refused(
    open_store: OpenStore, call: Door, answer: list[list[float]], problem: str
) -> None:
    store = open_store(index={"embed": lambda _: answer, "dims": 256, "fields": ["text"]})
    with pytest.raises(ConfigurationError, match=problem):
        await call(store, "put", HOME, "k", {"text": "apple"})
    assert await call(store, "get", HOME, "k") is None


@BOTH
async def test_vectors_of_another_size_than_stored_are_refused(open_store: OpenStore, call: Door) -> None:
    await call(open_store(), "put", HOME, "k", {"text": "apple"})
    other = open_store(index={"embed": lambda texts: [[1.0, 0.0]] * len(texts), "fields": ["text"]})
    with pytest.raises(ConfigurationError, match=r"256 numbers.*2 numbers"):
        await call(other, "put", HOME, "z", {"text": "pear"})
    with pytest.raises(ConfigurationError, match=r"256 numbers.*2 numbers"):
        await call(other, "search", HOME, query="pear")
    assert await call(other, "get", HOME, "z") is None


async def test_plain_function_embeds(open_store: OpenStore, call: Door) -> None:
    store = open_store(index={"embed": lambda texts: [[1.0, 0.0]] * len(texts), "fields": ["text"]})
    await call(store, "put", HOME, "k", {"text": "apple"})
    (hit,) = await call(store, "search", HOME, query="pear")
    assert hit.signals.cosine == 1.0


async def test_async_function_embeds_without_blocking_the_loop(open_store: OpenStore, mode: Mode) -> None:
    if mode == "sync":
        pytest.skip("an async function has no synchronous form")
    beats = 0

    async def embed(texts: Sequence[str]) -> list[list[float]]:
        await asyncio.sleep(0.05)
        return [[1.0, 0.0] for _ in texts]

    async def beat() -> None:
        nonlocal beats
        while True:
            beats += 1
            await asyncio.sleep(0.005)

    store = open_store(index={"embed": embed, "fields": ["text"]})
    heart = asyncio.create_task(beat())
    await store.aput(HOME, "k", {"text": "apple"})
    await store.asearch(HOME, query="pear")
    heart.cancel()
    assert beats > 5


async def test_model_strings_and_the_default_are_created_at_first_need(
    open_store: OpenStore, call: Door, embedding: WordEmbedding, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def create_embedding(model: Any = None) -> WordEmbedding:
        asked.append(model)
        return embedding

    monkeypatch.setattr("langchain_hybrid_memory.embedding.create_embedding", create_embedding)
    default = open_store(index=None)
    named = open_store(index={"embed": "provider:model", "dims": embedding.dimensions})
    await call(default, "put", HOME, "k", {"text": "apple"}, index=False)
    assert asked == []
    for store in (default, default, named):
        await call(store, "search", HOME, query="apple")
    assert asked == [None, "provider:model"]

"""Concurrent asynchronous calls become one batch, and do not share each other's fate."""

from __future__ import annotations

import asyncio
import contextvars
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from langgraph.store.base import InvalidNamespaceError, PutOp

from langchain_hybrid_memory.errors import FilterError
from langchain_hybrid_memory.store._embedder import PROBE
from tests.doubles.backends import embedded

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from langchain_hybrid_memory.store import ChromaStore
    from tests.doubles.embedding import WordEmbedding
    from tests.unit_tests.store.conftest import OpenStore

HOME = ("user", "alex")
CALLER: contextvars.ContextVar[str] = contextvars.ContextVar("caller")


class Gate:
    """An embedding that waits to be let through and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.has_begun = asyncio.Event()
        self.is_open = asyncio.Event()
        self.was_cancelled = False

    async def __call__(self, texts: Sequence[str]) -> list[list[float]]:
        if list(texts) == [PROBE]:
            return [[1.0, 0.0]]
        self.asked.append(sorted(texts))
        self.has_begun.set()
        try:
            await self.is_open.wait()
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise
        return [[1.0, 0.0] for _ in texts]


def gated(open_store: OpenStore, gate: Gate) -> ChromaStore:
    return open_store(index={"embed": gate, "dims": 2, "fields": ["text"]})


async def test_calls_of_one_moment_are_embedded_and_committed_once(
    store: ChromaStore, embedding: WordEmbedding
) -> None:
    await store.aput(HOME, "first", {"text": "the model is known from now on"})
    embedding.calls.clear()
    transactions = embedded(store)._catalog._writer.total_changes
    began: list[str] = []
    embedded(store)._catalog._writer.set_trace_callback(lambda sql: began.append(sql) if "BEGIN" in sql else None)
    await asyncio.gather(*(store.aput(HOME, str(n), {"text": f"fact {n}"}) for n in range(20)))
    embedded(store)._catalog._writer.set_trace_callback(None)
    assert embedded(store)._catalog._writer.total_changes > transactions
    assert len(began) == 1
    assert embedding.calls == [tuple(f"fact {n}" for n in range(20))]


async def test_each_caller_gets_its_own_results(store: ChromaStore) -> None:
    await store.aput(HOME, "a", {"text": "apple"})
    item, found, spaces, nothing, also_found = await asyncio.gather(
        store.aget(HOME, "a"),
        store.asearch(HOME, query="apple"),
        store.alist_namespaces(),
        store.aput(HOME, "b", {"text": "pear"}),
        store.asearch(HOME),
    )
    assert item is not None
    assert item.value == {"text": "apple"}
    assert [[hit.key for hit in hits] for hits in (found, also_found)] == [["a"], ["a"]]
    assert (spaces, nothing) == ([HOME], None)


async def test_of_writes_of_one_moment_the_last_wins(store: ChromaStore) -> None:
    await asyncio.gather(*(store.aput(HOME, "k", {"n": n}) for n in range(9)), store.aput(HOME, "k", {"n": -1}))
    item = await store.aget(HOME, "k")
    assert item is not None
    assert item.value == {"n": -1}


async def test_one_bad_call_fails_alone(store: ChromaStore) -> None:
    calls: list[Coroutine[Any, Any, Any]] = [
        store.aput(HOME, "a", {"text": "a"}),
        store.asearch(HOME, filter={"n": {"$in": [1]}}),
        store.aput(HOME, "b", {"text": {1, 2}}),
        store.abatch([PutOp(("a.b",), "c", {})]),
        store.abatch([]),
        store.aput(HOME, "d", {"text": "d"}),
    ]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes[1:4]] == [FilterError, TypeError, InvalidNamespaceError]
    assert (outcomes[0], *outcomes[4:]) == (None, [], None)
    assert [item.key for item in await store.asearch(())] == ["d", "a"]


async def test_each_caller_meets_an_error_of_its_own(store: ChromaStore, embedding: WordEmbedding) -> None:
    embedding.error = ConnectionError("model is down")
    outcomes = await asyncio.gather(
        store.aput(HOME, "a", {"text": "a"}),
        store.aput(HOME, "plain", {"text": "b"}, index=False),
        store.asearch(HOME, query="c"),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes] == [ConnectionError, type(None), ConnectionError]
    assert [item.key for item in await store.asearch(())] == ["plain"]


async def test_caller_who_leaves_before_the_start_writes_nothing(
    open_store: OpenStore, embedding: WordEmbedding
) -> None:
    store = open_store()
    stays = asyncio.create_task(store.aput(HOME, "stays", {"text": "stays"}))
    leaves = asyncio.create_task(store.aput(HOME, "leaves", {"text": "leaves"}))
    asyncio.get_running_loop().call_soon(leaves.cancel)  # after both have asked, before the batch
    await stays
    await asyncio.wait([leaves])
    assert leaves.cancelled()
    assert embedding.calls == [("stays",)]
    assert [item.key for item in await store.asearch(())] == ["stays"]


async def test_caller_who_leaves_in_the_middle_takes_nobody_along(open_store: OpenStore) -> None:
    gate = Gate()
    store = gated(open_store, gate)
    stays = asyncio.create_task(store.aput(HOME, "stays", {"text": "stays"}))
    leaves = asyncio.create_task(store.aput(HOME, "leaves", {"text": "leaves"}))
    await gate.has_begun.wait()
    leaves.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaves
    gate.is_open.set()
    await stays
    assert gate.asked == [["leaves", "stays"]]
    assert {item.key for item in await store.asearch(())} == {"stays", "leaves"}


async def test_work_stops_when_everybody_has_left(open_store: OpenStore) -> None:
    gate = Gate()
    store = gated(open_store, gate)
    tasks = [asyncio.create_task(store.aput(HOME, str(n), {"text": str(n)})) for n in range(3)]
    await gate.has_begun.wait()
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert gate.was_cancelled
    gate.is_open.set()
    await store.aput(HOME, "later", {"text": "later"})
    assert [item.key for item in await store.asearch(())] == ["later"]


async def test_no_caller_is_seen_in_the_work_of_others(open_store: OpenStore) -> None:
    seen: list[tuple[list[str], str]] = []

    async def embed(texts: Sequence[str]) -> list[list[float]]:
        if list(texts) != [PROBE]:
            seen.append((list(texts), CALLER.get("nobody")))
        return [[1.0, 0.0] for _ in texts]

    async def put(name: str) -> None:
        CALLER.set(name)
        await store.aput(HOME, name, {"text": name})

    store = open_store(index={"embed": embed, "fields": ["text"]})
    await asyncio.create_task(put("alex"))
    await asyncio.gather(put("sam"), put("kim"))
    assert seen == [(["alex"], "alex"), (["sam", "kim"], "nobody")]


async def test_slow_embedding_does_not_hold_up_later_calls(open_store: OpenStore) -> None:
    gate = Gate()
    store = gated(open_store, gate)
    slow = asyncio.create_task(store.aput(HOME, "slow", {"text": "slow"}))
    await gate.has_begun.wait()
    await store.aput(HOME, "quick", {"text": "quick"}, index=False)
    assert [item.key for item in await store.asearch(())] == ["quick"]
    assert not slow.done()
    gate.is_open.set()
    await slow


def test_one_store_serves_loops_of_many_threads_and_many_loops_one_after_another(store: ChromaStore) -> None:
    async def write(worker: int) -> None:
        await asyncio.gather(*(store.aput(HOME, f"{worker} {n}", {"text": f"{worker} {n}"}) for n in range(10)))

    with ThreadPoolExecutor(4) as threads:
        for _ in threads.map(lambda worker: asyncio.run(write(worker)), range(8)):
            pass
    assert len(store.search(HOME, limit=100)) == 80
    assert store._coalescer._gathering == {}

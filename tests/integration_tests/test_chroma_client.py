"""A store at a Chroma server: several processes at once, and a server that is down, slow or started again."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.store.base import PutOp

from langchain_hybrid_memory import HybridMemory
from langchain_hybrid_memory.errors import StorageError
from langchain_hybrid_memory.store import ChromaStore
from tests.doubles.chroma_server import ChromaServer
from tests.doubles.embedding import WordEmbedding
from tests.doubles.extractor import extracting_model

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from chromadb.api import ClientAPI

    from tests.doubles.doors import Door

HOME = ("user", "alex")
SHARED = ("shared",)
WRITES = 12
WRITER = """
import asyncio, json, sys
import chromadb
from langchain_hybrid_memory.store import ChromaStore
from tests.doubles.embedding import WordEmbedding

port, collection, name, writes = int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
client = chromadb.HttpClient(host="127.0.0.1", port=port)
index = {"embed": WordEmbedding(), "fields": ["text", "tags[*]"]}
store = ChromaStore(client, index=index, collection=collection)

async def write():
    for number in range(writes):
        text = f"{name} writes fact{number}"
        await store.aput(("user", name), f"{number}", {"text": text})
        tags = [f"{name}{number}x{tag}" for tag in range(1 + number % 3)]
        await store.aput(("shared",), "one", {"text": text, "tags": tags})
        found = await store.aget(("user", name), f"{number}")
        best, *_ = await store.asearch(("user",), query=text, limit=1)
        listed = await store.asearch(("user", name), limit=1)
        fresh = [found.value["text"], best.value["text"], listed[0].value["text"]] == [text] * 3
        print(json.dumps([f"{number}", text, fresh]), flush=True)

asyncio.run(write())
"""


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[ChromaServer]:
    """A server this test may stop."""
    with ChromaServer(tmp_path / "server") as server:
        yield server


def open_store(client: ClientAPI, **options: Any) -> ChromaStore:
    options.setdefault("index", {"embed": WordEmbedding(), "fields": ["text", "tags[*]"]})
    return ChromaStore(client, **options)


def test_processes_write_and_read_at_once_and_nothing_is_stale_or_lost(
    chroma_server: ChromaServer, chroma_client: ClientAPI
) -> None:
    collection = f"many-{uuid.uuid4()}"
    store = open_store(chroma_client, collection=collection)
    names = ["alex", "kim", "sam"]
    writers = {name: start_writer(chroma_server, collection, name) for name in names}
    acknowledged: list[tuple[str, str, str]] = []
    for name, writer in writers.items():
        for line in lines(writer):
            key, text, is_fresh = json.loads(line)
            assert is_fresh, f"{name} did not find its own write of {text!r}"
            item = store.get(("user", name), key)
            assert item is not None
            assert item.value == {"text": text}
            acknowledged.append((name, key, text))
    assert len(acknowledged) == len(names) * WRITES
    assert {(hit.namespace[1], hit.key, hit.value["text"]) for hit in store.search(("user",), limit=1_000)} == {
        *acknowledged
    }
    shared = store.get(SHARED, "one")
    assert shared is not None
    texts = [shared.value["text"], *shared.value["tags"]]
    assert [cosine(store, text) for text in texts] == [1.0] * len(texts)
    assert max(cosine(store, f"{name}{WRITES}x{tag}") for name in names for tag in range(3)) < 0.9


def test_readers_never_miss_an_item_that_is_written_over(chroma_server: ChromaServer) -> None:
    collection = f"over-{uuid.uuid4()}"
    store = open_store(chroma_server.client(), collection=collection)
    store.batch([PutOp(("user", "kim"), str(n), {"text": f"fact{n}"}) for n in range(WRITES)])
    store.put(SHARED, "one", {"text": "the first", "tags": []})
    writer = start_writer(chroma_server, collection, "kim")
    while writer.poll() is None:
        assert len(store.search(SHARED, query="writes")) == 1
        assert store.get(SHARED, "one") is not None
        assert len(store.search(("user",), query="fact3", limit=100)) == WRITES
        assert len(store.search(("user",), limit=100)) == WRITES
    assert len(list(lines(writer))) == WRITES


async def test_server_that_is_down_is_named_and_the_same_store_goes_on_once_it_is_back(
    own_server: ChromaServer, call: Door
) -> None:
    store = open_store(own_server.client())
    await call(store, "put", HOME, "k", {"text": "apple"})
    own_server.stop()
    for name, arguments in {"get": (HOME, "k"), "put": (HOME, "z", {"text": "pear"}), "search": (HOME,)}.items():
        with pytest.raises(StorageError, match=rf"127\.0\.0\.1:{own_server.port}.*Check that it runs"):
            await call(store, name, *arguments)
    own_server.start()
    assert (await call(store, "get", HOME, "k")).value == {"text": "apple"}
    await call(store, "put", HOME, "z", {"text": "pear"})
    assert [hit.key for hit in await call(store, "search", HOME, query="pear")] == ["z", "k"]


def test_server_that_was_never_there_and_comes_is_used(own_server: ChromaServer) -> None:
    store = open_store(own_server.client())
    own_server.stop()
    with pytest.raises(StorageError, match="Check that it runs"):
        store.put(HOME, "k", {"text": "apple"})
    own_server.start()
    store.put(HOME, "k", {"text": "apple"})
    assert [hit.key for hit in store.search(HOME, query="apple")] == ["k"]


async def test_slow_server_costs_no_more_than_the_time_limit(own_server: ChromaServer, call: Door) -> None:
    store = open_store(own_server.client(), timeout_seconds=0.3)
    await call(store, "put", HOME, "k", {"text": "apple"})
    own_server.pause()
    with pytest.raises(StorageError, match="did not answer in time"):
        await call(store, "get", HOME, "k")
    with pytest.raises(StorageError, match="did not answer in time"):
        await call(store, "put", HOME, "k", {"text": "pear"})
    own_server.resume()
    while await written(store, call) is None:
        pass
    assert len(await call(store, "search", HOME, query="apple")) == 1


async def test_killed_server_keeps_what_it_acknowledged(own_server: ChromaServer, call: Door) -> None:
    store = open_store(own_server.client())
    for round_number in range(2):
        puts = [PutOp(HOME, f"{round_number}-{n}", {"text": f"fact{n}", "tags": ["a", "b"]}) for n in range(40)]
        await call(store, "batch", puts)
        own_server.stop()
        own_server.start()
        assert len(await call(store, "search", HOME, limit=1_000)) == 40 * (round_number + 1)
        assert len(await call(store, "search", HOME, query="fact3", limit=1_000)) == 40 * (round_number + 1)


async def test_memory_lives_on_a_server(chroma_client: ClientAPI, call: Door) -> None:
    index: Any = {"embed": WordEmbedding(), "fields": ["text"]}
    store = ChromaStore(chroma_client, index=index, collection=f"memory-{uuid.uuid4()}")
    said = [HumanMessage("My friend Sarah works at Google as a designer.", id="m1"), AIMessage("Nice!", id="m2")]
    with HybridMemory(extracting_model(), store=store, extraction="manual") as memory:
        alex, kim = memory.for_user("alex"), memory.for_user("kim")
        await call(alex, "record", said, thread_id="t1")
        await call(memory, "flush")
        assert any("Google" in hit.text for hit in await call(alex, "recall", "Where does Sarah work?"))
        assert not await call(kim, "recall", "Where does Sarah work?")
        receipt = await call(alex, "forget_everything")
        assert receipt.removed["messages"] == 2
        assert not await call(alex, "recall", "Where does Sarah work?")
    assert store.list_namespaces() == []


def start_writer(server: ChromaServer, collection: str, name: str) -> subprocess.Popen[str]:
    return subprocess.Popen(  # noqa: S603 - our own script in our own interpreter
        [sys.executable, "-c", WRITER, str(server.port), collection, name, str(WRITES)],
        stdout=subprocess.PIPE,
        text=True,
    )


def lines(writer: subprocess.Popen[str]) -> Iterator[str]:
    """What a writer prints until it ends well."""
    with writer:
        assert writer.stdout is not None
        yield from writer.stdout
    assert writer.returncode == 0


def cosine(store: ChromaStore, query: str) -> float:
    (hit,) = store.search(SHARED, query=query)
    return float(hit.signals.cosine)  # type: ignore[attr-defined] # a HybridItem


async def written(store: ChromaStore, call: Door) -> object:
    """What a busy server says of an item once it says something."""
    try:
        return await call(store, "get", HOME, "k")
    except StorageError:
        await asyncio.sleep(0.05)
        return None

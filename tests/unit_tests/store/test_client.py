"""What is particular to a store at a Chroma client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import chromadb
import httpx
import numpy as np
import pytest
from chromadb.api.models.Collection import Collection
from chromadb.api.types import Documents, EmbeddingFunction, Embeddings
from chromadb.config import Settings
from chromadb.errors import ChromaAuthError, RateLimitError
from chromadb.utils.embedding_functions import register_embedding_function
from langgraph.store.base import PutOp

from langchain_hybrid_memory.errors import ConfigurationError, EmbeddingMismatchError, StorageError
from langchain_hybrid_memory.store import ChromaStore, _client_opening, _client_search
from langchain_hybrid_memory.store._client_collection import ItemCollection
from langchain_hybrid_memory.store._client_records import read_stored
from langchain_hybrid_memory.store._failures import server_errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chromadb.api import ClientAPI

    from tests.doubles.embedding import WordEmbedding
    from tests.unit_tests.store.conftest import OpenStore

HOME = ("user", "alex")
TAGS = {"fields": ["tags[*]"]}


@pytest.fixture
def keeper() -> str:
    return "server"


def tags(embedding: WordEmbedding) -> dict[str, Any]:
    return {"embed": embedding, "dims": embedding.dimensions, "fields": ["tags[*]"]}


def cosine(store: ChromaStore, query: str) -> float:
    (hit,) = store.search(HOME, query=query)
    return float(hit.signals.cosine)  # type: ignore[attr-defined] # a HybridItem


def test_any_client_will_do(embedding: WordEmbedding) -> None:
    client = chromadb.EphemeralClient(settings=Settings(anonymized_telemetry=False))
    store = ChromaStore(client, index={"embed": embedding, "fields": ["text"]}, collection="any-client")
    store.batch([PutOp(HOME, str(n), {"text": f"fact {n}"}) for n in range(3)])
    store.delete(HOME, "0")
    assert [hit.key for hit in store.search(HOME, query="fact 2")] == ["2", "1"]
    assert repr(store) == "ChromaStore(Chroma in this process, collection 'any-client')"


@pytest.mark.parametrize("client", [None, "http://127.0.0.1:8000", object()])
def test_what_is_no_client_is_refused(client: Any) -> None:
    with pytest.raises(ConfigurationError, match="HttpClient"):
        ChromaStore(client)


def test_searches_score_as_they_do_in_a_directory(
    open_store: OpenStore, embedding: WordEmbedding, tmp_path: Any
) -> None:
    index: Any = {"embed": embedding, "fields": ["text"]}
    puts = [
        PutOp(HOME, str(n), {"text": f"{'apple' if n % 3 else 'pear'} tree {n % 7} in garden {n}"}) for n in range(60)
    ]
    with ChromaStore.open(tmp_path / "directory", index=index) as directory, open_store() as server:
        directory.batch(puts)
        server.batch(puts)
        for query in ("pear garden 33", "the 4 trees", "gardens", "nothing of the kind"):
            ours, theirs = directory.search(HOME, query=query, limit=60), server.search(HOME, query=query, limit=60)
            assert [hit.score for hit in theirs] == pytest.approx([hit.score for hit in ours], abs=3e-6)
            assert {hit.key: hit.signals.keyword for hit in theirs} == {hit.key: hit.signals.keyword for hit in ours}  # type: ignore[attr-defined] # HybridItems


def test_a_word_is_found_however_many_items_share_the_others_and_are_nearer(open_store: OpenStore) -> None:
    def embed(texts: Sequence[str]) -> list[list[float]]:
        return [[1.0, 0.0] if "common" in text else [-1.0, 0.0] if "code" in text else [0.01, 1.0] for text in texts]

    store = open_store(index={"embed": embed, "fields": ["text"]})
    store.batch([PutOp(HOME, str(n), {"text": f"common words {n}"}) for n in range(700)])
    store.put(HOME, "k", {"text": "the code is xylophone"})
    assert [hit.key for hit in store.search(HOME, query="words, xylophone", limit=1)] == ["k"]


def test_long_query_words_fit_a_pattern(open_store: OpenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_client_search, "POOL", 5)
    store = open_store()
    store.batch([PutOp(HOME, str(n), {"text": f"filler {n}"}) for n in range(20)])
    store.put(HOME, "k", {"text": "x" * 500})
    assert store.search(HOME, query="x" * 500, limit=1)[0].key == "k"
    assert store.search(HOME, query=" ".join(f"word{n}" * 5 for n in range(40)), limit=1)


def test_record_that_is_deleted_while_chroma_answers_is_left_out(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store()
    store.put(HOME, "k", {"text": "the code is xylophone"})
    query = Collection.query

    def with_a_remain(*args: Any, **options: Any) -> Any:
        answer: Any = query(*args, **options)
        for name, value in {"ids": "gone.1", "documents": None, "metadatas": None, "distances": 0.1}.items():
            answer[name][0].insert(0, value)
        return answer

    monkeypatch.setattr(Collection, "query", with_a_remain)
    assert [hit.key for hit in store.search(HOME, query="xylophone")] == ["k"]


def test_large_scopes_are_listed_newest_first_slice_by_slice(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store()
    store.batch([PutOp(HOME, str(n), {"n": n}, index=False) for n in range(30)])
    now = _client_search.SLICES[-1]
    monkeypatch.setattr(_client_search, "FEW", 10)
    monkeypatch.setattr(_client_search, "SLICES", (0, 1, 10**9, now))
    pages = [store.search(HOME, limit=7, offset=offset) for offset in range(0, 35, 7)]
    assert [hit.key for page in pages for hit in page] == [str(n) for n in range(29, -1, -1)]
    assert [hit.key for hit in store.search(HOME, filter={"n": {"$lt": 3}})] == ["2", "1", "0"]


def test_small_requests_add_up(open_store: OpenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_client_opening, "_page", lambda _: 7)
    store = open_store()
    store.batch([PutOp((*HOME, str(n % 3)), str(n), {"text": f"fact {n}"}) for n in range(40)])
    assert len(store.search(HOME, limit=100)) == 40
    assert len(store.list_namespaces()) == 3
    assert store.search(HOME, query="fact 11")[0].key == "11"
    assert len(store.search(HOME, query="fact", limit=100)) == 40


def test_update_removes_the_texts_that_vanished(open_store: OpenStore, embedding: WordEmbedding) -> None:
    store = open_store(index=tags(embedding), dense_only=True)
    store.put(HOME, "k", {"tags": ["apple", "pear", "plum"]})
    assert [cosine(store, tag) for tag in ("apple", "pear", "plum")] == [1.0, 1.0, 1.0]
    store.put(HOME, "k", {"tags": ["pear", "fig"]})
    assert cosine(store, "fig") == cosine(store, "pear") == 1.0
    assert max(cosine(store, "apple"), cosine(store, "plum")) < 0.9


def test_item_is_found_by_its_last_text_however_far_its_first_is(
    open_store: OpenStore, embedding: WordEmbedding, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_client_search, "POOL", 2)
    store = open_store(index=tags(embedding), dense_only=True)
    store.batch([PutOp(HOME, str(n), {"tags": [f"first{n}", f"second{n}", f"third{n}"]}) for n in range(9)])
    assert [hit.key for hit in store.search(HOME, query="third4", limit=1)] == ["4"]


def test_texts_left_over_by_a_crash_count_for_nothing_and_go_with_the_next_write(
    open_store: OpenStore, embedding: WordEmbedding, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(index=tags(embedding), dense_only=True)
    store.put(HOME, "k", {"tags": ["apple", "pear", "plum"]})
    with monkeypatch.context() as crash:
        crash.setattr(ItemCollection, "discard", lambda *_: None)
        store.put(HOME, "k", {"tags": ["fig"]})
    assert cosine(store, "fig") == 1.0
    assert max(cosine(store, tag) for tag in ("apple", "pear", "plum")) < 0.9
    store.put(HOME, "k", {"tags": ["fig"], "again": True})
    assert len(records(store)) == 1


def test_write_leaves_alone_what_another_process_wrote_meanwhile(
    open_store: OpenStore, embedding: WordEmbedding, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = (open_store(index=tags(embedding), dense_only=True) for _ in range(2))
    ours.put(HOME, "k", {"tags": ["apple", "pear", "plum"]})
    discard = ItemCollection.discard

    def be_overtaken(*arguments: Any) -> None:
        monkeypatch.setattr(ItemCollection, "discard", discard)
        theirs.put(HOME, "k", {"tags": ["kiwi", "lime", "nut"]})
        discard(*arguments)

    monkeypatch.setattr(ItemCollection, "discard", be_overtaken)
    ours.put(HOME, "k", {"tags": ["fig"]})
    assert ours.get(HOME, "k").value == {"tags": ["kiwi", "lime", "nut"]}  # type: ignore[union-attr] # it is there
    assert [cosine(ours, tag) for tag in ("kiwi", "lime", "nut")] == [1.0, 1.0, 1.0]
    assert cosine(ours, "fig") < 0.9


def test_vector_of_another_write_is_not_taken_for_a_text() -> None:
    ours, other = np.eye(4)[0], np.eye(4)[1]
    check = float(np.sin(1) / np.linalg.norm(np.sin([1, 2, 3, 4])))
    metadata: dict[str, Any] = {"item": "i", "version": "v", "created_at": 5, "digest": "d", "check": check}
    assert set(read_stored({"i": metadata}, {"i": list(ours)}).vectors) == {"d"}
    assert read_stored({"i": metadata}, {"i": list(other)}).vectors == {}


def test_item_moves_between_indexed_and_not(store: ChromaStore) -> None:
    store.put(HOME, "k", {"text": "apple"})
    store.put(HOME, "k", {"text": "apple"}, index=False)
    (hit,) = store.search(HOME, query="apple")
    assert hit.score is None
    store.put(HOME, "k", {"text": "apple"})
    (hit,) = store.search(HOME, query="apple")
    assert hit.score == 1.0


def test_another_model_of_the_same_size_is_refused(open_store: OpenStore, embedding: WordEmbedding) -> None:
    class OtherEmbedding(type(embedding)):  # type: ignore[misc] # of the class the fixture made
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            return [vector[::-1] for vector in super().embed_documents(texts)]

    open_store().put(HOME, "k", {"text": "apple"})
    other = open_store(index={"embed": OtherEmbedding(), "fields": ["text"]})
    for attempt in (lambda: other.put(HOME, "z", {"text": "pear"}), lambda: other.search(HOME, query="pear")):
        with pytest.raises(EmbeddingMismatchError, match=r"WordEmbedding \(256.*OtherEmbedding \(256"):
            attempt()
    assert other.get(HOME, "k") is not None, "reading needs no model"


@pytest.mark.parametrize(
    ("raised", "remedy"),
    [
        (Exception("<html>502 Bad Gateway"), "server's log"),  # as Chroma's client puts an answer it cannot read
        (ChromaAuthError("who?"), "credentials"),
        (RateLimitError("slow down"), "limits what it takes"),
        (httpx.ReadTimeout("late"), "timeout_seconds"),
        (httpx.ConnectError("refused"), "Check that it runs"),
    ],
)
def test_failure_names_server_and_remedy(raised: Exception, remedy: str) -> None:
    with pytest.raises(StorageError, match=rf"reading the memory of the server at h:1 failed.*{remedy}") as failure:
        fail(raised)
    assert failure.value.__cause__ is raised


def test_mistake_of_ours_is_not_taken_for_a_failing_server() -> None:
    with pytest.raises(ZeroDivisionError):
        fail(ZeroDivisionError())


def fail(error: Exception) -> None:
    with server_errors("the server at h:1", "reading"):
        raise error


def test_collection_of_another_program_is_refused(chroma_client: ClientAPI) -> None:
    chroma_client.create_collection("not-ours", embedding_function=None)
    store = ChromaStore(chroma_client, collection="not-ours")
    with pytest.raises(ConfigurationError, match="not made by a ChromaStore"):
        store.get(HOME, "k")


def test_collection_of_a_newer_format_is_refused(chroma_client: ClientAPI) -> None:
    metadata = {"format": 99, "dimensions": 3, "embedding": "x"}
    chroma_client.create_collection("newer", embedding_function=None, metadata=metadata)
    with pytest.raises(StorageError, match="Upgrade"):
        ChromaStore(chroma_client, collection="newer").get(HOME, "k")


def test_deleted_collection_is_an_empty_store(open_store: OpenStore, chroma_client: ClientAPI) -> None:
    store = open_store()
    store.put(HOME, "k", {"text": "apple"})
    chroma_client.delete_collection(store._backend._opener._name)  # type: ignore[attr-defined] # of the client's kind
    assert store.sweep_ttl() == 0
    assert store.get(HOME, "k") is None
    store.put(HOME, "z", {"text": "pear"})
    assert [hit.key for hit in store.search(HOME, query="pear")] == ["z"]


def test_embedding_function_in_a_stored_configuration_is_never_built(
    chroma_client: ClientAPI, embedding: WordEmbedding
) -> None:
    built: list[str] = []

    @register_embedding_function
    class Stranger(EmbeddingFunction[Documents]):
        def __init__(self) -> None:
            pass

        def __call__(self, input: Documents) -> Embeddings:  # noqa: A002 - Chroma's own word
            built.append("called")
            return [np.zeros(256, dtype=np.float32) for _ in input]

        @staticmethod
        def name() -> str:
            return "stranger"

        @staticmethod
        def build_from_config(config: dict[str, Any]) -> Stranger:
            built.append(f"built from {config}")
            return Stranger()

        def get_config(self) -> dict[str, Any]:
            return {}

    metadata = {"format": 1, "dimensions": 256, "embedding": "WordEmbedding"}
    chroma_client.create_collection("strange", embedding_function=Stranger(), metadata=metadata)  # type: ignore[arg-type] # texts only
    built.clear()
    store = ChromaStore(chroma_client, collection="strange", index={"embed": embedding, "fields": ["text"]})
    for attempt in (lambda: store.put(HOME, "k", {"text": "apple"}), lambda: store.search(HOME, query="apple")):
        with pytest.raises(ConfigurationError, match="names an embedding function"):
            attempt()
    assert built == []


def records(store: ChromaStore) -> list[str]:
    backend: Any = store._backend
    ids: list[str] = backend._opener.find()._collection.get(include=[])["ids"]
    return ids

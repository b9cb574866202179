"""What the library is compared with: the same messages, the same vectors, each system as its own pages show it."""

from __future__ import annotations

import importlib.util
import os
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from langchain_core.embeddings import Embeddings
from langgraph.store.base import IndexConfig, PutOp
from langgraph.store.memory import InMemoryStore


class Peer(Protocol):
    """One user's memory in another system."""

    def search(self, query: str, limit: int) -> list[str]:
        """Ids of the messages it finds, best first."""


Open = Callable[[Mapping[str, str], Embeddings, Path], Peer]
"""Fills a system with texts by id; the folder is the system's own."""


class ChromaSearch:
    """Chroma's similarity search in one collection, filtered by user."""

    def __init__(self, texts: Mapping[str, str], embedding: Embeddings, folder: Path) -> None:
        import chromadb
        from chromadb.config import Settings

        client = chromadb.PersistentClient(str(folder), settings=Settings(anonymized_telemetry=False))
        self._embedding = embedding
        self._collection = client.create_collection(
            f"memories-{uuid.uuid4()}", embedding_function=None, configuration={"hnsw": {"space": "cosine"}}
        )
        ids, documents = list(texts), list(texts.values())
        vectors: Any = embedding.embed_documents(documents)
        for start in range(0, len(ids), 5_000):
            part = slice(start, start + 5_000)
            self._collection.add(
                ids[part],
                embeddings=vectors[part],
                documents=documents[part],
                metadatas=[{"user": "u"}] * len(ids[part]),
            )

    def search(self, query: str, limit: int) -> list[str]:
        vector: Any = self._embedding.embed_query(query)
        found = self._collection.query(query_embeddings=[vector], n_results=limit, where={"user": "u"}, include=[])
        return found["ids"][0]


class LangGraphSearch:
    """LangGraph's InMemoryStore."""

    def __init__(self, texts: Mapping[str, str], embedding: Embeddings, _: Path) -> None:
        dimensions = len(embedding.embed_query("how long is a vector?"))
        self._store = InMemoryStore(index=IndexConfig(dims=dimensions, embed=embedding, fields=["text"]))
        for key, text in texts.items():  # one by one: a batch with the same text twice raises
            self._store.batch([PutOp(("memories", "u"), key, {"text": text})])

    def search(self, query: str, limit: int) -> list[str]:
        return [item.key for item in self._store.search(("memories", "u"), query=query, limit=limit)]


class Bm25Search:
    """The package bm25s as its pages show it: English stop words, Snowball stems."""

    def __init__(self, texts: Mapping[str, str], _: Embeddings, __: Path) -> None:
        import bm25s  # type: ignore[import-untyped]  # ships no types
        import Stemmer  # type: ignore[import-not-found]  # ships no types

        self._ids = list(texts)
        self._stemmer = Stemmer.Stemmer("english")
        self._tokenize: Any = bm25s.tokenize
        self._index: Any = bm25s.BM25()
        self._index.index(self._tokens(list(texts.values())), show_progress=False)

    def search(self, query: str, limit: int) -> list[str]:
        tokens = self._tokens([query])
        if not tokens.vocab:
            return []
        found, scores = self._index.retrieve(tokens, k=min(limit, len(self._ids)), show_progress=False)
        return [self._ids[place] for place, score in zip(found[0], scores[0], strict=True) if score > 0]

    def _tokens(self, texts: Sequence[str]) -> Any:
        return self._tokenize(list(texts), stopwords="en", stemmer=self._stemmer, show_progress=False)


class Mem0Search:
    """The package mem0ai as installed, without a model: messages are added as they are."""

    def __init__(self, texts: Mapping[str, str], embedding: Embeddings, folder: Path) -> None:
        os.environ.update(MEM0_TELEMETRY="False", MEM0_DIR=str(folder / "home"))
        from mem0 import Memory  # type: ignore[import-not-found, unused-ignore]  # optional

        dimensions = len(embedding.embed_query("how long is a vector?"))
        store = {"path": str(folder / "qdrant"), "embedding_model_dims": dimensions, "on_disk": True}
        unused = {"api_key": "unused", "openai_base_url": "http://127.0.0.1:9/v1"}
        self._memory = Memory.from_config(
            {
                "vector_store": {"provider": "qdrant", "config": store},
                "embedder": {"provider": "langchain", "config": {"model": embedding}},
                "llm": {"provider": "openai", "config": unused},
                "history_db_path": str(folder / "history.db"),
            }
        )
        for key, text in texts.items():
            said = [{"role": "user", "content": text}]
            self._memory.add(said, user_id="u", metadata={"message": key}, infer=False)

    def search(self, query: str, limit: int) -> list[str]:
        found = self._memory.search(query, filters={"user_id": "u"}, top_k=limit)
        return [hit["metadata"]["message"] for hit in found["results"]]


NEEDS: Mapping[str, tuple[Open, str]] = {
    "Chroma": (ChromaSearch, "chromadb"),
    "InMemoryStore": (LangGraphSearch, "langgraph"),
    "BM25": (Bm25Search, "bm25s"),
    "mem0": (Mem0Search, "mem0"),
}


def installed() -> tuple[dict[str, Open], list[str]]:
    """The systems that can be run here, and the names of those whose package is missing."""
    found = {name: opener for name, (opener, package) in NEEDS.items() if importlib.util.find_spec(package)}
    return found, [name for name in NEEDS if name not in found]

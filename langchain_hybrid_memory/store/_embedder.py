"""Embeds texts with the model a store was opened with, and checks what comes back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from langgraph.store.base import IndexConfig, ensure_embeddings

from langchain_hybrid_memory._flow import Call, Flow, blocking
from langchain_hybrid_memory.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_core.embeddings import Embeddings


class Embedder:
    """The embedding model, loaded at the first text that needs it."""

    def __init__(self, index: IndexConfig | None) -> None:
        """Remember what to embed with; `None` stands for the library's default model."""
        self._embed = (index or {}).get("embed")
        self._dims = (index or {}).get("dims")
        self._model: Embeddings | None = None

    def documents(self, texts: Sequence[str]) -> Flow[dict[str, bytes]]:
        """Embed texts to store, all in one call; the vectors come as float32 bytes by text."""
        if not texts:
            return {}
        model = yield from self._loaded()
        asked = list(texts)
        vectors = yield from Call(lambda: model.embed_documents(asked), lambda: model.aembed_documents(asked))
        if len(vectors) != len(asked):
            msg = f"the embedding returned {len(vectors)} vectors for {len(asked)} texts; it must return one for each"
            raise ConfigurationError(msg)
        return {text: self._checked(vector) for text, vector in zip(asked, vectors, strict=True)}

    def query(self, text: str) -> Flow[bytes]:
        """Embed a query as float32 bytes."""
        model = yield from self._loaded()
        vector = yield from Call(lambda: model.embed_query(text), lambda: model.aembed_query(text))
        return self._checked(vector)

    def name(self) -> str | None:
        """What tells the model from others: its own `identity`, else its class and model name; `None` until loaded."""
        model = self._model
        if model is None:
            return None
        identity = getattr(model, "identity", None)
        if isinstance(identity, str):
            return identity
        names = (getattr(model, attribute, None) for attribute in ("model", "model_name"))
        details = [name for name in names if isinstance(name, str)]
        return "/".join([type(model).__name__, *details[:1]])

    def _loaded(self) -> Flow[Embeddings]:
        if self._model is None:
            self._model = yield from blocking(self._load)
        return self._model

    def _load(self) -> Embeddings:
        if self._embed is None or isinstance(self._embed, str):
            from langchain_hybrid_memory.embedding import create_embedding

            return create_embedding(self._embed)
        return ensure_embeddings(self._embed)

    def _checked(self, vector: Sequence[float]) -> bytes:
        numbers = np.asarray(vector, dtype=np.float32)
        if self._dims and len(numbers) != self._dims:
            msg = (
                f"the embedding returned {len(numbers)} numbers, but the index says dims={self._dims!r}; correct `dims`"
            )
            raise ConfigurationError(msg)
        if not len(numbers) or not np.isfinite(numbers).all():
            msg = f"the embedding returned {vector!r:.80}; it must return finite numbers"
            raise ConfigurationError(msg)
        return numbers.tobytes()

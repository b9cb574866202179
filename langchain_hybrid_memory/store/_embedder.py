"""Embeds texts with the model a store was opened with, and checks what comes back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from langgraph.store.base import IndexConfig, ensure_embeddings

from langchain_hybrid_memory._flow import Call, Flow, blocking
from langchain_hybrid_memory.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_core.embeddings import Embeddings


PROBE: Final = "The quick brown fox jumps over the lazy dog."
SAME_COSINE: Final = 0.98
"""Above it two probes are of one model: exports of MiniLM in 8 and 32 bits are at .998, two models near 0."""


class Fingerprint(NamedTuple):
    """Which model made a store's vectors: what it calls itself, and a vector to know it by."""

    name: str
    probe: bytes

    @property
    def dims(self) -> int:
        """Numbers in a vector."""
        return len(self.probe) // np.dtype(np.float32).itemsize

    def is_same(self, other: Fingerprint) -> bool:
        """Whether vectors of both may be compared."""
        ours, theirs = (np.frombuffer(made.probe, dtype=np.float32) for made in (self, other))
        if ours.size != theirs.size:
            return False
        return bool(ours @ theirs >= SAME_COSINE * np.linalg.norm(ours) * np.linalg.norm(theirs))

    def __str__(self) -> str:
        """Name the model."""
        return f"{self.name} ({self.dims} numbers a vector)"


class Embedder:
    """The embedding model, loaded at the first text that needs it."""

    def __init__(self, index: IndexConfig | None) -> None:
        """Remember what to embed with; `None` stands for the library's default model."""
        self._embed = (index or {}).get("embed")
        self._dims = (index or {}).get("dims")
        self._model: Embeddings | None = None
        self._fingerprint: Fingerprint | None = None

    def fingerprint(self) -> Flow[Fingerprint]:
        """Which model this is; the first time one text is embedded to tell."""
        if self._fingerprint is None:
            probe = yield from self.documents([PROBE])
            name = yield from blocking(self._name)
            self._fingerprint = Fingerprint(name, probe[PROBE])
        return self._fingerprint

    def _name(self) -> str:
        names = (getattr(self._model, attribute, None) for attribute in ("identity", "model", "model_name"))
        return f"{type(self._model).__name__} {next((name for name in names if isinstance(name, str)), '')}".strip()

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

